//! Graceful node shutdown: pods are ended group by group, by priority, before the power goes.
//!
//! Upstream: pkg/kubelet/nodeshutdown. Each group has its period; the next begins when all pods of the group have
//! stopped, or when the period is over. Critical pods are the last group of the plain setting.
//!
//! Invariant: the power goes once, when the last group is through or the shutdown meets no periods at all.
//!
//! Not modelled: logind's own limit on how long a shutdown may be delayed.

use api::{ConditionStatus, SimDuration};

use super::pod::{Ending, Life};
use super::{Kubelets, NodeState};
use crate::controllers::View;
use crate::effects::{Component, Effects, Write};
use crate::event::{Event, NodeTimer};
use crate::spec::KubeletSettings;
use crate::store::{NodeId, PodId};

/// Priority from which on a pod is critical. Upstream: scheduling.SystemCriticalPriority.
pub(super) const CRITICAL: i32 = 2_000_000_000;

/// A shutdown that is going on.
#[derive(Debug)]
pub(super) struct Shutdown {
    /// Groups still to come, the next one last.
    groups: Vec<(SimDuration, Vec<PodId>)>,
    /// The group that is being ended.
    ending: Vec<PodId>,
    /// The end of its period.
    timer: u32,
}

impl Kubelets {
    /// The node's system announces a shutdown.
    pub(crate) fn shut_down(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let periods = periods(&view.settings.kubelet);
        let works = self.nodes.get(&node).is_some_and(NodeState::kubelet_works);
        let Some(object) = view.store.nodes.get(node) else { return };
        if periods.is_empty() || !works {
            out.at(view.now, Event::NodePowersOff(node));
            return;
        }
        let name = format!("Node/{}", object.meta.name);
        out.event(Component::Kubelet, false, "Shutdown", name, "Shutdown manager detected shutdown event".to_owned());
        out.write(Component::Kubelet, Write::NodeReady { node, status: ConditionStatus::False, reason: "KubeletNotReady" });
        let mut groups: Vec<(SimDuration, Vec<PodId>)> = periods.iter().map(|(_, period)| (*period, Vec::new())).collect();
        for id in self.pods_of(node, view) {
            let (Some(worker), Some(pod)) = (self.workers.get(&id), view.store.pods.get(id)) else { continue };
            if matches!(worker.life, Life::Syncing | Life::Terminating) {
                groups[group_of(&periods, pod.spec.priority)].1.push(id);
            }
        }
        groups.reverse();
        if let Some(state) = self.nodes.get_mut(&node) {
            state.shutdown = Some(Box::new(Shutdown { groups, ending: Vec::new(), timer: 0 }));
        }
        self.end_next_group(node, view, out);
    }

    /// The shutdown is called off before the power went; whether there was one.
    pub(crate) fn shutdown_cancelled(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) -> bool {
        let Some(state) = self.nodes.get_mut(&node).filter(|state| state.powered) else { return false };
        if state.shutdown.take().is_none() {
            return false;
        }
        if let Some(object) = view.store.nodes.get(node) {
            let name = format!("Node/{}", object.meta.name);
            out.event(Component::Kubelet, false, "Shutdown", name, "Shutdown manager detected shutdown cancellation".to_owned());
            out.write(Component::Kubelet, Write::NodeReady { node, status: ConditionStatus::True, reason: "KubeletReady" });
        }
        true
    }

    /// The next group with pods in it is ended; after the last one the power goes.
    pub(super) fn end_next_group(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let Some(state) = self.nodes.get_mut(&node) else { return };
        let number = state.next_number();
        let Some(shutdown) = &mut state.shutdown else { return };
        let next = std::iter::from_fn(|| shutdown.groups.pop()).find(|(_, pods)| !pods.is_empty());
        let Some((period, pods)) = next else {
            (shutdown.ending, shutdown.timer) = (Vec::new(), 0);
            out.at(view.now, Event::NodePowersOff(node));
            return;
        };
        (shutdown.ending, shutdown.timer) = (pods.clone(), number);
        out.at(view.now + period, Event::KubeletNode(node, NodeTimer::Shutdown, number));
        for id in pods {
            self.with(id, view, out, |worker, cx| {
                worker.end_by_kubelet(Ending { reason: "Terminated", grace: Some(period), evicts: true, disrupts: true }, cx);
            });
        }
        self.shutdown_goes_on(node, view, out);
    }

    /// Some pod has stopped: with all of its group stopped, the next one's turn has come.
    pub(super) fn shutdown_goes_on(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let Some(shutdown) = self.nodes.get(&node).and_then(|state| state.shutdown.as_ref()) else { return };
        let stopped = |id: &PodId| self.workers.get(id).is_none_or(|worker| matches!(worker.life, Life::Terminated | Life::Over));
        if shutdown.timer != 0 && shutdown.ending.iter().all(stopped) {
            self.end_next_group(node, view, out);
        }
    }

    pub(super) fn shutdown_due(&mut self, node: NodeId, number: u32, view: View<'_>, out: &mut Effects) {
        let shutdown = self.nodes.get(&node).and_then(|state| state.shutdown.as_ref());
        if shutdown.is_some_and(|shutdown| shutdown.timer == number) {
            self.end_next_group(node, view, out);
        }
    }
}

/// Periods by priority, lowest first; empty when a shutdown waits for nobody. Upstream: migrateConfig.
fn periods(settings: &KubeletSettings) -> Vec<(i32, SimDuration)> {
    let mut periods = settings.shutdown_grace_period_by_pod_priority.clone();
    if periods.is_empty() && !settings.shutdown_grace_period.is_zero() {
        let critical = settings.shutdown_grace_period_critical_pods.min(settings.shutdown_grace_period);
        periods = vec![(0, settings.shutdown_grace_period - critical), (CRITICAL, critical)];
    }
    periods.sort_by_key(|(priority, _)| *priority);
    periods
}

/// The group of a pod: the highest whose priority it reaches, or else the lowest. Upstream: groupByPriority.
fn group_of(periods: &[(i32, SimDuration)], priority: i32) -> usize {
    periods.iter().rposition(|(from, _)| *from <= priority).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_go_in_the_group_whose_priority_they_reach() {
        let s = SimDuration::from_secs;
        let settings =
            KubeletSettings { shutdown_grace_period: s(30), shutdown_grace_period_critical_pods: s(10), ..KubeletSettings::default() };
        let plain = periods(&settings);
        assert_eq!(plain, [(0, s(20)), (CRITICAL, s(10))]);
        assert_eq!([-5, 0, 1000, CRITICAL, CRITICAL + 1000].map(|priority| group_of(&plain, priority)), [0, 0, 0, 1, 1]);
        let by_priority = vec![(10_000, s(180)), (0, s(60)), (100_000, s(10))];
        let settings = KubeletSettings { shutdown_grace_period_by_pod_priority: by_priority, ..settings };
        let sorted = periods(&settings);
        assert_eq!([-1, 9_999, 10_000, 99_999, 200_000].map(|priority| group_of(&sorted, priority)), [0, 0, 1, 1, 2]);
        assert!(periods(&KubeletSettings::default()).is_empty());
    }
}
