//! What holds for every cluster and every queue.

use std::sync::Arc;

use api::{
    Affinity, Container, LabelSelector, Labels, Node, NodeSpec, NodeStatus, ObjectMeta, Pod, PodAffinity, PodAffinityTerm, PodSpec,
    ResourceList, ResourceName, Str, Taint, TaintEffect, Toleration, TolerationOperator, TopologySpreadConstraint, Uid, WhenUnsatisfiable,
};
use port::{ClusterSnapshot, Detail, NodeInfo, Outcome, PodInfo, PodRequests, Scheduler};
use proptest::prelude::*;
use wavetank_schedulers::{names, policy};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";

fn resources(cpu_millis: i64, memory_mib: i64, pods: Option<i64>) -> ResourceList {
    let mut list = ResourceList::from([(ResourceName::Cpu, cpu_millis), (ResourceName::Memory, memory_mib << 20)]);
    list.extend(pods.map(|pods| (ResourceName::Pods, pods)));
    list
}

fn taint(effect: TaintEffect) -> Taint {
    Taint::new("dedicated", effect)
}

/// The numbers a node is made of: cpu, memory, pods, zone, taint.
type NodeParts = (i64, i64, i64, u8, u8);

fn node(at: usize, (cpu, memory, pods, zone, tainted): NodeParts) -> Arc<Node> {
    let name: Str = format!("node-{at}").into();
    let mut labels = Labels::from([(HOSTNAME.into(), name.clone())]);
    if zone > 0 {
        labels.insert(ZONE.into(), format!("zone-{zone}").into());
    }
    let effect = [None, Some(TaintEffect::NoSchedule), Some(TaintEffect::PreferNoSchedule), Some(TaintEffect::NoExecute)];
    Arc::new(Node {
        meta: ObjectMeta { name, labels: Arc::new(labels), ..ObjectMeta::default() },
        spec: NodeSpec { taints: effect[usize::from(tainted)].map(taint).into_iter().collect(), ..NodeSpec::default() },
        status: NodeStatus { allocatable: Arc::new(resources(cpu, memory, Some(pods))), ..NodeStatus::default() },
    })
}

/// The numbers a pod is made of: cpu, memory, app, tolerates, spreads, keeps apart, priority.
type PodParts = (i64, i64, u8, bool, u8, u8, i32);

fn pod(at: usize, (cpu, memory, app, tolerates, spread, apart, priority): PodParts) -> PodInfo {
    let labels = Labels::from([("app".into(), format!("app-{app}").into())]);
    let selector = Some(LabelSelector { match_labels: labels.clone(), match_expressions: Vec::new() });
    let constraint = |when_unsatisfiable| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: ZONE.into(),
        when_unsatisfiable,
        label_selector: selector.clone(),
        min_domains: None,
        honor_node_affinity: true,
        honor_node_taints: false,
        match_label_keys: Vec::new(),
    };
    let term = PodAffinityTerm {
        label_selector: selector.clone(),
        namespaces: Vec::new(),
        namespace_selector: None,
        topology_key: HOSTNAME.into(),
        match_label_keys: Vec::new(),
        mismatch_label_keys: Vec::new(),
    };
    let toleration = Toleration { key: "dedicated".into(), operator: TolerationOperator::Exists, ..Toleration::default() };
    let spec = PodSpec {
        containers: vec![Container { requests: resources(cpu, memory, None), ..Container::default() }],
        tolerations: tolerates.then_some(toleration).into_iter().collect(),
        topology_spread_constraints: match spread {
            1 => vec![constraint(WhenUnsatisfiable::DoNotSchedule)],
            2 => vec![constraint(WhenUnsatisfiable::ScheduleAnyway)],
            _ => Vec::new(),
        },
        affinity: Affinity {
            pod_anti: (apart == 1).then(|| PodAffinity { required: vec![term], preferred: Vec::new() }),
            ..Affinity::default()
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

fn clusters() -> impl Strategy<Value = ClusterSnapshot> {
    prop::collection::vec((500..8_000_i64, 512..16_384_i64, 1..12_i64, 0..4_u8, 0..4_u8), 1..24).prop_map(|parts| {
        let mut snapshot = ClusterSnapshot::default();
        parts.into_iter().enumerate().for_each(|(at, parts)| snapshot.put_node(node(at, parts)));
        snapshot
    })
}

fn queues() -> impl Strategy<Value = Vec<PodInfo>> {
    let parts = (0..3_000_i64, 0..6_000_i64, 0..4_u8, any::<bool>(), 0..4_u8, 0..4_u8, 0..3_i32);
    prop::collection::vec(parts, 1..60).prop_map(|parts| parts.into_iter().enumerate().map(|(at, parts)| pod(at, parts)).collect())
}

fn within_allocatable(node: &NodeInfo) -> bool {
    let fits = |name: &ResourceName| node.requested.get(name) <= node.allocatable.get(name);
    fits(&ResourceName::Cpu) && fits(&ResourceName::Memory) && node.pods.len() as i64 <= node.allocatable.pods
}

fn tolerated(pod: &PodInfo, node: &NodeInfo) -> bool {
    let hard = node.node.spec.taints.iter().filter(|taint| taint.effect != TaintEffect::PreferNoSchedule);
    hard.into_iter().all(|taint| pod.spec.tolerations.iter().any(|toleration| toleration.tolerates(taint, false)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_policy_puts_a_pod_where_it_does_not_fit_or_is_not_tolerated(mut snapshot in clusters(), queue in queues(), which in 0..names().len()) {
        let mut policy = policy(names()[which]).expect("a known policy");
        for pod in queue {
            let decision = policy.schedule(&pod, &snapshot, Detail::Outcome);
            if let Outcome::Scheduled { node } = decision.outcome {
                prop_assert!(policy.fits(&pod, &snapshot, node));
                prop_assert!(tolerated(&pod, snapshot.node(node)));
                snapshot.node_mut(node).add_pod(pod);
                prop_assert!(within_allocatable(snapshot.node(node)));
            } else {
                let nowhere = snapshot.list_order().iter().all(|node| !policy.fits(&pod, &snapshot, *node));
                prop_assert!(nowhere, "a node would have done: {:?}", decision.outcome);
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
