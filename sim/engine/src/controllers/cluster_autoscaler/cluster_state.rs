//! Cluster state registry: how large groups are, how large they should be, and what was asked of them.
//!
//! Upstream: clusterstate/clusterstate.go.
//!
//! Invariants:
//! - A scale-up is over when nothing more is to come, or when it has taken longer than
//!   `--max-node-provision-time`; then the group is backed off.
//! - Nodes are to come only in a group with a scale-up under way that is not backed off.
//!
//! Not modelled: suspended nodes, startup taints, several error messages of one code.

use std::collections::{BTreeMap, BTreeSet};

use api::{SimDuration, SimTime, Str};

use super::super::View;
use super::backoff::Backoff;
use super::cloud::{Cloud, InstanceError};
use super::say_of_cluster;
use crate::effects::Effects;
use crate::store::NodeId;
use trace::Record;

/// `--max-node-startup-time`.
const MAX_STARTUP_TIME: SimDuration = SimDuration::from_secs(900);
/// What is due "after" an instant is due from here on.
const JUST_AFTER: SimDuration = SimDuration::from_nanos(1);

/// How the nodes of a group are.
#[derive(Clone, Debug, Default)]
pub(super) struct Readiness {
    ready: u32,
    unready: u32,
    /// Registered, not ready, and not yet expected to be.
    pub(super) not_started: Vec<NodeId>,
    pub(super) registered: u32,
    unregistered: u32,
    /// Instances that never registered.
    pub(super) long_unregistered: Vec<Str>,
}

impl Readiness {
    /// Whether there is anything of the group at all.
    fn is_known(&self) -> bool {
        self.registered + self.unregistered > 0 || !self.long_unregistered.is_empty()
    }
}

#[derive(Clone, Copy, Debug)]
struct Request {
    increase: u32,
    time: SimTime,
    expected: SimTime,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct IncorrectSize {
    current: u32,
    expected: u32,
    first_observed: SimTime,
}

/// The registry.
#[derive(Debug, Default)]
pub(super) struct ClusterState {
    requests: BTreeMap<usize, Request>,
    pub(super) readiness: Vec<Readiness>,
    /// Instances without a node, and since when.
    unregistered: BTreeMap<Str, SimTime>,
    incorrect: BTreeMap<usize, IncorrectSize>,
    /// Instances whose error was seen.
    errors_seen: BTreeSet<Str>,
    pub(super) backoff: Backoff,
    nodes: u32,
    total_unready: u32,
    /// When a node that is starting will count as unready.
    next_unready: Option<SimTime>,
}

impl ClusterState {
    /// Looks at all nodes and instances. Upstream: updateClusterStateRegistry.
    pub(super) fn update(&mut self, cloud: &mut Cloud, view: &View<'_>, out: &mut Effects) {
        self.update_unregistered(cloud, view.now);
        self.update_readiness(cloud, view);
        self.backoff.forget(view.now);
        self.update_requests(cloud, view, out);
        self.handle_creation_errors(cloud, view, out);
        self.update_incorrect_sizes(cloud, view.now);
    }

    fn update_unregistered(&mut self, cloud: &Cloud, now: SimTime) {
        let expected = cloud.groups.iter().flat_map(|group| &group.instances);
        let expected = expected.filter(|(_, instance)| !instance.registered && instance.error(now).is_none());
        let known = &self.unregistered;
        let since = |name: &Str| known.get(name).copied().unwrap_or(now);
        self.unregistered = expected.map(|(name, _)| (name.clone(), since(name))).collect();
    }

    fn update_readiness(&mut self, cloud: &Cloud, view: &View<'_>) {
        let now = view.now;
        let mut readiness = vec![Readiness::default(); cloud.groups.len()];
        (self.nodes, self.total_unready, self.next_unready) = (0, 0, None);
        for (id, node) in view.store.nodes.iter() {
            self.nodes += 1;
            let group = cloud.group_of(node);
            let started_by = node.meta.creation + MAX_STARTUP_TIME;
            let deleted = group.is_some_and(|group| !cloud.has_instance(group, &node.meta.name));
            let is_ready = node.status.ready.is_true();
            let starting = !is_ready && started_by > now;
            if starting && !deleted {
                self.next_unready = Some(self.next_unready.map_or(started_by, |earlier: SimTime| earlier.min(started_by)));
            }
            self.total_unready += u32::from(!deleted && !is_ready && !starting);
            let Some(group) = group else { continue };
            let of_group = &mut readiness[group];
            of_group.registered += 1;
            if !deleted {
                of_group.ready += u32::from(is_ready);
                of_group.unready += u32::from(!is_ready && !starting);
                if starting {
                    of_group.not_started.push(id);
                }
            }
        }
        for (group, of_group) in cloud.groups.iter().zip(&mut readiness) {
            for name in group.instances.keys() {
                let Some(since) = self.unregistered.get(name) else { continue };
                if *since + view.settings.cluster_autoscaler.max_node_provision_time < now {
                    of_group.long_unregistered.push(name.clone());
                } else {
                    of_group.unregistered += 1;
                }
            }
        }
        self.readiness = readiness;
    }

    /// Nodes of a group that are still to come. Upstream: calculateUpcomingNodesInNodeGroup.
    fn to_come(&self, group: usize, cloud: &Cloud) -> u32 {
        let readiness = &self.readiness[group];
        let here = readiness.ready + readiness.unready + readiness.long_unregistered.len() as u32;
        cloud.groups[group].target.saturating_sub(here)
    }

    fn update_requests(&mut self, cloud: &mut Cloud, view: &View<'_>, out: &mut Effects) {
        for (group, request) in self.requests.clone() {
            if self.to_come(group, cloud) == 0 {
                self.requests.remove(&group);
            } else if request.expected < view.now {
                self.requests.remove(&group);
                self.time_out(group, request, cloud, view, out);
            }
        }
    }

    /// What was ordered did not come in time.
    fn time_out(&mut self, group: usize, request: Request, cloud: &mut Cloud, view: &View<'_>, out: &mut Effects) {
        let (name, from) = (cloud.groups[group].pool.name.clone(), cloud.groups[group].target);
        let took = go_duration(view.now.since(request.time));
        say_of_cluster(true, "ScaleUpTimedOut", format!("Nodes added to group {name} failed to register within {took}"), out);
        out.record(Record::NodePoolBackoff { pool: name.clone(), until: self.backoff.failed(group, view.now) });
        match cloud.decrease_target(group, request.increase) {
            Ok(()) => {
                let to = cloud.groups[group].target;
                let reason = format!("{} did not come", request.increase).into();
                out.record(Record::NodePool { pool: name, from, to, nodes: Vec::new(), reason });
            }
            Err(why) => {
                let message = format!("Failed to decrease target size for group {name} after scale-up timeout: {why}");
                say_of_cluster(true, "FailedToRevertScaleUp", message, out);
            }
        }
    }

    /// Instances that cannot be created: the scale-up gets smaller, and the group is backed off.
    fn handle_creation_errors(&mut self, cloud: &Cloud, view: &View<'_>, out: &mut Effects) {
        let mut seen = BTreeSet::new();
        for (place, group) in cloud.groups.iter().enumerate() {
            let mut by_error: BTreeMap<&InstanceError, Vec<&Str>> = BTreeMap::new();
            for (name, instance) in &group.instances {
                if let Some(error) = instance.error(view.now) {
                    by_error.entry(error).or_default().push(name);
                }
            }
            for (error, names) in by_error {
                let unseen = names.iter().filter(|name| !self.errors_seen.contains(**name)).count() as u32;
                seen.extend(names.into_iter().cloned());
                if unseen == 0 || self.to_come(place, cloud) == 0 || !self.requests.contains_key(&place) {
                    continue;
                }
                let InstanceError { class, code, message } = error;
                let name = &group.pool.name;
                let text = format!("Failed adding {unseen} nodes to group {name} due to {class}.{code}; source errors: {message}");
                say_of_cluster(true, "ScaleUpFailed", text, out);
                self.reduce_request(place, unseen);
                out.record(Record::NodePoolBackoff { pool: name.clone(), until: self.backoff.failed(place, view.now) });
            }
        }
        self.errors_seen = seen;
    }

    fn reduce_request(&mut self, group: usize, by: u32) {
        if let Some(request) = self.requests.get_mut(&group) {
            request.increase = request.increase.saturating_sub(by);
            if request.increase == 0 {
                self.requests.remove(&group);
            }
        }
    }

    fn update_incorrect_sizes(&mut self, cloud: &Cloud, now: SimTime) {
        let mut sizes = BTreeMap::new();
        for (place, (group, readiness)) in cloud.groups.iter().zip(&self.readiness).enumerate() {
            if !readiness.is_known() {
                continue;
            }
            let missing = readiness.unregistered + readiness.long_unregistered.len() as u32;
            if readiness.registered > group.target || readiness.registered + missing < group.target {
                let size = IncorrectSize { current: readiness.registered, expected: group.target, first_observed: now };
                let known = self.incorrect.get(&place).filter(|known| (known.current, known.expected) == (size.current, size.expected));
                sizes.insert(place, known.copied().unwrap_or(size));
            }
        }
        self.incorrect = sizes;
    }

    /// Takes back what nothing came of for too long. True when something was tried. Upstream: fixNodeGroupSize.
    pub(super) fn fix_sizes(&self, cloud: &mut Cloud, view: &View<'_>, out: &mut Effects) -> bool {
        let late = view.settings.cluster_autoscaler.max_node_provision_time;
        let mut fixed = false;
        for (place, size) in &self.incorrect {
            if size.first_observed + late >= view.now || size.current >= size.expected {
                continue;
            }
            fixed = true;
            let (pool, from) = (cloud.groups[*place].pool.name.clone(), size.expected);
            if cloud.decrease_target(*place, size.expected - size.current).is_ok() {
                out.record(Record::NodePool { pool, from, to: size.current, nodes: Vec::new(), reason: "there are no more".into() });
            }
        }
        fixed
    }

    /// `--max-total-unready-percentage` and `--ok-total-unready-count` are not both exceeded.
    pub(super) fn is_cluster_healthy(&self, view: &View<'_>) -> bool {
        !is_too_many(self.total_unready, self.nodes, view)
    }

    /// Not too many of a group's nodes are missing or unready. Upstream: IsNodeGroupHealthy.
    pub(super) fn is_group_healthy(&self, group: usize, cloud: &Cloud, view: &View<'_>) -> bool {
        let readiness = &self.readiness[group];
        let target = i64::from(cloud.groups[group].target);
        let increase = self.requests.get(&group).map_or(0, |request| i64::from(request.increase));
        let expected = target - readiness.long_unregistered.len() as i64 - increase;
        if !readiness.is_known() {
            return target == 0 || expected == 0;
        }
        let missing = u32::try_from(expected - i64::from(readiness.ready)).unwrap_or(0);
        let all = readiness.ready + readiness.unready + readiness.not_started.len() as u32;
        !is_too_many(missing, all, view)
    }

    /// A scale-up begins or grows.
    pub(super) fn register_scale_up(&mut self, group: usize, increase: u32, view: &View<'_>) {
        let expected = view.now + view.settings.cluster_autoscaler.max_node_provision_time;
        let before = self.requests.get(&group).map_or(0, |request| request.increase);
        self.requests.insert(group, Request { increase: before + increase, time: view.now, expected });
    }

    /// How many nodes of a group pods may count on though they are not there. Upstream: GetUpcomingNodes.
    pub(super) fn upcoming(&self, group: usize, cloud: &Cloud, now: SimTime) -> u32 {
        if !self.requests.contains_key(&group) || self.backoff.holds(group, now) {
            return 0;
        }
        self.to_come(group, cloud)
    }

    /// When time alone changes what [`ClusterState::update`] finds.
    pub(super) fn next_due(&self, cloud: &Cloud, view: &View<'_>) -> Option<SimTime> {
        let late = view.settings.cluster_autoscaler.max_node_provision_time;
        let requests = self.requests.values().map(|request| request.expected + JUST_AFTER);
        let unregistered = self.unregistered.values().map(|since| *since + late + JUST_AFTER);
        let sizes = self.incorrect.values().filter(|size| size.current < size.expected);
        let sizes = sizes.map(|size| size.first_observed + late + JUST_AFTER);
        let times = requests.chain(unregistered).chain(sizes).chain(self.next_unready).chain(cloud.next_error(view.now));
        times.filter(|time| *time > view.now).min()
    }
}

fn is_too_many(unready: u32, all: u32, view: &View<'_>) -> bool {
    let settings = &view.settings.cluster_autoscaler;
    unready > settings.ok_total_unready_count && f64::from(unready) > settings.max_total_unready_percentage / 100.0 * f64::from(all)
}

/// As Go prints a duration: `15m0.1s`.
fn go_duration(span: SimDuration) -> String {
    let (seconds, nanos) = (span.as_secs(), span.as_nanos() % 1_000_000_000);
    let fraction = if nanos == 0 { String::new() } else { format!(".{nanos:09}").trim_end_matches('0').to_owned() };
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}{fraction}s"),
        (0, _) => format!("{minutes}m{rest}{fraction}s"),
        _ => format!("{hours}h{minutes}m{rest}{fraction}s"),
    }
}
