//! Where a run counted together cannot be trusted: loads within 5 % of where a service's fate turns.
//!
//! Two thresholds, as the traffic model has them: what is offered against what can be served, and what is offered
//! with all attempts of everyone against what can be served (above it a backlog once there never goes away).
//! Seen at the highest rate that lasts and at the last one, with the fewest and the most replicas.
//!
//! Not here: thresholds that depend on the course of the run (autoscalers on their way, faults, slots held by slow callees).

use std::collections::BTreeMap;

use api::ObjectKey;
use engine::spec::{Client, NodePool, Source, TrafficEngine, TrafficSpec};
use manifests::{Diagnostic, Pointer};

use super::feasibility::{cores, largest_millis, most_replicas, spread, sustained_peak};
use crate::catalog::Catalog;
use crate::cx::Cx;
use crate::lower::Behaviors;

/// Within this share of a threshold noise decides.
const NEAR: f64 = 0.05;

/// Says where requests that are counted together are near a tipping point.
pub(crate) fn tipping_points(
    cx: &mut Cx<'_>,
    catalog: &Catalog<'_>,
    behaviors: &Behaviors,
    objects: &manifests::Objects,
    pools: &[NodePool],
    traffic: (&TrafficSpec, &[Pointer]),
) {
    let (spec, places) = traffic;
    let largest = largest_millis(pools, objects);
    if spec.engine != TrafficEngine::Cohort || largest == 0 {
        return;
    }
    let duration = cx.duration;
    let last = |source: &Source| {
        source.rate.iter().rev().find(|point| point.at.as_secs_f64() <= duration.as_secs_f64()).map(|point| point.per_second)
    };
    let levels = [
        ("the peak", spec.sources.iter().map(|source| sustained_peak(&source.rate, duration)).collect::<Vec<_>>()),
        ("the last rate", spec.sources.iter().map(|source| last(source).unwrap_or(0.0)).collect()),
    ];
    let mut told: Vec<ObjectKey> = Vec::new();
    for (level, rates) in levels {
        let mut offered: BTreeMap<ObjectKey, f64> = BTreeMap::new();
        for (source, rate) in spec.sources.iter().zip(rates) {
            spread(catalog, behaviors, &source.to, rate, 0, &mut offered);
        }
        for (service, rate) in offered {
            let Some(index) = behaviors.of_service(catalog, &service) else { continue };
            let Some(behavior) = &behaviors.items[index].0.service else { continue };
            let cpu = behavior.cpu_per_request.mean().as_secs_f64();
            let served = |most: bool| -> f64 {
                let of = |workload: &&crate::catalog::Workload<'_>| {
                    let replicas = if most { most_replicas(objects, workload) } else { workload.replicas };
                    f64::from(replicas) * cores(workload.spec, largest, behavior.concurrency) / cpu.max(1e-12)
                };
                catalog.behind(&service).iter().map(of).sum()
            };
            let attempts = attempts(spec, behaviors, &service);
            let near = [false, true].into_iter().flat_map(|most| [(most, 1), (most, attempts)]).find_map(|(most, attempts)| {
                let share = rate * f64::from(attempts) / served(most).max(1e-12);
                ((share - 1.0).abs() <= NEAR).then_some((most, attempts, share))
            });
            let Some((most, attempts, share)) = near.filter(|_| cpu > 0.0 && !told.contains(&service)) else { continue };
            told.push(service.clone());
            let with = if attempts > 1 { format!(", with all {attempts} attempts of each request,") } else { String::new() };
            let replicas = if most { "its most replicas" } else { "its first replicas" };
            let text = format!(
                "near a tipping point: {level}{with} asks for {:.0} % of what {replicas} of Service `{}` can serve; run exact",
                share * 100.0,
                service.name
            );
            cx.note(&text);
            let place = spec.sources.iter().position(|source| source.to == service).unwrap_or(0);
            let Some(place) = places.get(place) else { continue };
            let diagnostic = Diagnostic::warning("WT0507", text).label("requests are counted together, without noise");
            cx.push(diagnostic.help("its verdict may be chance: write `engine: exact`, or stay further from the threshold"), place);
        }
    }
}

/// The most attempts that anyone makes at a service without anything that limits retries.
fn attempts(spec: &TrafficSpec, behaviors: &Behaviors, service: &ObjectKey) -> u32 {
    let calls = behaviors.items.iter().filter_map(|(behavior, _)| behavior.service.as_ref()).flat_map(|of| of.calls.iter().flatten());
    let calls = calls.map(|call| (&call.to, &call.client));
    let sources = spec.sources.iter().map(|source| (&source.to, &source.client));
    let free = |client: &Client| client.retry_budget.is_none() && client.token_bucket.is_none();
    calls.chain(sources).filter(|(to, client)| *to == service && free(client)).map(|(_, client)| client.max_attempts).max().unwrap_or(1)
}
