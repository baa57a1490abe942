//! Taint eviction controller: pods leave nodes whose NoExecute taints they do not tolerate, or no longer.
//!
//! Reads: Nodes, Pods. Writes: condition DisruptionTarget and deletion of pods.
//! Upstream: pkg/controller/tainteviction.
//!
//! Invariants: a timer, once set, stays as it is while all taints stay tolerated, even if a later taint is
//! tolerated for less (upstream compares creation + tolerance with now + tolerance, which is always later).
//!
//! Not modelled: retries of a failed deletion.

use std::collections::BTreeMap;

use api::{Pod, SimDuration, SimTime, Taint, TaintEffect, Toleration};

use super::{View, object_name};
use crate::effects::{Component, Effects, Write};
use crate::event::Event;
use crate::store::{Change, NodeId, PodId};

/// What is planned for a pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Work {
    /// Deleted at `due`, unless cancelled.
    Waiting { set: SimTime, due: SimTime },
    /// Done; kept so that it is not done twice.
    Done,
}

/// The controller's own memory.
#[derive(Debug, Default)]
pub(crate) struct TaintEviction {
    work: BTreeMap<PodId, Work>,
    /// NoExecute taints of the nodes that have any, as last seen.
    tainted: BTreeMap<NodeId, Vec<Taint>>,
}

impl TaintEviction {
    /// Hears of a change.
    pub(crate) fn changed(&mut self, change: &Change, view: &View<'_>, out: &mut Effects) {
        match change {
            Change::NodeAdded(id) | Change::NodeModified(id) => self.node_changed(*id, view, out),
            Change::NodeDeleted(id, _) => {
                self.tainted.remove(id);
            }
            Change::PodAdded(id) => self.pod_changed(*id, view, out),
            Change::PodModified(id, before) if !before.bound => self.pod_changed(*id, view, out),
            Change::PodDeleted(id, gone) => self.cancel(*id, gone, out),
            _ => {}
        }
    }

    /// A node's NoExecute taints may have changed.
    pub(crate) fn node_changed(&mut self, id: NodeId, view: &View<'_>, out: &mut Effects) {
        let Some(node) = view.store.nodes.get(id) else { return };
        let is_no_execute = |taint: &&Taint| taint.effect == TaintEffect::NoExecute;
        let known = self.tainted.get(&id).map_or(&[][..], Vec::as_slice);
        if node.spec.taints.iter().filter(is_no_execute).eq(known) {
            return;
        }
        let taints: Vec<Taint> = node.spec.taints.iter().filter(is_no_execute).cloned().collect();
        for (pod_id, pod) in view.store.pods_on(&node.meta.name) {
            if taints.is_empty() {
                self.cancel(pod_id, pod, out);
            } else {
                self.judge(pod_id, pod, &taints, view, out);
            }
        }
        if taints.is_empty() {
            self.tainted.remove(&id);
        } else {
            self.tainted.insert(id, taints);
        }
    }

    /// A pod may have come to a tainted node.
    pub(crate) fn pod_changed(&mut self, id: PodId, view: &View<'_>, out: &mut Effects) {
        let Some(pod) = view.store.pods.get(id) else { return };
        let Some(name) = &pod.node_name else { return };
        let key = api::ObjectKey { namespace: "".into(), name: name.clone() };
        let Some(taints) = view.store.nodes.find(&key).and_then(|node| self.tainted.get(&node)).cloned() else { return };
        self.judge(id, pod, &taints, view, out);
    }

    /// A pod's toleration ends ([`Event::TaintEviction`]).
    pub(crate) fn due(&mut self, id: PodId, view: &View<'_>, out: &mut Effects) {
        if matches!(self.work.get(&id), Some(Work::Waiting { due, .. }) if *due <= view.now)
            && let Some(pod) = view.store.pods.get(id)
        {
            self.evict(id, pod, out);
        }
    }

    /// Upstream: processPodOnNode.
    fn judge(&mut self, id: PodId, pod: &Pod, taints: &[Taint], view: &View<'_>, out: &mut Effects) {
        let Some(used) = matching_tolerations(taints, &pod.spec.tolerations) else {
            self.cancel(id, pod, out);
            return self.evict(id, pod, out);
        };
        let Some(tolerance) = least_tolerance(&used) else {
            return self.cancel(id, pod, out); // Tolerated for ever.
        };
        match self.work.get(&id) {
            Some(Work::Waiting { set, .. }) if *set < view.now => return,
            Some(Work::Waiting { .. }) => self.cancel(id, pod, out),
            Some(Work::Done) => return,
            None => {}
        }
        if tolerance.is_zero() {
            return self.evict(id, pod, out);
        }
        let due = view.now + tolerance;
        self.work.insert(id, Work::Waiting { set: view.now, due });
        out.at(due, Event::TaintEviction(id));
    }

    fn cancel(&mut self, id: PodId, pod: &Pod, out: &mut Effects) {
        if matches!(self.work.remove(&id), Some(Work::Waiting { .. })) {
            say(pod, "Cancelling deletion of", out);
        }
    }

    fn evict(&mut self, id: PodId, pod: &Pod, out: &mut Effects) {
        self.work.insert(id, Work::Done);
        say(pod, "Marking for deletion", out);
        let by = Component::TaintEviction;
        if pod.status.conditions.disruption_target.is_empty() {
            out.write(by, Write::PodDisruptionTarget(id, "DeletionByTaintManager".into()));
        }
        if !pod.meta.is_deleting() {
            out.write(by, Write::DeletePod { pod: id, grace: None, by });
        }
    }
}

fn say(pod: &Pod, what: &str, out: &mut Effects) {
    let message = format!("{what} Pod {}", pod.meta.key());
    out.event(Component::TaintEviction, false, "TaintManagerEviction", object_name("Pod", &pod.meta), message);
}

/// The first toleration that matches each taint; `None` when one is not tolerated.
fn matching_tolerations<'a>(taints: &[Taint], tolerations: &'a [Toleration]) -> Option<Vec<&'a Toleration>> {
    taints.iter().map(|taint| tolerations.iter().find(|toleration| toleration.tolerates(taint, false))).collect()
}

/// The least tolerationSeconds; `None` when none has any. Not positive means now.
fn least_tolerance(used: &[&Toleration]) -> Option<SimDuration> {
    let least = used.iter().filter_map(|toleration| toleration.toleration_seconds).min()?;
    Some(SimDuration::from_secs(u64::try_from(least).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Bench, bench, no_execute, pod};
    use super::*;

    const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

    /// The node gets exactly these taints, and the controller hears of it.
    fn taint(bench: &mut Bench, controller: &mut TaintEviction, taints: &[Taint]) -> Vec<String> {
        let id = bench.node_id("n");
        bench.store.update_node(id, |node| {
            node.spec.taints = taints.to_vec();
            true
        });
        bench.run(|view, out| controller.changed(&Change::NodeModified(id), view, out))
    }

    #[test]
    fn what_is_not_tolerated_goes_at_once() {
        let mut bench = bench().node("n", "z", 1000).pod(pod("a").on("n"));
        let mut controller = TaintEviction::default();
        assert_eq!(
            taint(&mut bench, &mut controller, &[no_execute(UNREACHABLE)]),
            [
                "taint-eviction-controller disruption target a DeletionByTaintManager",
                "taint-eviction-controller delete pod a",
                "TaintManagerEviction Pod/default/a: Marking for deletion Pod default/a",
            ]
        );
    }

    #[test]
    fn a_toleration_with_an_end_sets_a_timer_that_a_shorter_one_does_not_bring_forward() {
        let tolerant = pod("a").on("n").tolerates(UNREACHABLE, Some(300)).tolerates("other", Some(10));
        let mut bench = bench().node("n", "z", 1000).pod(tolerant).at(65);
        let mut controller = TaintEviction::default();
        let id = bench.pod_id("a");
        assert_eq!(taint(&mut bench, &mut controller, &[no_execute(UNREACHABLE)]), [format!("at 6m05s: TaintEviction({id:?})")]);
        let mut bench = bench.at(70);
        assert_eq!(taint(&mut bench, &mut controller, &[no_execute(UNREACHABLE), no_execute("other")]), Vec::<String>::new());
        let mut bench = bench.at(365);
        let lines = bench.run(|view, out| controller.due(id, view, out));
        assert_eq!(lines[2], "TaintManagerEviction Pod/default/a: Marking for deletion Pod default/a");
    }

    #[test]
    fn a_node_that_comes_back_cancels_the_timer() {
        let mut bench = bench().node("n", "z", 1000).pod(pod("a").on("n").tolerates(UNREACHABLE, Some(300))).at(65);
        let mut controller = TaintEviction::default();
        taint(&mut bench, &mut controller, &[no_execute(UNREACHABLE)]);
        let cancelled = ["TaintManagerEviction Pod/default/a: Cancelling deletion of Pod default/a"];
        assert_eq!(taint(&mut bench, &mut controller, &[]), cancelled);
        let mut bench = bench.at(365);
        let id = bench.pod_id("a");
        assert_eq!(bench.run(|view, out| controller.due(id, view, out)), Vec::<String>::new(), "the old timer is stale");
    }

    #[test]
    fn tolerating_for_ever_means_never() {
        let mut bench = bench().node("n", "z", 1000).pod(pod("a").on("n").tolerates(UNREACHABLE, None));
        assert_eq!(taint(&mut bench, &mut TaintEviction::default(), &[no_execute(UNREACHABLE)]), Vec::<String>::new());
    }

    #[test]
    fn a_pod_that_comes_later_is_judged_too() {
        let mut bench = bench().node("n", "z", 1000);
        let mut controller = TaintEviction::default();
        taint(&mut bench, &mut controller, &[no_execute("maintenance")]);
        let id = bench.add_pod(pod("late").on("n").tolerates("maintenance", Some(0)));
        let lines = bench.run(|view, out| controller.changed(&Change::PodAdded(id), view, out));
        assert_eq!(lines.len(), 3, "{lines:?}");
    }

    #[test]
    fn the_least_finite_tolerance_counts() {
        let toleration = |seconds| Toleration { toleration_seconds: seconds, ..Toleration::default() };
        for (seconds, expected) in [
            (vec![None], None),
            (vec![], None),
            (vec![Some(30), None, Some(10)], Some(SimDuration::from_secs(10))),
            (vec![Some(30), Some(-5)], Some(SimDuration::ZERO)),
        ] {
            let tolerations: Vec<Toleration> = seconds.into_iter().map(toleration).collect();
            assert_eq!(least_tolerance(&tolerations.iter().collect::<Vec<_>>()), expected);
        }
    }
}
