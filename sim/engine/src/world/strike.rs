//! Faults carried out: what a fault does to nodes, kubelets, containers and pods, and how it is undone.
//!
//! Invariant: a node that two faults have struck comes back when the last of them is over.
//!
//! Not here: whom a fault strikes (`faults`).

use api::{SimDuration, Str};
use trace::Record;

use super::{World, view};
use crate::controllers::View;
use crate::effects::{Component, Effects, Write};
use crate::event::Event;
use crate::faults::{self, Struck};
use crate::random::Purpose;
use crate::spec::FaultAction;
use crate::store::{NodeId, PodId};

impl World {
    pub(super) fn fault_begins(&mut self, number: u32, occurrence: u32, out: &mut Effects) {
        let spec = self.spec.clone();
        let Some(fault) = spec.faults.get(number as usize) else { return };
        if let FaultAction::ControlPlaneKill(component) = fault.action {
            let targets = vec![Str::from(component.as_str())];
            self.records.push(Record::FaultBegan { fault: fault.name.clone(), action: "control-plane-kill".into(), targets });
            return self.control_plane_goes(component, (number, occurrence), fault.duration, out);
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
            FaultAction::ContainerKill { .. } | FaultAction::PodKill { .. } => Some(SimDuration::ZERO),
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
            FaultAction::NodeNetworkPartition => {
                if self.faults.cut_off(node) {
                    self.kubelets.cut_off(node);
                    self.node_lifecycle.heartbeat_stopped(node, self.now, &view!(self), out);
                }
            }
            FaultAction::KubeletServiceKill => {
                if self.faults.kubelet_killed(node) {
                    self.kubelets.kubelet_stopped(node);
                    self.node_lifecycle.heartbeat_stopped(node, self.now, &view!(self), out);
                }
            }
            FaultAction::NodeDrain => {
                self.cordon(node, true, out);
                self.drain(node, out);
            }
            FaultAction::NodeTaint(taint) => {
                let write = Write::PatchNode { node, add: vec![taint.clone()], remove: Vec::new(), unschedulable: None };
                out.write(Component::Kubectl, write);
            }
            FaultAction::ContainerKill { .. } | FaultAction::PodKill { .. } | FaultAction::ControlPlaneKill(_) => {}
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
            FaultAction::NodeNetworkPartition => {
                if self.faults.network_back(node) {
                    self.reconnect(node, out);
                }
            }
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
            FaultAction::ContainerKill { .. } | FaultAction::PodKill { .. } | FaultAction::ControlPlaneKill(_) => {}
        }
    }

    fn strike_pod(&mut self, action: &FaultAction, id: PodId, out: &mut Effects) {
        match action {
            FaultAction::ContainerKill { container, exit_code } => {
                let reason = if *exit_code == 0 { "Completed" } else { "Error" };
                self.kubelets.kill_container(id, container.as_ref(), *exit_code, reason, view!(self), out);
            }
            FaultAction::PodKill { grace } => {
                out.write(Component::Kubectl, Write::DeletePod { pod: id, grace: Some(*grace), by: Component::Kubectl });
            }
            _ => {}
        }
    }

    /// The network is there again; the kubelet's clients find out when their back-offs are over, its watches and
    /// its heartbeats apart.
    fn reconnect(&self, node: NodeId, out: &mut Effects) {
        let settings = &self.spec.control_plane.kubelet;
        let key = u64::from(node.number()) ^ self.now.as_nanos().rotate_left(20);
        let mut stream = self.streams.stream(Purpose::Reconnect, key);
        let mut wait = |longest: SimDuration| SimDuration::from_nanos(stream.below(longest.as_nanos().max(1)));
        let (watches, heartbeats) = (wait(settings.reconnect_back_off_max), wait(settings.reconnect_back_off_max));
        out.at(self.now + watches, Event::Reconnected(node, false));
        out.at(self.now + heartbeats + wait(settings.node_status_update_frequency), Event::Reconnected(node, true));
    }

    /// A client of a kubelet that was cut off gets through.
    pub(super) fn reconnected(&mut self, node: NodeId, heartbeats: bool, out: &mut Effects) {
        if self.faults.is_cut_off(node) {
            return; // The network went again meanwhile.
        }
        if heartbeats {
            self.heartbeat_resumes(node, out);
        } else {
            self.kubelets.reconnected(node, view!(self), out);
        }
    }

    /// Nothing is announced: processes and kubelet are gone from one instant to the next.
    fn power_off(&mut self, node: NodeId, out: &mut Effects) {
        self.silence(node);
        self.kubelets.node_down(node, view!(self));
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
        if !self.faults.is_out(id) && !self.outage.api_server_is_away() {
            self.node_lifecycle.heartbeat_resumed(id, self.now, &view!(self), out);
        }
    }

    pub(super) fn cordon(&self, node: NodeId, unschedulable: bool, out: &mut Effects) {
        let write = Write::PatchNode { node, add: Vec::new(), remove: Vec::new(), unschedulable: Some(unschedulable) };
        out.write(Component::Kubectl, write);
    }

    /// A machine leaves for good, with all that runs on it.
    pub(super) fn node_goes(&mut self, node: NodeId) {
        self.silence(node);
        self.kubelets.node_down(node, view!(self));
    }
}
