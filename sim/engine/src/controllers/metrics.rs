//! metrics-server: what pods used between two of the kubelet's own looks.
//!
//! Reads: the cpu time each pod has used so far and the memory its containers use, given by the caller. Writes nothing.
//!
//! A scrape shows what cAdvisor read when it last kept house: at a container's start, and again 10 to 20 s after the
//! last time (the housekeeping interval, and up to as much more). So a sample is up to 20 s old.
//!
//! Invariants: a usage is a mean over the window between two points of one life of a container; a pod that has no two
//! points has no usage; only pods that some autoscaler looks at are scraped. Cpu is that of the container that answers
//! requests; the others of its pod use none. Memory is per container; a pod's is the sum of those that are known.
//!
//! Upstream: metrics-server, pkg/storage/pod.go; cAdvisor, manager/container.go.
//!
//! Simplified: between two scrapes cpu is used evenly, so that it need not be read at every housekeeping; memory is
//! that of the scrape; the containers of a pod are looked at together. Not modelled: page cache, longer intervals of
//! idle containers, scrape errors and delays.

use api::{ContainerState, Kind, Pod, ResourceName, SimDuration, SimTime, Str, Uid};
use rustc_hash::FxHashMap;

use super::View;
use super::horizontal_pod_autoscaler::target_of;
use super::vertical_pod_autoscaler::pods_under;
use crate::effects::Effects;
use crate::event::Event;
use crate::random::{Draw, Purpose, Split, mix};
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

/// What is known of one life of a pod's containers.
#[derive(Clone, Debug)]
struct Series {
    started: SimTime,
    /// From which the times of housekeeping are drawn, and how many have been.
    luck: u64,
    housekept: u64,
    /// When cAdvisor last kept house.
    kept_at: SimTime,
    /// The counter as the last scrape read it.
    read: Point,
    /// The counter at the start.
    first: Point,
    /// The last two points that differ; the last one is not shown before the first scrape.
    previous: Option<Point>,
    last: Point,
    is_scraped: bool,
    /// Whose the cpu is, when it is known.
    serving: Option<Str>,
    has_cpu: bool,
    memory: Vec<(Str, i64)>,
}

/// The series of each pod.
#[derive(Debug, Default)]
pub(crate) struct PodMetrics {
    /// Looked up only.
    series: FxHashMap<Uid, Series>,
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
        let mut before = std::mem::take(&mut self.series);
        let horizontally = view.store.hpas.iter().filter_map(|(_, hpa)| Some(target_of(hpa, view.store)?.pods(view.store)));
        let vertically = view.store.vpas.iter().map(|(_, vpa)| pods_under(vpa, view.store));
        for (id, pod) in horizontally.chain(vertically).flatten() {
            let uid = pod.meta.uid;
            if self.series.contains_key(&uid) {
                continue; // Two autoscalers look at it.
            }
            let Some(started) = running_since(pod) else { continue };
            let usage = usage(id, pod);
            if usage.cpu.is_some() || !usage.memory.is_empty() {
                let series = Series::scraped(before.remove(&uid), uid, started, usage, view);
                self.series.insert(uid, series);
            }
        }
        self.arm(view, out);
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
        let series = self.series.get(&pod.meta.uid)?;
        let metric = series.cpu()?;
        match container {
            Some(name) if series.serving.as_ref().is_some_and(|serving| serving != name) => {
                let is_there = pod.spec.containers.iter().chain(&pod.spec.init_containers).any(|container| container.name == *name);
                is_there.then_some(PodMetric { value_millis: 0, ..metric })
            }
            _ => Some(metric),
        }
    }

    fn memory(&self, pod: Uid, container: Option<&Str>) -> Option<PodMetric> {
        self.series.get(&pod)?.memory(container)
    }

    /// Sets a usage outright.
    #[cfg(test)]
    pub(super) fn set(&mut self, pod: Uid, cpu_millis: i64, timestamp: SimTime) {
        let window = SimDuration::from_secs(15).as_nanos().min(timestamp.as_nanos());
        let used = SimDuration::from_nanos(cpu_millis as u64 * window / 1000);
        let previous = Point { used: SimDuration::ZERO, at: SimTime::from_nanos(timestamp.as_nanos() - window) };
        let series = self.series.entry(pod).or_insert_with(|| Series::begun(timestamp, 0, SimDuration::ZERO));
        (series.previous, series.last, series.has_cpu) = (Some(previous), Point { used, at: timestamp }, true);
    }
    /// Sets the memory of a pod's only container outright.
    #[cfg(test)]
    pub(super) fn set_memory(&mut self, pod: Uid, bytes: i64, at: SimTime) {
        let series = self.series.entry(pod).or_insert_with(|| Series::begun(at, 0, SimDuration::ZERO));
        series.previous.get_or_insert(Point { used: SimDuration::ZERO, at: SimTime::ZERO });
        series.memory = vec![("app".into(), bytes)];
    }
    /// Forgets all usages.
    #[cfg(test)]
    pub(super) fn clear(&mut self) {
        self.series.clear();
    }
}

impl Series {
    fn begun(started: SimTime, luck: u64, used: SimDuration) -> Self {
        let first = Point { used, at: started };
        Self {
            started,
            luck,
            housekept: 0,
            kept_at: started,
            read: first,
            first,
            previous: None,
            last: first,
            is_scraped: false,
            serving: None,
            has_cpu: false,
            memory: Vec::new(),
        }
    }

    /// What a scrape makes of what was known.
    fn scraped(known: Option<Self>, pod: Uid, started: SimTime, usage: PodUsage, view: &View<'_>) -> Self {
        let used = usage.cpu.unwrap_or_default();
        let is_same_life = |series: &Self| series.started == started && series.read.used <= used;
        // What was used before a container was started again is its pod's, not its own.
        let before = known.as_ref().map_or(SimDuration::ZERO, |series| series.read.used.min(used));
        let luck = match &known {
            Some(before) => mix(before.luck),
            None => view.streams.stream(Purpose::Housekeeping, pod.0).bits(),
        };
        let mut series = known.filter(is_same_life).unwrap_or_else(|| Self::begun(started, luck, before));
        let point = series.keep_house(Point { used, at: view.now }, view.settings.kubelet.housekeeping_interval);
        series.store(point, view.settings.metrics_server.resolution);
        Self { serving: usage.serving, has_cpu: usage.cpu.is_some(), memory: usage.memory, ..series }
    }

    /// What cAdvisor read when it last kept house since the scrape before, if it has.
    fn keep_house(&mut self, read: Point, interval: SimDuration) -> Option<Point> {
        let from = std::mem::replace(&mut self.read, read);
        if interval.is_zero() {
            return Some(read);
        }
        let mut point = None;
        loop {
            let jitter = Split::new(self.luck, Purpose::Housekeeping, self.housekept).below(interval.as_nanos());
            let next = self.kept_at + interval + SimDuration::from_nanos(jitter);
            if next > read.at {
                return point;
            }
            (self.kept_at, self.housekept) = (next, self.housekept + 1);
            point = Some(between(from, read, next));
        }
    }

    /// Upstream: podStorage.Store.
    fn store(&mut self, point: Option<Point>, resolution: SimDuration) {
        if let Some(point) = point.filter(|point| point.at > self.last.at) {
            let age = point.at.since(self.started);
            let is_fresh = age >= FRESH && age < resolution;
            self.previous = if is_fresh { Some(self.first) } else { self.is_scraped.then_some(self.last) };
            self.last = point;
        }
        self.is_scraped = true;
    }

    fn window(&self) -> Option<(Point, SimDuration)> {
        let previous = self.previous?;
        Some((previous, self.last.at.since(previous.at)))
    }

    fn cpu(&self) -> Option<PodMetric> {
        let (previous, window) = self.window().filter(|_| self.has_cpu)?;
        let used = u128::from((self.last.used - previous.used).as_nanos());
        let nanocores = used * 1_000_000_000 / u128::from(window.as_nanos().max(1));
        Some(PodMetric { value_millis: nanocores.div_ceil(1_000_000) as i64, timestamp: self.last.at, window })
    }

    fn memory(&self, container: Option<&Str>) -> Option<PodMetric> {
        let asked = |name: &Str| container.is_none_or(|container| container == name);
        let bytes = self.memory.iter().filter(|(name, _)| asked(name)).map(|(_, bytes)| *bytes).reduce(i64::saturating_add)?;
        let (_, window) = self.window()?;
        Some(PodMetric { value_millis: bytes.saturating_mul(1000), timestamp: self.last.at, window })
    }
}

/// The counter at an instant between two readings.
fn between(from: Point, to: Point, at: SimTime) -> Point {
    let (span, passed) = (u128::from(to.at.since(from.at).as_nanos()), u128::from(at.since(from.at.min(at)).as_nanos()));
    let risen = (u128::from((to.used - from.used).as_nanos()) * passed).checked_div(span).unwrap_or(0);
    Point { used: from.used + SimDuration::from_nanos(risen as u64), at }
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
    const RESOLUTION: SimDuration = SimDuration::from_secs(15);

    /// Of a container that began at zero and was scraped at these times; cpu time in milliseconds.
    fn series(interval: u64, scrapes: &[(u64, u64)]) -> Series {
        let mut series = Series { has_cpu: true, ..Series::begun(s(0), 7, SimDuration::ZERO) };
        for (at, millis) in scrapes {
            let point = series.keep_house(Point { used: SimDuration::from_millis(*millis), at: s(*at) }, SimDuration::from_secs(interval));
            series.store(point, RESOLUTION);
        }
        series
    }

    #[test]
    fn usage_is_the_mean_between_two_points_rounded_up_to_a_millicore() {
        let series = series(0, &[(15, 0), (30, 3001)]);
        assert_eq!(series.cpu(), Some(PodMetric { value_millis: 201, timestamp: s(30), window: RESOLUTION }), "3.001 s in 15 s");
    }

    #[test]
    fn a_container_is_measured_from_its_start_only_while_it_is_fresh() {
        let window = |now: u64| series(0, &[(now, 1000)]).window().map(|(_, window)| window.as_secs());
        assert_eq!([window(9), window(10), window(14), window(15)], [None, Some(10), Some(14), None]);
    }

    #[test]
    fn samples_are_as_old_as_the_last_housekeeping() {
        // Half a core all the time: whenever it is read, it is half a core.
        let scrapes: Vec<(u64, u64)> = (1..200).map(|scrape| (scrape * 15, scrape * 7500)).collect();
        let mut ages = Vec::new();
        for last in 4..scrapes.len() {
            let series = series(10, &scrapes[..last]);
            let metric = series.cpu().expect("two points");
            assert!((500..=501).contains(&metric.value_millis), "{metric:?}");
            assert!((10..=41).contains(&metric.window.as_secs()), "{metric:?}");
            ages.push(s(scrapes[last - 1].0).since(metric.timestamp).as_millis());
        }
        assert!(ages.iter().all(|age| *age < 20_000), "{ages:?}");
        let mean = ages.iter().sum::<u64>() / ages.len() as u64;
        assert!((6500..9500).contains(&mean), "half of 15 s, and a little more as longer intervals are met more often: {mean}");
    }

    #[test]
    fn a_sample_that_is_not_new_leaves_the_two_before() {
        let mut series = series(0, &[(15, 1000), (30, 3000)]);
        let before = series.cpu();
        series.store(None, RESOLUTION);
        assert_eq!(series.cpu(), before);
    }

    #[test]
    fn memory_is_what_the_last_scrape_found_per_container_or_summed() {
        let (app, proxy): (Str, Str) = ("app".into(), "proxy".into());
        let memory = vec![(app.clone(), 300), (proxy.clone(), 50)];
        let two = Series { memory: memory.clone(), ..series(0, &[(15, 0), (30, 0)]) };
        let of = |container| two.memory(container).map(|metric| metric.value_millis);
        assert_eq!([of(None), of(Some(&app)), of(Some(&proxy))], [Some(350_000), Some(300_000), Some(50_000)]);
        assert_eq!(of(Some(&"other".into())), None);
        let one = Series { memory, ..series(0, &[(15, 0)]) };
        assert_eq!(one.memory(None), None, "metrics-server wants two points");
    }
}
