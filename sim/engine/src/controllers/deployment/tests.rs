//! Deployments step by step, the ReplicaSet controller beside them.

use super::super::bench::{Bench, bench, rolling, strip_hash, template};
use super::super::replica_set;
use super::*;

/// Syncs the Deployment once.
fn synced(bench: &mut Bench) -> Vec<String> {
    let id = bench.store.deployments.iter().next().expect("a Deployment").0;
    let lines = bench.run(|view, out| sync(id, view, out));
    lines.iter().map(|line| hashless(line)).collect()
}

/// The hash of a template is not what these tests are about.
fn hashless(line: &str) -> String {
    line.split(' ').map(|word| if word.starts_with("web-") { strip_hash(word) } else { word.to_owned() }).collect::<Vec<_>>().join(" ")
}

/// Lets the ReplicaSet controller do all it can, its pods being stopped at once.
fn replica_sets_settle(bench: &mut Bench) {
    loop {
        let ids: Vec<_> = bench.store.replica_sets.iter().map(|(id, _)| id).collect();
        let mut quiet = true;
        for id in ids {
            quiet &= bench.run(|view, out| replica_set::sync(id, view, out)).iter().all(|line| line.starts_with("resync"));
        }
        let gone: Vec<_> = bench.store.pods.iter().filter(|(_, pod)| pod.meta.is_deleting()).map(|(id, _)| id).collect();
        for id in gone {
            bench.store.remove_pod(id);
        }
        if quiet {
            return;
        }
    }
}

/// Desired sizes, oldest ReplicaSet first.
fn sizes(bench: &Bench) -> Vec<i32> {
    bench.store.replica_sets.iter().map(|(_, set)| set.replicas).collect()
}

fn deployed(replicas: i32, max_surge: &str, max_unavailable: &str) -> Bench {
    let mut bench = bench().deployment("web", replicas, |deployment| deployment.strategy = rolling(max_surge, max_unavailable));
    settle(&mut bench);
    bench
}

/// All controllers until nothing moves, every pod ready at once.
fn settle(bench: &mut Bench) {
    for _ in 0..200 {
        let moved = !synced(bench).is_empty();
        replica_sets_settle(bench);
        bench.ready_all("n");
        replica_sets_settle(bench);
        if !moved {
            return;
        }
    }
    panic!("the rollout does not end");
}

fn new_image(bench: &mut Bench) {
    bench.now += SimDuration::from_secs(20);
    bench.change_deployment("web", |deployment| deployment.template = template("web", "web:v2"));
}

#[test]
fn a_new_deployment_gets_a_replica_set_and_both_conditions() {
    let mut bench = bench().deployment("web", 3, |_| {});
    assert_eq!(
        synced(&mut bench),
        [
            "deployment-controller create replica set web-# replicas=3 revision=1; \
             ScalingReplicaSet Deployment/default/web: Scaled up replica set web-# from 0 to 3",
            "deployment-controller status 0/0/0/0 Available=- Progressing=True:NewReplicaSetCreated",
            "deployment-controller status 0/0/0/0 Available=False:MinimumReplicasUnavailable Progressing=True:NewReplicaSetCreated",
        ]
    );
    replica_sets_settle(&mut bench);
    assert_eq!(
        synced(&mut bench),
        ["deployment-controller status 3/3/0/0 Available=False:MinimumReplicasUnavailable Progressing=True:ReplicaSetUpdated"]
    );
    bench.ready_all("n");
    replica_sets_settle(&mut bench);
    assert_eq!(
        synced(&mut bench),
        ["deployment-controller status 3/3/3/3 Available=True:MinimumReplicasAvailable Progressing=True:NewReplicaSetAvailable"]
    );
    assert_eq!(synced(&mut bench), Vec::<String>::new());
}

#[test]
fn the_first_steps_of_a_rollout_are_those_recorded() {
    // conformance/timelines/s04-roll-*: sizes of (old, new) after the first syncs, no new pod being ready.
    for (max_surge, max_unavailable, steps) in [
        ("25%", "25%", vec![vec![8, 3], vec![8, 5], vec![8, 5]]),
        ("1", "0", vec![vec![10, 1], vec![10, 1]]),
        ("0", "1", vec![vec![9, 0], vec![9, 1], vec![9, 1]]),
        ("100%", "0", vec![vec![10, 10], vec![10, 10]]),
    ] {
        let mut bench = deployed(10, max_surge, max_unavailable);
        new_image(&mut bench);
        for step in steps {
            synced(&mut bench);
            replica_sets_settle(&mut bench);
            assert_eq!(sizes(&bench), step, "{max_surge}/{max_unavailable}");
        }
    }
}

#[test]
fn one_at_a_time_goes_through_every_pair_of_sizes() {
    let mut bench = deployed(3, "1", "0");
    new_image(&mut bench);
    let mut seen = vec![sizes(&bench)];
    for _ in 0..40 {
        synced(&mut bench);
        replica_sets_settle(&mut bench);
        bench.ready_all("n");
        replica_sets_settle(&mut bench);
        if seen.last() != Some(&sizes(&bench)) {
            seen.push(sizes(&bench));
        }
    }
    assert_eq!(seen, [vec![3], vec![3, 1], vec![2, 1], vec![2, 2], vec![1, 2], vec![1, 3], vec![0, 3]]);
}

#[test]
fn undoing_a_rollout_reuses_the_old_replica_set_with_a_new_revision() {
    let mut bench = deployed(2, "1", "0");
    new_image(&mut bench);
    settle(&mut bench);
    bench.change_deployment("web", |deployment| deployment.template = template("web", "web:v1"));
    settle(&mut bench);
    let revisions: Vec<u64> = bench.store.replica_sets.iter().map(|(_, set)| set.revision).collect();
    assert_eq!((sizes(&bench), revisions), (vec![2, 0], vec![3, 2]));
}

#[test]
fn old_replica_sets_beyond_the_history_limit_go() {
    let mut bench = deployed(1, "1", "0");
    bench.change_deployment("web", |deployment| deployment.revision_history_limit = 1);
    for image in ["web:v2", "web:v3", "web:v4"] {
        bench.now += SimDuration::from_secs(20);
        bench.change_deployment("web", |deployment| deployment.template = template("web", image));
        settle(&mut bench);
    }
    assert_eq!(sizes(&bench), [0, 1]);
}

#[test]
fn recreate_waits_until_the_last_old_pod_is_gone() {
    let mut bench = bench().deployment("web", 2, |deployment| deployment.strategy = DeploymentStrategy::Recreate);
    settle(&mut bench);
    new_image(&mut bench);
    synced(&mut bench);
    assert_eq!(sizes(&bench), [0]);
    let id = bench.store.replica_sets.iter().next().expect("the old one").0;
    bench.run(|view, out| replica_set::sync(id, view, out));
    bench.run(|view, out| replica_set::sync(id, view, out));
    synced(&mut bench);
    assert_eq!(sizes(&bench), [0], "its pods are still terminating");
    replica_sets_settle(&mut bench);
    synced(&mut bench);
    assert_eq!(sizes(&bench), [0, 2]);
}

#[test]
fn a_stalled_rollout_is_reported_after_its_deadline() {
    let mut bench = deployed(2, "1", "0");
    bench.change_deployment("web", |deployment| deployment.progress_deadline = SimDuration::from_secs(30));
    new_image(&mut bench);
    synced(&mut bench);
    replica_sets_settle(&mut bench);
    synced(&mut bench);
    assert_eq!(synced(&mut bench), ["resync at 51s"], "20 s + 30 s + 1 s");
    let mut bench = bench.at(51);
    assert_eq!(
        synced(&mut bench),
        ["deployment-controller status 3/1/2/2 Available=True:MinimumReplicasAvailable Progressing=False:ProgressDeadlineExceeded"]
    );
    assert_eq!(synced(&mut bench), Vec::<String>::new());
}

#[test]
fn a_finished_rollout_that_lacks_pods_later_is_not_looked_at_for_ever() {
    let mut bench = deployed(2, "1", "0");
    bench.change_deployment("web", |deployment| (deployment.replicas, deployment.progress_deadline) = (5, SimDuration::from_secs(30)));
    synced(&mut bench);
    replica_sets_settle(&mut bench);
    synced(&mut bench);
    let mut bench = bench.at(120);
    synced(&mut bench);
    assert_eq!(synced(&mut bench), Vec::<String>::new());
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut bench = deployed(2, "1", "0");
    bench.change_deployment("web", |deployment| deployment.paused = true);
    new_image(&mut bench);
    let first = synced(&mut bench);
    assert!(first[0].ends_with("Progressing=Unknown:DeploymentPaused"), "{first:?}");
    bench.change_deployment("web", |deployment| deployment.replicas = 5);
    synced(&mut bench);
    assert_eq!(sizes(&bench), [5]);
}

#[test]
fn scaling_during_a_rollout_keeps_the_proportion() {
    let mut bench = deployed(10, "3", "2");
    new_image(&mut bench);
    synced(&mut bench);
    replica_sets_settle(&mut bench);
    synced(&mut bench);
    replica_sets_settle(&mut bench);
    assert_eq!(sizes(&bench), [8, 5]);
    bench.change_deployment("web", |deployment| deployment.replicas = 15);
    synced(&mut bench);
    // The documented example: of 5 more pods the larger set gets 3, the smaller 2.
    assert_eq!(sizes(&bench), [11, 7]);
}

#[test]
fn the_trap_of_uniform_rounding_surge_goes_up_and_unavailable_down() {
    let of = |replicas, surge, unavailable| {
        let deployment = Deployment { replicas, strategy: rolling(surge, unavailable), ..Deployment::default() };
        (super::max_surge(&deployment), super::max_unavailable(&deployment))
    };
    for (replicas, surge, unavailable, expected) in [
        (10, "25%", "25%", (3, 2)),
        (3, "25%", "25%", (1, 0)),
        (2, "0%", "1%", (0, 1)),
        (1, "1%", "0", (1, 0)),
        (0, "25%", "25%", (0, 0)),
        (2, "1", "5", (1, 2)),
    ] {
        assert_eq!(of(replicas, surge, unavailable), expected, "{replicas} {surge} {unavailable}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    /// Whatever the limits, and in whatever order pods become ready, a rollout keeps within them and ends.
    #[test]
    fn a_rollout_keeps_within_its_limits_and_ends(replicas in 1..12i32, surge in 0..60i32, unavailable in 0..60i32, ready in proptest::collection::vec(1..5usize, 1..8)) {
        let mut bench = deployed(replicas, &format!("{surge}%"), &format!("{unavailable}%"));
        let limits = bench.store.deployments.iter().next().map(|(_, deployment)| fenceposts(deployment)).expect("a Deployment");
        new_image(&mut bench);
        for round in 0..400 {
            synced(&mut bench);
            proptest::prop_assert!(sizes(&bench).iter().sum::<i32>() <= replicas + limits.0, "{:?}", sizes(&bench));
            replica_sets_settle(&mut bench);
            let serving = bench.store.pods.iter().filter(|(_, pod)| pod.is_ready() && !pod.meta.is_deleting()).count() as i32;
            proptest::prop_assert!(serving >= replicas - limits.1, "{serving} of {replicas} serve, {limits:?}");
            bench.ready_some("n", ready[round % ready.len()]);
            replica_sets_settle(&mut bench);
        }
        proptest::prop_assert_eq!(sizes(&bench), [0, replicas]);
    }
}

#[test]
fn hashes_spell_nothing_and_follow_template_and_collisions() {
    let (one, other) = (template("web", "web:v1"), template("web", "web:v2"));
    let hash = template_hash(&one, 0);
    assert!(hash.chars().all(|letter| "456789bcdf".contains(letter)), "{hash}");
    assert_eq!(hash, template_hash(&template("web", "web:v1"), 0));
    assert!(hash != template_hash(&other, 0) && hash != template_hash(&one, 1));
}
