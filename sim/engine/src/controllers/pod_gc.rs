//! PodGC: removes pods that nobody else will: on nodes that are gone, or deleted before they had one.
//!
//! Reads: Pods, Nodes. Writes: pods Failed, then their forced deletion.
//! Upstream: pkg/controller/podgc.
//!
//! Invariants: it runs every 20 s from the controller's start, and only while there is something to do; a node that is
//! missing has been missing for the quarantine before its pods go. A sync reads the store, which is what upstream's
//! live GET confirms a missing node with.

use std::collections::BTreeMap;

use api::{Node, ObjectKey, Pod, PodPhase, SimDuration, SimTime, Str};

use super::View;
use crate::effects::{Component, Effects, Write};
use crate::event::Event;
use crate::random::{Purpose, Streams};
use crate::store::{Change, PodId};

/// Upstream: gcCheckPeriod.
const PERIOD: SimDuration = SimDuration::from_secs(20);
/// Upstream: quarantineTime.
const QUARANTINE: SimDuration = SimDuration::from_secs(40);
/// `--terminated-pod-gc-threshold`.
const TERMINATED_THRESHOLD: usize = 12_500;
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The controller's own memory.
#[derive(Debug, Default)]
pub(crate) struct PodGc {
    /// An instant at which it runs.
    phase: SimTime,
    /// When it runs next, if it does.
    next: Option<SimTime>,
    /// Missing nodes, with the end of their quarantine.
    quarantine: BTreeMap<Str, SimTime>,
}

impl PodGc {
    /// A controller that was started some time before the run, nobody knows when.
    pub(crate) fn new(streams: &Streams) -> Self {
        let phase = streams.stream(Purpose::MonitorPhase, 1).below(PERIOD.as_nanos());
        Self { phase: SimTime::from_nanos(phase), ..Self::default() }
    }

    /// A controller that starts now.
    pub(crate) fn started(now: SimTime) -> Self {
        Self { phase: SimTime::from_nanos(now.as_nanos() % PERIOD.as_nanos()), ..Self::default() }
    }

    /// Hears of a change, and sets its period going if that may be work.
    pub(crate) fn changed(&mut self, change: &Change, view: &View<'_>, out: &mut Effects) {
        let pod_is_work = |id: &PodId| view.store.pods.get(*id).is_some_and(|pod| is_work(pod, view));
        let work = match change {
            Change::NodeDeleted(_, gone) => view.store.pods_on(&gone.meta.name).next().is_some(),
            Change::NodeModified(id) => view.store.nodes.get(*id).is_some_and(is_out_of_service),
            Change::PodAdded(id) | Change::PodModified(id, _) => pod_is_work(id),
            _ => false,
        };
        if work && self.next.is_none() {
            self.arm(view, out);
        }
    }

    /// One pass ([`Event::PodGc`]).
    pub(crate) fn run(&mut self, view: &View<'_>, out: &mut Effects) {
        if self.next.is_some_and(|next| next > view.now) {
            return;
        }
        self.next = None;
        let asked = out.writes.len();
        remove_terminated(view, out);
        remove_out_of_service(view, out);
        self.remove_orphaned(view, out);
        for (id, pod) in view.store.pods.iter().filter(|(_, pod)| pod.meta.is_deleting() && pod.node_name.is_none()) {
            remove(id, pod, "", out);
        }
        if out.writes.len() > asked || !self.quarantine.is_empty() {
            self.arm(view, out);
        }
    }

    fn arm(&mut self, view: &View<'_>, out: &mut Effects) {
        let next = (view.now + SimDuration::from_nanos(1)).next_on_grid(self.phase, PERIOD);
        self.next = Some(next);
        out.at(next, Event::PodGc);
    }

    fn remove_orphaned(&mut self, view: &View<'_>, out: &mut Effects) {
        let mut missing: BTreeMap<Str, Vec<(PodId, &Pod)>> = BTreeMap::new();
        for (id, pod) in view.store.pods.iter() {
            if let Some(node) = pod.node_name.as_ref().filter(|node| node_of(node, view).is_none()) {
                missing.entry(node.clone()).or_default().push((id, pod));
            }
        }
        self.quarantine.retain(|node, _| missing.contains_key(node));
        for (node, pods) in missing {
            let end = *self.quarantine.entry(node).or_insert(view.now + QUARANTINE);
            for (id, pod) in pods.into_iter().filter(|_| end <= view.now) {
                remove(id, pod, "DeletionByPodGC", out);
            }
        }
    }
}

fn node_of<'a>(name: &Str, view: &View<'a>) -> Option<&'a Node> {
    let id = view.store.nodes.find(&ObjectKey { namespace: "".into(), name: name.clone() })?;
    view.store.nodes.get(id)
}

fn is_work(pod: &Pod, view: &View<'_>) -> bool {
    let Some(name) = &pod.node_name else { return pod.meta.is_deleting() };
    match node_of(name, view) {
        None => true,
        Some(node) => {
            (pod.meta.is_deleting() && is_out_of_service(node))
                || (pod.status.phase.is_terminal() && view.store.pods.len() > TERMINATED_THRESHOLD)
        }
    }
}

fn is_out_of_service(node: &Node) -> bool {
    !node.status.ready.is_true() && node.spec.taints.iter().any(|taint| &*taint.key == OUT_OF_SERVICE)
}

/// Finished pods beyond the threshold: evicted ones first, then the oldest.
fn remove_terminated(view: &View<'_>, out: &mut Effects) {
    if view.store.pods.len() <= TERMINATED_THRESHOLD {
        return;
    }
    let mut finished: Vec<(PodId, &Pod)> = view.store.pods.iter().filter(|(_, pod)| pod.status.phase.is_terminal()).collect();
    let surplus = finished.len().saturating_sub(TERMINATED_THRESHOLD);
    let is_evicted = |pod: &Pod| pod.status.phase == PodPhase::Failed && &*pod.status.reason == "Evicted";
    finished.sort_by_key(|(_, pod)| (!is_evicted(pod), pod.meta.creation.as_secs(), pod.meta.name.clone()));
    for (id, pod) in finished.into_iter().take(surplus) {
        remove(id, pod, "", out);
    }
}

fn remove_out_of_service(view: &View<'_>, out: &mut Effects) {
    for (_, node) in view.store.nodes.iter().filter(|(_, node)| is_out_of_service(node)) {
        for (id, pod) in view.store.pods_on(&node.meta.name).filter(|(_, pod)| pod.meta.is_deleting()) {
            remove(id, pod, "", out);
        }
    }
}

/// Marks a pod Failed, as no kubelet will, and removes it at once.
fn remove(id: PodId, pod: &Pod, disruption: &str, out: &mut Effects) {
    let by = Component::PodGc;
    if !pod.status.phase.is_terminal() {
        let mut status = pod.status.clone();
        status.phase = PodPhase::Failed;
        if !disruption.is_empty() {
            status.conditions.disruption_target = disruption.into();
        }
        out.write(by, Write::PodStatus(id, Box::new(status)));
    }
    out.write(by, Write::DeletePod { pod: id, grace: Some(SimDuration::ZERO), by });
}

#[cfg(test)]
mod tests {
    use super::super::bench::{bench, pod};
    use super::*;

    #[test]
    fn pods_of_a_missing_node_go_after_the_quarantine() {
        let mut bench = bench().node("n", "z", 1000).pod(pod("a").on("n").ready_since(0)).at(25);
        let mut gc = PodGc::default();
        let id = bench.node_id("n");
        bench.store.take_changes();
        bench.store.remove_node(id);
        let change = bench.store.take_changes().pop().expect("a deletion");
        assert_eq!(bench.run(|view, out| gc.changed(&change, view, out)), ["at 40s: PodGc"]);
        let mut bench = bench.at(40);
        assert_eq!(bench.run(|view, out| gc.run(view, out)), ["at 1m00s: PodGc"]);
        let mut bench = bench.at(60);
        assert_eq!(bench.run(|view, out| gc.run(view, out)), ["at 1m20s: PodGc"]);
        let mut bench = bench.at(80);
        assert_eq!(
            bench.run(|view, out| gc.run(view, out)),
            ["pod-garbage-collector pod status a Failed DeletionByPodGC", "pod-garbage-collector delete pod a grace 0s", "at 1m40s: PodGc"]
        );
        let mut bench = bench.at(100);
        assert_eq!(bench.run(|view, out| gc.run(view, out)), Vec::<String>::new(), "and then it is quiet");
    }

    #[test]
    fn a_pod_deleted_before_it_had_a_node_goes_at_the_next_pass() {
        let mut bench = bench().pod(pod("a").unschedulable().deleting()).at(20);
        let lines = bench.run(|view, out| PodGc::default().run(view, out));
        assert_eq!(lines[1], "pod-garbage-collector delete pod a grace 0s");
    }
}
