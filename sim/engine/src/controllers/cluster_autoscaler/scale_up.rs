//! Scale-up: which groups could help, which one does, and what pods are told that none does.
//!
//! Upstream: core/scaleup/orchestrator/{orchestrator,executor}.go, processors/status/eventing_scale_up_processor.go.
//!
//! Invariants:
//! - A group is never ordered beyond its maximum, nor the cluster beyond `--max-nodes-total` and its quotas.
//! - One option is taken per loop; the rest of the pods waits for the next one.
//! - A pod hears that nothing helps it when that is so for the first time, or for another reason.

use std::collections::{BTreeMap, BTreeSet};

use api::{Str, Uid};
use port::NodeInfo;
use trace::Record;

use super::super::View;
use super::balance::{Growth, are_similar, spread};
use super::cloud::{Cloud, pool_node};
use super::cluster_state::ClusterState;
use super::estimator::{Estimate, estimate};
use super::expander::{ScaleOption, choose, named};
use super::pending::PodGroup;
use super::quota::Quota;
use super::simulation::Simulation;
use super::{say_of_cluster, say_of_pod};
use crate::effects::Effects;

/// `--max-nodes-per-scaleup`.
const MAX_NODES_PER_SCALE_UP: u32 = 1000;

/// What pods were told last.
#[derive(Debug, Default)]
pub(super) struct Told {
    pods: BTreeMap<Uid, String>,
}

impl Told {
    /// Forgets pods that do not wait any more.
    pub(super) fn keep(&mut self, waiting: &BTreeSet<Uid>) {
        self.pods.retain(|uid, _| waiting.contains(uid));
    }

    /// Tells pods that no group helps them, unless they know.
    fn tell(&mut self, group: &PodGroup, why: &str, pools: BTreeMap<Str, Str>, view: &View<'_>, out: &mut Effects) {
        let mut pods: Vec<Str> = Vec::new();
        for pod in &group.pods {
            if self.pods.get(&pod.info.uid).is_none_or(|known| known != why) {
                self.pods.insert(pod.info.uid, why.to_owned());
                say_of_pod(pod.id, "NotTriggerScaleUp", format!("pod didn't trigger scale-up: {why}"), view, out);
                pods.push(pod.info.key.to_string().into());
            }
        }
        if !pods.is_empty() {
            out.record(Record::NotTriggerScaleUp { pods, pools, message: why.into() });
        }
    }
}

/// Pods that no group helps because the cluster has as many nodes as it may.
pub(super) fn tell_of_max_nodes(groups: &[PodGroup], told: &mut Told, view: &View<'_>, out: &mut Effects) {
    groups.iter().for_each(|group| told.tell(group, "max total nodes in cluster reached", BTreeMap::new(), view, out));
}

/// One scale-up.
pub(super) struct ScaleUp<'s, 'a> {
    pub(super) cloud: &'s mut Cloud,
    pub(super) state: &'s mut ClusterState,
    pub(super) told: &'s mut Told,
    pub(super) simulation: &'s mut Simulation<'a>,
    pub(super) pods: &'s [PodGroup],
}

/// What groups say of pods.
#[derive(Default)]
struct Verdicts {
    /// Why a group was not asked.
    skipped: BTreeMap<usize, String>,
    /// Groups of pods that a node group could take.
    schedulable: BTreeMap<usize, Vec<usize>>,
    /// Per group of pods: why node groups turned it down.
    rejected: Vec<BTreeMap<usize, Vec<String>>>,
}

impl ScaleUp<'_, '_> {
    /// Orders nodes, or tells pods why not. True when something was ordered.
    pub(super) fn run(mut self, out: &mut Effects) -> bool {
        let view = self.simulation.view;
        let settings = &view.settings.cluster_autoscaler;
        let mut quota = Quota::to_add(settings, self.simulation.scratch.nodes().iter());
        let mut verdicts = self.ask_groups(&quota);
        let options = self.options(&verdicts);
        let all_nodes = view.store.nodes.len() as u32;
        let Some(best) = choose(options, self.pods, self.cloud, all_nodes, view) else {
            self.tell_why(&mut verdicts, out);
            return false;
        };
        let Some(nodes) = self.capped(best.estimate.nodes, out) else { return false };
        let nodes = quota.allows(&self.cloud.groups[best.group].pool.template, nodes);
        let growths = self.growths(&best, nodes, &verdicts, &mut quota);
        self.execute(&best, &growths, out)
    }

    /// Which groups may grow, and which pods would fit their nodes.
    fn ask_groups(&mut self, quota: &Quota) -> Verdicts {
        let mut verdicts = Verdicts { rejected: vec![BTreeMap::new(); self.pods.len()], ..Verdicts::default() };
        for place in 0..self.cloud.groups.len() {
            if let Some(reason) = self.reason_to_skip(place, quota) {
                verdicts.skipped.insert(place, reason);
                continue;
            }
            let before = self.simulation.scratch.nodes().len();
            let index = self.simulation.add_new_node(&self.cloud.groups[place].pool, self.first_ordinal(place));
            let mut fitting = Vec::new();
            for (number, group) in self.pods.iter().enumerate() {
                if self.simulation.fits(group.exemplar(), index) {
                    fitting.push(number);
                } else {
                    let reasons = self.simulation.reasons(group.exemplar(), index);
                    verdicts.rejected[number].insert(place, reasons.iter().map(ToString::to_string).collect());
                }
            }
            self.simulation.drop_new_nodes(before);
            verdicts.schedulable.insert(place, fitting);
        }
        verdicts
    }

    fn first_ordinal(&self, place: usize) -> u32 {
        self.cloud.next_ordinal(place, self.simulation.upcoming.len() as u32)
    }

    /// Upstream: filterValidScaleUpNodeGroups.
    fn reason_to_skip(&self, place: usize, quota: &Quota) -> Option<String> {
        let (view, group) = (self.simulation.view, &self.cloud.groups[place]);
        if !self.state.is_group_healthy(place, self.cloud, view) {
            return Some("not ready for scale-up".to_owned());
        }
        if self.state.backoff.holds(place, view.now) {
            return Some("in backoff after failed scale-up".to_owned());
        }
        if group.target >= group.max {
            return Some("max node group size reached".to_owned());
        }
        let mut count = 1;
        if group.pool.zero_or_max {
            count = group.max - group.target;
            let most = view.settings.cluster_autoscaler.max_nodes_total;
            if most != 0 && self.simulation.scratch.nodes().len() as u32 + count > most {
                return Some("atomic scale-up exceeds cluster node count limit".to_owned());
            }
        }
        quota.exceeded(&group.pool.template, count)
    }

    fn options(&mut self, verdicts: &Verdicts) -> Vec<ScaleOption> {
        let places: Vec<usize> = verdicts.schedulable.keys().copied().collect();
        places.into_iter().filter_map(|place| self.option(place, verdicts)).collect()
    }

    /// Upstream: ComputeExpansionOption.
    fn option(&mut self, place: usize, verdicts: &Verdicts) -> Option<ScaleOption> {
        let schedulable = verdicts.schedulable.get(&place).filter(|groups| !groups.is_empty())?;
        let similar = self.similar(place, verdicts);
        let room: u32 = similar.iter().chain([&place]).map(|place| self.room(*place)).sum();
        let most = self.simulation.view.settings.cluster_autoscaler.max_nodes_total;
        let in_cluster = if most == 0 { u32::MAX } else { most.saturating_sub(self.simulation.scratch.nodes().len() as u32) };
        let limit = room.min(in_cluster).min(MAX_NODES_PER_SCALE_UP);
        let first = self.first_ordinal(place);
        let group = &self.cloud.groups[place];
        let Estimate { mut nodes, pods } = estimate(self.simulation, (&group.pool, first, limit), self.pods, schedulable);
        if group.pool.zero_or_max && nodes > 0 {
            nodes = group.max;
        }
        (nodes > 0 && !pods.is_empty()).then_some(ScaleOption { group: place, estimate: Estimate { nodes, pods } })
    }

    fn room(&self, place: usize) -> u32 {
        let group = &self.cloud.groups[place];
        group.max.saturating_sub(group.target)
    }

    /// Groups that are as good as this one for all pods it could take.
    fn similar(&mut self, place: usize, verdicts: &Verdicts) -> Vec<usize> {
        let view = self.simulation.view;
        if !view.settings.cluster_autoscaler.balance_similar_node_groups || self.cloud.groups[place].pool.zero_or_max {
            return Vec::new();
        }
        let template = self.template(place);
        let own = &verdicts.schedulable[&place];
        let others: Vec<usize> = (0..self.cloud.groups.len()).filter(|other| *other != place).collect();
        let alike = |other: &usize| {
            let theirs = verdicts.schedulable.get(other);
            theirs.is_some_and(|theirs| own.iter().all(|group| theirs.contains(group))) && are_similar(&template, &self.template(*other))
        };
        others.into_iter().filter(alike).collect()
    }

    fn template(&self, place: usize) -> NodeInfo {
        self.simulation.new_node_info(pool_node(&self.cloud.groups[place].pool, 0))
    }

    /// Upstream: GetCappedNewNodeCount.
    fn capped(&self, nodes: u32, out: &mut Effects) -> Option<u32> {
        let most = self.simulation.view.settings.cluster_autoscaler.max_nodes_total;
        let there = self.simulation.scratch.nodes().len() as u32;
        if most == 0 || nodes + there <= most {
            return Some(nodes);
        }
        say_of_cluster(true, "MaxNodesTotalReached", format!("Max total nodes in cluster reached: {most}"), out);
        most.checked_sub(there).filter(|left| *left > 0)
    }

    /// How an option's nodes are spread over its groups.
    fn growths(&mut self, best: &ScaleOption, nodes: u32, verdicts: &Verdicts, quota: &mut Quota) -> Vec<Growth> {
        let similar = self.similar(best.group, verdicts);
        let within = similar.into_iter().filter(|place| quota.exceeded(&self.cloud.groups[*place].pool.template, 1).is_none());
        let places: Vec<usize> = [best.group].into_iter().chain(within).collect();
        let sizes = places.iter().map(|place| (*place, self.cloud.groups[*place].target, self.cloud.groups[*place].max));
        let mut growths = spread(sizes, nodes);
        for growth in &mut growths {
            let template = &self.cloud.groups[growth.group].pool.template;
            let allowed = quota.allows(template, growth.to - growth.from);
            quota.consume(template, allowed);
            growth.to = growth.from + allowed;
        }
        growths.retain(|growth| growth.to != growth.from);
        growths
    }

    /// Upstream: executeScaleUpsSync: the first that fails ends it.
    fn execute(&mut self, best: &ScaleOption, growths: &[Growth], out: &mut Effects) -> bool {
        let view = self.simulation.view;
        for growth in growths {
            let Growth { group, from, to, max } = *growth;
            let name = self.cloud.groups[group].pool.name.clone();
            let say = |text: String, out: &mut Effects| say_of_cluster(false, "ScaledUpGroup", text, out);
            say(format!("Scale-up: setting group {name} size to {to} instead of {from} (max: {max})"), out);
            let nodes = match self.cloud.increase(group, to - from, view, out) {
                Ok(nodes) => nodes,
                Err(why) => {
                    say_of_cluster(true, "FailedToScaleUpGroup", format!("Scale-up failed for group {name}: {why}"), out);
                    out.record(Record::NodePoolBackoff { pool: name, until: self.state.backoff.failed(group, view.now) });
                    return false;
                }
            };
            self.state.register_scale_up(group, to - from, view);
            say(format!("Scale-up: group {name} size set to {to} instead of {from} (max: {max})"), out);
            let reason = format!("{} pending pods", best.estimate.pods.len()).into();
            out.record(Record::NodePool { pool: name, from, to, nodes, reason });
        }
        if growths.is_empty() {
            return false;
        }
        let message = format!("pod triggered scale-up: [{}]", named(growths, self.cloud));
        for (group, place) in &best.estimate.pods {
            let pod = &self.pods[*group].pods[*place];
            self.told.pods.remove(&pod.info.uid);
            say_of_pod(pod.id, "TriggeredScaleUp", message.clone(), view, out);
        }
        true
    }

    /// What stands in the way of each pool: its own state, or what the pods lack on its nodes.
    fn per_pool(&self, rejected: &BTreeMap<usize, Vec<String>>, skipped: &BTreeMap<usize, String>) -> BTreeMap<Str, Str> {
        let name = |place: &usize| self.cloud.groups[*place].pool.name.clone();
        let own = skipped.iter().map(|(place, reason)| (name(place), reason.as_str().into()));
        own.chain(rejected.iter().map(|(place, reasons)| (name(place), reasons.join(", ").into()))).collect()
    }

    /// Upstream: GetRemainingPods and ReasonsMessage; reasons are in order of their text.
    fn tell_why(&mut self, verdicts: &mut Verdicts, out: &mut Effects) {
        for (number, rejected) in verdicts.rejected.iter().enumerate() {
            if verdicts.schedulable.values().any(|fitting| fitting.contains(&number)) {
                continue;
            }
            let mut counted: BTreeMap<&str, u32> = BTreeMap::new();
            let reasons = rejected.values().flatten().chain(verdicts.skipped.values());
            reasons.for_each(|reason| *counted.entry(reason).or_insert(0) += 1);
            let text = counted.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ");
            let pools = self.per_pool(rejected, &verdicts.skipped);
            self.told.tell(&self.pods[number], &text, pools, self.simulation.view, out);
        }
    }
}
