//! Expanders: which of several options to grow is taken.
//!
//! Upstream: expander/{factory/chain,random,mostpods,leastnodes,waste,price,priority}.
//!
//! Invariants:
//! - Expanders are asked one after the other, each with what the one before has kept; what is left in the
//!   end is settled by lot. The lot is drawn from a stream of its own for each instant.
//! - Priorities are patterns of names in RE2's way (see `pattern`); a group that none names is left out,
//!   unless that leaves nothing.

use api::{Node, ResourceName, SimTime};

use super::super::View;
use super::balance::Growth;
use super::cloud::Cloud;
use super::estimator::{Estimate, requested};
use super::pending::PodGroup;
use crate::pattern::Pattern;
use crate::random::Purpose;

/// What one group could do.
pub(super) struct ScaleOption {
    pub(super) group: usize,
    pub(super) estimate: Estimate,
}

/// The option taken.
pub(super) fn choose(
    mut options: Vec<ScaleOption>,
    groups: &[PodGroup],
    cloud: &Cloud,
    ready_nodes: u32,
    view: &View<'_>,
) -> Option<ScaleOption> {
    let settings = &view.settings.cluster_autoscaler;
    for name in settings.expander.split(',').map(str::trim) {
        let template = |option: &ScaleOption| &cloud.groups[option.group].pool.template;
        match name {
            "most-pods" => keep_least(&mut options, |option| -(option.estimate.pods.len() as f64)),
            "least-nodes" => keep_least(&mut options, |option| f64::from(option.estimate.nodes)),
            "least-waste" => keep_least(&mut options, |option| waste(option, template(option), groups)),
            "price" => keep_least(&mut options, |option| {
                price(option, template(option), cloud.groups[option.group].pool.price_per_hour, ready_nodes, groups)
            }),
            "priority" => keep_most_important(&mut options, cloud, view),
            _ => {}
        }
        if options.len() == 1 {
            break;
        }
    }
    let pick = lot(options.len(), view, view.now);
    (!options.is_empty()).then(|| options.swap_remove(pick))
}

fn lot(count: usize, view: &View<'_>, now: SimTime) -> usize {
    if count < 2 { 0 } else { view.streams.stream(Purpose::Expander, now.as_nanos()).below(count as u64) as usize }
}

fn keep_least(options: &mut Vec<ScaleOption>, score: impl Fn(&ScaleOption) -> f64) {
    let scores: Vec<f64> = options.iter().map(&score).collect();
    let best = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let mut place = 0;
    options.retain(|_| {
        place += 1;
        scores[place - 1] <= best
    });
}

/// Upstream: expander/priority. Without priorities nothing is left out.
fn keep_most_important(options: &mut Vec<ScaleOption>, cloud: &Cloud, view: &View<'_>) {
    let priorities = &view.settings.cluster_autoscaler.expander_priorities;
    let of = |option: &ScaleOption| {
        let name = &cloud.groups[option.group].pool.name;
        let matching = priorities.iter().filter(|(_, pattern)| Pattern::new(pattern).is_ok_and(|pattern| pattern.is_in(name)));
        matching.map(|(priority, _)| *priority).max()
    };
    let best = options.iter().filter_map(of).max();
    if best.is_some() {
        options.retain(|option| of(option) == best);
    }
}

/// cpu and memory that an option leaves unused, as shares of what it orders (upstream: expander/waste).
fn waste(option: &ScaleOption, template: &Node, groups: &[PodGroup]) -> f64 {
    let unused = |name: &ResourceName| {
        let of_node = template.status.capacity.get(name).or_else(|| template.status.allocatable.get(name)).copied().unwrap_or(0);
        let all = of_node * i64::from(option.estimate.nodes);
        if all > 0 { (all - requested(&option.estimate, groups, name)) as f64 / all as f64 } else { 0.0 }
    };
    unused(&ResourceName::Cpu) + unused(&ResourceName::Memory)
}

/// Upstream: expander/price. Pods are priced as upstream prices them on GCE; the unit cancels only in part,
/// so pool prices should be in dollars per hour.
fn price(option: &ScaleOption, template: &Node, price_per_hour: f64, ready_nodes: u32, groups: &[PodGroup]) -> f64 {
    const CPU_PER_HOUR: f64 = 0.033_174;
    const GIB_PER_HOUR: f64 = 0.004_446;
    let pods = |cpu_millis: f64, bytes: f64| cpu_millis / 1000.0 * CPU_PER_HOUR + bytes / f64::from(1 << 30) * GIB_PER_HOUR;
    let asked = |name: &ResourceName| container_requests(option, groups, name) as f64;
    let of_pods = pods(asked(&ResourceName::Cpu), asked(&ResourceName::Memory));
    let stabilisation = pods(500.0, 500.0 * f64::from(1 << 20));
    let nodes = option.estimate.nodes;
    let sub_score = (price_per_hour * f64::from(nodes) + stabilisation) / (of_pods + stabilisation);
    let cpus = template.status.capacity.get(&ResourceName::Cpu).copied().unwrap_or(1).max(1) as f64 / 1000.0;
    let preferred = preferred_cpus(ready_nodes);
    let unfitness = (preferred / cpus).max(cpus / preferred);
    ((unfitness - 1.0) * (1.0 - libm::tanh(f64::from(nodes.saturating_sub(1)) / 15.0)) + 1.0) * sub_score
}

fn container_requests(option: &ScaleOption, groups: &[PodGroup], name: &ResourceName) -> i64 {
    let pods = option.estimate.pods.iter().map(|(group, place)| &groups[*group].pods[*place].info.spec);
    pods.flat_map(|spec| &spec.containers).map(|container| container.requests.get(name).copied().unwrap_or(0)).sum()
}

/// The node size upstream thinks right for a cluster of so many nodes.
fn preferred_cpus(nodes: u32) -> f64 {
    const SIZES: [(u32, f64); 5] = [(2, 1.0), (6, 2.0), (20, 4.0), (60, 8.0), (200, 16.0)];
    SIZES.iter().find(|(most, _)| nodes <= *most).map_or(32.0, |(_, cpus)| *cpus)
}

/// Growths as an event names them. Upstream: nodegroupset.ScaleUpInfo.
pub(super) fn named(growths: &[Growth], cloud: &Cloud) -> String {
    let one =
        |growth: &Growth| format!("{{{} {}->{} (max: {})}}", cloud.groups[growth.group].pool.name, growth.from, growth.to, growth.max);
    growths.iter().map(one).collect::<Vec<_>>().join(" ")
}
