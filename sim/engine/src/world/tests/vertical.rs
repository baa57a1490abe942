//! Whole clusters whose pods ask for too little or too much, with a VerticalPodAutoscaler.

use super::*;
use crate::spec::{Behavior, MemoryUse};
use api::{IntOrPercent, PodDisruptionBudget, VerticalPodAutoscaler, VpaUpdateMode};

/// Four pods that ask for 128Mi and have so many MiB in use, under a VerticalPodAutoscaler.
fn under(duration_s: u64, mebibytes: i64, mode: VpaUpdateMode) -> WorldSpec {
    let mut spec = small(duration_s);
    spec.objects.deployments = vec![deployment("web", 4, 500)];
    let points = vec![(SimDuration::ZERO, mebibytes << 20)];
    spec.behaviors.push(Behavior { memory: Some(MemoryUse { points }), ..Behavior::default() });
    spec.objects.vertical_pod_autoscalers.push(VerticalPodAutoscaler {
        meta: ObjectMeta { namespace: "default".into(), name: "web".into(), ..ObjectMeta::default() },
        target_kind: "Deployment".into(),
        target_name: "web".into(),
        update_mode: mode,
        ..VerticalPodAutoscaler::default()
    });
    spec
}

/// Template with this memory request, and no limit.
fn asking(spec: &mut WorldSpec, mebibytes: i64) {
    let template = Arc::make_mut(&mut spec.objects.deployments[0].template);
    let containers = &mut Arc::make_mut(&mut template.spec).containers;
    containers[0].requests = resources(500, mebibytes);
    containers[0].limits.clear();
}

/// When pods were made, and what memory they asked for in MiB.
fn made(run: &Run) -> Vec<(u64, i64)> {
    let made = run.all(|record| match record {
        Record::PodCreated { memory_bytes, .. } => Some(*memory_bytes >> 20),
        _ => None,
    });
    made.into_iter().map(|(at, mebibytes)| (at.as_secs(), mebibytes)).collect()
}

#[test]
fn pods_that_ask_for_too_little_are_replaced_within_their_budget() {
    let mut spec = under(1800, 600, VpaUpdateMode::Recreate);
    asking(&mut spec, 128);
    spec.objects.pod_disruption_budgets.push(PodDisruptionBudget {
        meta: ObjectMeta { namespace: "default".into(), name: "web".into(), ..ObjectMeta::default() },
        selector: Some(LabelSelector { match_labels: (*labels("web")).clone(), ..LabelSelector::default() }),
        max_unavailable: Some(IntOrPercent::Count(1)),
        ..PodDisruptionBudget::default()
    });
    let run = run(spec);
    let made = made(&run);
    // 600Mi and the margin of 15 per cent, in a bucket that is at most 5 per cent too wide.
    let raised: Vec<&(u64, i64)> = made.iter().filter(|(_, mebibytes)| (690..=730).contains(mebibytes)).collect();
    assert_eq!((made.len(), raised.len()), (8, 4), "{made:?}");
    assert!(run.fewest_serving(60) >= 3, "the budget lets one go at a time");
    assert_eq!(run.workload("default/web")[3], 4);
    let events = run.events_of("VerticalPodAutoscaler/default/web");
    assert_eq!(events.iter().filter(|(_, text)| text.starts_with("EvictedPod: VPA Updater evicted Pod web-")).count(), 4, "{events:?}");
}

#[test]
fn pods_are_resized_in_place_where_their_node_has_room() {
    let mut spec = under(1800, 600, VpaUpdateMode::InPlaceOrRecreate);
    asking(&mut spec, 128);
    let run = run(spec);
    assert_eq!(made(&run).len(), 4, "nobody was evicted");
    let resized = run.all(|record| match record {
        Record::Event { reason, message, .. } if &**reason == "InPlaceResizedByVPA" => Some(message.to_string()),
        _ => None,
    });
    assert_eq!(resized.len(), 4, "{resized:?}");
    let asks: Vec<i64> = run.world.store.pods.iter().map(|(_, pod)| pod.spec.requests().memory_bytes >> 20).collect();
    assert!(asks.iter().all(|mebibytes| (690..=730).contains(mebibytes)), "{asks:?}");
}

#[test]
fn a_pod_that_may_not_be_resized_is_evicted_after_all() {
    let mut spec = under(1800, 600, VpaUpdateMode::InPlaceOrRecreate);
    asking(&mut spec, 128);
    // Without a request the class would change, which no resize may.
    let template = Arc::make_mut(&mut spec.objects.deployments[0].template);
    Arc::make_mut(&mut template.spec).containers[0].requests.clear();
    let run = run(spec);
    let made = made(&run);
    assert_eq!(made.len(), 8, "{made:?}");
    assert!(made[4..].iter().all(|(_, mebibytes)| (690..=730).contains(mebibytes)), "{made:?}");
}

#[test]
fn without_updates_only_the_recommendation_is_told() {
    let mut spec = under(1800, 600, VpaUpdateMode::Off);
    asking(&mut spec, 128);
    let run = run(spec);
    assert_eq!(made(&run).len(), 4);
    let told = run.all(|record| match record {
        Record::Recommendation { vpa, mode, container, memory_bytes, cpu_millis, .. } => {
            Some((vpa.to_string(), mode.to_string(), container.to_string(), memory_bytes[1] >> 20, *cpu_millis))
        }
        _ => None,
    });
    let (_, (vpa, mode, container, mebibytes, cpu)) = told.last().expect("a recommendation");
    assert_eq!((&**vpa, &**mode, &**container, *cpu), ("default/web", "Off", "main", [0; 3]), "of cpu nobody says anything");
    assert!((690..=730).contains(mebibytes), "{mebibytes}");
}

#[test]
fn pods_that_ask_for_too_much_are_replaced_once_they_are_old_enough() {
    let mut spec = under(13 * 3600, 300, VpaUpdateMode::Recreate);
    spec.control_plane.vertical_pod_autoscaler.recommender_interval = SimDuration::from_secs(600);
    spec.control_plane.metrics_server.resolution = SimDuration::from_secs(300);
    asking(&mut spec, 1000);
    let run = run(spec);
    let made = made(&run);
    let later: Vec<&(u64, i64)> = made.iter().filter(|(at, _)| *at > 60).collect();
    assert_eq!(later.len(), 4, "{made:?}");
    assert!(later.iter().all(|(at, mebibytes)| *at >= 12 * 3600 && (345..=370).contains(mebibytes)), "{made:?}");
}

#[test]
fn a_pod_that_is_killed_for_its_memory_gets_more() {
    // Limit and request are 128Mi; 150Mi are needed ten seconds after the start.
    let mut spec = under(1200, 150, VpaUpdateMode::Recreate);
    let points = vec![(SimDuration::ZERO, 100 << 20), (SimDuration::from_secs(10), 150 << 20)];
    spec.behaviors[0].memory = Some(MemoryUse { points });
    let run = run(spec);
    let kills = run.all(|record| match record {
        Record::Container { reason, .. } if &**reason == "OOMKilled" => Some(()),
        _ => None,
    });
    assert!(!kills.is_empty());
    let made = made(&run);
    // 228Mi and the margin; the least for a pod is 250Mi.
    assert!(made[4..].iter().all(|(_, mebibytes)| *mebibytes >= 250), "{made:?}");
    let last = kills.last().expect("some").0;
    assert!(last < SimTime::from_secs(600), "after that nobody is killed: {last}");
}
