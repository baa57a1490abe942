//! What a loop costs: how often the filters are asked, which no machine changes.

use std::cell::Cell;

use super::super::super::bench::pod;
use super::*;

/// Counts how often it is asked.
#[derive(Default)]
struct Counting {
    asked: Cell<u64>,
}

impl Filters for Counting {
    fn fits(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> bool {
        self.asked.set(self.asked.get() + 1);
        Plainest.fits(pod, snapshot, node)
    }
    fn reasons(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> Vec<Str> {
        Plainest.reasons(pod, snapshot, node)
    }
}

/// How often the filters are asked in the loop that orders nodes for so many pods of ten kinds.
fn asked(pods: usize, pools: usize, nodes: u32) -> u64 {
    let pools: Vec<NodePool> = (0..pools).map(|number| pool(&format!("pool-{number}"), 4000, (0, 9999), 1.0)).collect();
    let mut rig = rig(&pools)
        .nodes(&pools[0], 0..nodes)
        .pods(nodes as usize, |number| pod(&format!("old-{number}")).on(&format!("pool-0-{number}")).cpu(3600))
        .pods(pods, |number| {
            let kind = number % 10;
            pod(&format!("web-{number}")).labels(&format!("kind={kind}")).unschedulable().cpu(500 + 50 * kind as i64)
        });
    rig.hear();
    rig.bench.now = SimTime::from_secs(10);
    let (snapshot, counting) = (rig.snapshot(), Counting::default());
    let lines = rig.bench.run(|view, out| rig.autoscaler.run(view, &snapshot, &counting, out));
    assert_eq!(only(&lines, "TriggeredScaleUp").len(), pods);
    counting.asked.get()
}

#[test]
fn an_order_costs_about_as_much_as_there_are_pods_and_pools() {
    let small = asked(100, 10, 50);
    let many_nodes = asked(100, 10, 500);
    assert!(many_nodes <= small + 450 * 2, "full nodes are passed over: {small}, {many_nodes}");
    let many_pods = asked(1000, 10, 50);
    assert!(many_pods <= small * 15, "not pods times nodes: {small}, {many_pods}");
    assert!(many_pods <= 4 * 1000 * 10, "a few questions per pod and pool: {many_pods}");
}

#[test]
#[ignore = "measures one large loop; run it under perf stat"]
fn a_thousand_pods_ten_pools_and_five_thousand_nodes() {
    let asked = asked(1000, 10, 5000);
    assert!(asked < 100_000, "{asked}");
}
