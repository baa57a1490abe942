//! What holds for every cluster and every queue.

use std::sync::Arc;

use api::{
    Affinity, Container, ContainerPort, LabelSelector, Labels, Node, NodeSpec, NodeStatus, ObjectMeta, Pod, PodAffinity, PodAffinityTerm,
    PodSpec, ResourceList, ResourceName, Service, Str, Taint, TaintEffect, Toleration, TolerationOperator, TopologySpreadConstraint, Uid,
    WeightedPodAffinityTerm, WhenUnsatisfiable,
};
use port::{ClusterSnapshot, Detail, HostPort, NodeIndex, NodeInfo, Outcome, PodInfo, PodRequests, Scheduler};
use proptest::prelude::*;
use wavetank_schedulers::{names, policy};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";

const GPU: &str = "example.com/gpu";

fn gpu() -> ResourceName {
    ResourceName::Scalar(GPU.into())
}

fn resources(cpu_millis: i64, memory_mib: i64, gpus: i64, pods: Option<i64>) -> ResourceList {
    let mut list = ResourceList::from([(ResourceName::Cpu, cpu_millis), (ResourceName::Memory, memory_mib << 20)]);
    list.extend((gpus > 0).then_some((gpu(), gpus)));
    list.extend(pods.map(|pods| (ResourceName::Pods, pods)));
    list
}

fn taint(effect: TaintEffect) -> Taint {
    Taint::new("dedicated", effect)
}

/// The numbers a node is made of: cpu, memory, gpus, pods, zone, taint.
type NodeParts = (i64, i64, i64, i64, u8, u8);

fn node(at: usize, (cpu, memory, gpus, pods, zone, tainted): NodeParts) -> Arc<Node> {
    let name: Str = format!("node-{at}").into();
    let mut labels = Labels::from([(HOSTNAME.into(), name.clone())]);
    if zone > 0 {
        labels.insert(ZONE.into(), format!("zone-{zone}").into());
    }
    let effect = [None, Some(TaintEffect::NoSchedule), Some(TaintEffect::PreferNoSchedule), Some(TaintEffect::NoExecute)];
    Arc::new(Node {
        meta: ObjectMeta { name, labels: Arc::new(labels), ..ObjectMeta::default() },
        spec: NodeSpec { taints: effect[usize::from(tainted)].map(taint).into_iter().collect(), ..NodeSpec::default() },
        status: NodeStatus { allocatable: Arc::new(resources(cpu, memory, gpus, Some(pods))), ..NodeStatus::default() },
    })
}

/// The numbers a pod is made of: what it requests, then app, tolerates, spreads, keeps apart, port, priority.
type PodParts = ((i64, i64, i64), u8, bool, u8, u8, u16, i32);

fn pod(at: usize, ((cpu, memory, gpus), app, tolerates, spread, apart, port, priority): PodParts) -> PodInfo {
    let labels = Labels::from([("app".into(), format!("app-{app}").into())]);
    let selector = Some(LabelSelector { match_labels: labels.clone(), match_expressions: Vec::new() });
    let constraint = |topology_key: &str, max_skew, when_unsatisfiable| TopologySpreadConstraint {
        max_skew,
        topology_key: topology_key.into(),
        when_unsatisfiable,
        label_selector: selector.clone(),
        min_domains: None,
        honor_node_affinity: true,
        honor_node_taints: false,
        match_label_keys: Vec::new(),
    };
    let (hard, soft) = (WhenUnsatisfiable::DoNotSchedule, WhenUnsatisfiable::ScheduleAnyway);
    let term = |topology_key: &str| PodAffinityTerm {
        label_selector: selector.clone(),
        namespaces: Vec::new(),
        namespace_selector: None,
        topology_key: topology_key.into(),
        match_label_keys: Vec::new(),
        mismatch_label_keys: Vec::new(),
    };
    let required = |key| Some(PodAffinity { required: vec![term(key)], preferred: Vec::new() });
    let preferred =
        |key, weight| Some(PodAffinity { required: Vec::new(), preferred: vec![WeightedPodAffinityTerm { weight, term: term(key) }] });
    let toleration = Toleration { key: "dedicated".into(), operator: TolerationOperator::Exists, ..Toleration::default() };
    let ports = (port > 0).then(|| ContainerPort {
        name: "".into(),
        container_port: 80,
        host_port: 8_000 + port,
        host_ip: "".into(),
        protocol: "TCP".into(),
    });
    let requests = resources(cpu, memory, gpus, None);
    let spec = PodSpec {
        containers: vec![Container { requests, ports: ports.into_iter().collect(), ..Container::default() }],
        tolerations: tolerates.then_some(toleration).into_iter().collect(),
        topology_spread_constraints: match spread {
            1 => vec![constraint(ZONE, 1, hard)],
            2 => vec![constraint(ZONE, 1, soft)],
            3 => vec![constraint(HOSTNAME, 1, hard), constraint(ZONE, 2, hard)],
            4 => vec![constraint(HOSTNAME, 1, soft), constraint(ZONE, 2, soft)],
            _ => Vec::new(),
        },
        affinity: match apart {
            1 => Affinity { pod_anti: required(HOSTNAME), ..Affinity::default() },
            2 => Affinity { pod_anti: required(ZONE), ..Affinity::default() },
            3 => Affinity { pod: required(ZONE), ..Affinity::default() },
            4 => Affinity { pod: preferred(HOSTNAME, 7), pod_anti: preferred(ZONE, 3), ..Affinity::default() },
            _ => Affinity::default(),
        },
        priority,
        ..PodSpec::default()
    };
    let pod = Pod {
        meta: ObjectMeta {
            namespace: "default".into(),
            name: format!("pod-{at}").into(),
            uid: Uid(at as u64),
            labels: Arc::new(labels),
            ..ObjectMeta::default()
        },
        spec: Arc::new(spec),
        ..Pod::default()
    };
    let requests = Arc::new(PodRequests::of_pod(&pod));
    PodInfo::new(&pod, requests)
}

fn node_parts() -> impl Strategy<Value = NodeParts> {
    (500..8_000_i64, 512..16_384_i64, 0..3_i64, 1..12_i64, 0..4_u8, 0..4_u8)
}

/// Some nodes, and a Service of one app so that default spreading has something to go by.
fn clusters() -> impl Strategy<Value = ClusterSnapshot> {
    prop::collection::vec(node_parts(), 1..24).prop_map(|parts| {
        let mut snapshot = ClusterSnapshot::default();
        parts.into_iter().enumerate().for_each(|(at, parts)| snapshot.put_node(node(at, parts)));
        let meta = ObjectMeta { namespace: "default".into(), name: "app-0".into(), ..ObjectMeta::default() };
        let selector = Some(Arc::new(Labels::from([("app".into(), "app-0".into())])));
        let service = Service { meta, selector, ..Service::default() };
        snapshot.objects_mut().services.insert(service.meta.key(), Arc::new(service));
        snapshot
    })
}

fn pod_parts() -> impl Strategy<Value = PodParts> {
    let gpus = prop_oneof![4 => Just(0), 1 => 1..3_i64];
    let ports = prop_oneof![4 => Just(0), 1 => 1..3_u16];
    ((0..3_000_i64, 0..6_000_i64, gpus), 0..4_u8, any::<bool>(), 0..6_u8, 0..8_u8, ports, 0..3_i32)
}

fn queues() -> impl Strategy<Value = Vec<PodInfo>> {
    prop::collection::vec(pod_parts(), 1..60).prop_map(|parts| parts.into_iter().enumerate().map(|(at, parts)| pod(at, parts)).collect())
}

/// Summed up from the pods, not taken from what the node keeps.
fn within_allocatable(node: &NodeInfo) -> bool {
    let fits = |name: &ResourceName| {
        let requested: i64 = node.pods.iter().map(|pod| pod.spec.containers[0].requests.get(name).copied().unwrap_or(0)).sum();
        requested <= node.node.status.allocatable.get(name).copied().unwrap_or(0)
    };
    [ResourceName::Cpu, ResourceName::Memory, gpu()].iter().all(fits) && node.pods.len() as i64 <= node.allocatable.pods
}

fn tolerated(pod: &PodInfo, node: &NodeInfo) -> bool {
    let hard = node.node.spec.taints.iter().filter(|taint| taint.effect != TaintEffect::PreferNoSchedule);
    hard.into_iter().all(|taint| pod.spec.tolerations.iter().any(|toleration| toleration.tolerates(taint, false)))
}

fn host_ports_are_unique(node: &NodeInfo) -> bool {
    let ports: Vec<HostPort> = node.pods.iter().flat_map(|pod| HostPort::of(&pod.spec)).collect();
    ports.iter().enumerate().all(|(at, port)| ports[..at].iter().all(|other| !other.conflicts(port)))
}

fn selects(selector: Option<&LabelSelector>, pod: &PodInfo) -> bool {
    selector.is_some_and(|selector| selector.matches(&pod.labels))
}

/// Nodes with the same value of a label as `node`, itself among them; none when it has no such label.
fn neighbours<'a>(snapshot: &'a ClusterSnapshot, node: &'a NodeInfo, key: &'a str) -> impl Iterator<Item = &'a NodeInfo> {
    let value = node.labels().get(key);
    snapshot.nodes().iter().filter(move |other| value.is_some() && other.labels().get(key) == value)
}

/// For every hard constraint of `pod`, which is on `at`: its domain has at most maxSkew more than the emptiest.
fn within_skew(snapshot: &ClusterSnapshot, pod: &PodInfo, at: &NodeInfo) -> bool {
    let constraints = &pod.spec.topology_spread_constraints;
    let hard = || constraints.iter().filter(|constraint| constraint.when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule);
    let takes_part = |node: &&NodeInfo| hard().all(|constraint| node.labels().contains_key(&constraint.topology_key));
    hard().all(|constraint| {
        let count = |node: &NodeInfo| {
            let domain = neighbours(snapshot, node, &constraint.topology_key).filter(takes_part).flat_map(|node| &node.pods);
            domain.filter(|other| selects(constraint.label_selector.as_ref(), other)).count() as i64
        };
        let least = snapshot.nodes().iter().filter(takes_part).map(count).min();
        least.is_some_and(|least| count(at) - least <= i64::from(constraint.max_skew))
    })
}

/// No pod stands where it, or another, asks for it not to be.
fn kept_apart(snapshot: &ClusterSnapshot, pod: &PodInfo, at: &NodeInfo) -> bool {
    let objects = |owner: &PodInfo, target: &PodInfo, key: &dyn Fn(&Str) -> bool| {
        let terms = owner.spec.affinity.pod_anti.iter().flat_map(|anti| &anti.required);
        terms.into_iter().any(|term| key(&term.topology_key) && selects(term.label_selector.as_ref(), target))
    };
    snapshot.nodes().iter().all(|node| {
        let shares = |key: &Str| node.labels().contains_key(key) && node.labels().get(key) == at.labels().get(key);
        let others = node.pods.iter().filter(|other| other.uid != pod.uid);
        others.into_iter().all(|other| !objects(pod, other, &shares) && !objects(other, pod, &shares))
    })
}

/// What happens between attempts.
#[derive(Clone, Debug)]
enum Step {
    Schedule(PodParts),
    /// The pod placed so many placements ago goes.
    Delete(usize),
    Terminate(usize),
    RemoveNode(usize),
    PutNode(usize, NodeParts),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => pod_parts().prop_map(Step::Schedule),
        2 => (0..8_usize).prop_map(Step::Delete),
        2 => (0..8_usize).prop_map(Step::Terminate),
        1 => (0..24_usize).prop_map(Step::RemoveNode),
        1 => (0..24_usize, node_parts()).prop_map(|(at, parts)| Step::PutNode(at, parts)),
    ];
    prop::collection::vec(step, 1..90)
}

/// Where the pod is that was placed so many placements ago.
fn find_placed(snapshot: &ClusterSnapshot, placed: &[Uid], ago: usize) -> Option<(NodeIndex, usize)> {
    let uid = placed.iter().rev().nth(ago)?;
    let node = snapshot.nodes().iter().position(|node| node.pods.iter().any(|pod| pod.uid == *uid))?;
    let place = snapshot.nodes()[node].pods.iter().position(|pod| pod.uid == *uid)?;
    Some((NodeIndex(node as u32), place))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_policy_puts_a_pod_where_it_must_not_be(mut snapshot in clusters(), queue in queues(), which in 0..names().len()) {
        let mut policy = policy(names()[which]).expect("a known policy");
        for pod in queue {
            let decision = policy.schedule(&pod, &snapshot, Detail::Outcome);
            if let Outcome::Scheduled { node } = decision.outcome {
                prop_assert!(policy.fits(&pod, &snapshot, node));
                snapshot.node_mut(node).add_pod(pod.clone());
                let at = snapshot.node(node);
                prop_assert!(tolerated(&pod, at), "a taint is not tolerated");
                prop_assert!(within_allocatable(at), "more is requested than there is");
                prop_assert!(host_ports_are_unique(at), "a host port is taken twice");
                prop_assert!(within_skew(&snapshot, &pod, at), "the skew is too large");
                prop_assert!(kept_apart(&snapshot, &pod, at), "anti-affinity is not respected");
            } else {
                let nowhere = snapshot.list_order().iter().all(|node| !policy.fits(&pod, &snapshot, *node));
                prop_assert!(nowhere, "a node would have done: {:?}", decision.outcome);
            }
        }
    }

    /// A copy of a snapshot keeps no sums, so that everything is counted anew there.
    #[test]
    fn sums_that_are_kept_change_no_decision(mut snapshot in clusters(), steps in steps()) {
        let make = || policy("default").expect("a known policy");
        let (mut keeping, mut counting_anew) = (make(), make());
        let mut placed: Vec<Uid> = Vec::new();
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Schedule(parts) => {
                    let pod = pod(at, parts);
                    let decision = keeping.schedule(&pod, &snapshot, Detail::Full);
                    prop_assert_eq!(&decision, &counting_anew.schedule(&pod, &snapshot.clone(), Detail::Full));
                    if let Outcome::Scheduled { node } = decision.outcome {
                        placed.push(pod.uid);
                        snapshot.node_mut(node).add_pod(pod);
                    }
                }
                Step::Delete(ago) => if let Some((node, place)) = find_placed(&snapshot, &placed, ago) {
                    let uid = snapshot.node(node).pods[place].uid;
                    snapshot.node_mut(node).remove_pod(uid);
                }
                Step::Terminate(ago) => if let Some((node, place)) = find_placed(&snapshot, &placed, ago) {
                    snapshot.node_mut(node).pods[place].deleting = true;
                }
                Step::RemoveNode(number) => {
                    snapshot.remove_node(&format!("node-{number}"));
                }
                Step::PutNode(number, parts) => snapshot.put_node(node(number, parts)),
            }
        }
    }

    #[test]
    fn asking_for_details_changes_no_decision(mut snapshot in clusters(), queue in queues(), which in 0..names().len()) {
        let make = || policy(names()[which]).expect("a known policy");
        let (mut brief, mut detailed) = (make(), make());
        for pod in queue {
            let decision = brief.schedule(&pod, &snapshot, Detail::Outcome);
            let explained = detailed.schedule(&pod, &snapshot, Detail::Full);
            prop_assert_eq!(&decision.outcome, &explained.outcome);
            prop_assert_eq!(decision.feasible_nodes as usize, explained.scores.len());
            if let Outcome::Scheduled { node } = decision.outcome {
                snapshot.node_mut(node).add_pod(pod);
            }
        }
    }

    #[test]
    fn preemption_takes_only_pods_of_lower_priority_and_makes_room(mut snapshot in clusters(), queue in queues()) {
        let mut policy = policy("default").expect("a known policy");
        for mut pod in queue {
            match policy.schedule(&pod, &snapshot, Detail::Outcome).outcome {
                Outcome::Scheduled { node } => snapshot.node_mut(node).add_pod(pod),
                Outcome::Unschedulable { preemption: Some(preemption), .. } => {
                    let node = snapshot.find(&preemption.node).expect("an existing node");
                    for victim in &preemption.victims {
                        let gone = snapshot.node_mut(node).remove_pod(*victim).expect("a pod of that node");
                        prop_assert!(gone.spec.priority < pod.spec.priority);
                    }
                    pod.nominated_node = Some(preemption.node);
                    let outcome = policy.schedule(&pod, &snapshot, Detail::Outcome).outcome;
                    prop_assert_eq!(outcome, Outcome::Scheduled { node });
                    snapshot.node_mut(node).add_pod(pod);
                }
                Outcome::Unschedulable { .. } => {}
                Outcome::Error { message } => prop_assert!(false, "{}", message),
            }
        }
    }
}

#[test]
fn pods_of_other_schedulers_are_left_alone() {
    let policy: Box<dyn Scheduler> = policy("default").expect("a known policy");
    assert!(policy.is_responsible_for("default-scheduler"));
    assert!(!policy.is_responsible_for("packer"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn an_explanation_says_what_is_decided_and_changes_nothing(mut snapshot in clusters(), queue in queues()) {
        let make = || policy("default").expect("a known policy");
        let (mut asked, mut silent) = (make(), make());
        for pod in queue {
            let explanation = asked.explain(&pod, &snapshot).expect("kube-scheduler explains itself");
            let again = asked.explain(&pod, &snapshot);
            prop_assert_eq!(again.as_ref(), Some(&explanation), "asked twice");
            let decision = asked.schedule(&pod, &snapshot, Detail::Full);
            prop_assert_eq!(&decision, &silent.schedule(&pod, &snapshot, Detail::Full), "asked or not");

            let chosen = match &decision.outcome {
                Outcome::Scheduled { node } => Some(snapshot.node(*node).name().clone()),
                _ => None,
            };
            prop_assert_eq!(&explanation.chosen, &chosen);
            prop_assert_eq!(explanation.scored.len(), decision.scores.len());
            for node in &explanation.scored {
                prop_assert_eq!(node.total, node.scores.iter().map(api::PluginScore::weighted).sum::<i64>());
                let (_, scores) = decision.scores.iter().find(|(name, _)| *name == node.node).expect("a scored node");
                prop_assert_eq!(node.total, scores.iter().map(|(_, score)| score).sum::<i64>());
            }
            if let Some(best) = explanation.scored.first() {
                let of_chosen = explanation.scored.iter().find(|node| Some(&node.node) == chosen.as_ref()).map(|node| node.total);
                prop_assert_eq!(of_chosen, Some(best.total));
            }
            if let Outcome::Scheduled { node } = decision.outcome {
                snapshot.node_mut(node).add_pod(pod);
            }
        }
    }

    #[test]
    fn a_node_that_was_turned_down_has_every_objection_and_what_removes_it(mut snapshot in clusters(), queue in queues()) {
        let mut policy = policy("default").expect("a known policy");
        for pod in queue {
            let explanation = policy.explain(&pod, &snapshot).expect("kube-scheduler explains itself");
            let decision = policy.schedule(&pod, &snapshot, Detail::Full);
            prop_assert_eq!(explanation.turned_down.len(), decision.rejections.len());
            for node in &explanation.turned_down {
                let (_, rejection) = decision.rejections.iter().find(|(name, _)| *name == node.node).expect("a rejected node");
                let first = &node.objections[0];
                prop_assert_eq!((&first.plugin, &first.reasons), (&rejection.plugin, &rejection.reasons));
                for objection in &node.objections {
                    prop_assert!(!objection.remedies.is_empty(), "{} has nothing to say of {}", objection.plugin, node.node);
                }
            }
            let far = |at: usize| (explanation.turned_down[at].obstacles(), explanation.turned_down[at].missing_permille());
            prop_assert!((1..explanation.turned_down.len()).all(|at| far(at - 1) <= far(at)), "nearest first");
            if let Outcome::Scheduled { node } = decision.outcome {
                snapshot.node_mut(node).add_pod(pod);
            }
        }
    }

    #[test]
    fn a_priority_that_is_said_to_do_does(mut snapshot in clusters(), queue in queues()) {
        let mut policy = policy("default").expect("a known policy");
        for mut pod in queue {
            let explanation = policy.explain(&pod, &snapshot).expect("kube-scheduler explains itself");
            if let Some(instead) = explanation.hypothetical {
                let mut spec = (*pod.spec).clone();
                spec.priority = instead.priority_above.unwrap_or(spec.priority - 1) + 1;
                pod.spec = spec.into();
                let outcome = policy.schedule(&pod, &snapshot, Detail::Outcome).outcome;
                prop_assert!(matches!(outcome, Outcome::Unschedulable { preemption: Some(_), .. }), "{:?}", outcome);
            } else if let Outcome::Scheduled { node } = policy.schedule(&pod, &snapshot, Detail::Outcome).outcome {
                snapshot.node_mut(node).add_pod(pod);
            }
        }
    }
}
