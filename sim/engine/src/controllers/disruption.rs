//! Disruption controller: keeps the status of PodDisruptionBudgets; and whether a pod may be evicted right now.
//!
//! Reads: PodDisruptionBudgets, Pods and the scale of their controllers. Writes: the budgets' status.
//! Upstream: pkg/controller/disruption, pkg/registry/core/pod/storage/eviction.go.
//!
//! Invariants: what was granted in one batch counts against the next question of that batch.
//!
//! Simplified: an eviction is judged by what is, not by a status that lags behind. Not modelled: the two
//! minutes for which an evicted pod that does not go counts as gone.

use std::collections::BTreeMap;

use api::{IntOrPercent, Kind, ObjectKey, Pod, PodDisruptionBudget, SimTime, Str, Uid};

use super::{View, object_name, owning_deployment, owning_replica_set};
use crate::effects::{Component, Effects, Write};
use crate::objects::{Kept, Part};
use crate::store::{Change, Id, Store};

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
        let granted = self.granted.entry(budget.meta.uid).or_insert(0);
        let state = state(budget, store);
        if !pod.is_ready() {
            let healthy_enough = state.healthy - *granted >= state.desired && state.desired > 0;
            if budget.always_allow_unhealthy || healthy_enough {
                return Eviction::Allowed;
            }
        }
        if state.allowed() - *granted <= 0 {
            return Eviction::Blocked(budget.meta.name.clone());
        }
        *granted += 1;
        Eviction::Allowed
    }
}

/// Which budgets a change puts in doubt.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(Id<PodDisruptionBudget>)) {
    if view.store.pdbs.len() == 0 {
        return;
    }
    let pod = match change {
        Change::Object(Kind::PodDisruptionBudget, number) => return queue(Id::new(*number)),
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

/// One look at a budget. Upstream: trySync and updatePdbStatus.
pub(crate) fn sync(id: Id<PodDisruptionBudget>, view: &View<'_>, out: &mut Effects) {
    let Some(budget) = view.store.pdbs.get(id) else { return };
    let mut told = budget.clone();
    // An evicted pod is remembered until its deletion is seen.
    told.disrupted_pods.retain(|name, _| {
        let key = ObjectKey { namespace: budget.meta.namespace.clone(), name: name.clone() };
        view.store.pods.find(&key).and_then(|id| view.store.pods.get(id)).is_some_and(|pod| !pod.meta.is_deleting())
    });
    let pods = view.store.pods.in_namespace(&budget.meta.namespace);
    if !pods.into_iter().any(|(_, pod)| selects(budget, pod)) {
        let object = object_name("PodDisruptionBudget", &budget.meta);
        out.event(Component::Disruption, false, "NoPods", object, "No matching pods found".to_owned());
    }
    let state = state(budget, view.store);
    (told.current_healthy, told.desired_healthy, told.expected_pods) = (state.healthy, state.desired, state.expected);
    told.disruptions_allowed = state.allowed();
    told.disruption_allowed = Some(reason(told.disruptions_allowed));
    if told != *budget {
        out.write(Component::Disruption, Write::Update(told.into_any(), Part::Status));
    }
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
    budget.disrupted_pods.insert(pod.clone(), now);
    true
}

fn selects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    budget.selector.as_ref().is_some_and(|selector| selector.matches(&pod.meta.labels))
}

/// Budgets that select a pod.
pub(crate) fn budgets_of<'a>(pod: &'a Pod, store: &'a Store) -> impl Iterator<Item = &'a PodDisruptionBudget> {
    store.pdbs.in_namespace(&pod.meta.namespace).map(|(_, budget)| budget).filter(move |budget| selects(budget, pod))
}

/// How many pods of this budget may be disrupted now (`status.disruptionsAllowed`).
#[cfg(test)]
pub(crate) fn disruptions_allowed(budget: &PodDisruptionBudget, store: &Store) -> i32 {
    state(budget, store).allowed()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    expected: i32,
    healthy: i32,
    desired: i32,
}

impl State {
    const fn allowed(self) -> i32 {
        if self.expected <= 0 || self.healthy <= self.desired { 0 } else { self.healthy - self.desired }
    }
}

fn state(budget: &PodDisruptionBudget, store: &Store) -> State {
    let Some(selector) = &budget.selector else { return State { expected: 0, healthy: 0, desired: 0 } };
    let pods = || store.pods.in_namespace(&budget.meta.namespace).map(|(_, pod)| pod).filter(|pod| selector.matches(&pod.meta.labels));
    let healthy = pods().filter(|pod| pod.is_ready() && !pod.meta.is_deleting()).count() as i32;
    let count = || pods().filter(|pod| !pod.status.phase.is_terminal()).count() as i32;
    let (expected, desired) = match (budget.min_available, budget.max_unavailable) {
        (_, Some(max_unavailable)) => match expected_scale(pods(), store) {
            Some(expected) => (expected, (expected - max_unavailable.scaled_up(expected)).max(0)),
            None => (0, 0),
        },
        (Some(IntOrPercent::Count(least)), None) => (count(), least),
        (Some(percent), None) => expected_scale(pods(), store).map_or((0, 0), |expected| (expected, percent.scaled_up(expected))),
        (None, None) => (count(), 0),
    };
    State { expected, healthy, desired }
}

/// The scales of the pods' controllers together; `None` when one has none that is known.
fn expected_scale<'a>(pods: impl Iterator<Item = &'a Pod>, store: &Store) -> Option<i32> {
    let mut scales: BTreeMap<Uid, i32> = BTreeMap::new();
    for pod in pods {
        let replica_set = store.replica_sets.get(owning_replica_set(store, &pod.meta)?)?;
        match owning_deployment(store, &replica_set.meta).and_then(|id| store.deployments.get(id)) {
            Some(deployment) => scales.insert(deployment.meta.uid, deployment.replicas),
            None => scales.insert(replica_set.meta.uid, replica_set.replicas),
        };
    }
    Some(scales.values().sum())
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
            bench.store.create(budget.clone(), bench.now, &bench.streams).expect("a free name");
        }
        bench
    }

    #[test]
    fn the_trap_of_uniform_rounding_budgets_round_up() {
        let bench = cluster(&[]);
        for (min, max, allowed) in [
            (None, Some(IntOrPercent::Percent(1)), 0),
            (None, Some(IntOrPercent::Percent(34)), 1),
            (None, Some(IntOrPercent::Count(3)), 2),
            (Some(IntOrPercent::Percent(1)), None, 1),
            (Some(IntOrPercent::Count(1)), None, 1),
            (Some(IntOrPercent::Count(2)), None, 0),
        ] {
            assert_eq!(disruptions_allowed(&budget("b", min, max), &bench.store), allowed, "{min:?} {max:?}");
        }
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
