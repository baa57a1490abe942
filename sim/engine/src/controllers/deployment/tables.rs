//! Numbers of rollouts, worked out by hand or taken over from the cases of upstream's own unit tests
//! (pkg/controller/deployment/{sync,rolling,progress}_test.go and util/deployment_util_test.go).

use super::super::bench::{Bench, bench, labels, rolling, template};
use super::*;
use crate::controllers::pod_control::controller_of;

/// A ReplicaSet: wanted, available, and the size of the Deployment that its annotations tell of.
type Set = (i32, i32, i32);

/// A Deployment `web` with former ReplicaSets, oldest first, and perhaps one of its own template, which is the
/// youngest. `noted` is the surge that annotations count in.
fn cluster(replicas: i32, limits: (&str, &str), former: &[Set], newest: Option<Set>, noted: i32) -> Bench {
    let mut bench = bench().deployment("web", replicas, |deployment| deployment.strategy = rolling(limits.0, limits.1));
    let owner = bench.store.deployments.iter().next().expect("just made").1.meta.clone();
    for (place, (wanted, available, desired)) in former.iter().chain(&newest).enumerate() {
        bench.now = SimTime::from_secs(3600 * (place as u64 + 1));
        let image = if place == former.len() { "web:v1".to_owned() } else { format!("old:v{place}") };
        let status = ReplicaSetStatus { replicas: *wanted, available: *available, ..ReplicaSetStatus::default() };
        let meta = ObjectMeta {
            namespace: "default".into(),
            name: format!("web-{place}").into(),
            labels: labels("app=web"),
            owners: vec![controller_of("Deployment", &owner)],
            ..ObjectMeta::default()
        };
        let set = ReplicaSet {
            meta,
            replicas: *wanted,
            template: template("web", &image),
            desired_annotation: Some(*desired),
            max_annotation: Some(desired + noted),
            status,
            ..ReplicaSet::default()
        };
        bench.store.create(set, bench.now, &bench.streams).expect("a free name");
    }
    bench
}

/// Lets one part of a sync happen; the sizes then, oldest first.
fn after(mut bench: Bench, act: impl FnOnce(&mut Rollout<'_, '_>)) -> Vec<i32> {
    let id = bench.store.deployments.iter().next().expect("a Deployment").0;
    bench.run(|view, out| {
        let deployment = view.store.deployments.get(id).expect("it is there");
        act(&mut Rollout::new(id, deployment, view, out));
    });
    bench.store.replica_sets.iter().map(|(_, set)| set.replicas).collect()
}

#[test]
fn a_size_that_changes_during_a_rollout_is_shared_by_size() {
    // (what, size, surge, size before, surge before, former sets oldest first, newest, sizes after)
    type Row = (&'static str, i32, i32, i32, i32, &'static [i32], Option<i32>, &'static [i32]);
    let rows: [Row; 17] = [
        ("one set grows", 12, 0, 10, 0, &[], Some(10), &[12]),
        ("one set shrinks", 5, 0, 10, 0, &[], Some(10), &[5]),
        ("5 -> 10", 10, 0, 5, 0, &[3], Some(2), &[6, 4]),
        ("5 -> 3", 3, 0, 5, 0, &[3], Some(2), &[2, 1]),
        ("9 -> 4: the small one goes", 4, 0, 9, 0, &[1], Some(8), &[0, 4]),
        ("7 -> 10: 2.86, 4.29 and 2.86 are 3, 4 and 3", 10, 0, 7, 0, &[2, 3], Some(2), &[3, 4, 3]),
        ("13 -> 8: 1.85, 4.92 and 1.23", 8, 0, 13, 0, &[3, 8], Some(2), &[2, 5, 1]),
        ("what is left over goes to the newest among equals", 4, 0, 3, 0, &[1, 1], Some(1), &[1, 1, 2]),
        ("and is taken from the oldest", 2, 0, 3, 0, &[1, 1], Some(1), &[0, 1, 1]),
        ("without a newest one the latest grows", 5, 0, 4, 0, &[2, 2], None, &[2, 3]),
        ("down to nothing", 0, 0, 6, 0, &[1, 2], Some(3), &[0, 0, 0]),
        ("up from nothing: the newest alone", 6, 0, 0, 0, &[0, 0], Some(0), &[0, 0, 6]),
        ("the surge is shared too: 22 of 12", 20, 2, 10, 2, &[6], Some(6), &[11, 11]),
        ("size and surge change: 56 of 13", 50, 6, 10, 3, &[8], Some(5), &[34, 22]),
        ("size and template change", 14, 0, 10, 0, &[3, 7], None, &[4, 10]),
        ("a half is rounded away from zero; the newest comes first", 3, 0, 2, 0, &[1], Some(1), &[1, 2]),
        ("no more than the surge allows: nothing to share", 2, 1, 2, 1, &[1], Some(2), &[1, 2]),
    ];
    for (what, size, surge, before, surge_before, former, newest, expected) in rows {
        let set = |wanted: &i32| (*wanted, 0, before);
        let former: Vec<Set> = former.iter().map(set).collect();
        let bench = cluster(size, (&surge.to_string(), "0"), &former, newest.as_ref().map(set), surge_before);
        assert_eq!(after(bench, |rollout| rollout.scale_all()), expected, "{what}");
    }
}

#[test]
fn a_set_whose_last_resize_failed_catches_up() {
    // 3 -> 5: the newest and the oldest know of it already, the one between does not.
    let bench = cluster(5, ("0", "0"), &[(1, 0, 5), (1, 0, 3)], Some((2, 0, 5)), 0);
    assert_eq!(after(bench, |rollout| rollout.scale_all()), [1, 2, 2]);
}

#[test]
fn a_saturated_newest_set_lets_the_old_ones_go() {
    let with = |available| cluster(4, ("1", "1"), &[(1, 1, 4)], Some((4, available, 4)), 1);
    assert_eq!(after(with(4), |rollout| rollout.scale_all()), [0, 4]);
    assert_eq!(after(with(3), |rollout| rollout.scale_all()), [1, 4], "not while one of its pods is missing");
}

#[test]
fn the_newest_set_grows_as_far_as_the_surge_goes() {
    for (size, surge, old, new, expected) in [
        (10, "0", 10, 0, 0),
        (10, "2", 10, 0, 2),
        (10, "2", 5, 0, 7),
        (10, "2", 10, 2, 2),
        (10, "2", 2, 11, 10),
        (10, "25%", 8, 2, 5), // 13 in all.
        (10, "100%", 10, 0, 10),
        (3, "1%", 3, 0, 1),
    ] {
        let bench = cluster(size, (surge, "0"), &[(old, old, size)], Some((new, new, size)), 0);
        let sizes = after(bench, |rollout| {
            let newest = rollout.newest.expect("there is one");
            rollout.grow_newest(newest);
        });
        assert_eq!(sizes, [old, expected], "{size} {surge} {old} {new}");
    }
}

#[test]
fn old_sets_shrink_as_far_as_enough_pods_are_available() {
    // (size, unavailable, former sets as wanted and available, newest, sizes after)
    type Row = (i32, &'static str, &'static [(i32, i32)], (i32, i32), &'static [i32]);
    let rows: [Row; 11] = [
        (10, "0", &[(10, 10)], (0, 0), &[9, 0]), // Both limits zero: one may be missing.
        (10, "2", &[(10, 10)], (0, 0), &[8, 0]),
        (10, "2", &[(10, 8)], (0, 0), &[8, 0]), // The two that are not available go for nothing.
        (10, "2", &[(10, 9)], (0, 0), &[8, 0]),
        (10, "2", &[(8, 8)], (2, 0), &[8, 2]), // Pods of the newest that are not there yet are missing already.
        (10, "2", &[(8, 8)], (2, 1), &[7, 2]),
        (10, "2", &[(8, 6)], (2, 0), &[8, 2]), // Unhealthy ones too are within the budget: 10 - 8 - 2 = 0.
        (10, "3", &[(5, 3), (5, 4)], (2, 2), &[1, 4, 2]), // Two and one unhealthy, then two healthy of the oldest.
        (10, "100%", &[(10, 10)], (0, 0), &[0, 0]),
        (4, "25%", &[(4, 4)], (1, 1), &[2, 1]),          // 5 available, 3 must be.
        (4, "1", &[(2, 0), (2, 2)], (1, 1), &[0, 2, 1]), // 5 - 3 = 2 may go, and both are unhealthy; three are left.
    ];
    for (size, unavailable, former, newest, expected) in rows {
        let former: Vec<Set> = former.iter().map(|(wanted, available)| (*wanted, *available, size)).collect();
        let bench = cluster(size, ("0", unavailable), &former, Some((newest.0, newest.1, size)), 0);
        let sizes = after(bench, |rollout| {
            let newest = rollout.newest.expect("there is one");
            rollout.shrink_old(newest);
        });
        assert_eq!(sizes, expected, "{size} {unavailable} {former:?}");
    }
}

/// A Deployment whose condition Progressing has this status and reason since 60 s, last said again at 100 s.
fn progressing(status: ConditionStatus, reason: &str) -> Deployment {
    let condition = WorkloadCondition {
        status,
        reason: reason.into(),
        since: SimTime::from_secs(60),
        updated: SimTime::from_secs(100),
        ..WorkloadCondition::default()
    };
    let status =
        DeploymentStatus { replicas: 3, updated: 2, ready: 2, available: 2, progressing: Some(condition), ..DeploymentStatus::default() };
    let strategy = rolling("25%", "25%");
    Deployment { replicas: 3, strategy, progress_deadline: SimDuration::from_secs(60), status, ..Deployment::default() }
}

#[test]
fn a_rollout_progresses_completes_or_times_out() {
    use ConditionStatus::{False, True, Unknown};
    // (condition before, counts [replicas, updated, ready, available], now, condition after with both times)
    type Row = ((ConditionStatus, &'static str), [i32; 4], u64, (ConditionStatus, &'static str, u64, u64));
    let updated = "ReplicaSetUpdated";
    let (available, exceeded) = ("NewReplicaSetAvailable", "ProgressDeadlineExceeded");
    let rows: [Row; 15] = [
        ((True, updated), [3, 3, 2, 2], 150, (True, updated, 60, 150)), // One more is updated.
        ((True, updated), [4, 3, 2, 2], 150, (True, updated, 60, 150)),
        ((True, updated), [2, 2, 2, 2], 150, (True, updated, 60, 150)), // An old one is gone.
        ((True, updated), [3, 2, 3, 2], 150, (True, updated, 60, 150)), // One more is ready.
        ((True, updated), [3, 2, 2, 3], 150, (True, updated, 60, 150)), // One more is available.
        ((False, exceeded), [3, 2, 2, 3], 150, (True, updated, 150, 150)), // Late is better than never.
        ((Unknown, "DeploymentResumed"), [3, 2, 3, 2], 150, (True, updated, 150, 150)),
        ((True, updated), [3, 3, 3, 3], 150, (True, available, 60, 150)),
        ((False, exceeded), [3, 3, 3, 3], 150, (True, available, 150, 150)),
        ((True, updated), [3, 2, 2, 2], 160, (True, updated, 60, 100)), // Exactly at the deadline it is in time.
        ((True, updated), [3, 2, 1, 1], 161, (False, exceeded, 161, 161)), // Fewer are no progress.
        ((Unknown, "DeploymentResumed"), [3, 2, 2, 2], 161, (False, exceeded, 161, 161)),
        ((False, exceeded), [3, 2, 2, 2], 500, (False, exceeded, 60, 100)),
        ((True, available), [3, 3, 1, 1], 900, (True, available, 60, 100)), // Done once; what goes missing later is not the rollout's.
        ((True, available), [3, 2, 2, 2], 900, (True, available, 60, 100)),
    ];
    for ((status, reason), [replicas, updated, ready, available], now, expected) in rows {
        let deployment = progressing(status, reason);
        let mut after = DeploymentStatus { replicas, updated, ready, available, ..deployment.status.clone() };
        estimate_progress(&deployment, Some("web-1".into()), &mut after, SimTime::from_secs(now));
        let condition = after.progressing.expect("there is a deadline");
        let got = (condition.status, &*condition.reason, condition.since.as_secs(), condition.updated.as_secs());
        assert_eq!(got, expected, "{status:?} {reason} {replicas} {updated} {ready} {available} at {now}");
    }
    let without = Deployment { progress_deadline: NO_DEADLINE, ..progressing(True, updated) };
    let mut after = without.status.clone();
    estimate_progress(&without, None, &mut after, SimTime::from_secs(150));
    assert_eq!(after.progressing, None, "no deadline, no condition");
}

#[test]
fn a_rollout_that_stands_still_is_looked_at_a_second_after_its_deadline() {
    use ConditionStatus::{False, True};
    let check = |deployment: &Deployment, now_ms| {
        next_progress_check(deployment, SimTime::from_millis(now_ms)).map(|at| at.since(SimTime::ZERO).as_millis())
    };
    let stuck = progressing(True, "ReplicaSetUpdated"); // Last progress at 100 s, the deadline is at 160 s.
    for (now_ms, expected) in [(130_000, 161_000), (159_000, 161_000)] {
        assert_eq!(check(&stuck, now_ms), Some(expected));
    }
    for now_ms in [159_001, 160_000] {
        // Upstream adds it with the back-off of the work queue, milliseconds at first.
        assert_eq!(check(&stuck, now_ms), Some(160_001), "{now_ms}");
    }
    let never = [
        ("no deadline", Deployment { progress_deadline: NO_DEADLINE, ..stuck.clone() }),
        ("no condition", Deployment { status: DeploymentStatus { progressing: None, ..stuck.status.clone() }, ..stuck.clone() }),
        ("failed already", progressing(False, "ProgressDeadlineExceeded")),
        ("complete", Deployment { status: DeploymentStatus { updated: 3, ready: 3, available: 3, ..stuck.status.clone() }, ..stuck }),
    ];
    for (what, deployment) in never {
        assert_eq!(check(&deployment, 130_000), None, "{what}");
    }
}

#[test]
fn a_deployment_is_available_while_no_more_pods_are_missing_than_may_be() {
    for (size, limits, available, expected) in [
        (10, ("25%", "25%"), 8, ConditionStatus::True),
        (10, ("25%", "25%"), 7, ConditionStatus::False),
        (10, ("0", "0"), 9, ConditionStatus::True), // Zero and zero leave one.
        (10, ("1", "0"), 9, ConditionStatus::False),
        (3, ("25%", "25%"), 2, ConditionStatus::False), // A quarter of three is none.
        (2, ("0", "5"), 0, ConditionStatus::True),
        (0, ("25%", "25%"), 0, ConditionStatus::True),
    ] {
        let mut bench = cluster(size, limits, &[], Some((size, available, size)), 0);
        let id = bench.store.deployments.iter().next().expect("a Deployment").0;
        let mut seen = None;
        bench.run(|view, out| {
            let deployment = view.store.deployments.get(id).expect("it is there");
            seen = Rollout::new(id, deployment, view, out).observed().available_condition;
        });
        assert_eq!(seen.map(|condition| condition.status), Some(expected), "{size} {limits:?} {available}");
    }
}

#[test]
fn a_pod_is_available_when_it_has_been_ready_for_long_enough() {
    for (ready_since_ms, min_ready, now_ms, expected) in
        [(5000, 0, 5000, true), (5000, 10, 14_999, false), (5000, 10, 15_000, true), (5900, 10, 15_000, true), (6000, 10, 15_999, false)]
    {
        // The API server keeps whole seconds: ready at 5.9 s counts from 5 s.
        let pod = super::super::bench::pod("a").ready_since_ms(ready_since_ms).build();
        let got = pod.is_available(SimDuration::from_secs(min_ready), SimTime::from_millis(now_ms));
        assert_eq!(got, expected, "{ready_since_ms} {min_ready} {now_ms}");
    }
    let unready = super::super::bench::pod("a").unready_since(0).build();
    assert!(!unready.is_available(SimDuration::ZERO, SimTime::from_secs(900)), "never without Ready");
}
