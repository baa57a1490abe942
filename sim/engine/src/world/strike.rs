//! Faults carried out: what a fault does to nodes, kubelets, containers and pods, and how it is undone.
//!
//! Invariant: a node that two faults have struck comes back when the last of them is over.
//!
//! Not here: whom a fault strikes (`faults`).

use api::{SimDuration, SimTime, Str};
use trace::Record;

use super::{World, view};
use crate::controllers::View;
use crate::effects::{Component, Effects, Write};
use crate::event::{Event, KubeletClient};
use crate::faults::{self, Struck};
use crate::random::{Purpose, Stream};
use crate::spec::FaultAction;
use crate::store::{NodeId, PodId};

/// Longest wait of a kubelet before it tries for its lease again. Upstream: maxBackoff.
const LEASE_BACK_OFF_MAX: SimDuration = SimDuration::from_secs(7);
/// First wait of a watch that was lost. Upstream: client-go/tools/cache/reflector.go (defaultBackoffInit).
const WATCH_BACK_OFF_INITIAL: SimDuration = SimDuration::from_millis(800);

impl World {
    pub(super) fn fault_begins(&mut self, number: u32, occurrence: u32, out: &mut Effects) {
        let spec = self.spec.clone();
        let Some(fault) = spec.faults.get(number as usize) else { return };
        if let FaultAction::ControlPlaneKill(component) = fault.action {
            let targets = vec![Str::from(component.as_str())];
            self.records.push(Record::FaultBegan { fault: fault.name.clone(), action: "control-plane-kill".into(), targets });
            return self.control_plane_goes(component, (number, occurrence), fault.duration, out);
        }
        if let FaultAction::ProvisioningFailure(failure) = &fault.action {
            let targets = failure.pools.iter().map(|pool| Str::from(format!("NodePool/{pool}"))).collect();
            self.records.push(Record::FaultBegan { fault: fault.name.clone(), action: "provisioning-failure".into(), targets });
            self.cluster_autoscaler.provisioning_fails((number, occurrence), failure);
            if let Some(after) = fault.duration {
                out.at(self.now + after, Event::FaultEnds(number, occurrence));
            }
            return;
        }
        let struck = faults::targets(fault, occurrence, &self.store, &self.streams);
        let targets: Vec<Str> = struck.iter().filter_map(|target| self.target_name(*target)).collect();
        self.records.push(Record::FaultBegan { fault: fault.name.clone(), action: faults::action_name(&fault.action).into(), targets });
        for target in &struck {
            match *target {
                Struck::Node(node) => self.strike_node(&fault.action, node, out),
                Struck::Pod(pod) => self.strike_pod(&fault.action, pod, out),
            }
            self.apply(out, None);
        }
        let ends = match fault.action {
            FaultAction::NodeRestart(after) => Some(after),
            FaultAction::ContainerKill { .. } | FaultAction::ProbeFailure { .. } | FaultAction::PodKill { .. } => Some(SimDuration::ZERO),
            _ => fault.duration,
        };
        self.faults.remember(number, occurrence, struck);
        if let Some(after) = ends {
            out.at(self.now + after, Event::FaultEnds(number, occurrence));
        }
    }

    pub(super) fn fault_ends(&mut self, number: u32, occurrence: u32, out: &mut Effects) {
        let spec = self.spec.clone();
        let Some(fault) = spec.faults.get(number as usize) else { return };
        self.records.push(Record::FaultEnded { fault: fault.name.clone() });
        if let FaultAction::ControlPlaneKill(component) = fault.action {
            return self.control_plane_returns(component, out);
        }
        if let FaultAction::ProvisioningFailure(_) = &fault.action {
            return self.cluster_autoscaler.provisioning_works((number, occurrence));
        }
        for target in self.faults.forget(number, occurrence) {
            if let Struck::Node(node) = target {
                self.heal_node(&fault.action, node, out);
                self.apply(out, None);
            }
        }
    }

    fn target_name(&self, target: Struck) -> Option<Str> {
        Some(match target {
            Struck::Node(node) => format!("Node/{}", self.store.nodes.get(node)?.meta.name).into(),
            Struck::Pod(pod) => format!("Pod/{}", self.store.pods.get(pod)?.meta.key()).into(),
        })
    }

    fn strike_node(&mut self, action: &FaultAction, node: NodeId, out: &mut Effects) {
        match action {
            FaultAction::NodePoweroff | FaultAction::NodeRestart(_) => {
                if self.faults.power_lost(node) {
                    self.power_off(node, out);
                }
            }
            FaultAction::NodeShutdown => {
                if self.faults.power_lost(node) {
                    self.kubelets.shut_down(node, view!(self), out);
                }
            }
            FaultAction::NodeNetworkPartition => self.lose_api_server(node, out),
            FaultAction::KubeletServiceKill => {
                if self.faults.kubelet_killed(node) {
                    self.kubelets.kubelet_stopped(node);
                    self.node_lifecycle.heartbeat_stopped(node, self.now, &view!(self), out);
                }
            }
            FaultAction::NodeDrain => out.write(Component::Kubectl, Write::Drain(node)),
            FaultAction::NodeTaint(taint) => {
                let write = Write::PatchNode { node, add: vec![taint.clone()], remove: Vec::new(), unschedulable: None };
                out.write(Component::Kubectl, write);
            }
            FaultAction::ContainerKill { .. }
            | FaultAction::ProbeFailure { .. }
            | FaultAction::PodKill { .. }
            | FaultAction::ControlPlaneKill(_)
            | FaultAction::ProvisioningFailure(_) => {}
        }
    }

    fn heal_node(&mut self, action: &FaultAction, node: NodeId, out: &mut Effects) {
        match action {
            FaultAction::NodePoweroff | FaultAction::NodeRestart(_) | FaultAction::NodeShutdown => {
                if self.faults.power_back(node) && !self.kubelets.shutdown_cancelled(node, view!(self), out) {
                    self.kubelets.node_up(node, view!(self), out);
                    self.heartbeat_resumes(node, out);
                    self.propagation.dark.remove(&node);
                    self.tell_node(node);
                }
            }
            FaultAction::NodeNetworkPartition => self.find_api_server(node, out),
            FaultAction::KubeletServiceKill => {
                if self.faults.kubelet_back(node) {
                    self.kubelets.kubelet_started(node, view!(self), out);
                    self.heartbeat_resumes(node, out);
                }
            }
            FaultAction::NodeDrain => self.cordon(node, false, out),
            FaultAction::NodeTaint(taint) => {
                let remove = vec![(taint.key.clone(), taint.effect)];
                out.write(Component::Kubectl, Write::PatchNode { node, add: Vec::new(), remove, unschedulable: None });
            }
            FaultAction::ContainerKill { .. }
            | FaultAction::ProbeFailure { .. }
            | FaultAction::PodKill { .. }
            | FaultAction::ControlPlaneKill(_)
            | FaultAction::ProvisioningFailure(_) => {}
        }
    }

    fn strike_pod(&mut self, action: &FaultAction, id: PodId, out: &mut Effects) {
        match action {
            FaultAction::ContainerKill { container, exit_code } => {
                let reason = if *exit_code == 0 { "Completed" } else { "Error" };
                self.kubelets.kill_container(id, container.as_ref(), *exit_code, reason, view!(self), out);
            }
            FaultAction::ProbeFailure { container, probe } => self.kubelets.fail_probe(id, container.as_ref(), *probe, view!(self), out),
            FaultAction::PodKill { grace } => {
                out.write(Component::Kubectl, Write::DeletePod { pod: id, grace: Some(*grace), by: Component::Kubectl });
            }
            _ => {}
        }
    }

    /// The kubelet cannot reach the API server: the network between them is gone, or the API server is.
    pub(super) fn lose_api_server(&mut self, node: NodeId, out: &mut Effects) {
        if self.faults.cut_off(node, self.now) {
            self.kubelets.cut_off(node);
            self.node_lifecycle.heartbeat_stopped(node, self.now, &view!(self), out);
        }
    }

    /// One reason less for that.
    pub(super) fn find_api_server(&mut self, node: NodeId, out: &mut Effects) {
        if let Some(since) = self.faults.network_back(node) {
            self.reconnect(node, since, out);
        }
    }

    /// The network is there again; the kubelet's clients find out when their back-offs are over. Its lease is tried
    /// for often. The status of its node is posted when its watch of the node has told that it is not as it was.
    ///
    /// Upstream: pkg/kubelet/kubelet_node_status.go (tryUpdateNodeStatus reads the node from the lister first),
    /// component-helpers/apimachinery/lease/controller.go (maxBackoff).
    fn reconnect(&self, node: NodeId, since: SimTime, out: &mut Effects) {
        let settings = &self.spec.control_plane.kubelet;
        let key = u64::from(node.number()) ^ self.now.as_nanos().rotate_left(20);
        let mut stream = self.streams.stream(Purpose::Reconnect, key);
        let away = self.now.since(since);
        let pods = since + reflector_back_off(away, settings.reconnect_back_off_max, &mut stream);
        let node_watch = since + reflector_back_off(away, settings.reconnect_back_off_max, &mut stream);
        let lease =
            self.now + SimDuration::from_nanos(stream.below(LEASE_BACK_OFF_MAX.min(settings.reconnect_back_off_max).as_nanos().max(1)));
        let status = node_watch + SimDuration::from_nanos(stream.below(settings.node_status_update_frequency.as_nanos().max(1)));
        out.at(pods, Event::Reconnected(node, KubeletClient::Pods));
        out.at(lease, Event::Reconnected(node, KubeletClient::Lease));
        out.at(status, Event::Reconnected(node, KubeletClient::NodeStatus));
    }

    /// A client of a kubelet that was cut off gets through.
    pub(super) fn reconnected(&mut self, node: NodeId, client: KubeletClient, out: &mut Effects) {
        if self.faults.is_cut_off(node) {
            return; // The network went again meanwhile.
        }
        match client {
            KubeletClient::Pods => self.kubelets.reconnected(node, view!(self), out),
            KubeletClient::Lease => {
                if self.is_heard(node) {
                    self.node_lifecycle.lease_renewed(node, self.now);
                }
            }
            KubeletClient::NodeStatus => self.heartbeat_resumes(node, out),
        }
    }

    /// Nothing is announced: processes and kubelet are gone from one instant to the next.
    fn power_off(&mut self, node: NodeId, out: &mut Effects) {
        self.silence(node);
        self.kubelets.node_down(node);
        self.node_lifecycle.heartbeat_stopped(node, self.now, &view!(self), out);
    }

    /// The shutdown of a node has come to its end, unless it was called off.
    pub(super) fn shutdown_is_through(&mut self, node: NodeId, out: &mut Effects) {
        if self.faults.is_out(node) {
            self.power_off(node, out);
        }
    }

    /// The kubelet renews its lease again, unless something else keeps it from that.
    pub(super) fn heartbeat_resumes(&mut self, id: NodeId, out: &mut Effects) {
        if self.is_heard(id) {
            self.node_lifecycle.heartbeat_resumed(id, self.now, &view!(self), out);
        }
    }

    fn is_heard(&self, id: NodeId) -> bool {
        !self.faults.is_out(id) && !self.outage.api_server_is_away()
    }

    pub(super) fn cordon(&self, node: NodeId, unschedulable: bool, out: &mut Effects) {
        let write = Write::PatchNode { node, add: Vec::new(), remove: Vec::new(), unschedulable: Some(unschedulable) };
        out.write(Component::Kubectl, write);
    }

    /// A machine leaves for good, with all that runs on it.
    pub(super) fn node_goes(&mut self, node: NodeId) {
        self.silence(node);
        self.kubelets.node_down(node);
    }
}

/// After how long a watch that was lost is tried for first once the network, away for so long, is back.
/// Upstream: defaultBackoffFactor 2, defaultBackoffJitter 1.
pub(super) fn reflector_back_off(away: SimDuration, longest: SimDuration, stream: &mut Stream) -> SimDuration {
    let (mut tried, mut wait) = (SimDuration::ZERO, WATCH_BACK_OFF_INITIAL.min(longest));
    while tried < away && !wait.is_zero() {
        tried = tried + wait + SimDuration::from_nanos(stream.below(wait.as_nanos()));
        wait = wait.times(2).min(longest);
    }
    tried.max(away)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    #[test]
    fn a_lost_watch_is_tried_for_ever_more_seldom_until_the_network_is_back() {
        let seconds = SimDuration::from_secs;
        for seed in 0..200 {
            let mut stream = Streams::new(seed).stream(Purpose::Reconnect, 0);
            let short = reflector_back_off(seconds(1), seconds(30), &mut stream);
            assert!(short >= seconds(1) && short < SimDuration::from_millis(4800), "{short}: 0.8 and 1.6 s, up to doubled");
            let long = reflector_back_off(seconds(130), seconds(30), &mut stream);
            assert!(long >= seconds(130) && long < seconds(190), "{long}: 30 s, up to doubled");
        }
        let mut stream = Streams::new(1).stream(Purpose::Reconnect, 0);
        assert_eq!(reflector_back_off(seconds(130), SimDuration::ZERO, &mut stream), seconds(130));
    }
}
