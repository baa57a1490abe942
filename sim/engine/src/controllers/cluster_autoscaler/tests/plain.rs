//! Loops that are left out would have found nothing: the same clusters with every loop run do the same.

use proptest::prelude::*;

use super::super::super::bench::pod;
use super::*;
use crate::spec::ProvisioningFailureReason as Reason;

/// Something that happens to a cluster.
#[derive(Clone, Debug)]
enum Happening {
    PodWaits(i64),
    PodEnds(usize),
    PodComes(usize, i64),
    NodeGoes(usize),
    NodeBreaks(usize),
    CloudFails(bool),
}

fn happenings() -> impl Strategy<Value = Vec<(u64, Happening)>> {
    let what = prop_oneof![
        3 => (1i64..9).prop_map(|share| Happening::PodWaits(share * 100)),
        2 => (0usize..8).prop_map(Happening::PodEnds),
        2 => ((0usize..6), 1i64..8).prop_map(|(node, share)| Happening::PodComes(node, share * 100)),
        1 => (0usize..6).prop_map(Happening::NodeGoes),
        1 => (0usize..6).prop_map(Happening::NodeBreaks),
        1 => any::<bool>().prop_map(Happening::CloudFails),
    ];
    proptest::collection::vec((1u64..2500, what), 1..14)
}

fn play(plan: &[(u64, Happening)], plain: bool) -> (Vec<String>, u32) {
    let pools = [pool("small", 1000, (1, 4), 0.1), pool("large", 2000, (0, 3), 0.6)];
    let mut rig =
        rig(&pools).nodes(&pools[0], 0..3).pods(2, |number| pod(&format!("old-{number}")).on(&format!("small-{number}")).cpu(300));
    rig.autoscaler.plain = plain;
    let mut plan = plan.to_vec();
    plan.sort_by_key(|(time, _)| *time);
    let mut lines = Vec::new();
    for (number, (time, happening)) in plan.into_iter().enumerate() {
        // No two things at one instant: which of them comes first is nobody's promise.
        let now = SimTime::from_millis(time * 1000 + 13 + 37 * number as u64);
        lines.extend(rig.run_to(now));
        rig.bench.now = now;
        rig = happen(rig, number, now, &happening);
    }
    lines.extend(rig.until(6000));
    (lines, rig.loops)
}

fn happen(mut rig: Rig, number: usize, now: SimTime, happening: &Happening) -> Rig {
    let name = format!("web-{number}");
    let nodes: Vec<(NodeId, Str)> = rig.bench.store.nodes.iter().map(|(id, node)| (id, node.meta.name.clone())).collect();
    let node = |place: usize| nodes.get(place % nodes.len().max(1)).cloned();
    match happening {
        Happening::PodWaits(cpu) => {
            return rig.pods(1, |_| {
                pod(&name).unschedulable().cpu(*cpu).with(|pod| {
                    (pod.meta.creation, pod.status.conditions.scheduled.since) = (now, now);
                })
            });
        }
        Happening::PodComes(place, cpu) => {
            if let Some((_, node)) = node(*place) {
                return rig.pods(1, |_| pod(&name).on(&node).cpu(*cpu).ready_since(now.as_secs()));
            }
        }
        Happening::PodEnds(place) => {
            let ids: Vec<PodId> = rig.bench.store.pods.iter().map(|(id, _)| id).collect();
            if let Some(id) = ids.get(*place) {
                rig.bench.store.remove_pod(*id);
            }
        }
        Happening::NodeGoes(place) => {
            if let Some((id, _)) = node(*place) {
                rig.bench.store.remove_node(id);
            }
        }
        Happening::NodeBreaks(place) => {
            if let Some((id, _)) = node(*place) {
                rig.bench.store.update_node(id, |node| {
                    node.status.ready = api::ConditionStatus::False;
                    true
                });
            }
        }
        Happening::CloudFails(true) => return rig.fails("small", Reason::OutOfResources),
        Happening::CloudFails(false) => rig.autoscaler.provisioning_works((0, 0)),
    }
    rig
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn loops_that_are_left_out_would_have_done_nothing(plan in happenings()) {
        let (lazy, few) = play(&plan, false);
        let (plain, many) = play(&plan, true);
        prop_assert_eq!(lazy, plain);
        prop_assert!(few < many, "{} of {} loops", few, many);
    }
}
