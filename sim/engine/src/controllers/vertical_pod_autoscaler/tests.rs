//! Admission and the updater on the bench: who gets what, and who goes first.

use super::super::bench::{Bench, TestPod, bench, pod};
use super::*;
use crate::event::Event;
use crate::store::Change;
use api::{Kind, ResourceName, VpaEvictionRequirement, VpaUpdateMode};

fn amounts(cpu_millis: i64, mebibytes: i64) -> ResourceList {
    [(ResourceName::Cpu, cpu_millis), (ResourceName::Memory, mebibytes << 20)].into()
}

/// Recommends 400m between 300m and 900m to pods of ReplicaSet `web`, which ask for 100m; of memory what they have.
fn vpa(change: impl FnOnce(&mut VerticalPodAutoscaler)) -> VerticalPodAutoscaler {
    let one = VpaRecommendation {
        container: "app".into(),
        target: amounts(400, 64),
        lower_bound: amounts(300, 32),
        upper_bound: amounts(900, 128),
        uncapped_target: amounts(400, 64),
    };
    let mut vpa = VerticalPodAutoscaler {
        target_kind: "ReplicaSet".into(),
        target_name: "web".into(),
        recommendation: vec![one],
        ..VerticalPodAutoscaler::default()
    };
    (vpa.meta.namespace, vpa.meta.name) = ("default".into(), "web".into());
    change(&mut vpa);
    vpa
}

fn replicas(names: &[&str], of: impl Fn(TestPod) -> TestPod) -> Bench {
    let mut bench = bench().replica_set("web", names.len() as i32).at(1000).node("n", "a", 4000);
    for name in names {
        bench = bench.owned_pod("web", of(pod(name).labels("app=web").on("n").ready_since(0)));
    }
    bench
}

/// Pods that one loop evicts, in order.
fn evicted(mut bench: Bench, vpa: VerticalPodAutoscaler) -> Vec<String> {
    let id = bench.store.create(vpa, bench.now, &bench.streams).expect("a free name");
    let mut updater = updater::Updater::default();
    bench.run(|view, out| updater.changed(&Change::Object(Kind::VerticalPodAutoscaler, id.number()), view, out));
    let lines = bench.run(|view, out| updater.run(view, out));
    let event = "EvictedByVPA Pod/default/";
    lines.iter().filter_map(|line| Some(line.split(event).nth(1)?.split(':').next()?.to_owned())).collect()
}

#[test]
fn half_of_the_replicas_may_go_at_once_and_a_lonely_one_not_at_all() {
    let four = ["web-a", "web-b", "web-c", "web-d"];
    assert_eq!(evicted(replicas(&four, |pod| pod), vpa(|_| {})), ["web-a", "web-b"]);
    assert_eq!(evicted(replicas(&["web-a", "web-b", "web-c"], |pod| pod), vpa(|_| {})), ["web-a"], "1.5 is cut");
    assert_eq!(evicted(replicas(&["web-a"], |pod| pod), vpa(|_| {})), Vec::<String>::new(), "two must live");
    let alone = vpa(|vpa| vpa.min_replicas = Some(1));
    assert_eq!(evicted(replicas(&["web-a"], |pod| pod), alone), ["web-a"], "no tolerance, but all run");
}

#[test]
fn only_what_recreates_evicts() {
    for (mode, count) in [
        (VpaUpdateMode::Off, 0),
        (VpaUpdateMode::Initial, 0),
        (VpaUpdateMode::Recreate, 1),
        (VpaUpdateMode::InPlaceOrRecreate, 0), // It resizes.
        (VpaUpdateMode::InPlace, 0),
    ] {
        let bench = replicas(&["web-a", "web-b"], |pod| pod);
        assert_eq!(evicted(bench, vpa(|vpa| vpa.update_mode = mode)).len(), count, "{mode:?}");
    }
}

#[test]
fn requests_between_the_bounds_wait_until_the_pod_is_old() {
    let within = |vpa: &mut VerticalPodAutoscaler| vpa.recommendation[0].lower_bound = amounts(50, 32);
    let of = |start: u64, change: &dyn Fn(&mut VerticalPodAutoscaler)| {
        let mut bench = replicas(&["web-a", "web-b"], |pod| pod.start(start));
        bench.now = api::SimTime::from_secs(50_000);
        evicted(bench, vpa(|vpa| change(vpa))).len()
    };
    assert_eq!(of(40_000, &within), 0, "younger than twelve hours");
    assert_eq!(of(1000, &within), 1);
    let near = |vpa: &mut VerticalPodAutoscaler| {
        within(vpa);
        vpa.recommendation[0].target = amounts(109, 64);
    };
    assert_eq!(of(1000, &near), 0, "a change of nine per cent is not worth it");
}

#[test]
fn requirements_of_an_eviction_hold_it_back() {
    let requires = |name: ResourceName, is_higher: bool| {
        let bench = replicas(&["web-a", "web-b"], |pod| pod);
        let requirement = VpaEvictionRequirement { resources: vec![name], is_higher };
        evicted(bench, vpa(|vpa| vpa.eviction_requirements = vec![requirement])).len()
    };
    assert_eq!(requires(ResourceName::Cpu, true), 1);
    assert_eq!(requires(ResourceName::Cpu, false), 0);
    assert_eq!(requires(ResourceName::Memory, true), 0);
}

#[test]
fn a_new_pod_asks_for_what_is_recommended_within_its_policy() {
    let made = |change: &dyn Fn(&mut VerticalPodAutoscaler)| {
        let mut bench = replicas(&[], |pod| pod);
        bench.store.create(vpa(|vpa| change(vpa)), bench.now, &bench.streams).expect("a free name");
        let bench = bench.owned_pod("web", pod("web-a").labels("app=web"));
        let (_, made) = bench.store.pods.iter().next().expect("it is there");
        let mut made = made.clone();
        admission::admit(&bench.store, &mut made);
        let note = made.meta.annotations.get("vpaUpdates").map(|note| note.to_string());
        (made.spec.containers[0].requests.get(&ResourceName::Cpu).copied(), note)
    };
    let note = |words: &str| Some(format!("Pod resources updated by web: container 0: {words}"));
    assert_eq!(made(&|_| {}), (Some(400), note("cpu request, memory request")));
    assert_eq!(made(&|vpa| vpa.update_mode = VpaUpdateMode::Initial).0, Some(400));
    assert_eq!(made(&|vpa| vpa.update_mode = VpaUpdateMode::Off), (Some(100), None));
    assert_eq!(made(&|vpa| vpa.target_name = "other".into()), (Some(100), None));
    let policy = |change: fn(&mut VpaContainerPolicy)| {
        move |vpa: &mut VerticalPodAutoscaler| {
            let mut policy = VpaContainerPolicy { container: "*".into(), ..VpaContainerPolicy::default() };
            change(&mut policy);
            vpa.container_policies.push(policy);
        }
    };
    assert_eq!(made(&policy(|policy| policy.max_allowed = amounts(250, 1000))).0, Some(250));
    assert_eq!(made(&policy(|policy| policy.min_allowed = amounts(600, 1))).0, Some(600));
}

#[test]
fn without_any_there_are_no_loops() {
    let mut bench = replicas(&["web-a"], |pod| pod);
    let (mut recommender, mut updater) = (recommender::Recommender::default(), updater::Updater::default());
    let id = bench.pod_id("web-a");
    let before = crate::store::PodBefore { bound: true, ready: true, deleting: false, terminal: false, relabelled: false };
    let lines = bench.run(|view, out| {
        recommender.changed(&Change::PodModified(id, before), view, out);
        updater.changed(&Change::PodModified(id, before), view, out);
    });
    assert_eq!(lines, Vec::<String>::new());
    assert!(!bench.timers.iter().any(|(_, event)| matches!(event, Event::VpaRecommender | Event::VpaUpdater)));
}
