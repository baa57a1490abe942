//! The controller on the bench: what it does, second by second.

use super::super::bench::{Bench, bench, pod};
use super::*;

/// The controller with its cluster, run in the order of the calendar.
struct Rig {
    bench: Bench,
    controller: NodeLifecycle,
}

/// Zones of so many nodes; monitor ticks at 0, 5, 10 s …, leases renewed at 1, 11, 21 s ….
fn rig(zones: &[(&str, u32)]) -> Rig {
    let mut bench = bench();
    for (zone, count) in zones {
        for number in 1..=*count {
            bench = bench.node(&format!("{zone}{number}"), zone, 4000);
        }
    }
    let mut controller = NodeLifecycle::new(&bench.settings.node_lifecycle, &bench.streams);
    controller.ticks = Ticks::new(SimTime::ZERO, bench.settings.node_lifecycle.node_monitor_period);
    controller.tainting_phase = SimTime::from_millis(50);
    let ids: Vec<NodeId> = bench.store.nodes.iter().map(|(id, _)| id).collect();
    for id in ids {
        bench.run(|view, out| controller.node_registered(id, SimDuration::from_secs(1), view, out));
    }
    bench.store.take_changes();
    Rig { bench, controller }
}

impl Rig {
    fn stop(&mut self, at: u64, names: &[&str]) {
        self.bench.now = SimTime::from_secs(at);
        for name in names {
            let (id, now) = (self.bench.node_id(name), self.bench.now);
            self.bench.run(|view, out| self.controller.heartbeat_stopped(id, now, view, out));
        }
    }
    fn resume(&mut self, at: u64, names: &[&str]) -> Vec<String> {
        let mut lines = Vec::new();
        self.bench.now = SimTime::from_secs(at);
        for name in names {
            let (id, now) = (self.bench.node_id(name), self.bench.now);
            lines.extend(self.bench.run(|view, out| self.controller.heartbeat_resumed(id, now, view, out)));
        }
        lines
    }
    /// Everything that happens until `end`, as `<seconds> <what>`; timers set on the way are left out.
    fn until(&mut self, end: u64) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            for change in self.bench.store.take_changes() {
                self.bench.run(|view, out| self.controller.changed(&change, view, out));
                if let Change::NodeModified(id) = change {
                    let now = self.bench.now;
                    let told = self.bench.run(|view, out| sync(id, view, out));
                    lines.extend(told.into_iter().map(|line| format!("{} {line}", now.as_secs())));
                }
            }
            let Some(first) = (0..self.bench.timers.len()).min_by_key(|place| (self.bench.timers[*place].0, *place)) else { break };
            if self.bench.timers[first].0 > SimTime::from_secs(end) {
                break;
            }
            let (time, event) = self.bench.timers.remove(first);
            self.bench.now = time;
            let mut told = self.bench.run(|view, out| match event {
                Event::NodeMonitor => self.controller.monitor(view, out),
                Event::NodeEviction => self.controller.eviction(view, out),
                other => panic!("{other:?} is not this controller's"),
            });
            while !self.bench.calls.is_empty() {
                let (call, write) = self.bench.calls.remove(0);
                let is_read = write == Write::Read;
                let line = self.bench.land(write).replace("Read; ", "");
                told.extend((!is_read).then(|| format!("node-controller {line}")));
                told.extend(self.bench.run(|view, out| self.controller.answered(call, true, view, out)));
            }
            lines.extend(told.into_iter().filter(|line| !line.starts_with("at ")).map(|line| format!("{} {line}", time.as_secs())));
        }
        lines
    }
    fn taints(&mut self, end: u64) -> Vec<String> {
        self.until(end)
            .into_iter()
            .filter(|line| line.contains("unreachable:NoExecute"))
            .map(|line| line.replace("node-controller ", ""))
            .collect()
    }
}

#[test]
fn a_silent_node_is_unknown_one_grace_after_the_tick_that_saw_its_last_lease() {
    let mut rig = rig(&[("a", 3)]);
    rig.bench.add_pod(pod("web").on("a1").ready_since(0));
    rig.bench.add_pod(pod("starting").on("a1"));
    rig.bench.store.take_changes();
    rig.stop(20, &["a1"]);
    assert_eq!(
        rig.until(1000),
        [
            "65 node-controller node a1 Ready=Unknown NodeStatusUnknown",
            "65 node-controller NodeNotReady Node/a1: Node a1 status is now: NodeNotReady",
            "65 node-controller pod not ready web NodeNotReady",
            "65 node-controller Warning NodeNotReady Pod/default/web: Node is not ready",
            "65 node-controller node a1 +node.kubernetes.io/unreachable:NoSchedule",
            "65 node-controller node a1 +node.kubernetes.io/unreachable:NoExecute",
        ],
        "last renewal 11 s, seen at 15 s, 50 s of grace"
    );
}

#[test]
fn a_node_that_comes_back_loses_noschedule_at_once_and_noexecute_at_the_next_tick() {
    let mut rig = rig(&[("a", 3)]);
    rig.stop(20, &["a1"]);
    rig.until(80);
    assert_eq!(rig.resume(82, &["a1"]), ["kubelet node a1 Ready=True KubeletReady"]);
    assert_eq!(
        rig.until(1000),
        [
            "82 node-controller node a1 -node.kubernetes.io/unreachable:NoSchedule",
            "85 node-controller node a1 -node.kubernetes.io/unreachable:NoExecute",
        ]
    );
}

#[test]
fn a_pass_ends_with_its_last_answer_and_the_next_tick_is_a_period_later() {
    let mut rig = rig(&[("a", 20)]);
    let names: Vec<String> = (1..=12).map(|number| format!("a{number}")).collect();
    rig.stop(20, &names.iter().map(String::as_str).collect::<Vec<_>>());
    rig.bench.now = SimTime::from_secs(65);
    rig.bench.run(|view, out| rig.controller.monitor(view, out));
    assert_eq!(rig.bench.calls.len(), WORKERS, "each worker has taken a node");
    let (mut answers, mut last) = (0, 65);
    while let Some(place) = rig.bench.calls.iter().position(|(call, _)| call.0 < CLEARING) {
        last = 65 + answers / 8;
        rig.bench.now = SimTime::from_secs(last);
        let (call, write) = rig.bench.calls.remove(place);
        rig.bench.land(write);
        rig.bench.run(|view, out| rig.controller.answered(call, true, view, out));
        answers += 1;
    }
    assert_eq!((answers, last), (12, 66));
    rig.stop(67, &["a20"]);
    // Its last renewal, at 61 s, was seen by the pass that began at 65 s; ticks are at 71, 76 ... now.
    assert_eq!(
        rig.until(200).iter().find(|line| line.contains("node a20 Ready")).map(String::as_str),
        Some("116 node-controller node a20 Ready=Unknown NodeStatusUnknown")
    );
}

#[test]
fn a_short_silence_is_never_noticed() {
    let mut rig = rig(&[("a", 3)]);
    rig.stop(20, &["a1"]);
    rig.resume(64, &["a1"]);
    assert_eq!(rig.until(1000), Vec::<String>::new());
}

#[test]
fn the_trap_of_dead_zones_their_nodes_are_tainted_one_per_ten_seconds() {
    let mut rig = rig(&[("a", 4), ("b", 4)]);
    rig.stop(20, &["b1", "b2", "b3", "b4"]);
    let taints = rig.taints(1000);
    let (times, mut names): (Vec<&str>, Vec<&str>) =
        taints.iter().filter_map(|line| line.strip_suffix(" +node.kubernetes.io/unreachable:NoExecute")?.split_once(" node ")).unzip();
    names.sort_unstable();
    assert_eq!((times, names), (vec!["65", "75", "85", "95"], vec!["b1", "b2", "b3", "b4"]));
}

#[test]
fn a_small_zone_with_most_nodes_down_is_not_evicted() {
    let mut rig = rig(&[("a", 4), ("b", 4)]);
    rig.stop(20, &["b1", "b2", "b3"]);
    assert_eq!(rig.taints(1000), Vec::<String>::new(), "3 of 4 are more than 55 %");
}

#[test]
fn the_trap_of_dead_zones_a_large_one_with_most_nodes_down_is_evicted_slowly() {
    let mut rig = rig(&[("a", 60), ("b", 60)]);
    let names: Vec<String> = (1..=40).map(|number| format!("a{number}")).chain((1..=20).map(|number| format!("b{number}"))).collect();
    rig.stop(20, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let taints = rig.taints(300);
    let count = |zone: &str| taints.iter().filter(|line| line.contains(&format!("node {zone}"))).count();
    // 67 %: the first at once, then one per 100 s; 33 %: one per 10 s.
    assert_eq!((count("a"), count("b")), (3, 20), "{taints:?}");
}

#[test]
fn the_trap_of_dead_zones_when_all_are_down_evictions_stop_and_taints_go() {
    let mut rig = rig(&[("a", 2), ("b", 2)]);
    rig.stop(20, &["a1"]);
    rig.stop(30, &["a2", "b1", "b2"]);
    assert_eq!(
        rig.taints(1000),
        ["65 node a1 +node.kubernetes.io/unreachable:NoExecute", "75 node a1 -node.kubernetes.io/unreachable:NoExecute"]
    );
    rig.resume(1001, &["b1"]);
    let zones: Vec<String> = rig.taints(2000).iter().map(|line| line.replace("a1", "a").replace("a2", "a")).collect();
    assert_eq!(
        zones,
        [
            "1015 node a +node.kubernetes.io/unreachable:NoExecute",
            "1015 node b2 +node.kubernetes.io/unreachable:NoExecute",
            "1025 node a +node.kubernetes.io/unreachable:NoExecute",
        ],
        "those still silent, one per 10 s and zone"
    );
}

#[test]
fn a_cordon_becomes_a_taint() {
    let mut bench = bench().node("a", "z", 1000);
    let id = bench.node_id("a");
    bench.store.update_node(id, |node| {
        node.spec.unschedulable = true;
        true
    });
    assert_eq!(bench.run(|view, out| sync(id, view, out)), ["node-controller node a +node.kubernetes.io/unschedulable:NoSchedule"]);
    assert_eq!(bench.run(|view, out| sync(id, view, out)), Vec::<String>::new());
}
