//! The recommender: from usage and out-of-memory kills to what containers should ask for.
//!
//! Reads: what metrics-server shows of the pods under each VerticalPodAutoscaler; their status. Writes: its status.
//! Upstream: vertical-pod-autoscaler/pkg/recommender/{logic,model,input,routines}.
//!
//! Invariants: a sample counts once; memory counts as one peak per aggregation interval and container, which only
//! grows within it; amounts are whole millicores and bytes, cut as upstream cuts them; without a
//! VerticalPodAutoscaler nothing is looked at.

use std::collections::BTreeMap;

use api::{
    ConditionStatus, ContainerState, ContainerStatus, Kind, Pod, ResourceList, ResourceName, SimDuration, SimTime, Str, Uid,
    VerticalPodAutoscaler, VpaRecommendation,
};
use rustc_hash::FxHashMap;
use trace::Record;

use super::histogram::Histogram;
use super::{cap, controllers_of, pods_under};
use crate::controllers::View;
use crate::controllers::metrics::{PodMetric, PodMetrics};
use crate::effects::{Component, Effects, Write};
use crate::event::Event;
use crate::objects::{Kept, Part};
use crate::spec::VpaSettings;
use crate::store::{Change, VpaId};

/// Weight of a cpu sample; upstream: minSampleWeight.
const CPU_WEIGHT: f64 = 0.1;
/// Upstream: MaxResourceAmount.
const MOST: f64 = 1e14;
const OOM_KILLED: &str = "OOMKilled";

/// What is known of all containers of one name under one VerticalPodAutoscaler.
#[derive(Debug)]
struct Aggregate {
    cpu: Histogram,
    memory: Histogram,
    first_sample: Option<SimTime>,
    last_sample: SimTime,
    samples: u64,
}

/// What is known of one container of one pod.
#[derive(Clone, Copy, Default, Debug)]
struct Instance {
    last_cpu: Option<SimTime>,
    last_memory: Option<SimTime>,
    window_end: Option<SimTime>,
    memory_peak: i64,
    oom_peak: i64,
}

/// A kill that the next loop hears of.
#[derive(Clone, Debug)]
struct OutOfMemory {
    pod: Uid,
    container: Str,
    at: SimTime,
    request: i64,
}

/// What is remembered of one VerticalPodAutoscaler.
#[derive(Debug, Default)]
struct State {
    aggregates: BTreeMap<Str, Aggregate>,
    /// Looked up only.
    instances: FxHashMap<(Uid, Str), Instance>,
    /// Targets as recorded last.
    told: BTreeMap<Str, ResourceList>,
}

/// The recommender's own memory.
#[derive(Debug, Default)]
pub(crate) struct Recommender {
    is_armed: bool,
    states: BTreeMap<VpaId, State>,
    kills: Vec<OutOfMemory>,
    /// When each container was last killed for its memory, as far as it is known. Looked up only.
    killed: FxHashMap<(Uid, usize), SimTime>,
}

impl Recommender {
    /// Begins with the first VerticalPodAutoscaler; from then on kills are heard of.
    pub(crate) fn changed(&mut self, change: &Change, view: &View<'_>, out: &mut Effects) {
        match change {
            Change::Object(Kind::VerticalPodAutoscaler, _) if !self.is_armed => self.arm(view, out),
            Change::PodModified(id, _) if self.is_armed => {
                if let Some(pod) = view.store.pods.get(*id) {
                    self.hear(pod);
                }
            }
            Change::PodDeleted(_, pod) if self.is_armed => {
                for place in 0..pod.spec.containers.len() {
                    self.killed.remove(&(pod.meta.uid, place));
                }
            }
            _ => {}
        }
    }

    fn arm(&mut self, view: &View<'_>, out: &mut Effects) {
        self.is_armed = view.store.vpas.len() > 0;
        if self.is_armed {
            let interval = view.settings.vertical_pod_autoscaler.recommender_interval;
            out.at((view.now + SimDuration::from_nanos(1)).next_on_grid(SimTime::ZERO, interval), Event::VpaRecommender);
        }
    }

    /// Upstream: the OOM observer.
    fn hear(&mut self, pod: &Pod) {
        for (place, (status, container)) in pod.status.containers.iter().zip(&pod.spec.containers).enumerate() {
            let Some(at) = killed_at(status) else { continue };
            if self.killed.insert((pod.meta.uid, place), at) != Some(at) {
                let request = container.requests.get(&ResourceName::Memory).copied().unwrap_or(0);
                self.kills.push(OutOfMemory { pod: pod.meta.uid, container: container.name.clone(), at, request });
            }
        }
    }

    /// One loop ([`Event::VpaRecommender`]).
    pub(crate) fn run(&mut self, view: &View<'_>, metrics: &PodMetrics, out: &mut Effects) {
        self.states.retain(|id, _| view.store.vpas.get(*id).is_some());
        let kills = std::mem::take(&mut self.kills);
        for (id, vpa) in view.store.vpas.iter() {
            let state = self.states.entry(id).or_default();
            let pods = pods_under(vpa, view.store);
            state.learn(vpa, pods.iter().map(|(_, pod)| *pod), metrics, &kills, view);
            state.tell(vpa, pods.len(), view, out);
        }
        self.arm(view, out);
    }
}

/// When the container's last end was, if it was a kill for its memory.
pub(super) fn killed_at(status: &ContainerStatus) -> Option<SimTime> {
    match &status.state {
        ContainerState::Terminated { reason: OOM_KILLED, finished, .. } => Some(*finished),
        _ => status.last.as_ref().filter(|last| last.reason == OOM_KILLED).map(|last| last.finished),
    }
}

impl State {
    fn learn<'a>(
        &mut self,
        vpa: &VerticalPodAutoscaler,
        pods: impl Iterator<Item = &'a Pod>,
        metrics: &PodMetrics,
        kills: &[OutOfMemory],
        view: &View<'_>,
    ) {
        let settings = &view.settings.vertical_pod_autoscaler;
        let mut before = std::mem::take(&mut self.instances);
        for pod in pods {
            for container in pod.spec.containers.iter().filter(|container| !vpa.policy(&container.name).is_some_and(|policy| policy.is_off))
            {
                let key = (pod.meta.uid, container.name.clone());
                let mut instance = before.remove(&key).unwrap_or_default();
                let aggregate = self.aggregates.entry(container.name.clone()).or_insert_with(|| Aggregate::new(settings));
                if let Some(metric) = metrics.get(pod, &ResourceName::Cpu, Some(&container.name), view) {
                    aggregate.cpu(&mut instance, metric);
                }
                if let Some(metric) = metrics.get(pod, &ResourceName::Memory, Some(&container.name), view) {
                    aggregate.memory(&mut instance, metric.value_millis / 1000, metric.timestamp, false, settings);
                }
                for kill in kills.iter().filter(|kill| kill.pod == key.0 && kill.container == key.1) {
                    aggregate.out_of_memory(&mut instance, kill, settings);
                }
                self.instances.insert(key, instance);
            }
        }
    }

    /// Writes the status, when it changed; records targets that changed.
    fn tell(&mut self, vpa: &VerticalPodAutoscaler, pods: usize, view: &View<'_>, out: &mut Effects) {
        let recommendation = self.recommend(vpa, &view.settings.vertical_pod_autoscaler);
        for one in &recommendation {
            if self.told.get(&one.container) != Some(&one.target) {
                out.record(record_of(vpa, one));
                self.told.insert(one.container.clone(), one.target.clone());
            }
        }
        let unsupported = controllers_of(vpa, view.store).is_none().then_some((ConditionStatus::True, ""));
        let none_matched = (pods == 0).then_some((ConditionStatus::True, "NoPodsMatched"));
        let provided = match (recommendation.is_empty(), none_matched) {
            (false, _) => (ConditionStatus::True, ""),
            (true, Some((_, reason))) => (ConditionStatus::False, reason),
            (true, None) => (ConditionStatus::False, ""),
        };
        let conditions = [unsupported, none_matched, Some(provided)];
        if (&recommendation, conditions) != (&vpa.recommendation, vpa.conditions) {
            let told = VerticalPodAutoscaler { recommendation, conditions, ..vpa.clone() };
            out.write(Component::VpaRecommender, Write::Update(told.into_any(), Part::NextStatus));
        }
    }

    fn recommend(&self, vpa: &VerticalPodAutoscaler, settings: &VpaSettings) -> Vec<VpaRecommendation> {
        let mine = || self.aggregates.iter().filter(|(name, _)| !vpa.policy(name).is_some_and(|policy| policy.is_off));
        let share = 1.0 / mine().count().max(1) as f64;
        let least = [
            scaled(settings.pod_recommendation_min_cpu_millicores.into(), share),
            scaled(settings.pod_recommendation_min_memory_bytes, share),
        ];
        let of = |(name, aggregate): (&Str, &Aggregate)| {
            let policy = vpa.policy(name);
            let mut one = aggregate.estimate(least, settings);
            one.container = name.clone();
            let controlled = policy.and_then(|policy| policy.controlled_resources.as_ref());
            for list in [&mut one.target, &mut one.lower_bound, &mut one.upper_bound] {
                list.retain(|name, _| controlled.is_none_or(|controlled| controlled.contains(name)));
            }
            one.uncapped_target = one.target.clone();
            for list in [&mut one.target, &mut one.lower_bound, &mut one.upper_bound] {
                cap(list, policy);
            }
            one
        };
        mine().map(of).filter(|one| !one.target.is_empty()).collect()
    }
}

fn record_of(vpa: &VerticalPodAutoscaler, one: &VpaRecommendation) -> Record {
    let of = |list: &ResourceList| {
        let amount = |name| list.get(&name).copied().unwrap_or(0);
        [amount(ResourceName::Cpu), amount(ResourceName::Memory)]
    };
    let ([target_cpu, target_memory], [lower_cpu, lower_memory], [upper_cpu, upper_memory]) =
        (of(&one.target), of(&one.lower_bound), of(&one.upper_bound));
    Record::Recommendation {
        vpa: vpa.meta.key().to_string().into(),
        target: format!("{}/{}/{}", vpa.target_kind, vpa.meta.namespace, vpa.target_name).into(),
        mode: vpa.update_mode.as_str().into(),
        container: one.container.clone(),
        cpu_millis: [lower_cpu, target_cpu, upper_cpu],
        memory_bytes: [lower_memory, target_memory, upper_memory],
    }
}

impl Aggregate {
    fn new(settings: &VpaSettings) -> Self {
        Self {
            cpu: Histogram::of_cpu(settings.cpu_histogram_decay_half_life),
            memory: Histogram::of_memory(settings.memory_histogram_decay_half_life),
            first_sample: None,
            last_sample: SimTime::ZERO,
            samples: 0,
        }
    }

    fn cpu(&mut self, instance: &mut Instance, metric: PodMetric) {
        if instance.last_cpu.is_some_and(|last| metric.timestamp <= last) {
            return;
        }
        instance.last_cpu = Some(metric.timestamp);
        self.cpu.add(metric.value_millis as f64 / 1000.0, CPU_WEIGHT, metric.timestamp);
        self.first_sample = Some(self.first_sample.map_or(metric.timestamp, |first| first.min(metric.timestamp)));
        self.last_sample = self.last_sample.max(metric.timestamp);
        self.samples += 1;
    }

    /// Upstream: ContainerState.addMemorySample.
    fn memory(&mut self, instance: &mut Instance, bytes: i64, at: SimTime, is_kill: bool, settings: &VpaSettings) {
        if !is_kill && instance.last_memory.is_some_and(|last| at < last) {
            return;
        }
        instance.last_memory = Some(at);
        let interval = settings.memory_aggregation_interval.max(SimDuration::from_nanos(1));
        let end = *instance.window_end.get_or_insert(at);
        if at < end {
            let peak = instance.memory_peak.max(instance.oom_peak);
            if peak == 0 || bytes <= peak {
                return;
            }
            self.memory.subtract(peak as f64, 1.0, end);
        } else {
            let passed = at.since(end).as_nanos() / interval.as_nanos();
            instance.window_end = Some(end + interval.times(passed + 1));
            (instance.memory_peak, instance.oom_peak) = (0, 0);
        }
        self.memory.add(bytes as f64, 1.0, instance.window_end.unwrap_or(at));
        *(if is_kill { &mut instance.oom_peak } else { &mut instance.memory_peak }) = bytes;
    }

    /// Upstream: ContainerState.RecordOOM. A peak that a kill made does not count for the next one.
    fn out_of_memory(&mut self, instance: &mut Instance, kill: &OutOfMemory, settings: &VpaSettings) {
        if instance.last_memory.is_some_and(|last| kill.at + settings.memory_aggregation_interval < last) {
            return;
        }
        let used = kill.request.max(instance.memory_peak);
        let needed = used.saturating_add(settings.oom_min_bump_up_bytes).max(scaled(used, settings.oom_bump_up_ratio));
        self.memory(instance, needed, kill.at, true, settings);
    }

    /// Upstream: CreatePodResourceRecommender. What no sample speaks of is left out.
    fn estimate(&self, least: [i64; 2], settings: &VpaSettings) -> VpaRecommendation {
        let confidence = self.confidence(settings.confidence_interval);
        let of = |cpu: f64, memory: f64, (multiplier, exponent): (f64, f64)| {
            let factor = if multiplier == 0.0 { 1.0 } else { libm::pow(1.0 + multiplier / confidence, exponent) };
            let amount = |raw: f64, least: i64| {
                let base = whole(raw);
                let with_margin = base + scaled(base, settings.recommendation_margin_fraction);
                let amount = if multiplier == 0.0 { with_margin } else { scaled(with_margin, factor) };
                amount.max(least)
            };
            let mut list = ResourceList::new();
            if !self.cpu.is_empty() {
                list.insert(ResourceName::Cpu, amount(self.cpu.percentile(cpu) * 1000.0, least[0]));
            }
            if !self.memory.is_empty() {
                list.insert(ResourceName::Memory, amount(self.memory.percentile(memory), least[1]));
            }
            list
        };
        VpaRecommendation {
            target: of(settings.target_cpu_percentile, settings.target_memory_percentile, (0.0, 1.0)),
            lower_bound: of(settings.lower_bound_cpu_percentile, settings.lower_bound_memory_percentile, (0.001, -2.0)),
            upper_bound: of(settings.upper_bound_cpu_percentile, settings.upper_bound_memory_percentile, (1.0, 1.0)),
            ..VpaRecommendation::default()
        }
    }

    /// Days of history, or of samples at one a minute, whichever are fewer. Only cpu samples count.
    fn confidence(&self, interval: SimDuration) -> f64 {
        let days = interval.as_secs_f64();
        let span = self.first_sample.map_or(0.0, |first| self.last_sample.since(first).as_secs_f64() / days);
        span.min(self.samples as f64 / (days / 60.0))
    }
}

/// Upstream: resourceAmountFromFloat.
fn whole(amount: f64) -> i64 {
    if amount > MOST { MOST as i64 } else { amount.max(0.0) as i64 }
}

fn scaled(amount: i64, factor: f64) -> i64 {
    whole(amount as f64 * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> VpaSettings {
        VpaSettings::default()
    }
    fn minute(minute: u64) -> SimTime {
        SimTime::from_secs(minute * 60)
    }
    fn cpu_samples(aggregate: &mut Aggregate, instance: &mut Instance, minutes: std::ops::Range<u64>, millis: i64) {
        for at in minutes {
            aggregate.cpu(instance, PodMetric { value_millis: millis, timestamp: minute(at), window: SimDuration::from_secs(15) });
        }
    }
    fn amounts(list: &ResourceList) -> (i64, i64) {
        let of = |name| list.get(&name).copied().unwrap_or(-1);
        (of(ResourceName::Cpu), of(ResourceName::Memory))
    }

    #[test]
    fn a_day_of_samples_doubles_the_upper_bound_and_trusts_the_lower() {
        let mut aggregate = Aggregate::new(&settings());
        let mut instance = Instance::default();
        cpu_samples(&mut aggregate, &mut instance, 0..1441, 395);
        aggregate.memory(&mut instance, 300_000_000, minute(0), false, &settings());
        let estimate = aggregate.estimate([25, 250 << 20], &settings());
        // 395m lie in the bucket that ends at 414.3m: 414 and 15 per cent of it, cut each time.
        assert_eq!(amounts(&estimate.target).0, 414 + 62);
        assert_eq!(amounts(&estimate.upper_bound).0, 2 * 476);
        assert_eq!(amounts(&estimate.lower_bound).0, 475, "times (1 + 0.001)^-2");
        let (_, memory) = amounts(&estimate.target);
        assert!((345_000_000..345_000_000 * 105 / 100).contains(&memory), "{memory}");
    }

    #[test]
    fn little_history_widens_the_bounds() {
        let factor = |minutes: u64| {
            let mut aggregate = Aggregate::new(&settings());
            cpu_samples(&mut aggregate, &mut Instance::default(), 0..minutes + 1, 395);
            let estimate = aggregate.estimate([0, 0], &settings());
            let of = |list: &ResourceList| amounts(list).0 as f64 / 476.0;
            ((of(&estimate.lower_bound) * 100.0) as i64, (of(&estimate.upper_bound) + 0.5) as i64)
        };
        assert_eq!(factor(5), (60, 289));
        assert_eq!(factor(30), (90, 49));
        assert_eq!(factor(60), (95, 25));
        assert_eq!(factor(720), (99, 3));
    }

    #[test]
    fn a_sample_counts_once_and_the_least_is_kept() {
        let mut aggregate = Aggregate::new(&settings());
        let mut instance = Instance::default();
        for _ in 0..3 {
            cpu_samples(&mut aggregate, &mut instance, 7..8, 1);
        }
        assert_eq!(aggregate.samples, 1);
        assert_eq!(amounts(&aggregate.estimate([25, 250 << 20], &settings()).target), (25, -1), "of memory nothing is known");
    }

    #[test]
    fn memory_is_one_peak_a_day() {
        let mut aggregate = Aggregate::new(&settings());
        let mut instance = Instance::default();
        for (at, megabytes) in [(0, 100), (1, 900), (2, 400), (1000, 500)] {
            aggregate.memory(&mut instance, megabytes * 1_000_000, minute(at), false, &settings());
        }
        assert_eq!(instance.memory_peak, 900_000_000);
        assert!(aggregate.memory.percentile(0.0) >= 9e8, "the peak is all there is");
        aggregate.memory(&mut instance, 100_000_000, minute(1441), false, &settings());
        assert_eq!((instance.memory_peak, instance.window_end), (100_000_000, Some(minute(2880))));
        assert!(aggregate.memory.percentile(0.1) < 1.2e8, "a new day has a peak of its own");
    }

    #[test]
    fn a_kill_asks_for_a_fifth_or_100_mi_more_than_was_used() {
        for (request, peak, needed) in [(100 << 20, 0, 200 << 20), (1000 << 20, 0, 1200 << 20), (100 << 20, 1000 << 20, 1200 << 20)] {
            let mut aggregate = Aggregate::new(&settings());
            let mut instance = Instance::default();
            if peak > 0 {
                aggregate.memory(&mut instance, peak, minute(0), false, &settings());
            }
            let kill = |at| OutOfMemory { pod: Uid(1), container: "app".into(), at: minute(at), request };
            aggregate.out_of_memory(&mut instance, &kill(1), &settings());
            assert_eq!(instance.oom_peak, needed);
            aggregate.out_of_memory(&mut instance, &kill(2), &settings());
            assert_eq!(instance.oom_peak, needed, "the bump itself is not bumped");
        }
    }
}
