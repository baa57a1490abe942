//! DaemonSets in a small cluster: nodes that come, are tainted and cordoned; updates.

use api::{DaemonSet, DaemonSetUpdateStrategy, IntOrPercent, Kind};

use super::*;
use crate::spec::{Step, StepAction};

/// Takes the node that a pod asks for by name.
struct ByName;

impl Scheduler for ByName {
    fn name(&self) -> &str {
        "by-name"
    }
    fn is_responsible_for(&self, scheduler_name: &str) -> bool {
        scheduler_name == "default-scheduler"
    }
    fn gate(&self, _: &PodInfo) -> Option<Str> {
        None
    }
    fn schedule(&mut self, pod: &PodInfo, snapshot: &ClusterSnapshot, _: Detail) -> Decision {
        let order = snapshot.list_order();
        let found = order.iter().find(|node| self.fits(pod, snapshot, **node)).map(|node| Outcome::Scheduled { node: *node });
        let none = Outcome::Unschedulable { message: "no node".into(), rejected_by: vec!["NodeAffinity".into()], preemption: None };
        Decision::new(found.unwrap_or(none))
    }
    fn fits(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> bool {
        let node = &snapshot.node(node).node;
        let terms = pod.spec.affinity.node.as_ref().and_then(|affinity| affinity.required.as_ref());
        terms.is_some_and(|terms| terms.iter().any(|term| term.matches(&node.meta.name, &node.meta.labels)))
    }
    fn hint(&self, _: &PodInfo, _: &[Str], _: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        QueueingHint::Queue
    }
}

fn agent(change: impl FnOnce(&mut DaemonSet)) -> DaemonSet {
    let mut set = DaemonSet {
        meta: ObjectMeta { namespace: "default".into(), name: "agent".into(), ..ObjectMeta::default() },
        selector: Arc::new(LabelSelector { match_labels: (*labels("agent")).clone(), ..LabelSelector::default() }),
        template: template("agent", "agent:v1", 50),
        revision_history_limit: 10,
        ..DaemonSet::default()
    };
    change(&mut set);
    set
}

fn agents(duration_s: u64, nodes: u32, steps: Vec<Step>, change: impl FnOnce(&mut DaemonSet)) -> Run {
    let mut spec = WorldSpec {
        duration: SimDuration::from_secs(duration_s),
        node_pools: vec![pool("node", nodes, 4000)],
        steps,
        ..WorldSpec::default()
    };
    spec.objects.daemon_sets = vec![agent(change)];
    let mut world = World::new(Arc::new(spec), Box::new(ByName), 1);
    let mut sink = MemorySink::default();
    let summary = world.run(&mut sink, &Limits::default(), &mut |_| true);
    assert_eq!(world.check(), Ok(()));
    Run { records: sink.records, summary, world }
}

impl Run {
    /// Counts of the DaemonSet as they changed: desired, current, updated, ready, available.
    fn agent_counts(&self) -> Vec<[i32; 5]> {
        let counts = self.all(|record| match record {
            Record::Workload { kind, desired, current, updated, ready, available, .. } if &**kind == "DaemonSet" => {
                Some([*desired, *current, *updated, *ready, *available])
            }
            _ => None,
        });
        counts.into_iter().map(|(_, counts)| counts).collect()
    }
    /// Nodes of the pods that are there.
    fn places(&self) -> Vec<String> {
        let mut places: Vec<String> =
            self.world.store.pods.iter().filter_map(|(_, pod)| Some(pod.node_name.as_ref()?.to_string())).collect();
        places.sort();
        places
    }
    /// Most pods of the DaemonSet that were not ready at once, once all had been.
    fn fewest_ready(&self) -> i32 {
        let counts = self.agent_counts();
        let full = counts.iter().position(|counts| counts[3] == counts[0] && counts[0] > 0).expect("all ready once");
        counts[full..].iter().map(|counts| counts[3]).min().expect("some")
    }
}

fn tainted(node: &str, effect: TaintEffect, put_on: bool) -> StepAction {
    StepAction::Taint(node.into(), api::Taint::new("rig", effect), put_on)
}

fn step(at_s: u64, action: StepAction) -> Step {
    Step { name: "step".into(), at: SimTime::from_secs(at_s), action }
}

fn new_image() -> StepAction {
    StepAction::SetImage(Kind::DaemonSet, key("agent"), vec![("*".into(), "agent:v2".into())])
}

#[test]
fn every_node_gets_a_daemon_pod_and_a_new_node_as_well() {
    let mut node = pool("late", 1, 4000).template;
    node.meta.name = "late-0".into();
    let late = Arc::new(crate::spec::Objects { nodes: vec![node], ..Default::default() });
    let run = agents(60, 3, vec![step(30, StepAction::Apply(late))], |_| {});
    assert_eq!(run.places(), ["late-0", "node-0", "node-1", "node-2"]);
    assert_eq!(run.agent_counts().last(), Some(&[4; 5]));
    let revisions: Vec<u64> = run.world.store.controller_revisions.iter().map(|(_, revision)| revision.revision).collect();
    assert_eq!(revisions, [1]);
    let hashed = |pod: &api::Pod| pod.meta.labels.get("controller-revision-hash").is_some_and(|hash| !hash.contains("agent"));
    assert!(run.world.store.pods.iter().all(|(_, pod)| hashed(pod)));
}

#[test]
fn a_no_schedule_taint_leaves_daemon_pods_alone_and_no_execute_does_not() {
    let steps = vec![
        step(30, tainted("node-1", TaintEffect::NoSchedule, true)),
        step(60, tainted("node-1", TaintEffect::NoExecute, true)),
        step(90, tainted("node-1", TaintEffect::NoExecute, false)),
        step(91, tainted("node-1", TaintEffect::NoSchedule, false)),
    ];
    let run = agents(120, 3, steps, |_| {});
    let deleted: Vec<u64> = run
        .events_of("DaemonSet/default/agent")
        .into_iter()
        .filter(|(_, text)| text.starts_with("SuccessfulDelete"))
        .map(|(at, _)| at)
        .collect();
    assert_eq!(deleted, [60]);
    let made: Vec<u64> = run
        .events_of("DaemonSet/default/agent")
        .into_iter()
        .filter(|(_, text)| text.starts_with("SuccessfulCreate"))
        .map(|(at, _)| at)
        .collect();
    assert_eq!(made, [0, 0, 0, 91]);
    assert!(run.agent_counts().contains(&[2, 2, 2, 2, 2]));
    assert_eq!(run.places().len(), 3);
}

#[test]
fn a_cordoned_or_silent_node_keeps_its_daemon_pod() {
    let run = agents(60, 2, vec![step(20, StepAction::Drain("node-1".into()))], |_| {});
    assert_eq!((run.places().len(), run.agent_counts().last()), (2, Some(&[2; 5])), "a drain leaves daemon pods, which tolerate a cordon");
}

#[test]
fn a_rolling_update_takes_one_node_after_the_other() {
    let run = agents(120, 4, vec![step(30, new_image())], |_| {});
    assert_eq!((run.agent_counts().last(), run.fewest_ready()), (Some(&[4; 5]), 3));
    assert!(run.world.store.pods.iter().all(|(_, pod)| &*pod.spec.containers[0].image == "agent:v2"));
    assert_eq!(run.world.store.controller_revisions.len(), 2);
}

#[test]
fn the_trap_of_uniform_rounding_unavailable_daemon_pods_are_rounded_up() {
    let run = agents(120, 4, vec![step(30, new_image())], |set| {
        set.update_strategy =
            DaemonSetUpdateStrategy::RollingUpdate { max_surge: IntOrPercent::Count(0), max_unavailable: IntOrPercent::Percent(26) };
    });
    assert_eq!(run.fewest_ready(), 2);
}

#[test]
fn a_surge_keeps_every_node_served() {
    let run = agents(180, 4, vec![step(30, new_image())], |set| {
        set.min_ready = SimDuration::from_secs(5);
        set.update_strategy =
            DaemonSetUpdateStrategy::RollingUpdate { max_surge: IntOrPercent::Count(1), max_unavailable: IntOrPercent::Count(0) };
    });
    assert_eq!(run.agent_counts().last(), Some(&[4; 5]));
    let mut running = 0_i32;
    let mut fewest = i32::MAX;
    for (at, record) in &run.records {
        match record {
            Record::PodReady { ready: true, .. } => running += 1,
            Record::PodDeleting { .. } => running -= 1,
            _ => {}
        }
        if *at > SimTime::from_secs(29) {
            fewest = fewest.min(running);
        }
    }
    assert_eq!(fewest, 4);
}

#[test]
fn on_delete_waits_for_somebody_to_delete() {
    let run = agents(90, 2, vec![step(30, new_image())], |set| set.update_strategy = DaemonSetUpdateStrategy::OnDelete);
    assert_eq!(run.agent_counts().last(), Some(&[2, 2, 0, 2, 2]));
}

#[test]
fn an_update_is_undone_by_an_older_revision() {
    let undo = StepAction::RolloutUndo(Kind::DaemonSet, key("agent"), None);
    let run = agents(200, 2, vec![step(30, new_image()), step(100, undo)], |_| {});
    assert!(run.world.store.pods.iter().all(|(_, pod)| &*pod.spec.containers[0].image == "agent:v1"));
    let mut revisions: Vec<u64> = run.world.store.controller_revisions.iter().map(|(_, revision)| revision.revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, [2, 3], "the first template came back as the third revision");
}

#[test]
fn nodes_that_the_template_does_not_select_get_no_pod() {
    let run = agents(30, 3, Vec::new(), |set| {
        let spec = Arc::make_mut(&mut Arc::make_mut(&mut set.template).spec);
        spec.node_selector = [("kubernetes.io/hostname".into(), "node-2".into())].into();
    });
    assert_eq!((run.places(), run.agent_counts().last()), (vec!["node-2".to_owned()], Some(&[1; 5])));
}
