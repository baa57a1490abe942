//! The cloud's side: node groups with their target sizes and instances, and what becomes of orders.
//!
//! Invariants:
//! - A group's target grows with orders and shrinks with deletions, whatever nodes there are. An instance
//!   that nobody deletes stays, also when its Node object has gone.
//! - Only what has been ordered and not been deleted meanwhile arrives.
//! - What an order comes to is drawn from the stream of the node's name.
//!
//! Upstream's cloud providers differ in detail; this one keeps accounts as GCE's does: instances are listed
//! from the order on, and one that cannot be created says so itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{ConditionStatus, Node, ObjectMeta, SimTime, Str};

use super::super::View;
use crate::effects::Effects;
use crate::event::Event;
use crate::random::{Purpose, entity};
use crate::spec::{NodePool, ProvisioningFailure, ProvisioningFailureReason};
use crate::store::{NodeId, Store};

/// A machine, from its order to its deletion.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Instance {
    /// Its place in the order of the group's nodes.
    pub(super) ordinal: u32,
    /// Why it cannot be created, and from when on the cloud says so.
    error: Option<(SimTime, InstanceError)>,
    /// Whether a node of this name was there when last looked.
    pub(super) registered: bool,
}

/// Why an instance could not be created (upstream: cloudprovider.InstanceErrorInfo).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct InstanceError {
    pub(super) class: &'static str,
    pub(super) code: &'static str,
    pub(super) message: Str,
}

impl Instance {
    /// The error, once the cloud tells it.
    pub(super) fn error(&self, now: SimTime) -> Option<&InstanceError> {
        self.error.as_ref().filter(|(from, _)| *from <= now).map(|(_, error)| error)
    }
}

/// A node group: a pool that the autoscaler may resize.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Group {
    pub(super) pool: NodePool,
    pub(super) min: u32,
    pub(super) max: u32,
    /// Nodes that the cloud is asked to have.
    pub(super) target: u32,
    pub(super) instances: BTreeMap<Str, Instance>,
    /// First number not yet given to a node.
    next_ordinal: u32,
    /// The pool's place in the spec.
    pub(super) place: u32,
}

/// All node groups.
#[derive(Debug, Default)]
pub(super) struct Cloud {
    pub(super) groups: Vec<Group>,
    by_name: BTreeMap<Str, usize>,
    /// Orders that fail now, by fault and occurrence.
    failures: BTreeMap<(u32, u32), ProvisioningFailure>,
}

/// What node `ordinal` of `pool` looks like when it registers.
pub(super) fn pool_node(pool: &NodePool, ordinal: u32) -> Node {
    let name: Str = node_name(pool, ordinal).into();
    let mut labels = (*pool.template.meta.labels).clone();
    if let Some(place) = (ordinal as usize).checked_rem(pool.zones.len()) {
        labels.insert("topology.kubernetes.io/zone".into(), pool.zones[place].clone());
    }
    // Upstream: pkg/kubelet/kubelet_node_status.go, initialNode.
    for (key, value) in [("hostname", name.clone()), ("arch", "amd64".into()), ("os", "linux".into())] {
        labels.entry(format!("kubernetes.io/{key}").into()).or_insert(value);
    }
    let mut node = pool.template.clone();
    node.meta = ObjectMeta { name, labels: Arc::new(labels), ..pool.template.meta.clone() };
    node.spec.provider_id = pool.name.clone();
    node.status.ready = ConditionStatus::True;
    node.status.ready_reason = "KubeletReady".into();
    node
}

fn node_name(pool: &NodePool, ordinal: u32) -> String {
    format!("{}-{ordinal}", pool.name)
}

/// A node by its name.
pub(super) fn find_node(store: &Store, name: &str) -> Option<NodeId> {
    store.nodes.find(&api::ObjectKey::new("", name))
}

impl Cloud {
    /// The groups of these pools; pools without limits are none.
    pub(super) fn new(pools: &[NodePool]) -> Self {
        let group = |(place, pool): (u32, &NodePool)| {
            let (min, max) = pool.autoscaling?;
            Some(Group { pool: pool.clone(), min, max, target: 0, instances: BTreeMap::new(), next_ordinal: 0, place })
        };
        let groups: Vec<Group> = (0..).zip(pools).filter_map(group).collect();
        let by_name = groups.iter().enumerate().map(|(place, group)| (group.pool.name.clone(), place)).collect();
        Self { groups, by_name, failures: BTreeMap::new() }
    }

    /// The group that a node belongs to.
    pub(super) fn group_of(&self, node: &Node) -> Option<usize> {
        self.by_name.get(&node.spec.provider_id).copied()
    }

    /// Looks which instances have registered; nodes that nobody ordered (those of the start) are taken in.
    pub(super) fn look(&mut self, store: &Store) {
        for group in &mut self.groups {
            group.instances.values_mut().for_each(|instance| instance.registered = false);
        }
        for (_, node) in store.nodes.iter() {
            let Some(place) = self.group_of(node) else { continue };
            let group = &mut self.groups[place];
            if let Some(instance) = group.instances.get_mut(&node.meta.name) {
                instance.registered = true;
            } else if !super::actuator::is_being_deleted(node, None) {
                let number = node.meta.name.strip_prefix(&*group.pool.name).and_then(|rest| rest.strip_prefix('-'));
                let ordinal = number.and_then(|number| number.parse::<u32>().ok());
                group.next_ordinal = group.next_ordinal.max(ordinal.map_or(0, |ordinal| ordinal + 1));
                group.target += 1;
                let instance = Instance { ordinal: ordinal.unwrap_or(0), error: None, registered: true };
                group.instances.insert(node.meta.name.clone(), instance);
            }
        }
    }

    /// Orders nodes, and gives their names. What fails and is told at once is an error, and changes nothing.
    pub(super) fn increase(&mut self, place: usize, count: u32, view: &View<'_>, out: &mut Effects) -> Result<Vec<Str>, Str> {
        let group = &mut self.groups[place];
        let failure = self.failures.values().find(|failure| failure.pools.is_empty() || failure.pools.contains(&group.pool.name));
        if let Some(failure) = failure.filter(|failure| failure.reason == ProvisioningFailureReason::Refused) {
            return Err(failure.message.clone());
        }
        group.target += count;
        let mut names = Vec::new();
        for ordinal in group.next_ordinal..group.next_ordinal + count {
            let name: Str = node_name(&group.pool, ordinal).into();
            names.push(name.clone());
            let mut stream = view.streams.stream(Purpose::Provisioning, entity(&name));
            let ready = view.now + group.pool.provisioning.sample(&mut stream);
            let fails = failure.filter(|failure| failure.share >= 1.0 || stream.unit() < failure.share);
            let mut instance = Instance { ordinal, error: None, registered: false };
            match fails.map(|failure| (failure.reason, failure)) {
                None => out.at(ready, Event::NodeProvisioned { pool: group.place, ordinal }),
                Some((ProvisioningFailureReason::NeverCreated, _)) => continue,
                Some((ProvisioningFailureReason::NeverRegisters | ProvisioningFailureReason::Refused, _)) => {}
                Some((ProvisioningFailureReason::OutOfResources | ProvisioningFailureReason::QuotaExceeded, failure)) => {
                    let code = failure.reason.code();
                    let error = InstanceError { class: "OutOfResource", code, message: failure.message.clone() };
                    instance.error = Some((view.now + failure.after, error));
                }
            }
            group.instances.insert(name, instance);
        }
        group.next_ordinal += count;
        Ok(names)
    }

    /// Takes orders back that no instance stands for.
    pub(super) fn decrease_target(&mut self, place: usize, count: u32) -> Result<(), String> {
        let group = &mut self.groups[place];
        let existing = group.instances.len() as u32;
        if group.target < existing + count {
            let size = group.target;
            return Err(format!("attempt to delete existing nodes targetSize:{size} delta:-{count} existingNodes: {existing}"));
        }
        group.target -= count;
        Ok(())
    }

    /// Deletes instances, and asks for so many less.
    pub(super) fn delete(&mut self, place: usize, names: &[Str]) {
        let group = &mut self.groups[place];
        for name in names {
            if group.instances.remove(name).is_some() {
                group.target = group.target.saturating_sub(1);
            }
        }
    }

    /// Whether an instance that was ordered is still wanted, now that it has booted.
    pub(super) fn arrives(&self, pool: u32, ordinal: u32) -> bool {
        let group = self.groups.iter().find(|group| group.place == pool);
        group.is_some_and(|group| group.instances.contains_key(node_name(&group.pool, ordinal).as_str()))
    }

    /// Whether a node's instance is there.
    pub(super) fn has_instance(&self, place: usize, name: &Str) -> bool {
        self.groups[place].instances.contains_key(name)
    }

    /// Numbers of the next nodes that will register in a group: what is on its way, then what would be ordered next.
    pub(super) fn coming(&self, place: usize, count: u32, now: SimTime) -> Vec<u32> {
        let group = &self.groups[place];
        let expected = |instance: &&Instance| !instance.registered && instance.error(now).is_none();
        let mut ordinals: Vec<u32> = group.instances.values().filter(expected).map(|instance| instance.ordinal).collect();
        ordinals.sort_unstable();
        ordinals.extend(group.next_ordinal..group.next_ordinal + count);
        ordinals.truncate(count as usize);
        ordinals
    }

    /// First number that no node of a group has had, nor any of the `upcoming` placeholders.
    pub(super) fn next_ordinal(&self, place: usize, upcoming: u32) -> u32 {
        self.groups[place].next_ordinal + upcoming
    }

    /// When the cloud next says of an instance that it cannot be created.
    pub(super) fn next_error(&self, now: SimTime) -> Option<SimTime> {
        let times = self.groups.iter().flat_map(|group| group.instances.values()).filter_map(|instance| Some(instance.error.as_ref()?.0));
        times.filter(|time| *time > now).min()
    }

    /// From now on orders fail.
    pub(super) fn fail(&mut self, fault: (u32, u32), failure: &ProvisioningFailure) {
        self.failures.insert(fault, failure.clone());
    }

    /// Orders made from now on do not fail of this any more.
    pub(super) fn heal(&mut self, fault: (u32, u32)) {
        self.failures.remove(&fault);
    }
}
