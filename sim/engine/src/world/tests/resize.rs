//! The resize subresource: what the API server lets pass, what nodes hold, and what processes make of it.

use super::traffic::served;
use super::*;
use crate::spec::{PodResize, Step, StepAction};
use api::Kind;
use trace::{Record as Fact, TrafficCounts};

fn resize(at_s: u64, requests: i64, limits: i64) -> Step {
    let cpu = |millis| [(ResourceName::Cpu, millis)].into();
    let resize = PodResize { container: None, requests: cpu(requests), limits: cpu(limits) };
    Step { name: "resize".into(), at: SimTime::from_secs(at_s), action: StepAction::Resize(Kind::Deployment, key("web"), resize) }
}

fn outcomes(run: &Run) -> Vec<String> {
    let outcomes = run.all(|record| match record {
        Fact::Step { outcome, .. } => Some(outcome.to_string()),
        _ => None,
    });
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn events(run: &Run, reason: &str) -> usize {
    run.all(|record| matches!(record, Fact::Event { reason: found, .. } if &**found == reason).then_some(())).len()
}

#[test]
fn what_a_node_has_room_for_is_resized_and_the_rest_waits() {
    let mut spec = small(300);
    spec.steps.push(resize(60, 3000, 3000));
    let run = run(spec);
    assert_eq!(outcomes(&run), ["3 pods patched"]);
    let told = ["ResizeStarted", "ResizeCompleted", "ResizeDeferred"].map(|reason| events(&run, reason));
    assert_eq!(told, [2, 2, 1], "one node has two of the pods, and room for one of them");
    let held: Vec<i64> = run.world.store.pods.iter().map(|(_, pod)| pod.allocated_requests().cpu_millis).collect();
    assert_eq!((held.iter().sum::<i64>(), run.workload("default/web")), (6500, [3; 5]), "nobody was restarted or lost");
}

#[test]
fn the_api_server_refuses_what_a_node_could_never_hold_and_a_change_of_quality() {
    let mut spec = small(120);
    spec.objects.deployments[0].replicas = 1;
    spec.steps.extend([resize(60, 5000, 5000), resize(70, 400, 500), resize(80, 600, 500)]);
    let outcomes = outcomes(&run(spec));
    let refused: Vec<&str> = outcomes.iter().filter(|outcome| outcome.starts_with("Error")).map(String::as_str).collect();
    let ends = [
        "is forbidden: node didn't have enough allocatable resources: cpu, requested: 5000, allocatable: 4000",
        "is invalid: spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing",
        "Pod QOS Class may not change as a result of resizing",
    ];
    assert_eq!(refused.len(), ends.len(), "{outcomes:?}");
    assert!(refused.iter().zip(ends).all(|(refused, end)| refused.ends_with(end)), "{refused:?}");
}

#[test]
fn a_running_process_gets_more_cpu_and_answers_more() {
    // Three halves of a core answer 150 requests a second of 10 ms each; three cores answer all 200.
    let lost_after = |cpu: Option<i64>| {
        let mut spec = served(180, &[(0, 0.0), (20, 200.0)]);
        spec.steps.extend(cpu.map(|cpu| resize(60, cpu, cpu)));
        let run = run(spec);
        let windows = run.all(|record| match record {
            Fact::Traffic { flow, counts, .. } if &**flow == "users" => Some(*counts),
            _ => None,
        });
        let late = windows.into_iter().filter(|(at, _)| at.as_secs() > 100).map(|(_, counts)| counts);
        late.map(|TrafficCounts { shed, timed_out, failed, .. }| shed + timed_out + failed).sum::<u64>()
    };
    assert!(lost_after(None) > 1000, "too little cpu loses requests");
    assert_eq!(lost_after(Some(1000)), 0);
}
