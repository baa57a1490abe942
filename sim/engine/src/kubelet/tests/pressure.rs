//! The eviction manager beyond memory, and image garbage collection.

use super::*;
use crate::spec::{EvictionSignal, EvictionValue};

const MIB: i64 = 1 << 20;

fn line(from: i64, to: i64, seconds: u64) -> Option<MemoryUse> {
    Some(MemoryUse { points: vec![(SimDuration::ZERO, from), (s(seconds), to)] })
}

fn of(name: &str) -> PodSelector {
    PodSelector { names: vec![name.into()], ..PodSelector::default() }
}

impl Bench {
    /// A node whose disk has 1000 MiB, and what pods do on it.
    fn with_disk(behaviors: &[Behavior]) -> Self {
        let mut bench = Self::new(Behavior::default());
        bench.kubelets.behaviors = crate::kubelet::behavior::Behaviors::new(behaviors);
        let node = bench.node;
        bench.store.update_node(node, |node| {
            node.status.capacity.insert(ResourceName::EphemeralStorage, 1000 * MIB);
            Arc::make_mut(&mut node.status.allocatable).insert(ResourceName::EphemeralStorage, 1000 * MIB);
            true
        });
        bench.settle();
        bench
    }
    fn writes(&mut self, name: &str, request: i64, limit: Option<i64>) -> PodId {
        let list = |amount: i64| [(ResourceName::EphemeralStorage, amount * MIB)].into();
        let limits = limit.map(list).unwrap_or_default();
        self.pod(name, spec(Container { requests: list(request), limits, ..app() }))
    }
    fn pressed(&mut self, until: u64) -> String {
        let log = self.until(until).log();
        let wanted =
            |line: &&str| ["Evict", "pressure", "Disk", "ImageGC", "node images", "Succeeded"].iter().any(|word| line.contains(word));
        log.lines().filter(wanted).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn a_node_short_of_disk_evicts_who_wrote_most_beyond_its_request() {
    // imagefs wants 15 % of 1000 MiB: less than 150 are left after 650 s of one MiB a second beside 200 that stay.
    let mut bench = Bench::with_disk(&[
        Behavior { selector: of("steady"), storage: line(200 * MIB, 200 * MIB, 1), ..Behavior::default() },
        Behavior { selector: of("log"), storage: line(0, 1000 * MIB, 1000), ..Behavior::default() },
    ])
    .loud();
    bench.writes("steady", 300, None);
    bench.writes("log", 100, None);
    check(
        &bench.pressed(700),
        "10m50s NodeHasDiskPressure: Node n status is now: NodeHasDiskPressure
         10m50s EvictionThresholdMet: Attempting to reclaim ephemeral-storage
         10m50s Evicted: The node was low on resource: ephemeral-storage. Threshold quantity: 157286406, available: 156552396. Container app was using 682308403, request is 100Mi, has larger consumption of ephemeral-storage.
         10m50s disk pressure: true
         10m51s Succeeded [Completed(0)]",
    );
    assert!(bench.pressed(2000).ends_with("disk pressure: false"));
    assert!(bench.calendar.is_empty());
}

#[test]
fn a_pod_that_writes_more_than_its_limit_goes_whatever_room_there_is() {
    let mut bench = Bench::with_disk(&[Behavior { storage: line(0, 1000 * MIB, 1000), ..Behavior::default() }]).loud();
    let id = bench.writes("log", 10, Some(100));
    let log = bench.pressed(200);
    let expected = "1m40s Evicted: Pod ephemeral local storage usage exceeds the total limit of containers 100Mi.";
    assert!(log.starts_with(expected), "{log}");
    assert!(bench.store.pods.get(id).expect("it stays").status.conditions.disruption_target.is_empty());
    bench.until(2000);
    assert!(bench.calendar.is_empty());
}

#[test]
fn unused_images_go_before_any_pod_does() {
    let mut bench = Bench::with_disk(&[Behavior { storage: line(0, 1000 * MIB, 1000), ..Behavior::default() }]).loud();
    bench.settings.kubelet.image_gc_high_threshold_percent = 100;
    bench.kubelets.catalog.sizes = vec![("old:*".into(), 300 * MIB)];
    bench.kubelets.nodes.get_mut(&bench.node).expect("it is there").bandwidth = 300 * MIB;
    let old = bench.pod("old", spec(Container { image: "old:1".into(), ..app() }));
    bench.until(10);
    bench.delete(old, 0);
    bench.until(400);
    bench.writes("log", 0, None);
    bench.log();
    // 300 of the image and 550 of 1000 MiB used up at 950 s; at 1250 s the writer has 850 of its own.
    let log = bench.pressed(1200);
    assert!(log.contains("15m50s EvictionThresholdMet: Attempting to reclaim ephemeral-storage"), "{log}");
    assert!(log.contains("node images: web:v1=1") && !log.contains("Evicted:"), "{log}");
    assert!(bench.pressed(1300).contains("20m50s Evicted:"));
}

#[test]
fn image_garbage_collection_makes_room_down_to_the_low_threshold_oldest_first() {
    let mut bench = Bench::with_disk(&[]).loud();
    bench.settings.kubelet.eviction_hard = Some(Vec::new());
    bench.kubelets.catalog.sizes = vec![("i:*".into(), 300 * MIB)];
    bench.kubelets.nodes.get_mut(&bench.node).expect("it is there").bandwidth = 300 * MIB;
    let ids: Vec<PodId> =
        (0..3).map(|number| bench.pod(&format!("p{number}"), spec(Container { image: format!("i:{number}").into(), ..app() }))).collect();
    // The first two are no longer used, the second longer than the first; all three fill 90 %.
    bench.until(100);
    bench.delete(ids[1], 0);
    bench.until(400);
    bench.delete(ids[0], 0);
    bench.log();
    check(&bench.pressed(1000), "6m41s Succeeded [Completed(0)]\n10m00s node images: i:0=314572800 i:2=314572800");
    assert!(bench.calendar.is_empty(), "60 % are used now");
}

#[test]
fn what_cannot_be_freed_is_told_and_from_the_second_time_on_twice() {
    let mut bench = Bench::with_disk(&[]).loud();
    bench.settings.kubelet.eviction_hard = Some(Vec::new());
    bench.kubelets.catalog.sizes = vec![("big:1".into(), 900 * MIB)];
    bench.kubelets.nodes.get_mut(&bench.node).expect("it is there").bandwidth = 900 * MIB;
    bench.pod("a", spec(Container { image: "big:1".into(), ..app() }));
    let log = bench.pressed(700);
    let message = "% of 1000.0 MiB used). Failed to free sufficient space by deleting unused images (freed";
    let told: Vec<&str> =
        log.lines().filter(|line| line.contains(message)).map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(told, ["5m00s FreeDiskSpaceFailed", "10m00s FreeDiskSpaceFailed", "10m00s ImageGCFailed"], "{log}");
}

#[test]
fn a_soft_threshold_waits_for_its_grace_and_says_so_in_the_condition_at_once() {
    let mut bench = Bench::new(Behavior { memory: line(3000 * MIB, 3000 * MIB, 1), stop: constant(3), ..Behavior::default() });
    let memory = EvictionSignal::MemoryAvailable;
    bench.settings.kubelet.eviction_soft = vec![(memory, EvictionValue::Amount(2000 * MIB))];
    bench.settings.kubelet.eviction_soft_grace_period = vec![(memory, s(60))];
    bench.settings.kubelet.eviction_max_pod_grace_period = s(20);
    bench.pod("a", spec(app()));
    let log = bench.until(100).log();
    let at = |what: &str| log.lines().find(|line| line.contains(what)).map(seconds);
    assert_eq!((at("memory pressure: true"), at("Evicted"), at("Completed(0)")), (Some(0), Some(60), Some(63)), "{log}");
}

#[test]
fn pids_are_watched_when_a_threshold_asks_for_it() {
    let mut bench = Bench::new(Behavior { pids: line(0, 1000, 100), ..Behavior::default() });
    bench.settings.kubelet.max_pids = 1000;
    bench.pod("a", spec(app()));
    assert!(!bench.until(200).log().contains("pressure"), "there is no such threshold by default");
    let mut bench = Bench::new(Behavior { pids: line(0, 1000, 100), ..Behavior::default() });
    bench.settings.kubelet.max_pids = 1000;
    bench.settings.kubelet.eviction_hard = Some(vec![(EvictionSignal::PidAvailable, EvictionValue::Percent(20.0))]);
    bench.pod("a", spec(app()));
    let log = bench.until(200).log();
    assert!(log.contains("1m20s Evicted: The node was low on resource: pids. Threshold quantity: 200, available: 193."), "{log}");
    assert!(log.contains("pid pressure: true"), "{log}");
}

#[test]
fn after_an_eviction_the_minimum_reclaim_has_to_be_free() {
    // Two pods of 1900 MiB each: with 100 MiB to keep, one has to go; with 3000 to reclaim, so has the other.
    let of = |reclaim: i64| {
        let mut bench = Bench::new(Behavior { memory: line(1900 * MIB, 2000 * MIB, 100), ..Behavior::default() });
        bench.settings.kubelet.eviction_minimum_reclaim = vec![(EvictionSignal::MemoryAvailable, EvictionValue::Amount(reclaim * MIB))];
        bench.pod("a", spec(app()));
        bench.pod("b", spec(app()));
        bench.until(300).log().lines().filter(|line| line.contains("Evicted:")).count()
    };
    assert_eq!((of(0), of(3000)), (1, 2));
}
