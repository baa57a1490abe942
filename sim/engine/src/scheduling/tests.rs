//! A small world around the scheduling room: writes land at once, events come back at their time.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Node, NodeStatus, ObjectKey, ObjectMeta, Pod, PodPhase, PodSpec, ResourceName, SimTime, Str, Uid};
use port::{ClusterEvent, ClusterSnapshot, Decision, Detail, NodeIndex, Outcome, PodInfo, Preemption, QueueingHint, Scheduler};
use trace::Record;

use crate::controllers::View;
use crate::effects::{Effects, Write};
use crate::event::Event;
use crate::random::Streams;
use crate::spec::ControlPlane;
use crate::store::Store;

use super::Scheduling;

/// Fills nodes up to their number of pods; pushes out pods of lower priority; counts what it is asked.
#[derive(Default)]
struct CountingScheduler {
    errors_to_come: u32,
}

impl Scheduler for CountingScheduler {
    fn name(&self) -> &str {
        "counting"
    }
    fn is_responsible_for(&self, scheduler_name: &str) -> bool {
        scheduler_name == "default-scheduler"
    }
    fn gate(&self, pod: &PodInfo) -> Option<Str> {
        pod.spec.scheduling_gates.first().map(|_| "SchedulingGates".into())
    }
    fn schedule(&mut self, pod: &PodInfo, snapshot: &ClusterSnapshot, _: Detail) -> Decision {
        if self.errors_to_come > 0 {
            self.errors_to_come -= 1;
            return Decision::new(Outcome::Error { message: "the policy failed".to_owned() });
        }
        let all = || snapshot.nodes().iter().enumerate();
        let rivals = |node: &str| {
            snapshot.nominated(node).iter().filter(|other| other.uid != pod.uid && other.spec.priority >= pod.spec.priority).count()
        };
        if let Some((place, _)) = all().find(|(_, node)| ((node.pods.len() + rivals(node.name())) as i64) < node.allocatable.pods) {
            return Decision::new(Outcome::Scheduled { node: NodeIndex(place as u32) });
        }
        let victim = |node: &port::NodeInfo| {
            node.pods.iter().find(|other| other.spec.priority < pod.spec.priority && !other.deleting).map(|other| other.uid)
        };
        let preemption = if pod.nominated_node.is_some() { None } else { all().find_map(|(_, node)| Some((node, victim(node)?))) }
            .map(|(node, victim)| Preemption { node: node.name().clone(), victims: vec![victim], cleared_nominations: Vec::new() });
        let message = format!("0/{} nodes are available.", snapshot.nodes().len());
        Decision::new(Outcome::Unschedulable { message, rejected_by: vec!["NodeResourcesFit".into()], preemption })
    }
    fn fits(&self, _: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> bool {
        let node = snapshot.node(node);
        (node.pods.len() as i64) < node.allocatable.pods
    }
    fn hint(&self, _: &PodInfo, _: &[Str], event: &ClusterEvent<'_>, _: &ClusterSnapshot) -> QueueingHint {
        match event {
            ClusterEvent::PodDeleted(_) | ClusterEvent::NodeAdded(_) => QueueingHint::Queue,
            ClusterEvent::PodAdded(_) | ClusterEvent::NodeUpdated(_) => QueueingHint::Skip,
        }
    }
}

#[derive(Default)]
struct Bench {
    store: Store,
    settings: ControlPlane,
    scheduling: Scheduling,
    scheduler: CountingScheduler,
    calendar: BTreeMap<(SimTime, u32), Event>,
    events: u32,
    now: SimTime,
    refuse_binds: bool,
    log: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        Self::default()
    }
    fn node(&mut self, name: &str, pods: i64) {
        let allocatable = Arc::new([(ResourceName::Pods, pods)].into());
        let meta = ObjectMeta { name: name.into(), ..ObjectMeta::default() };
        let node = Node { meta, status: NodeStatus { allocatable, ..NodeStatus::default() }, ..Node::default() };
        assert!(self.store.create_node(node, self.now, &Streams::new(1)).is_some());
        self.settle();
    }
    fn pod_of(&mut self, name: &str, spec: PodSpec) {
        let meta = ObjectMeta { namespace: "ns".into(), name: name.into(), ..ObjectMeta::default() };
        assert!(self.store.create_pod(Pod { meta, spec: Arc::new(spec), ..Pod::default() }, self.now, &Streams::new(1)).is_some());
        self.settle();
    }
    fn pod(&mut self, name: &str, priority: i32) {
        self.pod_of(name, PodSpec { priority, ..PodSpec::default() });
    }
    fn remove(&mut self, name: &str) {
        let id = self.store.pods.find(&ObjectKey::new("ns", name)).expect("the pod is there");
        self.store.remove_pod(id);
        self.settle();
    }
    fn with(&mut self, run: impl FnOnce(&mut Scheduling, &mut CountingScheduler, View<'_>, &mut Effects)) {
        let mut out = Effects::default();
        let streams = Streams::new(1);
        let view = View { store: &self.store, settings: &self.settings, streams: &streams, now: self.now };
        run(&mut self.scheduling, &mut self.scheduler, view, &mut out);
        for (at, event) in out.timers {
            self.events += 1;
            self.calendar.insert((at, self.events), event);
        }
        for record in out.records {
            self.note(&record);
        }
        for (_, write) in out.writes {
            self.land(write);
        }
    }
    fn settle(&mut self) {
        loop {
            let changes = self.store.take_changes();
            if changes.is_empty() {
                return;
            }
            for change in &changes {
                self.with(|room, scheduler, view, out| room.changed(change, scheduler, view, out));
            }
        }
    }
    fn until(&mut self, millis: u64) -> &mut Self {
        let end = SimTime::from_millis(millis);
        while let Some(entry) = self.calendar.first_entry().filter(|entry| entry.key().0 <= end) {
            self.now = entry.key().0;
            let event = entry.remove();
            self.with(|room, scheduler, view, out| match event {
                Event::SchedulingCycle => room.cycle(scheduler, view, out),
                Event::BackoffFlush => room.backoff_flush(view, out),
                Event::UnschedulableFlush => room.unschedulable_flush(scheduler, view, out),
                other => unreachable!("{other:?} is none of scheduling's"),
            });
            self.settle();
        }
        self.now = end;
        self
    }
    fn land(&mut self, write: Write) {
        match write {
            Write::BindPod { pod, node, attempts, .. } => {
                if self.refuse_binds {
                    self.log.push(format!("{} bind refused", self.now));
                    self.with(|room, scheduler, view, out| room.bind_failed(pod, scheduler, view, out));
                    return;
                }
                let node = self.store.nodes.get(node).expect("the node is there").meta.name.clone();
                self.store.update_pod(pod, |pod| {
                    pod.node_name = Some(node.clone());
                    true
                });
                let name = self.name(pod);
                self.log.push(format!("{} {name} -> {node} (attempt {attempts})", self.now));
            }
            Write::PodUnschedulable { pod, attempt, message, .. } => {
                let name = self.name(pod);
                self.log.push(format!("{} {name} unschedulable (attempt {attempt}): {message}", self.now));
            }
            Write::NominateNode(pod, node) => {
                self.store.update_pod(pod, |pod| {
                    pod.status.nominated_node_name.clone_from(&node);
                    true
                });
                let name = self.name(pod);
                self.log.push(format!("{} {name} nominated to {}", self.now, node.as_deref().unwrap_or("nothing")));
            }
            Write::PodDisruptionTarget(pod, reason) => {
                self.store.update_pod(pod, |pod| {
                    pod.status.conditions.disruption_target = reason;
                    true
                });
            }
            Write::DeletePod { pod, .. } => {
                let now = self.now;
                self.store.update_pod(pod, |pod| {
                    pod.meta.deletion = Some(now);
                    true
                });
                let name = self.name(pod);
                self.log.push(format!("{now} {name} asked to go"));
            }
            Write::Announced(write, announcement) => {
                self.land(*write);
                self.note(&announcement.landed);
            }
            other => unreachable!("scheduling does not ask for {other:?}"),
        }
        self.settle();
    }
    fn name(&self, pod: crate::store::PodId) -> Str {
        self.store.pods.get(pod).map_or_else(|| "?".into(), |pod| pod.meta.name.clone())
    }
    fn note(&mut self, record: &Record) {
        match record {
            Record::SchedulingQueue { active, backoff, unschedulable, gated } => {
                self.log.push(format!("{} queue {active}/{backoff}/{unschedulable}/{gated}", self.now));
            }
            Record::PodUnschedulable { pod, attempt, .. } => {
                self.log.push(format!("{} {pod} still unschedulable (attempt {attempt})", self.now))
            }
            Record::Event { reason, object, message, .. } if !matches!(&**reason, "FailedScheduling" | "Scheduled") => {
                self.log.push(format!("{} {reason} {object}: {message}", self.now));
            }
            _ => {}
        }
    }
    fn log(&mut self) -> String {
        std::mem::take(&mut self.log).join("\n")
    }
}

fn check(log: &str, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(log.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn higher_priority_goes_first_and_equals_go_in_order_of_arrival() {
    let mut bench = Bench::new();
    bench.node("n", 10);
    for (name, priority) in [("a", 0), ("b", 5), ("c", 0), ("d", 5)] {
        bench.pod(name, priority);
    }
    check(
        &bench.until(900).log(),
        "1ms b -> n (attempt 1)
         2ms d -> n (attempt 1)
         3ms a -> n (attempt 1)
         4ms c -> n (attempt 1)",
    );
    assert!(bench.until(100_000).log().is_empty());
    assert!(bench.calendar.is_empty(), "nothing waits, so there is no timer");
}

#[test]
fn an_idle_scheduler_takes_a_woken_pod_out_of_backoff_at_once() {
    let mut bench = Bench::new();
    bench.node("n", 1);
    bench.pod("a", 0);
    bench.until(100);
    bench.pod("b", 0);
    bench.until(200).log();
    bench.remove("a");
    check(&bench.until(300).log(), "201ms b -> n (attempt 2)");
}

#[test]
fn a_pod_that_failed_by_error_waits_for_a_later_whole_second() {
    // floor(t + d) + 1, with d = 1, 2, 4, 8, 10 s: 501 ms -> 1 -> 2; 2.001 -> 4 -> 5; 5.001 -> 9 -> 10; ...
    let mut bench = Bench::new();
    bench.scheduler.errors_to_come = 5;
    bench.node("n", 1);
    bench.until(500);
    bench.pod("a", 0);
    bench.until(60_000);
    let log = bench.log();
    let attempts: Vec<&str> = log.lines().filter(|line| line.contains("attempt")).collect();
    check(
        &attempts.join("\n"),
        "501ms a unschedulable (attempt 1): the policy failed
         2.001s ns/a still unschedulable (attempt 2)
         5.001s ns/a still unschedulable (attempt 3)
         10.001s ns/a still unschedulable (attempt 4)
         19.001s ns/a still unschedulable (attempt 5)
         30.001s a -> n (attempt 6)",
    );
}

#[test]
fn a_pod_put_aside_is_tried_again_after_five_minutes_at_a_thirty_second_check() {
    let mut bench = Bench::new();
    bench.node("n", 0);
    bench.until(10_000);
    bench.pod("a", 0);
    check(
        &bench.until(400_000).log(),
        "10.001s a unschedulable (attempt 1): 0/1 nodes are available.
         11s queue 0/0/1/0
         5m30s ns/a still unschedulable (attempt 2)",
    );
    bench.node("m", 1);
    check(
        &bench.until(401_000).log(),
        "6m40s a -> m (attempt 3)
         6m41s queue 0/0/0/0",
    );
}

#[test]
fn a_gated_pod_waits_without_a_timer_until_its_gate_is_taken_away() {
    let mut bench = Bench::new();
    bench.node("n", 1);
    bench.pod_of("a", PodSpec { scheduling_gates: vec!["example.com/quota".into()], ..PodSpec::default() });
    check(&bench.until(5_000).log(), "1s queue 0/0/0/1");
    assert!(bench.calendar.is_empty());
    bench.node("m", 1);
    let id = bench.store.pods.find(&ObjectKey::new("ns", "a")).expect("the pod is there");
    bench.store.update_pod(id, |pod| {
        pod.spec = Arc::new(PodSpec::default());
        true
    });
    bench.settle();
    check(
        &bench.until(7_000).log(),
        "5.001s a -> n (attempt 1)
         6s queue 0/0/0/0",
    );
}

#[test]
fn a_refused_binding_gives_the_room_back() {
    let mut bench = Bench::new();
    bench.node("n", 1);
    bench.refuse_binds = true;
    bench.pod("a", 0);
    bench.until(10);
    let on_node = |bench: &Bench| bench.scheduling.snapshot().nodes()[0].pods.len();
    assert_eq!(on_node(&bench), 0);
    bench.refuse_binds = false;
    bench.until(1_500).log();
    check(
        &bench.until(3_000).log(),
        "2s queue 1/0/0/0
         2.001s a -> n (attempt 2)
         3s queue 0/0/0/0",
    );
    assert_eq!(on_node(&bench), 1);
}

#[test]
fn a_deleted_pod_takes_its_assumption_along_and_wakes_the_others() {
    let mut bench = Bench::new();
    bench.node("n", 1);
    let info = |bench: &Bench| bench.scheduling.snapshot().nodes()[0].pods.len();
    bench.pod("a", 0);
    bench.until(10);
    bench.pod("b", 0);
    bench.until(20).log();
    assert_eq!(info(&bench), 1);
    bench.remove("a");
    check(&bench.until(900).log(), "21ms b -> n (attempt 2)");
}

#[test]
fn a_terminal_pod_is_gone_for_the_scheduler() {
    let mut bench = Bench::new();
    bench.node("n", 1);
    bench.pod("a", 0);
    bench.until(10);
    bench.pod("b", 0);
    bench.until(20).log();
    let id = bench.store.pods.find(&ObjectKey::new("ns", "a")).expect("the pod is there");
    bench.store.update_pod(id, |pod| {
        pod.status.phase = PodPhase::Succeeded;
        true
    });
    bench.settle();
    check(&bench.until(900).log(), "21ms b -> n (attempt 2)");
}

#[test]
fn a_preemptor_is_nominated_and_placed_once_its_victim_is_gone() {
    let mut bench = Bench::new();
    bench.node("n", 1);
    bench.pod("low", 0);
    bench.until(100).log();
    bench.pod("high", 10);
    bench.until(150);
    bench.pod("other", 0);
    let uid = bench.store.pods.get(bench.store.pods.find(&ObjectKey::new("ns", "high")).expect("there")).map(|pod| pod.meta.uid);
    let log = bench.until(900).log().replace(&format!("{:016x}", uid.map_or(0, |Uid(bits)| bits)), "<high>");
    check(
        &log,
        "101ms high unschedulable (attempt 1): 0/1 nodes are available.
         101ms high nominated to n
         101ms low asked to go
         101ms Preempted Pod/ns/low: Preempted by pod <high> on node n
         151ms other unschedulable (attempt 1): 0/1 nodes are available.",
    );
    bench.remove("low");
    let log = bench.until(1_000).log();
    assert!(log.starts_with("901ms high -> n (attempt 2)\n"), "{log}");
    assert!(bench.scheduling.snapshot().nominated("n").is_empty());
    assert!(log.contains("902ms ns/other still unschedulable (attempt 2)"), "{log}");
}

#[test]
fn a_pod_of_another_scheduler_is_left_alone_and_said_so_once() {
    let mut bench = Bench::new();
    bench.node("n", 1);
    bench.pod_of("a", PodSpec { scheduler_name: "volcano".into(), ..PodSpec::default() });
    check(
        &bench.until(5_000).log(),
        "0s NotSimulated Pod/ns/a: no scheduler of this run answers to schedulerName \"volcano\"; the pod stays Pending",
    );
}

#[test]
fn a_pod_chosen_for_a_node_that_has_just_gone_is_tried_again() {
    let mut bench = Bench::new();
    bench.node("n", 1);
    bench.pod("a", 0);
    let (node, _) = bench.store.node_by_name(&"n".into()).expect("the node is there");
    bench.store.remove_node(node); // The news are not out yet.
    bench.with(|room, scheduler, view, out| {
        let view = View { now: SimTime::from_millis(1), ..view };
        room.cycle(scheduler, view, out);
    });
    bench.settle();
    bench.until(1_500);
    bench.node("m", 1);
    let log = bench.until(3_000).log();
    assert!(log.contains("2.001s a -> m (attempt 2)"), "{log}");
}
