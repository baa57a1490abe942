//! What dumps of clusters say of running pods.

use api::{Condition, ConditionStatus, ContainerState, ContainerStatus, PodConditions, PodPhase, PodSpec, PodStatus, Termination};
use k8s_openapi::api::core::v1 as core;

use crate::check::{Cx, text};
use crate::source::Step;

/// The meaning of a condition's status.
pub(crate) fn condition_status(word: &str) -> ConditionStatus {
    match word {
        "True" => ConditionStatus::True,
        "Unknown" => ConditionStatus::Unknown,
        _ => ConditionStatus::False,
    }
}

/// The status of a pod; containers in the order of its spec.
pub(crate) fn pod_status(cx: &mut Cx<'_>, from: &core::PodStatus, spec: &PodSpec, at: &Step<'_>) -> PodStatus {
    let phases = &[
        ("Pending", PodPhase::Pending),
        ("Running", PodPhase::Running),
        ("Succeeded", PodPhase::Succeeded),
        ("Failed", PodPhase::Failed),
        ("Unknown", PodPhase::Unknown),
        ("", PodPhase::Pending),
    ];
    let phase = from.phase.as_deref().and_then(|word| cx.word(word, phases, &at.key("phase"))).unwrap_or_default();
    let containers = spec.containers.iter().map(|container| &*container.name).collect::<Vec<_>>();
    let inits = spec.init_containers.iter().map(|container| &*container.name).collect::<Vec<_>>();
    PodStatus {
        phase,
        reason: text(from.reason.as_ref()),
        conditions: conditions(cx, from.conditions.as_deref().unwrap_or_default()),
        containers: container_statuses(
            cx,
            &containers,
            from.container_statuses.as_deref().unwrap_or_default(),
            &at.key("containerStatuses"),
        ),
        init_containers: container_statuses(
            cx,
            &inits,
            from.init_container_statuses.as_deref().unwrap_or_default(),
            &at.key("initContainerStatuses"),
        ),
        has_ip: from.pod_ip.as_ref().is_some_and(|ip| !ip.is_empty()),
        start_time: from.start_time.as_ref().map(|time| cx.instant(time)),
        nominated_node_name: from.nominated_node_name.as_deref().filter(|name| !name.is_empty()).map(Into::into),
    }
}

fn conditions(cx: &Cx<'_>, from: &[core::PodCondition]) -> PodConditions {
    let mut found = PodConditions::default();
    for from in from {
        let condition = Condition {
            status: condition_status(&from.status),
            reason: text(from.reason.as_ref()),
            since: from.last_transition_time.as_ref().map(|time| cx.instant(time)).unwrap_or_default(),
        };
        match from.type_.as_str() {
            "PodScheduled" => found.scheduled = condition,
            "Initialized" => found.initialized = condition,
            "ContainersReady" => found.containers_ready = condition,
            "Ready" => found.ready = condition,
            "PodReadyToStartContainers" => found.ready_to_start_containers = Some(condition.status.is_true()),
            "DisruptionTarget" if condition.status.is_true() => found.disruption_target = condition.reason,
            "PodResizePending" => found.resize_infeasible = condition.status.is_true() && &*condition.reason == "Infeasible",
            _ => {}
        }
    }
    found
}

/// One status per container of the spec, when any are reported at all.
fn container_statuses(cx: &mut Cx<'_>, names: &[&str], from: &[core::ContainerStatus], at: &Step<'_>) -> Vec<ContainerStatus> {
    if from.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for name in names {
        let Some((index, from)) = from.iter().enumerate().find(|(_, from)| from.name == *name) else {
            let state = ContainerState::Waiting { reason: "ContainerCreating" };
            found.push(ContainerStatus {
                state,
                ready: false,
                started: false,
                restart_count: 0,
                last: None,
                requests: None,
                allocated: None,
            });
            continue;
        };
        let at = at.index(index);
        let resources_at = at.key("resources");
        let requests = from.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        found.push(ContainerStatus {
            state: state(cx, from),
            ready: from.ready,
            started: from.started.unwrap_or(from.ready),
            restart_count: from.restart_count.max(0).unsigned_abs(),
            last: from.last_state.as_ref().and_then(|last| last.terminated.as_ref()).map(|end| Box::new(termination(cx, end))),
            requests: requests.map(|list| Box::new(cx.resources(list, &resources_at.key("requests")))),
            allocated: from.allocated_resources.as_ref().map(|list| Box::new(cx.resources(list, &at.key("allocatedResources")))),
        });
    }
    found
}

const WAITING: &[&str] = &[
    "ContainerCreating",
    "PodInitializing",
    "CrashLoopBackOff",
    "ErrImagePull",
    "ImagePullBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
];
const TERMINATED: &[&str] =
    &["Completed", "Error", "OOMKilled", "ContainerCannotRun", "DeadlineExceeded", "Evicted", "ContainerStatusUnknown"];

/// The word itself when it is one of those known, else `other`.
fn known(words: &[&'static str], word: Option<&String>, other: &'static str) -> &'static str {
    words.iter().copied().find(|known| word.is_some_and(|word| word == known)).unwrap_or(other)
}

fn termination(cx: &Cx<'_>, end: &core::ContainerStateTerminated) -> Termination {
    Termination {
        exit_code: end.exit_code,
        reason: known(TERMINATED, end.reason.as_ref(), if end.exit_code == 0 { "Completed" } else { "Error" }),
        finished: end.finished_at.as_ref().map(|time| cx.instant(time)).unwrap_or_default(),
    }
}

fn state(cx: &Cx<'_>, from: &core::ContainerStatus) -> ContainerState {
    match from.state.as_ref() {
        Some(core::ContainerState { running: Some(running), .. }) => {
            ContainerState::Running { started: running.started_at.as_ref().map(|time| cx.instant(time)).unwrap_or_default() }
        }
        Some(core::ContainerState { terminated: Some(end), .. }) => {
            let Termination { exit_code, reason, finished } = termination(cx, end);
            ContainerState::Terminated { exit_code, reason, finished }
        }
        Some(core::ContainerState { waiting: Some(waiting), .. }) => {
            ContainerState::Waiting { reason: known(WAITING, waiting.reason.as_ref(), "ContainerCreating") }
        }
        _ => ContainerState::Waiting { reason: "ContainerCreating" },
    }
}
