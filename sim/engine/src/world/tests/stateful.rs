//! StatefulSets in whole clusters, beside recordings of the real control plane (1.36.2).

use super::*;
use crate::spec::{Behavior, Fault, FaultAction, FaultMode, FaultTarget, Step, StepAction};
use api::{Kind, PodManagementPolicy, Probe, ProbeHandler, StatefulSet};

/// Ready 4 s after its start, gone 2 s after SIGTERM, as in the recordings s07-sts-*.
fn database(management: PodManagementPolicy) -> WorldSpec {
    let probe = Probe {
        handler: ProbeHandler::Exec(vec!["ready".into()]),
        initial_delay: SimDuration::ZERO,
        timeout: SimDuration::from_secs(1),
        period: SimDuration::from_secs(1),
        success_threshold: 1,
        failure_threshold: 3,
        termination_grace_period: None,
    };
    let mut template = template("db", "db:v1", 100);
    let pod = Arc::make_mut(&mut Arc::make_mut(&mut template).spec);
    pod.containers[0].readiness_probe = Some(probe);
    pod.termination_grace_period = SimDuration::from_secs(5);
    let set = StatefulSet {
        meta: ObjectMeta { namespace: "default".into(), name: "db".into(), ..ObjectMeta::default() },
        replicas: 3,
        selector: Arc::new(LabelSelector { match_labels: (*labels("db")).clone(), ..LabelSelector::default() }),
        template,
        revision_history_limit: 10,
        pod_management: management,
        ..StatefulSet::default()
    };
    let constant = |seconds: u64| Some(Distribution::Constant(SimDuration::from_secs(seconds)));
    let behavior = Behavior {
        image_pull: Some(Distribution::Constant(SimDuration::ZERO)),
        ready_after: constant(4),
        stop: constant(2),
        ..Behavior::default()
    };
    let mut spec = WorldSpec {
        duration: SimDuration::from_secs(60),
        node_pools: vec![pool("node", 2, 4000)],
        behaviors: vec![behavior],
        ..WorldSpec::default()
    };
    spec.control_plane.kubelet.container_start = Distribution::Constant(SimDuration::ZERO);
    spec.objects.stateful_sets.push(set);
    spec
}

fn scale(at_s: u64, replicas: i32) -> Step {
    Step { name: "scale".into(), at: SimTime::from_secs(at_s), action: StepAction::Scale(Kind::StatefulSet, key("db"), replicas) }
}

impl Run {
    /// Desired, current, updated, ready and available pods of the StatefulSet, as they were written.
    fn counts(&self) -> Vec<[i32; 5]> {
        let counts = self.all(|record| match record {
            Record::Workload { kind, desired, current, updated, ready, available, .. } if &**kind == "StatefulSet" => {
                Some([*desired, *current, *updated, *ready, *available])
            }
            _ => None,
        });
        counts.into_iter().map(|(_, counts)| counts).collect()
    }
    fn said(&self, source: &str) -> Vec<String> {
        let said = self.all(|record| match record {
            Record::Event { source: by, message, .. } if &**by == source => Some(message.to_string()),
            _ => None,
        });
        said.into_iter().map(|(_, message)| message).collect()
    }
    /// When a pod was made, and when it was gone.
    fn life(&self, name: &str) -> Vec<(SimTime, &'static str)> {
        self.all(|record| match record {
            Record::PodCreated { pod, .. } if **pod == *name => Some("made"),
            Record::PodRemoved { pod } if **pod == *name => Some("gone"),
            _ => None,
        })
    }
}

#[test]
fn ordered_scaling_writes_the_counts_of_the_recording() {
    let mut spec = database(PodManagementPolicy::OrderedReady);
    spec.steps = vec![scale(16, 5), scale(29, 2)];
    let run = run(spec);
    // s07-sts-orderedready-r4.
    #[rustfmt::skip]
    let expected = [
        [3, 0, 0, 0, 0], [3, 1, 1, 0, 0], [3, 1, 1, 1, 1], [3, 2, 2, 1, 1], [3, 2, 2, 2, 2], [3, 3, 3, 2, 2], [3, 3, 3, 3, 3],
        [5, 3, 3, 3, 3], [5, 4, 4, 3, 3], [5, 4, 4, 4, 4], [5, 5, 5, 4, 4], [5, 5, 5, 5, 5],
        [2, 5, 5, 5, 5], [2, 5, 4, 5, 5], [2, 5, 4, 4, 4], [2, 4, 4, 4, 4], [2, 4, 3, 4, 4], [2, 4, 3, 3, 3],
        [2, 3, 3, 3, 3], [2, 3, 2, 3, 3], [2, 3, 2, 2, 2], [2, 2, 2, 2, 2],
    ];
    assert_eq!(run.counts(), expected);
    let said: Vec<String> = [0, 1, 2, 3, 4].map(|pod| format!("Create Pod db-{pod} in StatefulSet db successful")).into();
    let gone = [4, 3, 2].map(|pod| format!("Delete Pod db-{pod} in StatefulSet db successful"));
    assert_eq!(run.said("statefulset-controller"), [said, gone.into()].concat());
}

#[test]
fn parallel_scaling_writes_the_counts_of_the_recording() {
    let mut spec = database(PodManagementPolicy::Parallel);
    spec.steps = vec![scale(8, 5), scale(16, 2)];
    let run = run(spec);
    let counts = run.counts();
    // s07-sts-parallel-r4: the first counts, all three made in one sync; then what each scale begins and ends with.
    assert_eq!(counts[..2], [[3, 0, 0, 0, 0], [3, 3, 3, 0, 0]]);
    for expected in [[3, 3, 3, 3, 3], [5, 5, 5, 3, 3], [5, 5, 5, 5, 5], [2, 5, 2, 5, 5]] {
        assert!(counts.contains(&expected), "{expected:?} in {counts:?}");
    }
    assert_eq!(counts.last(), Some(&[2, 2, 2, 2, 2]));
}

#[test]
fn a_deleted_pod_comes_back_when_the_old_one_is_gone() {
    let mut spec = database(PodManagementPolicy::OrderedReady);
    let delete = StepAction::Delete(Kind::Pod, key("db-1"), api::Propagation::Background);
    spec.steps = vec![Step { name: "delete".into(), at: SimTime::from_secs(20), action: delete }];
    let run = run(spec);
    let life = run.life("default/db-1");
    assert_eq!(life.iter().map(|(_, what)| *what).collect::<Vec<_>>(), ["made", "gone", "made"]);
    let wait = life[2].0.since(life[1].0);
    assert!(wait < SimDuration::from_millis(50), "{wait}");
    assert_eq!(run.counts().last(), Some(&[3, 3, 3, 3, 3]));
}

#[test]
fn pods_of_a_silent_node_are_not_replaced_until_it_comes_back() {
    let mut spec = database(PodManagementPolicy::OrderedReady);
    spec.duration = SimDuration::from_secs(900);
    spec.faults.push(Fault {
        name: "off".into(),
        at: SimTime::from_secs(60),
        duration: Some(SimDuration::from_secs(600)),
        schedule: None,
        action: FaultAction::NodePoweroff,
        mode: FaultMode::All,
        target: FaultTarget::Nodes { labels: None, names: vec!["node-0".into()] },
    });
    let run = run(spec);
    let deleting = run.all(|record| match record {
        Record::PodDeleting { pod, by, .. } if &**by == "taint-eviction-controller" => Some(pod.to_string()),
        _ => None,
    });
    assert!(!deleting.is_empty(), "its pods are evicted after their toleration");
    for (_, pod) in deleting {
        let life = run.life(&pod);
        assert_eq!(life.iter().map(|(_, what)| *what).collect::<Vec<_>>(), ["made", "gone", "made"], "{pod}");
        assert!(life[2].0 >= SimTime::from_secs(660), "{pod} was made again at {}", life[2].0);
    }
    assert_eq!(run.counts().last(), Some(&[3, 3, 3, 3, 3]));
}

#[test]
fn kubectl_rolls_a_stateful_set_and_takes_it_back() {
    let mut spec = database(PodManagementPolicy::OrderedReady);
    spec.duration = SimDuration::from_secs(200);
    let step = |at_s: u64, action: StepAction| Step { name: "step".into(), at: SimTime::from_secs(at_s), action };
    let images = |image: &str| vec![("main".into(), image.into())];
    spec.steps = vec![
        step(20, StepAction::SetImage(Kind::StatefulSet, key("db"), images("db:v2"))),
        step(80, StepAction::RolloutUndo(Kind::StatefulSet, key("db"), None)),
        step(140, StepAction::RolloutRestart(Kind::StatefulSet, key("db"))),
        step(141, StepAction::RolloutPause(Kind::StatefulSet, key("db"), true)),
    ];
    let run = run(spec);
    let outcomes = run.all(|record| if let Record::Step { outcome, .. } = record { Some(outcome.to_string()) } else { None });
    let outcomes: Vec<String> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(
        outcomes,
        [
            "statefulset.apps/db image updated",
            "statefulset.apps/db rolled back",
            "statefulset.apps/db restarted",
            "error: statefulsets.apps \"db\" pausing is not supported"
        ]
    );
    assert_eq!(run.life("default/db-0").len(), 7, "made, and made again after each of three rollouts");
    let images: Vec<String> = run.world.store.pods.iter().map(|(_, pod)| pod.spec.containers[0].image.to_string()).collect();
    assert_eq!(images, ["db:v1"; 3]);
    assert_eq!(run.world.store.controller_revisions.len(), 3);
}

#[test]
fn deleting_a_stateful_set_takes_its_pods_and_revisions_along() {
    let mut spec = database(PodManagementPolicy::OrderedReady);
    let delete = StepAction::Delete(Kind::StatefulSet, key("db"), api::Propagation::Background);
    spec.steps = vec![Step { name: "delete".into(), at: SimTime::from_secs(20), action: delete }];
    let run = run(spec);
    let store = &run.world.store;
    assert_eq!((store.stateful_sets.len(), store.pods.len(), store.controller_revisions.len()), (0, 0, 0));
}
