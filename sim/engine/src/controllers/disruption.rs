//! Disruption controller: keeps the status of PodDisruptionBudgets; and whether a pod may be evicted right now.
//!
//! Reads: PodDisruptionBudgets, Pods and the scale of their controllers. Writes: the budgets' status.
//! Upstream: pkg/controller/disruption, pkg/registry/core/pod/storage/eviction.go.
//!
//! Invariants: an eviction is judged by the budget's status, which the controller writes and each eviction uses up;
//! what was granted in one batch counts against the next question of that batch; a pod that was let go counts as gone
//! until its deletion is seen, or for two minutes.
//!
//! Not modelled: controllers of kinds that are not kept, whose scale upstream asks for; taking back a DisruptionTarget
//! condition that no deletion followed.

use std::collections::BTreeMap;

use api::{IntOrPercent, Kind, LabelSelector, Operator, Pod, PodDisruptionBudget, SimDuration, SimTime, Str, Uid};

use super::{View, object_name, owning_deployment, owning_replica_set, owning_stateful_set, whole_second};
use crate::effects::{Component, Effects, Write};
use crate::objects::{Kept, Part};
use crate::store::{Change, Id, Store};

/// How long an evicted pod that does not go counts as gone. Upstream: DeletionTimeout.
const DELETION_TIMEOUT: SimDuration = SimDuration::from_secs(120);

/// The answer of the eviction API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Eviction {
    /// It goes.
    Allowed,
    /// This budget has none left (429): try again later.
    Blocked(Str),
    /// More than one budget selects the pod (500).
    Ambiguous,
}

/// Budgets as one batch of evictions uses them up.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    granted: BTreeMap<Uid, i32>,
}

impl Budgets {
    /// Asks to evict `pod`; a grant is remembered.
    pub(crate) fn evict(&mut self, pod: &Pod, store: &Store) -> Eviction {
        if pod.meta.is_deleting() || pod.status.phase.is_terminal() || pod.status.phase == api::PodPhase::Pending {
            return Eviction::Allowed;
        }
        let mut matching = budgets_of(pod, store);
        let Some(budget) = matching.next() else { return Eviction::Allowed };
        if matching.next().is_some() {
            return Eviction::Ambiguous;
        }
        if !pod.is_ready() {
            let healthy_enough = budget.current_healthy >= budget.desired_healthy && budget.desired_healthy > 0;
            if budget.always_allow_unhealthy || healthy_enough {
                return Eviction::Allowed;
            }
        }
        let granted = self.granted.entry(budget.meta.uid).or_insert(0);
        if budget.observed_generation < budget.meta.generation || budget.disruptions_allowed - *granted <= 0 {
            return Eviction::Blocked(budget.meta.name.clone());
        }
        *granted += 1;
        Eviction::Allowed
    }

    /// Whether a pod of this budget was let go by its allowance, and not for being unhealthy anyway.
    pub(crate) fn have_spent(&self, budget: Uid) -> bool {
        self.granted.get(&budget).is_some_and(|granted| *granted > 0)
    }
}

/// Which budgets a change puts in doubt.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(Id<PodDisruptionBudget>)) {
    if view.store.pdbs.len() == 0 {
        return;
    }
    let pod = match change {
        Change::Object(Kind::PodDisruptionBudget, number) => return queue(Id::new(*number)),
        // Those that selected it before count it no more.
        Change::PodModified(id, before) if before.relabelled => {
            let Some(pod) = view.store.pods.get(*id) else { return };
            return view.store.pdbs.in_namespace(&pod.meta.namespace).for_each(|(id, _)| queue(id));
        }
        Change::PodAdded(id) | Change::PodModified(id, _) => view.store.pods.get(*id),
        Change::PodDeleted(_, gone) => Some(&**gone),
        _ => None,
    };
    let Some(pod) = pod else { return };
    for (id, budget) in view.store.pdbs.in_namespace(&pod.meta.namespace) {
        if selects(budget, pod) {
            queue(id);
        }
    }
}

/// One look at a budget. Upstream: trySync, updatePdbStatus and failSafe.
pub(crate) fn sync(id: Id<PodDisruptionBudget>, view: &View<'_>, out: &mut Effects) {
    let Some(budget) = view.store.pdbs.get(id) else { return };
    let about = || object_name("PodDisruptionBudget", &budget.meta);
    let by = Component::Disruption;
    let pods = pods_of(budget, view.store);
    if pods.is_empty() {
        out.event(by, false, "NoPods", about(), "No matching pods found".to_owned());
    }
    let mut told = budget.clone();
    match count(budget, &pods, view.store) {
        Ok(counted) => {
            if counted.has_unmanaged {
                out.event(by, true, "UnmanagedPods", about(), unmanaged(budget.selector.as_ref()));
            }
            told.disrupted_pods = still_expected_to_go(budget, &pods, view, out);
            told.current_healthy = healthy(&pods, &told.disrupted_pods, view.now);
            (told.expected_pods, told.desired_healthy) = (counted.expected, counted.desired);
            told.disruptions_allowed = allowed(counted, told.current_healthy);
            told.observed_generation = budget.meta.generation;
            told.disruption_allowed = Some(reason(told.disruptions_allowed));
        }
        Err(why) => {
            let message = format!("Failed to calculate the number of expected pods: {why}");
            out.event(by, true, "CalculateExpectedPodCountFailed", about(), message);
            (told.disruptions_allowed, told.disruption_allowed) = (0, Some("SyncFailed"));
        }
    }
    if told != *budget {
        out.write(by, Write::Update(told.into_any(), Part::Status));
    }
}

/// Evicted pods that have not been deleted yet, but for those of which it is no longer believed.
/// Upstream: buildDisruptedPodMap.
fn still_expected_to_go(budget: &PodDisruptionBudget, pods: &[&Pod], view: &View<'_>, out: &mut Effects) -> BTreeMap<Str, SimTime> {
    let mut expected = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !pod.meta.is_deleting()) {
        let Some(evicted) = budget.disrupted_pods.get(&pod.meta.name) else { continue };
        let end = *evicted + DELETION_TIMEOUT;
        if end < view.now {
            let namespace = &budget.meta.namespace; // Upstream names it twice and the budget not at all.
            let message = format!("Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't");
            out.event(Component::Disruption, true, "NotDeleted", object_name("Pod", &pod.meta), message);
        } else {
            out.resync_at(end + SimDuration::from_millis(1));
            expected.insert(pod.meta.name.clone(), *evicted);
        }
    }
    expected
}

fn unmanaged(selector: Option<&LabelSelector>) -> String {
    format!(
        "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of the PDB cannot be \
         calculated correctly, which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of \
         the PDB to an integer value.",
        selector.map_or("nil".to_owned(), in_go)
    )
}

/// A selector as Go prints it.
fn in_go(selector: &LabelSelector) -> String {
    let labels: String = selector.match_labels.iter().map(|(key, value)| format!("{key}: {value},")).collect();
    let operator = |operator: Operator| match operator {
        Operator::In => "In",
        Operator::NotIn => "NotIn",
        Operator::Exists => "Exists",
        Operator::DoesNotExist => "DoesNotExist",
        Operator::Gt => "Gt",
        Operator::Lt => "Lt",
    };
    let shown = selector.match_expressions.iter().map(|one| {
        let values: Vec<&str> = one.values.iter().map(|value| &**value).collect();
        format!("LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},", one.key, operator(one.operator), values.join(" "))
    });
    let expressions: String = shown.collect();
    format!("&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}")
}

/// Condition DisruptionAllowed. Upstream: pkg/controller/disruption (UpdateDisruptionAllowedCondition).
const fn reason(allowed: i32) -> &'static str {
    if allowed > 0 { "SufficientPods" } else { "InsufficientPods" }
}

/// What the API server notes on a budget when it lets an evicted pod go. Upstream: checkAndDecrement.
pub(crate) fn note_eviction(budget: &mut PodDisruptionBudget, pod: &Str, now: SimTime) -> bool {
    if budget.disruptions_allowed <= 0 {
        return false; // An unhealthy pod needs no allowance.
    }
    budget.disruptions_allowed -= 1;
    budget.disruption_allowed = Some(reason(budget.disruptions_allowed));
    budget.disrupted_pods.insert(pod.clone(), whole_second(now));
    true
}

fn selects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    budget.selector.as_ref().is_some_and(|selector| selector.matches(&pod.meta.labels))
}

/// Budgets that select a pod.
pub(crate) fn budgets_of<'a>(pod: &'a Pod, store: &'a Store) -> impl Iterator<Item = &'a PodDisruptionBudget> {
    store.pdbs.in_namespace(&pod.meta.namespace).map(|(_, budget)| budget).filter(move |budget| selects(budget, pod))
}

/// All pods that a budget selects, also those that have ended.
fn pods_of<'a>(budget: &PodDisruptionBudget, store: &'a Store) -> Vec<&'a Pod> {
    store.pods.in_namespace(&budget.meta.namespace).map(|(_, pod)| pod).filter(|pod| selects(budget, pod)).collect()
}

/// Upstream: countHealthyPods.
fn healthy(pods: &[&Pod], disrupted: &BTreeMap<Str, SimTime>, now: SimTime) -> i32 {
    let goes = |pod: &Pod| pod.meta.is_deleting() || disrupted.get(&pod.meta.name).is_some_and(|evicted| *evicted + DELETION_TIMEOUT > now);
    pods.iter().filter(|pod| pod.is_ready() && !goes(pod)).count() as i32
}

/// What a budget expects.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Counted {
    expected: i32,
    desired: i32,
    /// Some pods have no controller, and count for none.
    has_unmanaged: bool,
}

/// A budget that expects no pods allows nothing: its first ones may be there before it has looked.
const fn allowed(counted: Counted, healthy: i32) -> i32 {
    if counted.expected <= 0 || healthy <= counted.desired { 0 } else { healthy - counted.desired }
}

/// Upstream: getExpectedPodCount.
fn count(budget: &PodDisruptionBudget, pods: &[&Pod], store: &Store) -> Result<Counted, String> {
    match (budget.min_available, budget.max_unavailable) {
        (_, Some(most)) => {
            let counted = expected_scale(pods, store)?;
            Ok(Counted { desired: (counted.expected - most.scaled_up(counted.expected)).max(0), ..counted })
        }
        (Some(IntOrPercent::Count(least)), None) => Ok(Counted { expected: pods.len() as i32, desired: least, has_unmanaged: false }),
        (Some(percent), None) => {
            let counted = expected_scale(pods, store)?;
            Ok(Counted { desired: percent.scaled_up(counted.expected), ..counted })
        }
        (None, None) => Ok(Counted::default()),
    }
}

/// The scales of the pods' controllers together. Upstream: getExpectedScale.
fn expected_scale(pods: &[&Pod], store: &Store) -> Result<Counted, String> {
    let mut scales: BTreeMap<Uid, i32> = BTreeMap::new();
    let mut has_unmanaged = false;
    for pod in pods {
        if pod.meta.controller().is_none() {
            has_unmanaged = true;
            continue;
        }
        let (controller, scale) = scale_of(pod, store).ok_or_else(|| format!("found no controllers for pod \"{}\"", pod.meta.name))?;
        scales.insert(controller, scale);
    }
    Ok(Counted { expected: scales.values().sum(), desired: 0, has_unmanaged })
}

/// The controller on top that has a scale, and that scale.
fn scale_of(pod: &Pod, store: &Store) -> Option<(Uid, i32)> {
    if let Some(set) = owning_stateful_set(store, &pod.meta).and_then(|id| store.stateful_sets.get(id)) {
        return Some((set.meta.uid, set.replicas));
    }
    let set = store.replica_sets.get(owning_replica_set(store, &pod.meta)?)?;
    let deployment = owning_deployment(store, &set.meta).and_then(|id| store.deployments.get(id));
    Some(deployment.map_or((set.meta.uid, set.replicas), |deployment| (deployment.meta.uid, deployment.replicas)))
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Bench, bench, labels, pod};
    use super::*;
    use api::LabelSelector;

    fn budget(name: &str, min: Option<IntOrPercent>, max: Option<IntOrPercent>) -> PodDisruptionBudget {
        let selector = LabelSelector { match_labels: (*labels("app=web")).clone(), ..LabelSelector::default() };
        let mut budget =
            PodDisruptionBudget { selector: Some(selector), min_available: min, max_unavailable: max, ..PodDisruptionBudget::default() };
        (budget.meta.namespace, budget.meta.name) = ("default".into(), name.into());
        budget
    }

    /// A ReplicaSet of three with two ready pods and one that is not.
    fn cluster(budgets: &[PodDisruptionBudget]) -> Bench {
        let mut bench = bench().replica_set("web", 3);
        for (name, ready) in [("web-a", true), ("web-b", true), ("web-c", false)] {
            let pod = pod(name).labels("app=web").on("n");
            bench = bench.owned_pod("web", if ready { pod.ready_since(0) } else { pod });
        }
        for budget in budgets {
            let id = bench.store.create(budget.clone(), bench.now, &bench.streams).expect("a free name");
            bench.run(|view, out| sync(id, view, out));
        }
        bench
    }

    fn status(bench: &Bench) -> (i32, i32, i32, i32, Option<&'static str>) {
        let budget = bench.store.pdbs.iter().next().expect("one").1;
        (budget.current_healthy, budget.desired_healthy, budget.expected_pods, budget.disruptions_allowed, budget.disruption_allowed)
    }

    fn synced(bench: &mut Bench) -> Vec<String> {
        let id = bench.store.pdbs.iter().next().expect("one").0;
        bench.run(|view, out| sync(id, view, out))
    }

    #[test]
    fn the_trap_of_uniform_rounding_budgets_round_up() {
        for (min, max, expected) in [
            (None, Some(IntOrPercent::Percent(1)), 0),
            (None, Some(IntOrPercent::Percent(34)), 1),
            (None, Some(IntOrPercent::Count(3)), 2),
            (Some(IntOrPercent::Percent(1)), None, 1),
            (Some(IntOrPercent::Count(1)), None, 1),
            (Some(IntOrPercent::Count(2)), None, 0),
        ] {
            assert_eq!(status(&cluster(&[budget("b", min, max)])).3, expected, "{min:?} {max:?}");
        }
    }

    #[test]
    fn what_a_budget_expects_and_wants_comes_from_the_scale_of_the_controllers() {
        use IntOrPercent::{Count, Percent};
        // A ReplicaSet of three, two of whose pods are ready. (min, max, healthy, desired, expected, allowed)
        for (min, max, expected) in [
            (Some(Count(1)), None, (2, 1, 3, 1)),
            (Some(Count(5)), None, (2, 5, 3, 0)),
            (Some(Percent(50)), None, (2, 2, 3, 0)), // 1.5 rounded up.
            (None, Some(Count(1)), (2, 2, 3, 0)),
            (None, Some(Count(9)), (2, 0, 3, 2)),
            (None, Some(Percent(50)), (2, 1, 3, 1)), // Two of three may be missing, one is.
        ] {
            let (healthy, desired, of, allowed, _) = status(&cluster(&[budget("b", min, max)]));
            assert_eq!((healthy, desired, of, allowed), expected, "{min:?} {max:?}");
        }
    }

    #[test]
    fn pods_without_a_controller_count_for_none_and_those_of_unknown_ones_stop_the_budget() {
        let mut bench =
            cluster(&[budget("b", None, Some(IntOrPercent::Count(2)))]).pod(pod("bare").labels("app=web").on("n").ready_since(0));
        let lines = synced(&mut bench);
        assert!(
            lines[1].starts_with(
                "Warning UnmanagedPods PodDisruptionBudget/default/b: Pods selected by this PodDisruptionBudget (selector: \
                 &LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:[]LabelSelectorRequirement{},}) were found"
            ),
            "{lines:?}"
        );
        assert_eq!(status(&bench), (3, 1, 3, 2, Some("SufficientPods")));
        let id = bench.pod_id("bare");
        bench.store.update_pod(id, |pod| {
            pod.meta.owners = vec![api::OwnerReference { kind: "Database".into(), name: "db".into(), uid: Uid(7), controller: true }];
            true
        });
        let lines = synced(&mut bench);
        let why = "Failed to calculate the number of expected pods: found no controllers for pod \"bare\"";
        assert_eq!(lines[1], format!("Warning CalculateExpectedPodCountFailed PodDisruptionBudget/default/b: {why}"));
        assert_eq!((status(&bench).3, status(&bench).4), (0, Some("SyncFailed")));
    }

    #[test]
    fn an_evicted_pod_counts_as_gone_for_two_minutes() {
        let mut bench = cluster(&[budget("b", Some(IntOrPercent::Count(1)), None)]).at(1000);
        let id = bench.store.pdbs.iter().next().expect("one").0;
        let now = bench.now;
        assert!(bench.store.update(id, |budget| note_eviction(budget, &"web-a".into(), now)));
        assert_eq!(status(&bench).3, 0, "the allowance is used up");
        assert_eq!(synced(&mut bench), ["controllermanager update b status of PodDisruptionBudget", "resync at 18m40s"]);
        assert_eq!(status(&bench), (1, 1, 3, 0, Some("InsufficientPods")));
        let mut bench = bench.at(1121);
        let lines = synced(&mut bench);
        assert_eq!(lines[1], "Warning NotDeleted Pod/default/web-a: Pod was expected by PDB default/default to be deleted but it wasn't");
        assert_eq!(status(&bench), (2, 1, 3, 1, Some("SufficientPods")));
    }

    #[test]
    fn an_eviction_believes_the_status_and_only_one_of_the_newest_generation() {
        let mut bench = cluster(&[budget("b", Some(IntOrPercent::Count(2)), None)]);
        let ask = |bench: &Bench| Budgets::default().evict(bench.store.pods.get(bench.pod_id("web-a")).expect("there"), &bench.store);
        assert_eq!(ask(&bench), Eviction::Blocked("b".into()));
        let id = bench.store.pdbs.iter().next().expect("one").0;
        bench.store.update(id, |budget| {
            (budget.min_available, budget.disruptions_allowed) = (Some(IntOrPercent::Count(1)), 1);
            budget.meta.generation += 1;
            true
        });
        assert_eq!(ask(&bench), Eviction::Blocked("b".into()), "its controller has not seen the change");
        synced(&mut bench);
        assert_eq!(ask(&bench), Eviction::Allowed);
        let c = bench.pod_id("web-c");
        bench.store.update_pod(c, |pod| {
            pod.meta.deletion = Some(SimTime::ZERO);
            true
        });
        assert_eq!(ask(&bench), Eviction::Allowed, "what has happened since is not in the status");
    }

    #[test]
    fn a_batch_uses_its_budget_up() {
        let bench = cluster(&[budget("b", Some(IntOrPercent::Count(1)), None)]);
        let mut budgets = Budgets::default();
        let mut ask = |name: &str| budgets.evict(bench.store.pods.get(bench.pod_id(name)).expect("it is there"), &bench.store);
        assert_eq!(ask("web-a"), Eviction::Allowed);
        assert_eq!(ask("web-b"), Eviction::Blocked("b".into()));
        assert_eq!(ask("web-c"), Eviction::Allowed, "it is not ready, and enough others are");
    }

    #[test]
    fn two_budgets_for_one_pod_are_an_error() {
        let bench = cluster(&[budget("b", None, Some(IntOrPercent::Count(1))), budget("c", None, Some(IntOrPercent::Count(1)))]);
        let pod = bench.store.pods.get(bench.pod_id("web-a")).expect("it is there");
        assert_eq!(Budgets::default().evict(pod, &bench.store), Eviction::Ambiguous);
    }
}
