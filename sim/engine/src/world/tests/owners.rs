//! Pods and ReplicaSets that change hands by their labels.

use super::*;
use crate::spec::{Objects, PodSelector, Step, StepAction};
use api::{Kind, Propagation};

fn step(at_s: u64, action: StepAction) -> Step {
    Step { name: "step".into(), at: SimTime::from_secs(at_s), action }
}

fn label(at_s: u64, first: Option<u32>, app: &str) -> Step {
    let pods = PodSelector { workload: Some((Kind::Deployment, key("web"))), ..PodSelector::default() };
    step(at_s, StepAction::LabelPods(pods, first, (*labels(app)).clone()))
}

fn created(run: &Run) -> usize {
    run.all(|record| matches!(record, Record::PodCreated { .. }).then_some(())).len()
}

#[test]
fn a_pod_that_gets_other_labels_is_let_go_replaced_and_taken_off_its_services() {
    let mut spec = small(120);
    spec.objects.services.push(api::Service {
        meta: ObjectMeta { namespace: "default".into(), name: "web".into(), ..ObjectMeta::default() },
        selector: Some(labels("web")),
        ..api::Service::default()
    });
    spec.steps.push(label(60, Some(1), "debug"));
    let run = run(spec);
    assert_eq!(run.workload("default/web"), [3; 5]);
    let bare: Vec<&api::Pod> = run.world.store.pods.iter().map(|(_, pod)| pod).filter(|pod| pod.meta.owners.is_empty()).collect();
    assert_eq!((run.world.store.pods.len(), bare.len()), (4, 1), "it runs on for whoever wants to look at it");
    assert!(bare[0].is_ready() && bare[0].meta.labels.get("app").map(|app| &**app) == Some("debug"));
    let service = run.world.store.services.find(&key("web")).expect("it is there");
    let listed: Vec<_> = run.world.store.slices(service).expect("it has some").endpoints().collect();
    assert!(listed.len() == 3 && listed.iter().all(|endpoint| endpoint.pod != bare[0].meta.uid), "{listed:?}");
}

#[test]
fn a_pod_that_gets_its_labels_back_is_taken_back_and_one_too_many_goes() {
    let mut spec = small(180);
    spec.steps.push(label(60, Some(1), "debug"));
    let bare = PodSelector {
        labels: Some(LabelSelector { match_labels: (*labels("debug")).clone(), ..LabelSelector::default() }),
        ..PodSelector::default()
    };
    spec.steps.push(step(120, StepAction::LabelPods(bare, None, (*labels("web")).clone())));
    let run = run(spec);
    assert_eq!(run.workload("default/web"), [3; 5]);
    assert_eq!((run.world.store.pods.len(), created(&run)), (3, 4));
    assert!(run.world.store.pods.iter().all(|(_, pod)| pod.meta.controller().is_some()));
}

#[test]
fn a_deployment_that_was_deleted_without_its_pods_finds_them_again() {
    let mut spec = small(240);
    spec.steps.push(step(60, StepAction::Delete(Kind::Deployment, key("web"), Propagation::Orphan)));
    let again = Objects { deployments: spec.objects.deployments.clone(), ..Objects::default() };
    spec.steps.push(step(120, StepAction::Apply(Arc::new(again))));
    let run = run(spec);
    assert_eq!(run.workload("default/web"), [3; 5]);
    assert_eq!((run.world.store.replica_sets.len(), created(&run)), (1, 3), "nothing is made anew");
    assert!(run.world.store.replica_sets.iter().all(|(_, set)| set.meta.controller().is_some()));
}
