//! How many replicas a metric asks for: the arithmetic of the HorizontalPodAutoscaler, nothing else.
//!
//! Cpu is in millicores, memory in thousandths of a byte: upstream's milli-values.
//!
//! Upstream: pkg/controller/podautoscaler/replica_calculator.go, metrics/utilization.go. The arithmetic is
//! theirs to the letter: utilization is cut to whole per cent before it becomes a ratio, ratios are `f64`.
//!
//! Invariants: pods that are ignored or unready count only where upstream fills them in with zero.

use api::{ConditionStatus, Pod, PodPhase, ResourceName, SimDuration, SimTime, Str};

use super::metrics::PodMetric;

/// A pod with its usage, if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) metric: Option<PodMetric>,
}

/// Usage ratios around 1 that change nothing.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Tolerances {
    pub(crate) scale_down: f64,
    pub(crate) scale_up: f64,
}

impl Tolerances {
    fn is_within(self, ratio: f64) -> bool {
        (1.0 - self.scale_down) <= ratio && ratio <= (1.0 + self.scale_up)
    }
}

/// When a young pod's cpu counts; other resources always do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Readiness {
    pub(crate) cpu_initialization_period: SimDuration,
    pub(crate) initial_readiness_delay: SimDuration,
}

/// What a metric asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Proposal {
    pub(crate) replicas: i32,
    /// Per cent of the request, where that was asked.
    pub(crate) utilization: Option<i32>,
    /// Mean usage per pod.
    pub(crate) mean_millis: i64,
}

/// Pods by what their usage is worth.
#[derive(PartialEq, Eq, Default, Debug)]
struct Groups {
    /// Ready, with usage and request.
    ready: Vec<(i64, i64)>,
    /// Their requests.
    unready: Vec<i64>,
    missing: Vec<i64>,
}

/// One question: the pods of a target, and how they are judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) pods: &'a [Measured<'a>],
    /// `None`: a metric that is no resource.
    pub(crate) resource: Option<&'a ResourceName>,
    pub(crate) current: i32,
    pub(crate) tolerances: Tolerances,
    pub(crate) readiness: Readiness,
    pub(crate) now: SimTime,
}

/// Replicas by utilization (upstream: GetResourceReplicas).
pub(crate) fn by_utilization(question: &Question<'_>, target: i32, container: Option<&Str>) -> Result<Proposal, String> {
    check_metrics(question)?;
    let groups = group(question, |pod| question.resource.map_or(Ok(0), |resource| request_millis(pod, resource, container)))?;
    if groups.ready.is_empty() {
        return Err(NO_METRICS.to_owned());
    }
    let (ratio, utilization, mean_millis) = utilization_ratio(&groups.ready, target)?;
    let fallback = |request: i64| per_cent_of(request, i64::from(target.max(100)), 100);
    let replicas = settle(question, &groups, ratio, fallback, |entries| Ok(utilization_ratio(entries, target)?.0))?;
    Ok(Proposal { replicas, utilization: Some(utilization), mean_millis })
}

/// Replicas by mean usage per pod (upstream: GetRawResourceReplicas).
pub(crate) fn by_average(question: &Question<'_>, target_millis: i64) -> Result<Proposal, String> {
    check_metrics(question)?;
    let groups = group(question, |_| Ok(0))?;
    if groups.ready.is_empty() {
        return Err(NO_METRICS.to_owned());
    }
    let mean = |entries: &[(i64, i64)]| sum(entries.iter().map(|(usage, _)| *usage)) / entries.len().max(1) as i64;
    let of = |entries: &[(i64, i64)]| mean(entries) as f64 / target_millis as f64;
    let replicas = settle(question, &groups, of(&groups.ready), |_| target_millis, |entries| Ok(of(entries)))?;
    Ok(Proposal { replicas, utilization: None, mean_millis: mean(&groups.ready) })
}

/// What is known of a target where its pods are not looked at one by one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// Replicas that are wanted.
    pub(crate) current: i32,
    /// Replicas that there are.
    pub(crate) status: i32,
    /// Pods that run and are ready; `None` when there are no pods at all.
    pub(crate) ready: Option<usize>,
    pub(crate) tolerances: Tolerances,
}

/// Replicas by one value for all (upstream: GetObjectMetricReplicas, GetExternalMetricReplicas).
pub(crate) fn by_value(counts: &Counts, usage_millis: i64, target_millis: i64) -> Result<Proposal, String> {
    let ratio = usage_millis as f64 / target_millis as f64;
    let proposal = |replicas| Ok(Proposal { replicas, utilization: None, mean_millis: usage_millis });
    if counts.current == 0 {
        return proposal(ceil(ratio));
    }
    if counts.tolerances.is_within(ratio) {
        return proposal(counts.current);
    }
    match counts.ready {
        Some(ready) => proposal(ceil(ratio * ready as f64)),
        None => Err("unable to calculate ready pods: no pods returned by selector while calculating replica count".to_owned()),
    }
}

/// Replicas by one value for all and a target for each
/// (upstream: GetObjectPerPodMetricReplicas, GetExternalPerPodMetricReplicas).
pub(crate) fn by_average_of_all(counts: &Counts, usage_millis: i64, target_millis: i64) -> Proposal {
    let (usage, replicas) = (usage_millis as f64, f64::from(counts.status));
    let ratio = usage / (target_millis as f64 * replicas);
    let replicas = if counts.tolerances.is_within(ratio) { counts.status } else { ceil(usage / target_millis as f64) };
    Proposal { replicas, utilization: None, mean_millis: libm::ceil(usage / f64::from(counts.status)) as i64 }
}

const NO_METRICS: &str = "did not receive metrics for targeted pods (pods might be unready)";

fn check_metrics(question: &Question<'_>) -> Result<(), String> {
    match question.resource {
        Some(resource) if question.pods.iter().all(|measured| measured.metric.is_none()) => Err(no_metrics(resource)),
        _ => Ok(()),
    }
}

/// What metrics-server answers when it knows nothing.
pub(crate) fn no_metrics(resource: &ResourceName) -> String {
    format!("unable to get metrics for resource {resource}: no metrics returned from resource metrics API")
}

/// Bytes by the thousandth get large: nothing overflows.
fn sum(values: impl Iterator<Item = i64>) -> i64 {
    values.fold(0, i64::saturating_add)
}
fn per_cent_of(value: i64, factor: i64, divisor: i64) -> i64 {
    (i128::from(value) * i128::from(factor) / i128::from(divisor)) as i64
}

/// Ratio to the target, whole per cent, mean usage.
fn utilization_ratio(entries: &[(i64, i64)], target: i32) -> Result<(f64, i32, i64), String> {
    let (usage, request) = (sum(entries.iter().map(|entry| entry.0)), sum(entries.iter().map(|entry| entry.1)));
    if request == 0 {
        return Err("no metrics returned matched known pods".to_owned());
    }
    let percent = per_cent_of(usage, 100, request) as i32;
    Ok((f64::from(percent) / f64::from(target), percent, usage / entries.len() as i64))
}

/// From a first ratio to replicas: fills in pods that are missing or unready, and looks again.
fn settle(
    question: &Question<'_>,
    groups: &Groups,
    ratio: f64,
    fallback: impl Fn(i64) -> i64,
    again: impl Fn(&[(i64, i64)]) -> Result<f64, String>,
) -> Result<i32, String> {
    let fill_unready = !groups.unready.is_empty() && ratio > 1.0;
    if !fill_unready && groups.missing.is_empty() {
        let within = question.tolerances.is_within(ratio);
        return Ok(if within { question.current } else { ceil(ratio * groups.ready.len() as f64) });
    }
    let mut entries = groups.ready.clone();
    if ratio < 1.0 {
        entries.extend(groups.missing.iter().map(|request| (fallback(*request), *request)));
    } else if ratio > 1.0 {
        entries.extend(groups.missing.iter().map(|request| (0, *request)));
    }
    if fill_unready {
        entries.extend(groups.unready.iter().map(|request| (0, *request)));
    }
    let new_ratio = again(&entries)?;
    let turned = (ratio < 1.0 && new_ratio > 1.0) || (ratio > 1.0 && new_ratio < 1.0);
    if question.tolerances.is_within(new_ratio) || turned {
        return Ok(question.current);
    }
    let replicas = ceil(new_ratio * entries.len() as f64);
    let against = (new_ratio < 1.0 && replicas > question.current) || (new_ratio > 1.0 && replicas < question.current);
    Ok(if against { question.current } else { replicas })
}

fn ceil(value: f64) -> i32 {
    libm::ceil(value) as i32
}

/// Upstream: groupPods. Requests are asked of every pod, also of those that count for nothing.
fn group(question: &Question<'_>, request: impl Fn(&Pod) -> Result<i64, String>) -> Result<Groups, String> {
    let mut groups = Groups::default();
    let mut failure = None;
    for Measured { pod, metric } in question.pods {
        let request = request(pod).unwrap_or_else(|error| {
            failure.get_or_insert(error);
            0
        });
        if pod.meta.is_deleting() || pod.status.phase == PodPhase::Failed {
            continue;
        }
        if pod.status.phase == PodPhase::Pending {
            groups.unready.push(request);
            continue;
        }
        match metric {
            None => groups.missing.push(request),
            Some(metric) if question.resource == Some(&ResourceName::Cpu) && is_unready(pod, *metric, question) => {
                groups.unready.push(request)
            }
            Some(metric) => groups.ready.push((metric.value_millis, request)),
        }
    }
    // Without any usage upstream fails before it looks at requests.
    failure.filter(|_| !groups.ready.is_empty()).map_or(Ok(groups), Err)
}

/// Whether a pod's cpu does not count yet. Times are whole seconds, as the API keeps them.
fn is_unready(pod: &Pod, metric: PodMetric, question: &Question<'_>) -> bool {
    let Some(start) = pod.status.start_time.map(super::whole_second) else { return true };
    let is_false = pod.status.conditions.ready.status == ConditionStatus::False;
    if start + question.readiness.cpu_initialization_period > question.now {
        is_false || super::whole_second(metric.timestamp) < pod.ready_since() + metric.window
    } else {
        // Never ready, it is assumed, when the last change came so soon after the start.
        is_false && start + question.readiness.initial_readiness_delay > pod.ready_since()
    }
}

/// What a pod, or one of its containers, asks for; every container in question must say so.
fn request_millis(pod: &Pod, resource: &ResourceName, container: Option<&Str>) -> Result<i64, String> {
    let spec = &pod.spec;
    if let (Some(pod_level), None) = (&spec.pod_requests, container) {
        let named = pod_level.contains_key(resource) || spec.containers.iter().any(|other| other.requests.contains_key(resource));
        return if named {
            let requests = spec.requests();
            Ok(if *resource == ResourceName::Memory { requests.memory_bytes.saturating_mul(1000) } else { requests.cpu_millis })
        } else {
            Err(format!("missing pod-level request for {resource} in Pod {}", pod.meta.name))
        };
    }
    let scale = if *resource == ResourceName::Memory { 1000 } else { 1 };
    let mut sum: i64 = 0;
    for other in spec.containers.iter().chain(spec.init_containers.iter().filter(|other| other.is_sidecar)) {
        if container.is_none_or(|name| *name == other.name) {
            let missing = || format!("missing request for {resource} in container {} of Pod {}", other.name, pod.meta.name);
            sum = sum.saturating_add(other.requests.get(resource).ok_or_else(missing)?.saturating_mul(scale));
        }
        if container == Some(&other.name) {
            return Ok(sum);
        }
    }
    match container {
        Some(name) => Err(format!("container {name} not found in Pod {}", pod.meta.name)),
        None => Ok(sum),
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{TestPod, pod};
    use super::*;

    const NOW: u64 = 1000;

    /// Replicas at 100m of request per pod: `(pod, usage in millicpu)`; no usage means the sample is missing.
    fn ask(current: i32, target: i32, pods: &[(TestPod, Option<i64>)]) -> Result<(i32, i32), String> {
        ask_of(&ResourceName::Cpu, current, pods, |question| by_utilization(question, target, None))
            .map(|proposal| (proposal.replicas, proposal.utilization.unwrap_or(-1)))
    }

    fn ask_of(
        resource: &ResourceName,
        current: i32,
        pods: &[(TestPod, Option<i64>)],
        by: impl Fn(&Question<'_>) -> Result<Proposal, String>,
    ) -> Result<Proposal, String> {
        let built: Vec<(Pod, Option<i64>)> = pods.iter().map(|(pod, usage)| (pod.build(), *usage)).collect();
        let window = SimDuration::from_secs(15);
        let metric = |usage| PodMetric { value_millis: usage, timestamp: SimTime::from_secs(NOW - 5), window };
        let pods: Vec<Measured<'_>> = built.iter().map(|(pod, usage)| Measured { pod, metric: usage.map(metric) }).collect();
        let question = Question {
            pods: &pods,
            resource: Some(resource),
            current,
            tolerances: Tolerances { scale_down: 0.1, scale_up: 0.1 },
            readiness: Readiness {
                cpu_initialization_period: SimDuration::from_secs(300),
                initial_readiness_delay: SimDuration::from_secs(30),
            },
            now: SimTime::from_secs(NOW),
        };
        by(&question)
    }

    fn ready() -> TestPod {
        pod("ready").ready_since(20)
    }
    fn many(pod: &TestPod, count: usize, usage: Option<i64>) -> Vec<(TestPod, Option<i64>)> {
        vec![(pod.clone(), usage); count]
    }

    #[test]
    fn ten_pods_at_90_per_cent_with_a_target_of_50_ask_for_18() {
        assert_eq!(ask(10, 50, &many(&ready(), 10, Some(90))), Ok((18, 90))); // T31a of the traffic tests
    }

    #[test]
    fn the_trap_of_exact_ratios_utilization_is_cut_to_whole_per_cent_before_it_is_compared() {
        // 88.9 % of 80 is a ratio of 1.111, outside of the tolerance; cut to 88 % it is exactly 1.1, inside.
        let pods: Vec<_> = (0..10).map(|number| (ready(), Some(if number == 0 { 88 } else { 89 }))).collect();
        assert_eq!(ask(10, 80, &pods), Ok((10, 88)));
        assert_eq!(ask(10, 80, &many(&ready(), 10, Some(89))), Ok((12, 89)));
        assert_eq!(ask(10, 80, &many(&ready(), 10, Some(72))), Ok((10, 72)), "0.9 is inside too");
        assert_eq!(ask(10, 80, &many(&ready(), 10, Some(71))), Ok((9, 71)));
    }

    #[test]
    fn unready_pods_hold_a_scale_up_back_but_not_a_scale_down() {
        let young = pod("young").ready_since(NOW - 10).start(NOW - 20); // Ready for less than a window.
        let with = |pods: &[(TestPod, Option<i64>)], more: Vec<(TestPod, Option<i64>)>| [pods.to_vec(), more].concat();
        // 3 of 6 at 300 %: with the others at zero 150 %, still up.
        assert_eq!(ask(6, 100, &with(&many(&ready(), 3, Some(300)), many(&young, 3, Some(900)))), Ok((9, 300)));
        // 3 of 6 at 150 %: with the others at zero 75 %, which would turn round.
        assert_eq!(ask(6, 100, &with(&many(&ready(), 3, Some(150)), many(&young, 3, Some(900)))), Ok((6, 150)));
        // Going down, only ready pods are counted.
        assert_eq!(ask(6, 100, &with(&many(&ready(), 3, Some(50)), many(&young, 3, Some(900)))), Ok((2, 50)));
        let pending = pod("pending").pending();
        assert_eq!(ask(6, 100, &with(&many(&ready(), 3, Some(300)), many(&pending, 3, None))), Ok((9, 300)));
    }

    #[test]
    fn missing_pods_dampen_both_directions() {
        let with_missing = |usage, count| [many(&ready(), 3, Some(usage)), many(&ready(), count, None)].concat();
        // Down: missing pods count 100 % of their request: (150 + 300) / 600 = 75 %.
        assert_eq!(ask(6, 100, &with_missing(50, 3)), Ok((5, 50)));
        // Up: they count nothing: 900 / 600 = 150 %.
        assert_eq!(ask(6, 100, &with_missing(300, 3)), Ok((9, 300)));
        // Down with a target above 100 %: they count the target.
        assert_eq!(ask(6, 200, &with_missing(100, 3)), Ok((5, 100)), "(300 + 600) / 600 = 150 % of 200 %");
    }

    #[test]
    fn ignored_pods_count_for_nothing() {
        let pods = [many(&ready(), 2, Some(200)), many(&ready().deleting(), 2, Some(999)), many(&pod("failed").failed(), 2, None)].concat();
        assert_eq!(ask(2, 100, &pods), Ok((4, 200)));
    }

    #[test]
    fn upstreams_own_cases_of_utilization() {
        // pkg/controller/podautoscaler/replica_calculator_test.go, a tenth of its numbers: requests are 100m.
        let unready = || pod("unready").start(NOW - 20).unready_since(NOW - 20);
        let used = |usages: &[i64]| -> Vec<(TestPod, Option<i64>)> { usages.iter().map(|usage| (ready(), Some(*usage))).collect() };
        let busy = |usages: &[i64]| -> Vec<(TestPod, Option<i64>)> { usages.iter().map(|usage| (unready(), Some(*usage))).collect() };
        let missing = |count| many(&ready(), count, None);
        type Row = (&'static str, i32, i32, Vec<(TestPod, Option<i64>)>, (i32, i32));
        let rows: [Row; 17] = [
            ("up: 50 / 30 * 3", 3, 30, used(&[30, 50, 70]), (5, 50)),
            ("up, one unready: 60 %, then 120 / 300", 3, 30, [busy(&[30]), used(&[50, 70])].concat(), (4, 60)),
            ("two unready would turn it round: 40 %, then 13 %", 3, 30, [used(&[40]), busy(&[50, 70])].concat(), (3, 40)),
            ("down: 28 / 50 * 5", 5, 50, used(&[10, 30, 50, 25, 25]), (3, 28)),
            ("down: unready ones neither help nor hinder", 5, 50, [used(&[10, 30, 50]), busy(&[25, 25])].concat(), (2, 30)),
            ("within the tolerance", 3, 100, used(&[101, 103, 102]), (3, 102)),
            ("a size beyond the one seen: 90 / 50 * 2", 1, 50, used(&[90, 90]), (4, 90)),
            ("missing at just the target", 2, 100, [used(&[100]), missing(1)].concat(), (2, 100)),
            ("missing hold growth back: 95 %", 2, 100, [used(&[190]), missing(1)].concat(), (2, 190)),
            ("missing hold shrinking back: 80 %", 2, 100, [used(&[60]), missing(1)].concat(), (2, 60)),
            ("missing pods would turn it round: 145 / 200 is 72 %", 3, 50, [busy(&[10]), used(&[45]), missing(1)].concat(), (3, 45)),
            ("the same growing: 200 of 300 is 66 %", 3, 50, [busy(&[10]), used(&[200]), missing(1)].concat(), (4, 200)),
            ("the same shrinking: 120 of 300 is 40 %", 4, 50, [busy(&[10]), used(&[10, 10]), missing(1)].concat(), (3, 10)),
            ("missing count the target above 100 %: (80 + 200) / 200 of 200 %", 4, 200, [used(&[80]), missing(1)].concat(), (2, 80)),
            ("exactly 0.9 stays", 10, 100, many(&ready(), 10, Some(90)), (10, 90)),
            ("exactly 1.1 stays", 10, 100, many(&ready(), 10, Some(110)), (10, 110)),
            ("nothing used", 4, 50, many(&ready(), 4, Some(0)), (0, 0)),
        ];
        for (what, current, target, pods, expected) in rows {
            assert_eq!(ask(current, target, &pods), Ok(expected), "{what}");
        }
    }

    #[test]
    fn cpu_of_a_young_pod_counts_once_it_was_measured_while_ready() {
        // (seconds since the start, whether Ready, seconds since that changed, whether it counts); the sample is 5 s
        // old and spans 15 s.
        for (started, is_ready, since, counts) in [
            (10, true, 8, false),
            (200, true, 19, false),
            (200, true, 20, true), // The whole window lies behind the change.
            (200, false, 100, false),
            (299, false, 299, false),
            (300, false, 300, false), // The period is over; it was never ready, as the change came at the start.
            (400, false, 371, false), // Changed 29 s after the start:
            (400, false, 370, true),  // from 30 s on it is taken for one that was ready once.
            (400, true, 1, true),
        ] {
            let young = pod("young").ready_since(NOW - since).start(NOW - started);
            let young = if is_ready { young } else { pod("young").unready_since(NOW - since).start(NOW - started) };
            let answer = ask(1, 100, &[(young, Some(200))]);
            let expected = if counts { Ok((2, 200)) } else { Err(NO_METRICS.to_owned()) };
            assert_eq!(answer, expected, "{started} {is_ready} {since}");
        }
    }

    #[test]
    fn a_pod_that_became_unready_late_still_counts() {
        let late = pod("late").start(0).unready_since(500);
        let never = pod("never").start(0).unready_since(29);
        assert_eq!(ask(2, 100, &many(&late, 2, Some(200))), Ok((4, 200)));
        assert_eq!(ask(2, 100, &many(&never, 2, Some(200))), Err(NO_METRICS.to_owned()));
    }

    #[test]
    fn one_value_for_all_counts_by_ready_pods_or_by_replicas() {
        let tolerances = Tolerances { scale_down: 0.1, scale_up: 0.1 };
        let counts = |current, status, ready| Counts { current, status, ready, tolerances };
        let value = |counts, usage| by_value(&counts, usage, 100_000).map(|proposal| (proposal.replicas, proposal.mean_millis));
        assert_eq!(value(counts(4, 4, Some(4)), 150_000), Ok((6, 150_000)));
        assert_eq!(value(counts(4, 4, Some(2)), 150_000), Ok((3, 150_000)), "only ready pods are multiplied");
        assert_eq!(value(counts(4, 4, Some(4)), 110_000), Ok((4, 110_000)), "within the tolerance");
        assert_eq!(value(counts(4, 4, Some(4)), 50_000), Ok((2, 50_000)));
        assert_eq!(value(counts(0, 0, None), 250_000), Ok((3, 250_000)), "from zero by the ratio alone");
        let none = "unable to calculate ready pods: no pods returned by selector while calculating replica count";
        assert_eq!(value(counts(4, 4, None), 150_000), Err(none.to_owned()));
        let average = |counts, usage| {
            let proposal = by_average_of_all(&counts, usage, 100_000);
            (proposal.replicas, proposal.mean_millis)
        };
        assert_eq!(average(counts(4, 4, Some(4)), 1_000_000), (10, 250_000));
        assert_eq!(average(counts(8, 4, Some(4)), 420_000), (4, 105_000), "within the tolerance it is the replicas there are");
        assert_eq!(average(counts(8, 4, Some(0)), 450_000), (5, 112_500), "whether they are ready does not matter");
        assert_eq!(average(counts(0, 0, None), 0).0, 0);
        assert_eq!(average(counts(0, 0, None), 250_000).0, 3);
    }

    #[test]
    fn metrics_of_pods_do_not_ask_whether_a_pod_is_ready() {
        let never = pod("never").start(0).unready_since(29).build();
        let window = SimDuration::from_secs(60);
        let metric = Some(PodMetric { value_millis: 30_000, timestamp: SimTime::from_secs(NOW), window });
        let pods = [Measured { pod: &never, metric }; 2];
        let readiness =
            Readiness { cpu_initialization_period: SimDuration::from_secs(300), initial_readiness_delay: SimDuration::from_secs(30) };
        let tolerances = Tolerances { scale_down: 0.1, scale_up: 0.1 };
        let question = Question { pods: &pods, resource: None, current: 2, tolerances, readiness, now: SimTime::from_secs(NOW) };
        assert_eq!(by_average(&question, 10_000), Ok(Proposal { replicas: 6, utilization: None, mean_millis: 30_000 }));
    }

    #[test]
    fn failures_are_worded_as_upstream_words_them() {
        let none = "unable to get metrics for resource cpu: no metrics returned from resource metrics API";
        assert_eq!(ask(1, 50, &many(&ready(), 1, None)), Err(none.to_owned()));
        let without_request = ready().no_requests();
        assert_eq!(
            ask(1, 50, &many(&without_request, 1, Some(10))),
            Err("missing request for cpu in container app of Pod ready".to_owned())
        );
    }

    #[test]
    fn memory_counts_as_soon_as_a_pod_runs() {
        const MI: i64 = 1000 << 20;
        let memory = |target, pods: &[(TestPod, Option<i64>)]| {
            ask_of(&ResourceName::Memory, 4, pods, |question| by_average(question, target))
                .map(|proposal| (proposal.replicas, proposal.mean_millis))
        };
        let young = pod("young").ready_since(NOW - 10).start(NOW - 20);
        let never = pod("never").start(0).unready_since(29);
        assert_eq!(memory(100 * MI, &many(&young, 4, Some(200 * MI))), Ok((8, 200 * MI)), "no initialization period");
        assert_eq!(memory(100 * MI, &many(&never, 4, Some(200 * MI))), Ok((8, 200 * MI)), "nor readiness");
        assert_eq!(memory(100 * MI, &many(&ready(), 4, Some(109 * MI))), Ok((4, 109 * MI)), "within the tolerance");
        // (300 + 300 + 0 + 0) / 4 = 150: pending and missing pods hold growth back.
        let held = [many(&ready(), 2, Some(300 * MI)), many(&pod("pending").pending(), 1, None), many(&ready(), 1, None)].concat();
        assert_eq!(memory(100 * MI, &held), Ok((6, 300 * MI)));
        // (50 + 50 + 100 + 100) / 4 = 75: missing pods count the target.
        let shrinking = [many(&ready(), 2, Some(50 * MI)), many(&ready(), 2, None)].concat();
        assert_eq!(memory(100 * MI, &shrinking), Ok((3, 50 * MI)));
        let none = "unable to get metrics for resource memory: no metrics returned from resource metrics API";
        assert_eq!(memory(100 * MI, &many(&ready(), 1, None)), Err(none.to_owned()));
    }
}
