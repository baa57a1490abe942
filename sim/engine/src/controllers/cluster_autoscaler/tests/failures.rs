//! Orders that fail, in each way they can.

use super::super::super::bench::pod;
use super::*;
use crate::spec::ProvisioningFailureReason as Reason;

fn waiting(count: usize, rig: Rig) -> Rig {
    rig.pods(count, |number| pod(&format!("web-{number}")).unschedulable().cpu(900))
}

#[test]
fn a_stockout_backs_the_group_off_and_another_one_is_asked() {
    let pools = [pool("cheap", 1000, (0, 10), 0.1), pool("dear", 2000, (0, 10), 0.6)];
    let mut rig = waiting(2, rig(&pools)).fails("cheap", Reason::OutOfResources).set(|settings| settings.expander = "price".into());
    let lines = rig.until(400);
    let of_cluster: Vec<String> = lines.iter().filter(|line| line.contains("cluster:") || line.contains(" pool ")).cloned().collect();
    assert_eq!(
        of_cluster,
        [
            "10 ScaledUpGroup cluster: Scale-up: setting group cheap size to 2 instead of 0 (max: 10)",
            "10 ScaledUpGroup cluster: Scale-up: group cheap size set to 2 instead of 0 (max: 10)",
            "10 pool cheap 0 -> 2: 2 pending pods",
            // Five seconds after the order the cloud says so; the next scan hears it.
            "20 Warning ScaleUpFailed cluster: Failed adding 2 nodes to group cheap due to OutOfResource.RESOURCE_POOL_EXHAUSTED; \
             source errors: no more machines",
            "20 pool cheap 2 -> 0: 2 could not be created",
            "20 ScaledUpGroup cluster: Scale-up: setting group dear size to 1 instead of 0 (max: 10)",
            "20 ScaledUpGroup cluster: Scale-up: group dear size set to 1 instead of 0 (max: 10)",
            "20 pool dear 0 -> 1: 2 pending pods",
        ]
    );
}

#[test]
fn a_group_that_fails_again_waits_twice_as_long() {
    let mut rig = waiting(1, rig(&[pool("only", 1000, (0, 10), 0.1)])).fails("only", Reason::QuotaExceeded);
    let lines = rig.until(4000);
    let orders: Vec<String> = only(&lines, "pool only 0 -> 1").iter().map(|line| line.split(' ').next().unwrap_or("").to_owned()).collect();
    // Failures are heard of ten seconds after an order: 5, 10, 20, 30 minutes, and the first scan after each.
    assert_eq!(orders, ["10", "330", "950", "2170", "3990"]);
    let told = only(&lines, "NotTriggerScaleUp");
    assert_eq!(
        rig.records[..3],
        [
            "20 only is left alone until 320",
            "20 no pool for default/web-0: only: in backoff after failed scale-up",
            "340 only is left alone until 940",
        ]
    );
    assert_eq!(told[0], "20 NotTriggerScaleUp Pod/default/web-0: pod didn't trigger scale-up: 1 in backoff after failed scale-up");
}

#[test]
fn a_refused_order_is_an_event_and_a_back_off() {
    let mut rig = waiting(1, rig(&[pool("only", 1000, (0, 10), 0.1)])).fails("only", Reason::Refused);
    let lines = rig.until(200);
    assert_eq!(
        lines,
        [
            "10 ScaledUpGroup cluster: Scale-up: setting group only size to 1 instead of 0 (max: 10)",
            "10 Warning FailedToScaleUpGroup cluster: Scale-up failed for group only: no more machines",
            "20 NotTriggerScaleUp Pod/default/web-0: pod didn't trigger scale-up: 1 in backoff after failed scale-up",
        ]
    );
}

#[test]
fn what_never_comes_is_given_up_after_fifteen_minutes() {
    let mut rig = waiting(1, rig(&[pool("only", 1000, (0, 10), 0.1)])).fails("only", Reason::NeverCreated);
    let lines = rig.until(1000);
    let warnings = only(&lines, "Warning");
    assert_eq!(warnings, ["910 Warning ScaleUpTimedOut cluster: Nodes added to group only failed to register within 15m0.1s"]);
    assert_eq!(only(&lines, "pool "), ["10 pool only 0 -> 1: 1 pending pods", "910 pool only 1 -> 0: 1 did not come"]);
    let mut short = waiting(1, super::rig(&[pool("only", 1000, (0, 10), 0.1)]))
        .fails("only", Reason::NeverCreated)
        .set(|settings| settings.max_node_provision_time = SimDuration::from_secs(120));
    assert_eq!(only(&short.until(200), "ScaleUpTimedOut").len(), 1, "the flag says how long");
}

#[test]
fn an_instance_that_never_registers_is_deleted() {
    let mut rig = waiting(1, rig(&[pool("only", 1000, (0, 10), 0.1)])).fails("only", Reason::NeverRegisters);
    let lines = rig.until(1000);
    let events: Vec<&String> = lines.iter().filter(|line| !line.starts_with("10 ")).collect();
    assert_eq!(
        events,
        [
            "910 Warning ScaleUpTimedOut cluster: Nodes added to group only failed to register within 15m0.1s",
            "910 Warning FailedToRevertScaleUp cluster: Failed to decrease target size for group only after scale-up timeout: \
             attempt to delete existing nodes targetSize:1 delta:-1 existingNodes: 1",
            "910 NotTriggerScaleUp Pod/default/web-0: pod didn't trigger scale-up: 1 in backoff after failed scale-up",
            "920 DeleteUnregistered cluster: Removed unregistered node only-0",
            "920 pool only 1 -> 0: 1 never registered",
        ]
    );
}

#[test]
fn only_some_of_an_order_may_fail() {
    let mut rig = waiting(40, rig(&[pool("only", 1000, (0, 100), 0.1)]));
    let failure = ProvisioningFailure {
        pools: Vec::new(),
        reason: Reason::OutOfResources,
        message: "no more machines".into(),
        share: 0.5,
        after: SimDuration::ZERO,
    };
    rig.autoscaler.provisioning_fails((0, 0), &failure);
    let lines = rig.until(100);
    let came = only(&lines, "is there").len();
    assert!((10..30).contains(&came), "about half of forty: {came}");
    assert_eq!(only(&lines, "could not be created"), [format!("10 pool only 40 -> {came}: {} could not be created", 40 - came)]);
    rig.autoscaler.provisioning_works((0, 0));
    let later = only(&rig.until(400), "pool only");
    assert_eq!(later, [format!("320 pool only {came} -> 40: {} pending pods", 40 - came)], "after the back-off the rest is ordered again");
}

#[test]
fn a_node_that_comes_too_late_is_not_wanted_any_more() {
    let mut slow = pool("slow", 1000, (0, 10), 0.1);
    slow.provisioning = Distribution::Constant(SimDuration::from_secs(1200));
    let mut rig = waiting(1, rig(&[slow]));
    let lines = rig.until(1300);
    assert_eq!(only(&lines, "is there"), Vec::<String>::new());
    assert_eq!(only(&lines, "pool ")[..2], ["10 pool slow 0 -> 1: 1 pending pods", "920 pool slow 1 -> 0: 1 never registered"]);
}

#[test]
fn a_machine_whose_node_was_deleted_by_hand_is_deleted_a_quarter_of_an_hour_later() {
    let small = pool("small", 1000, (1, 10), 0.1);
    let mut rig = rig(std::slice::from_ref(&small))
        .nodes(&small, 1..3)
        .pods(2, |number| pod(&format!("web-{number}")).on(&format!("small-{}", number + 1)).cpu(900));
    assert_eq!(rig.until(95), Vec::<String>::new());
    let node = rig.bench.node_id("small-2");
    rig.bench.store.remove_node(node);
    rig.kill("web-1");
    rig.bench.now = SimTime::from_secs(95);
    let lines = rig.until(2000);
    assert_eq!(lines, ["1010 DeleteUnregistered cluster: Removed unregistered node small-2", "1010 pool small 2 -> 1: 1 never registered"]);
}

#[test]
fn an_unhealthy_cluster_is_left_alone() {
    let small = pool("small", 1000, (0, 20), 0.1);
    // (unready of ten, whether ready ones still go); once some have gone, four of the rest are too many.
    for (unready, goes) in [(3, true), (4, true), (5, false)] {
        let mut rig = rig(std::slice::from_ref(&small)).nodes(&small, 0..10);
        let ids: Vec<NodeId> = rig.bench.store.nodes.iter().map(|(id, _)| id).take(unready).collect();
        rig.bench.now = SimTime::from_secs(1000);
        for id in ids {
            rig.bench.store.update_node(id, |node| {
                node.status.ready = api::ConditionStatus::False;
                true
            });
        }
        let lines = rig.until(4000);
        assert_eq!(!only(&lines, "delete node").is_empty(), goes, "{unready}");
        assert_eq!(only(&lines, "ClusterUnhealthy").len(), usize::from(unready > 3), "{unready}");
    }
}
