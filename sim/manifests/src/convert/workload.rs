//! Objects that make pods.

use std::sync::Arc;

use api::{
    ClaimRetentionPolicy, ConditionStatus, DaemonSet, DaemonSetStatus, DaemonSetUpdateStrategy, Deployment, DeploymentStatus,
    DeploymentStrategy, IntOrPercent, LabelSelector, OtherWorkload, PersistentVolumeClaim, PodManagementPolicy, PodTemplate, ReplicaSet,
    ReplicaSetStatus, RestartPolicy, StatefulSet, StatefulSetStatus, StatefulSetUpdateStrategy, WorkloadCondition,
};
use k8s_openapi::api::{apps::v1 as apps, core::v1 as core};
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as raw_meta;

use super::meta::{annotation, object_meta, plain_labels, selector};
use super::pod::template;
use super::status::condition_status;
use super::storage::claim_template;
use crate::admission::Classes;
use crate::check::{Cx, NameRule, text};
use crate::source::Step;

/// The selector of a workload, which must be there, ask something, and match the template.
fn own_selector(cx: &mut Cx<'_>, from: &raw_meta::LabelSelector, template: &PodTemplate, at: &Step<'_>) -> Arc<LabelSelector> {
    let selector_at = at.key("selector");
    let found = selector(cx, from, &selector_at);
    if found.is_empty() {
        cx.missing("selector", at);
    } else if !found.matches(&template.labels) {
        mismatch(cx, &found, template, at);
    }
    Arc::new(found)
}

fn mismatch(cx: &mut Cx<'_>, selector: &LabelSelector, template: &PodTemplate, at: &Step<'_>) {
    let template_at = at.key("template");
    let meta_at = template_at.key("metadata");
    let wrong = selector.match_labels.iter().find(|(key, value)| template.labels.get(*key) != Some(value));
    let (label, help) = match wrong {
        Some((key, value)) => {
            let found = template.labels.get(key).map_or_else(|| format!("has no label `{key}`"), |found| format!("has `{key}: {found}`"));
            (format!("the template {found}"), format!("the selector asks for `{key}: {value}`; give both the same labels"))
        }
        None => ("an expression of the selector does not hold".to_owned(), "give the template labels that the selector matches".to_owned()),
    };
    cx.error_with_help("WT0201", "the selector does not match the template's labels", label, help, &meta_at.key("labels"));
}

fn always_restarts(cx: &mut Cx<'_>, template: &PodTemplate, at: &Step<'_>) {
    if template.spec.restart_policy != RestartPolicy::Always {
        let template_at = at.key("template");
        let spec_at = template_at.key("spec");
        cx.error("WT0108", "pods of this kind always restart", "must be `Always`, or absent", &spec_at.key("restartPolicy"));
    }
}

/// A Deployment.
pub(crate) fn deployment(cx: &mut Cx<'_>, from: &apps::Deployment, classes: &Classes) -> Deployment {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Subdomain);
    let root = Step::Root;
    let at = root.key("spec");
    let Some(spec) = &from.spec else {
        cx.missing("spec", &root);
        return Deployment { meta, ..Deployment::default() };
    };
    let template = template(cx, &spec.template, classes, &at.key("template"));
    always_restarts(cx, &template, &at);
    let min_ready = cx.seconds(i64::from(spec.min_ready_seconds.unwrap_or(0)), &at.key("minReadySeconds"));
    let progress_deadline = cx.seconds(i64::from(spec.progress_deadline_seconds.unwrap_or(600)), &at.key("progressDeadlineSeconds"));
    if progress_deadline <= min_ready {
        let label = "must be greater than minReadySeconds";
        cx.error("WT0109", "the progress deadline is too short", label, &at.key("progressDeadlineSeconds"));
    }
    Deployment {
        meta,
        replicas: cx.count(spec.replicas.unwrap_or(1), &at.key("replicas")),
        selector: own_selector(cx, &spec.selector, &template, &at),
        template: Arc::new(template),
        strategy: strategy(cx, spec.strategy.as_ref(), &at.key("strategy")),
        min_ready,
        revision_history_limit: cx.count(spec.revision_history_limit.unwrap_or(10), &at.key("revisionHistoryLimit")),
        progress_deadline,
        paused: spec.paused.unwrap_or(false),
        collision_count: from.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0).max(0).unsigned_abs(),
        status: from.status.as_ref().map(|from| deployment_status(cx, from)).unwrap_or_default(),
    }
}

fn strategy(cx: &mut Cx<'_>, from: Option<&apps::DeploymentStrategy>, at: &Step<'_>) -> DeploymentStrategy {
    let Some(from) = from else { return DeploymentStrategy::default() };
    let words = &[("RollingUpdate", false), ("Recreate", true), ("", false)];
    let recreate = from.type_.as_deref().and_then(|word| cx.word(word, words, &at.key("type"))).unwrap_or(false);
    let rolling_at = at.key("rollingUpdate");
    if recreate {
        if from.rolling_update.is_some() {
            cx.error("WT0117", "rollingUpdate with Recreate", "only for the type `RollingUpdate`", &rolling_at);
        }
        return DeploymentStrategy::Recreate;
    }
    let quarter = IntOrPercent::Percent(25);
    let mut amount = |raw: Option<&_>, field: &str| raw.and_then(|raw| cx.int_or_percent(raw, &rolling_at.key(field))).unwrap_or(quarter);
    let rolling = from.rolling_update.as_ref();
    let max_surge = amount(rolling.and_then(|rolling| rolling.max_surge.as_ref()), "maxSurge");
    let max_unavailable = amount(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), "maxUnavailable");
    let is_zero = |amount| matches!(amount, IntOrPercent::Count(0) | IntOrPercent::Percent(0));
    if is_zero(max_surge) && is_zero(max_unavailable) {
        cx.error("WT0118", "maxSurge and maxUnavailable are both zero", "no pod could ever be replaced", &rolling_at);
    }
    if matches!(max_unavailable, IntOrPercent::Percent(101..)) {
        cx.error("WT0109", "more than 100% unavailable", "expected 0% to 100%", &rolling_at.key("maxUnavailable"));
    }
    DeploymentStrategy::RollingUpdate { max_surge, max_unavailable }
}

fn deployment_status(cx: &Cx<'_>, from: &apps::DeploymentStatus) -> DeploymentStatus {
    let condition = |name: &str| {
        let from = from.conditions.iter().flatten().find(|condition| condition.type_ == name)?;
        Some(WorkloadCondition {
            status: condition_status(&from.status),
            reason: text(from.reason.as_ref()),
            message: text(from.message.as_ref()),
            since: from.last_transition_time.as_ref().map(|time| cx.instant(time)).unwrap_or_default(),
            updated: from.last_update_time.as_ref().map(|time| cx.instant(time)).unwrap_or_default(),
        })
    };
    DeploymentStatus {
        observed_generation: 0, // generations are the store's own
        replicas: from.replicas.unwrap_or(0),
        updated: from.updated_replicas.unwrap_or(0),
        ready: from.ready_replicas.unwrap_or(0),
        available: from.available_replicas.unwrap_or(0),
        unavailable: from.unavailable_replicas.unwrap_or(0),
        terminating: from.terminating_replicas.unwrap_or(0),
        revision: 0, // the controller's own
        available_condition: condition("Available"),
        progressing: condition("Progressing").filter(|condition| condition.status != ConditionStatus::Unknown),
        replica_failure: condition("ReplicaFailure"),
    }
}

/// A ReplicaSet.
pub(crate) fn replica_set(cx: &mut Cx<'_>, from: &apps::ReplicaSet, classes: &Classes) -> ReplicaSet {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Subdomain);
    let root = Step::Root;
    let at = root.key("spec");
    let Some(spec) = &from.spec else {
        cx.missing("spec", &root);
        return ReplicaSet { meta, ..ReplicaSet::default() };
    };
    let template = match &spec.template {
        Some(from) => template(cx, from, classes, &at.key("template")),
        None => {
            cx.missing("template", &at);
            PodTemplate::default()
        }
    };
    always_restarts(cx, &template, &at);
    let number = |key: &str| annotation(&from.metadata, key).parse::<i32>().ok();
    let status = from.status.as_ref();
    ReplicaSet {
        meta,
        replicas: cx.count(spec.replicas.unwrap_or(1), &at.key("replicas")),
        selector: own_selector(cx, &spec.selector, &template, &at),
        template: Arc::new(template),
        min_ready: cx.seconds(i64::from(spec.min_ready_seconds.unwrap_or(0)), &at.key("minReadySeconds")),
        revision: number("deployment.kubernetes.io/revision").unwrap_or(0).max(0) as u64,
        desired_annotation: number("deployment.kubernetes.io/desired-replicas"),
        max_annotation: number("deployment.kubernetes.io/max-replicas"),
        status: ReplicaSetStatus {
            observed_generation: 0,
            replicas: status.map_or(0, |status| status.replicas),
            ready: status.and_then(|status| status.ready_replicas).unwrap_or(0),
            available: status.and_then(|status| status.available_replicas).unwrap_or(0),
            replica_failure: None,
            terminating: status.and_then(|status| status.terminating_replicas).unwrap_or(0),
        },
    }
}

/// A StatefulSet.
pub(crate) fn stateful_set(cx: &mut Cx<'_>, from: &apps::StatefulSet, classes: &Classes) -> StatefulSet {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Subdomain);
    let root = Step::Root;
    let at = root.key("spec");
    let Some(spec) = &from.spec else {
        cx.missing("spec", &root);
        return StatefulSet { meta, ..StatefulSet::default() };
    };
    let template = template(cx, &with_claims(spec), classes, &at.key("template"));
    always_restarts(cx, &template, &at);
    let claims_at = at.key("volumeClaimTemplates");
    let claims = spec.volume_claim_templates.iter().flatten().enumerate();
    let claims: Vec<_> = claims.map(|(index, from)| claim_template(cx, from, &claims_at.index(index))).collect();
    let management = &[("OrderedReady", PodManagementPolicy::OrderedReady), ("Parallel", PodManagementPolicy::Parallel)];
    let management = spec.pod_management_policy.as_deref().and_then(|word| cx.word(word, management, &at.key("podManagementPolicy")));
    let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0);
    StatefulSet {
        replicas: cx.count(spec.replicas.unwrap_or(1), &at.key("replicas")),
        selector: own_selector(cx, &spec.selector, &template, &at),
        template: Arc::new(without_claims(template, &claims)),
        pod_management: management.unwrap_or_default(),
        update_strategy: stateful_set_strategy(cx, spec.update_strategy.as_ref(), &at.key("updateStrategy")),
        min_ready: cx.seconds(i64::from(spec.min_ready_seconds.unwrap_or(0)), &at.key("minReadySeconds")),
        revision_history_limit: cx.count(spec.revision_history_limit.unwrap_or(10), &at.key("revisionHistoryLimit")),
        ordinals_start: cx.count(start, &at.key("ordinals").key("start")),
        claim_retention: claim_retention(cx, spec, &at.key("persistentVolumeClaimRetentionPolicy")),
        volume_claim_templates: claims,
        status: StatefulSetStatus::default(), // counts are the controller's own
        meta,
    }
}

/// The template with a volume for every claim, so that mounts of these are known.
fn with_claims(spec: &apps::StatefulSetSpec) -> core::PodTemplateSpec {
    let mut template = spec.template.clone();
    if let Some(pod) = &mut template.spec {
        let volumes = pod.volumes.get_or_insert_default();
        for claim in spec.volume_claim_templates.iter().flatten() {
            let name = claim.metadata.name.clone().unwrap_or_default();
            if volumes.iter().all(|volume| volume.name != name) {
                let source = core::PersistentVolumeClaimVolumeSource { claim_name: name.clone(), read_only: None };
                volumes.push(core::Volume { name, persistent_volume_claim: Some(source), ..core::Volume::default() });
            }
        }
    }
    template
}

/// The controller adds each pod's own volumes.
fn without_claims(mut template: PodTemplate, claims: &[PersistentVolumeClaim]) -> PodTemplate {
    if !claims.is_empty() {
        Arc::make_mut(&mut template.spec).volumes.retain(|volume| claims.iter().all(|claim| claim.meta.name != volume.name));
    }
    template
}

/// Upstream: pkg/apis/apps/v1/defaults.go. A `rollingUpdate` is filled in only where no type is named.
fn stateful_set_strategy(cx: &mut Cx<'_>, from: Option<&apps::StatefulSetUpdateStrategy>, at: &Step<'_>) -> StatefulSetUpdateStrategy {
    let Some(from) = from else { return StatefulSetUpdateStrategy::default() };
    let word = from.type_.as_deref().unwrap_or("");
    let is_on_delete = cx.word(word, &[("RollingUpdate", false), ("OnDelete", true), ("", false)], &at.key("type")).unwrap_or(false);
    let rolling_at = at.key("rollingUpdate");
    if is_on_delete {
        if from.rolling_update.is_some() {
            cx.error("WT0117", "rollingUpdate with OnDelete", "only for the type `RollingUpdate`", &rolling_at);
        }
        return StatefulSetUpdateStrategy::OnDelete;
    }
    let partition = match &from.rolling_update {
        Some(rolling) => Some(cx.count(rolling.partition.unwrap_or(0), &rolling_at.key("partition"))),
        None => word.is_empty().then_some(0),
    };
    StatefulSetUpdateStrategy::RollingUpdate { partition }
}

fn claim_retention(cx: &mut Cx<'_>, spec: &apps::StatefulSetSpec, at: &Step<'_>) -> ClaimRetentionPolicy {
    let Some(from) = &spec.persistent_volume_claim_retention_policy else { return ClaimRetentionPolicy::default() };
    let mut deletes = |word: Option<&String>, field: &str| {
        word.and_then(|word| cx.word(word, &[("Retain", false), ("Delete", true)], &at.key(field))).unwrap_or(false)
    };
    ClaimRetentionPolicy {
        delete_when_deleted: deletes(from.when_deleted.as_ref(), "whenDeleted"),
        delete_when_scaled: deletes(from.when_scaled.as_ref(), "whenScaled"),
    }
}

/// A DaemonSet.
pub(crate) fn daemon_set(cx: &mut Cx<'_>, from: &apps::DaemonSet, classes: &Classes) -> DaemonSet {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Subdomain);
    let root = Step::Root;
    let at = root.key("spec");
    let Some(spec) = &from.spec else {
        cx.missing("spec", &root);
        return DaemonSet { meta, ..DaemonSet::default() };
    };
    let template = template(cx, &spec.template, classes, &at.key("template"));
    always_restarts(cx, &template, &at);
    DaemonSet {
        meta,
        selector: own_selector(cx, &spec.selector, &template, &at),
        template: Arc::new(template),
        update_strategy: daemon_set_strategy(cx, spec.update_strategy.as_ref(), &at.key("updateStrategy")),
        min_ready: cx.seconds(i64::from(spec.min_ready_seconds.unwrap_or(0)), &at.key("minReadySeconds")),
        revision_history_limit: cx.count(spec.revision_history_limit.unwrap_or(10), &at.key("revisionHistoryLimit")),
        template_changes: 0,
        status: DaemonSetStatus::default(), // counts are the controller's own
    }
}

/// Upstream: pkg/apis/apps/v1/defaults.go and pkg/apis/apps/validation.
fn daemon_set_strategy(cx: &mut Cx<'_>, from: Option<&apps::DaemonSetUpdateStrategy>, at: &Step<'_>) -> DaemonSetUpdateStrategy {
    let Some(from) = from else { return DaemonSetUpdateStrategy::default() };
    let words = &[("RollingUpdate", false), ("OnDelete", true), ("", false)];
    if from.type_.as_deref().and_then(|word| cx.word(word, words, &at.key("type"))).unwrap_or(false) {
        return DaemonSetUpdateStrategy::OnDelete;
    }
    let rolling_at = at.key("rollingUpdate");
    let rolling = from.rolling_update.as_ref();
    let mut amount = |raw: Option<&_>, field: &str, default: i32| {
        raw.and_then(|raw| cx.int_or_percent(raw, &rolling_at.key(field))).unwrap_or(IntOrPercent::Count(default))
    };
    let max_surge = amount(rolling.and_then(|rolling| rolling.max_surge.as_ref()), "maxSurge", 0);
    let max_unavailable = amount(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), "maxUnavailable", 1);
    let is_zero = |amount| matches!(amount, IntOrPercent::Count(0) | IntOrPercent::Percent(0));
    match (is_zero(max_surge), is_zero(max_unavailable)) {
        (true, true) => cx.error("WT0118", "maxSurge and maxUnavailable are both zero", "no pod could ever be replaced", &rolling_at),
        (false, false) => {
            let label = "one of maxSurge and maxUnavailable must be zero; maxUnavailable is 1 unless it is given";
            cx.error("WT0117", "a DaemonSet either surges or has unavailable pods", label, &rolling_at);
        }
        _ => {}
    }
    DaemonSetUpdateStrategy::RollingUpdate { max_surge, max_unavailable }
}

/// A ReplicationController, whose selector defaults to the template's labels.
pub(crate) fn replication_controller(cx: &mut Cx<'_>, from: &core::ReplicationController, classes: &Classes) -> OtherWorkload {
    let meta = object_meta(cx, &from.metadata, true, NameRule::Subdomain);
    let root = Step::Root;
    let at = root.key("spec");
    let Some(spec) = &from.spec else {
        cx.missing("spec", &root);
        return OtherWorkload { meta, ..OtherWorkload::default() };
    };
    let template = match &spec.template {
        Some(from) => template(cx, from, classes, &at.key("template")),
        None => {
            cx.missing("template", &at);
            PodTemplate::default()
        }
    };
    let match_labels = match spec.selector.as_ref().filter(|selector| !selector.is_empty()) {
        Some(selector) => plain_labels(Some(selector)),
        None => (*template.labels).clone(),
    };
    let selector = LabelSelector { match_labels, match_expressions: Vec::new() };
    if !selector.matches(&template.labels) {
        mismatch(cx, &selector, &template, &at);
    }
    OtherWorkload {
        meta,
        selector: Some(Arc::new(selector)),
        replicas: cx.count(spec.replicas.unwrap_or(1), &at.key("replicas")),
        template: Arc::new(template),
    }
}
