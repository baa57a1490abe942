//! Disruption budgets: how many pods may be evicted right now, and whether this one may.
//!
//! Reads: PodDisruptionBudgets, Pods and the scale of their controllers. Writes nothing: whoever evicts
//! asks here instead of a status that would have to be kept (upstream: pkg/controller/disruption,
//! pkg/registry/core/pod/storage/eviction.go).
//!
//! Invariants: what was granted in one batch counts against the next question of that batch.
//!
//! Not modelled: `status.disruptionsAllowed` as an object of its own with its lag, the two minutes for
//! which an evicted pod that does not go counts as gone.

use std::collections::BTreeMap;

use api::{IntOrPercent, Pod, PodDisruptionBudget, Str, Uid};

use super::{owning_deployment, owning_replica_set};
use crate::store::Store;

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

/// Budgets that select a pod.
pub(crate) fn budgets_of<'a>(pod: &'a Pod, store: &'a Store) -> impl Iterator<Item = &'a PodDisruptionBudget> {
    let selects = |budget: &PodDisruptionBudget| budget.selector.as_ref().is_some_and(|selector| selector.matches(&pod.meta.labels));
    store.pdbs.in_namespace(&pod.meta.namespace).map(|(_, budget)| budget).filter(move |budget| selects(budget))
}

/// How many pods of this budget may be disrupted now (`status.disruptionsAllowed`).
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
    fn percentages_round_up() {
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
