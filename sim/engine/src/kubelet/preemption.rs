//! A critical pod that does not fit: its kubelet ends other pods to make room, and then takes it on.
//!
//! Upstream: pkg/kubelet/preemption/preemption.go. Only lacks of resources are a reason to; best-effort pods go before
//! burstable ones, and those before guaranteed ones, as few as will do.
//!
//! Invariants:
//! - Victims are ended one after the other, each with its own grace; the pod waits until the last one has stopped.
//! - A pod that waits has no worker yet.
//!
//! Not modelled: that the kubelet takes no other news meanwhile.

use api::{Pod, ResourceName};

use super::Kubelets;
use super::admission::Lack;
use super::memory::{QosClass, qos_class};
use super::pod::{Ending, Life};
use super::shutdown::CRITICAL;
use crate::controllers::View;
use crate::effects::Effects;
use crate::store::{NodeId, PodId};

/// A pod for which others go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Preempting {
    pub(super) pod: PodId,
    /// Who goes, the next one last.
    victims: Vec<PodId>,
    /// Who is going.
    going: Option<PodId>,
}

impl Kubelets {
    /// Makes room for a critical pod that lacks this, or says why it cannot.
    pub(super) fn preempt(&mut self, id: PodId, lacks: Vec<Lack>, node: NodeId, view: View<'_>, out: &mut Effects) -> Result<(), String> {
        let Some(pod) = view.store.pods.get(id) else { return Ok(()) };
        let runs = |other: &PodId| self.workers.get(other).is_some_and(|worker| matches!(worker.life, Life::Syncing | Life::Terminating));
        let others: Vec<(PodId, &Pod)> = self
            .pods_of(node, view)
            .into_iter()
            .filter(|other| *other != id && runs(other))
            .filter_map(|other| Some((other, view.store.pods.get(other)?)))
            .collect();
        let mut victims = victims(pod, &others, lacks)?;
        victims.reverse();
        if let Some(state) = self.nodes.get_mut(&node) {
            state.preempting.push(Preempting { pod: id, victims, going: None });
        }
        self.preemption_goes_on(node, view, out);
        Ok(())
    }

    /// Some pod has stopped, or preemption begins: the next victim's turn has come, or the pod's own.
    pub(super) fn preemption_goes_on(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let Some(state) = self.nodes.get_mut(&node) else { return };
        let (mut ended, mut admitted) = (Vec::new(), Vec::new());
        for preempting in &mut state.preempting {
            let gone = |id: &PodId| self.workers.get(id).is_none_or(|worker| matches!(worker.life, Life::Terminated | Life::Over));
            if preempting.going.is_some_and(|going| !gone(&going)) {
                continue;
            }
            preempting.going = preempting.victims.pop();
            match preempting.going {
                Some(victim) => ended.push(victim),
                None => admitted.push(preempting.pod),
            }
        }
        state.preempting.retain(|preempting| preempting.going.is_some());
        for victim in ended {
            self.with(victim, view, out, |worker, cx| {
                worker.event(true, "Preempting", "Preempted in order to admit critical pod".to_owned(), cx);
                worker.end_by_kubelet(Ending { reason: "Preempting", grace: None, evicts: true, disrupts: true }, cx);
            });
        }
        for pod in admitted {
            self.pod_changed(pod, view, out);
        }
    }
}

/// The fewest pods, of the lowest quality of service, that have what is lacking. Upstream: getPodsToPreempt.
fn victims(pod: &Pod, others: &[(PodId, &Pod)], lacks: Vec<Lack>) -> Result<Vec<PodId>, String> {
    let preemptable = |other: &&(PodId, &Pod)| other.1.spec.priority < CRITICAL || pod.spec.priority > other.1.spec.priority;
    let of = |class: QosClass| -> Vec<(PodId, &Pod)> {
        others.iter().filter(preemptable).filter(|(_, other)| qos_class(other) == class).copied().collect()
    };
    let (best_effort, burstable, guaranteed) = (of(QosClass::BestEffort), of(QosClass::Burstable), of(QosClass::Guaranteed));
    let both = |one: &[(PodId, &Pod)], other: &[(PodId, &Pod)]| subtract(&subtract(&lacks, one), other);
    let unmet = subtract(&both(&best_effort, &burstable), &guaranteed);
    if !unmet.is_empty() {
        let shown: String = unmet.iter().map(|lack| format!("(res: {}, q: {}), ", lack.name, lack.amount)).collect();
        return Err(format!("no set of running pods found to reclaim resources: [{shown}]"));
    }
    let guaranteed = nearest(guaranteed, both(&best_effort, &burstable));
    let burstable = nearest(burstable, both(&best_effort, &guaranteed));
    let best_effort = nearest(best_effort, both(&burstable, &guaranteed));
    Ok([best_effort, burstable, guaranteed].into_iter().flatten().map(|(id, _)| id).collect())
}

/// What is still lacking without these pods.
fn subtract(lacks: &[Lack], pods: &[(PodId, &Pod)]) -> Vec<Lack> {
    let left = |lack: &Lack| lack.amount - pods.iter().map(|(_, pod)| pod.allocated_requests().get(&lack.name)).sum::<i64>();
    let lacks = lacks.iter().map(|lack| Lack { name: lack.name.clone(), amount: left(lack) });
    lacks.filter(|lack| lack.amount > 0).collect()
}

/// Pods one by one, each time the one after which the least is lacking, of equals the smaller.
/// Upstream: getPodsToPreemptByDistance.
fn nearest(mut pods: Vec<(PodId, &Pod)>, mut lacks: Vec<Lack>) -> Vec<(PodId, &Pod)> {
    let mut chosen = Vec::new();
    while !lacks.is_empty() && !pods.is_empty() {
        let mut best = 0;
        for place in 1..pods.len() {
            let (this, that) = (distance(&lacks, pods[place].1), distance(&lacks, pods[best].1));
            if this < that || (this == that && size(pods[place].1) <= size(pods[best].1)) {
                best = place;
            }
        }
        let pod = pods.swap_remove(best);
        lacks = subtract(&lacks, &[pod]);
        chosen.push(pod);
    }
    chosen
}

fn distance(lacks: &[Lack], pod: &Pod) -> f64 {
    let requests = pod.allocated_requests();
    let far = |lack: &Lack| {
        let left = (lack.amount - requests.get(&lack.name)) as f64;
        if left > 0.0 { (left / lack.amount as f64) * (left / lack.amount as f64) } else { 0.0 }
    };
    lacks.iter().map(far).sum()
}

fn size(pod: &Pod) -> (i64, i64) {
    let requests = pod.allocated_requests();
    (requests.get(&ResourceName::Memory), requests.get(&ResourceName::Cpu))
}
