//! metrics-server: what pods used between the last two scrapes.
//!
//! Reads: the cpu time each pod has used so far and the memory its containers use, given by the caller. Writes nothing.
//!
//! Invariants: a usage is a mean over the window between two points of one life of a container; a pod that
//! was not there at the last scrape has no usage; only pods that some autoscaler looks at are scraped. Cpu is that of
//! the container that answers requests; the others of its pod use none. Memory is what is in use at the last scrape,
//! per container; a pod's is the sum of those that are known.
//!
//! Not modelled: page cache, the kubelet's own 10 s housekeeping between container and scrape, scrape errors and delays.

use api::{ContainerState, Kind, Pod, ResourceName, SimDuration, SimTime, Str, Uid};
use rustc_hash::FxHashMap;

use super::View;
use super::horizontal_pod_autoscaler::target_of;
use super::vertical_pod_autoscaler::pods_under;
use crate::effects::Effects;
use crate::event::Event;
use crate::select::selects;
use crate::spec::CpuLoad;
use crate::store::{Change, PodId};

/// A container this old, and younger than the resolution, is measured from its start (upstream:
/// metrics-server, pkg/storage: freshContainerMinMetricsResolution).
const FRESH: SimDuration = SimDuration::from_secs(10);

/// Usage of one pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PodMetric {
    /// In milli-units: mean use of cpu, rounded up; memory in thousandths of a byte.
    pub(crate) value_millis: i64,
    /// The window's end.
    pub(crate) timestamp: SimTime,
    /// The window's length.
    pub(crate) window: SimDuration,
}

/// cpu time used since the container's start, at one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Point {
    used: SimDuration,
    at: SimTime,
}

/// What one scrape finds of a pod.
#[derive(Debug, Default)]
pub(crate) struct PodUsage {
    /// The container that answers requests, whose the cpu is.
    pub(crate) serving: Option<Str>,
    /// cpu time used since its start, if that is known.
    pub(crate) cpu: Option<SimDuration>,
    /// Bytes in use, of the containers of which that is known.
    pub(crate) memory: Vec<(Str, i64)>,
}

/// Memory in use at one scrape.
#[derive(PartialEq, Eq, Debug)]
struct MemorySample {
    containers: Vec<(Str, i64)>,
    at: SimTime,
    /// Since the point before; a pod without one is not shown yet.
    window: Option<SimDuration>,
}

/// The last two points of each pod.
#[derive(Debug, Default)]
pub(crate) struct PodMetrics {
    points: FxHashMap<Uid, (Option<Point>, Point)>,
    /// Whose points they are.
    serving: FxHashMap<Uid, Str>,
    memory: FxHashMap<Uid, MemorySample>,
    is_armed: bool,
    /// Usages given outright, which nobody measures.
    loads: Vec<CpuLoad>,
}

impl PodMetrics {
    /// Starts scraping when the first autoscaler is there.
    pub(crate) fn changed(&mut self, change: &Change, view: &View<'_>, out: &mut Effects) {
        let concerns = matches!(change, Change::HpaChanged(_) | Change::Object(Kind::VerticalPodAutoscaler, _));
        if concerns && !self.is_armed {
            self.arm(view, out);
        }
    }

    fn arm(&mut self, view: &View<'_>, out: &mut Effects) {
        self.is_armed = view.store.hpas.len() + view.store.vpas.len() > 0;
        if self.is_armed {
            let after = view.now + SimDuration::from_nanos(1);
            out.at(after.next_on_grid(SimTime::ZERO, view.settings.metrics_server.resolution), Event::MetricsScrape);
        }
    }

    /// One scrape ([`Event::MetricsScrape`]).
    pub(crate) fn scrape(&mut self, view: &View<'_>, usage: impl Fn(PodId, &Pod) -> PodUsage, out: &mut Effects) {
        let resolution = view.settings.metrics_server.resolution;
        let (mut points, mut serving, mut memory) = (FxHashMap::default(), FxHashMap::default(), FxHashMap::default());
        let horizontally = view.store.hpas.iter().filter_map(|(_, hpa)| Some(target_of(hpa, view.store)?.pods(view.store)));
        let vertically = view.store.vpas.iter().map(|(_, vpa)| pods_under(vpa, view.store));
        for (id, pod) in horizontally.chain(vertically).flatten() {
            let uid = pod.meta.uid;
            if points.contains_key(&uid) || memory.contains_key(&uid) {
                continue; // Two autoscalers look at it.
            }
            let Some(started) = running_since(pod) else { continue };
            let usage = usage(id, pod);
            if let Some(used) = usage.cpu {
                let last = Point { used, at: view.now };
                let known = self.points.get(&uid).map(|(_, point)| *point);
                points.insert(uid, (previous(known, started, last, resolution), last));
                serving.extend(usage.serving.map(|container| (uid, container)));
            }
            if !usage.memory.is_empty() {
                memory.insert(uid, self.memory_sample(uid, usage.memory, started, view));
            }
        }
        (self.points, self.serving, self.memory) = (points, serving, memory);
        self.arm(view, out);
    }

    /// Memory needs no window, but metrics-server shows a pod only once it has one.
    fn memory_sample(&self, pod: Uid, containers: Vec<(Str, i64)>, started: SimTime, view: &View<'_>) -> MemorySample {
        let point = |at| Point { used: SimDuration::ZERO, at };
        let known = self.memory.get(&pod).map(|sample| point(sample.at));
        let from = previous(known, started, point(view.now), view.settings.metrics_server.resolution);
        MemorySample { containers, at: view.now, window: from.map(|from| view.now.since(from.at)) }
    }

    /// From now on the pods that the load selects use so much.
    pub(crate) fn set_load(&mut self, load: &CpuLoad) {
        self.loads.retain(|known| known.selector != load.selector);
        self.loads.push(load.clone());
    }

    /// What a pod, or one of its containers, used, if that is known.
    pub(crate) fn get(&self, pod: &Pod, resource: &ResourceName, container: Option<&Str>, view: &View<'_>) -> Option<PodMetric> {
        match resource {
            ResourceName::Cpu => self.cpu(pod, container, view),
            ResourceName::Memory => self.memory(pod.meta.uid, container),
            _ => None,
        }
    }

    fn cpu(&self, pod: &Pod, container: Option<&Str>, view: &View<'_>) -> Option<PodMetric> {
        if let Some(load) = self.loads.iter().find(|load| selects(&load.selector, pod, view.store)) {
            return Some(given_usage(load, pod, view));
        }
        let metric = self.measured(pod.meta.uid)?;
        let serving = self.serving.get(&pod.meta.uid);
        match container {
            Some(name) if serving.is_some_and(|serving| serving != name) => {
                let is_there = pod.spec.containers.iter().chain(&pod.spec.init_containers).any(|container| container.name == *name);
                is_there.then_some(PodMetric { value_millis: 0, ..metric })
            }
            _ => Some(metric),
        }
    }

    fn memory(&self, pod: Uid, container: Option<&Str>) -> Option<PodMetric> {
        let sample = self.memory.get(&pod)?;
        let asked = |name: &Str| container.is_none_or(|container| container == name);
        let bytes = sample.containers.iter().filter(|(name, _)| asked(name)).map(|(_, bytes)| *bytes).reduce(i64::saturating_add)?;
        Some(PodMetric { value_millis: bytes.saturating_mul(1000), timestamp: sample.at, window: sample.window? })
    }

    fn measured(&self, pod: Uid) -> Option<PodMetric> {
        let (Some(previous), last) = self.points.get(&pod)? else { return None };
        let window = last.at.since(previous.at);
        let used = u128::from((last.used - previous.used).as_nanos());
        let nanocores = used * 1_000_000_000 / u128::from(window.as_nanos().max(1));
        Some(PodMetric { value_millis: nanocores.div_ceil(1_000_000) as i64, timestamp: last.at, window })
    }

    /// Sets a usage outright.
    #[cfg(test)]
    pub(super) fn set(&mut self, pod: Uid, cpu_millis: i64, timestamp: SimTime) {
        let window = SimDuration::from_secs(15).as_nanos().min(timestamp.as_nanos());
        let used = SimDuration::from_nanos(cpu_millis as u64 * window / 1000);
        let previous = Point { used: SimDuration::ZERO, at: SimTime::from_nanos(timestamp.as_nanos() - window) };
        self.points.insert(pod, (Some(previous), Point { used, at: timestamp }));
    }
    /// Sets the memory of a pod's only container outright.
    #[cfg(test)]
    pub(super) fn set_memory(&mut self, pod: Uid, bytes: i64, at: SimTime) {
        let containers = vec![("app".into(), bytes)];
        self.memory.insert(pod, MemorySample { containers, at, window: Some(SimDuration::from_secs(15)) });
    }
    /// Forgets all usages.
    #[cfg(test)]
    pub(super) fn clear(&mut self) {
        self.points.clear();
        self.memory.clear();
    }
}

/// A load's share of a pod, as of now: pods that are ready carry it together, the others use nothing.
fn given_usage(load: &CpuLoad, pod: &Pod, view: &View<'_>) -> PodMetric {
    let carries = |pod: &Pod| pod.is_ready() && !pod.meta.is_deleting();
    let others = view.store.pods.in_namespace(&pod.meta.namespace);
    let carriers = others.filter(|(_, other)| carries(other) && selects(&load.selector, other, view.store)).count() as i64;
    let share = if load.total_millis > 0 { (load.total_millis + carriers.max(1) - 1) / carriers.max(1) } else { load.per_pod_millis };
    let cpu_millis = if carries(pod) { load.cap_millis.map_or(share, |cap| share.min(cap)) } else { 0 };
    PodMetric { value_millis: cpu_millis, timestamp: view.now, window: view.settings.metrics_server.resolution }
}

/// The point to measure from: the last scrape's, or the start of a container that is fresh.
fn previous(known: Option<Point>, started: SimTime, last: Point, resolution: SimDuration) -> Option<Point> {
    if let Some(point) = known.filter(|point| point.at >= started && point.used <= last.used) {
        return (point.at < last.at).then_some(point);
    }
    let age = last.at.since(started);
    (age >= FRESH && age < resolution).then_some(Point { used: SimDuration::ZERO, at: started })
}

pub(super) fn running_since(pod: &Pod) -> Option<SimTime> {
    let starts = pod.status.containers.iter().filter_map(|status| match status.state {
        ContainerState::Running { started } => Some(started),
        ContainerState::Waiting { .. } | ContainerState::Terminated { .. } => None,
    });
    starts.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> SimTime {
        SimTime::from_secs(seconds)
    }

    #[test]
    fn usage_is_the_mean_between_two_scrapes_rounded_up_to_a_millicore() {
        let mut metrics = PodMetrics::default();
        let last = Point { used: SimDuration::from_millis(3001), at: s(30) };
        metrics.points.insert(Uid(1), (Some(Point { used: SimDuration::ZERO, at: s(15) }), last));
        let expected = PodMetric { value_millis: 201, timestamp: s(30), window: SimDuration::from_secs(15) };
        assert_eq!(metrics.measured(Uid(1)), Some(expected), "3.001 s in 15 s");
    }

    #[test]
    fn a_container_is_measured_from_its_start_only_while_it_is_fresh() {
        let from = |started: u64, now: u64| {
            let last = Point { used: SimDuration::from_secs(1), at: s(now) };
            previous(None, s(started), last, SimDuration::from_secs(15)).map(|point| point.at.as_secs())
        };
        assert_eq!([from(21, 30), from(20, 30), from(16, 30), from(15, 30)], [None, Some(20), Some(16), None]);
    }

    #[test]
    fn a_restarted_container_starts_anew() {
        let known = Some(Point { used: SimDuration::from_secs(9), at: s(15) });
        let last = Point { used: SimDuration::from_secs(1), at: s(30) };
        assert_eq!(previous(known, s(18), last, SimDuration::from_secs(15)).map(|point| point.at.as_secs()), Some(18));
        assert_eq!(previous(known, s(0), last, SimDuration::from_secs(15)), None);
    }

    #[test]
    fn memory_is_what_the_last_scrape_found_per_container_or_summed() {
        let mut metrics = PodMetrics::default();
        let (app, proxy): (Str, Str) = ("app".into(), "proxy".into());
        let containers = vec![(app.clone(), 300), (proxy.clone(), 50)];
        metrics.memory.insert(Uid(1), MemorySample { containers, at: s(30), window: Some(SimDuration::from_secs(15)) });
        let of = |container| metrics.memory(Uid(1), container).map(|metric| metric.value_millis);
        assert_eq!([of(None), of(Some(&app)), of(Some(&proxy))], [Some(350_000), Some(300_000), Some(50_000)]);
        assert_eq!(of(Some(&"other".into())), None);
        let one_point = MemorySample { containers: vec![(app, 300)], at: s(30), window: None };
        metrics.memory.insert(Uid(2), one_point);
        assert_eq!(metrics.memory(Uid(2), None), None, "metrics-server wants two points");
    }
}
