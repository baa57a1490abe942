//! What each metric of an autoscaler asks for, and how its failure is worded.
//!
//! Upstream: pkg/controller/podautoscaler/horizontal.go, computeStatusFor*Metric; kubectl's printer of autoscalers.
//!
//! Invariant: an answer is a proposal or a failure, with upstream's name of the metric; nothing is remembered.

use std::fmt::Write as _;

use api::{
    DescribedObject, HorizontalPodAutoscaler, LabelSelector, MetricIdentifier, MetricSource, MetricSpec, MetricTarget, Pod, ResourceName,
    Str,
};

use super::limits::tolerances;
use super::{MetricsApis, is_measured};
use crate::controllers::View;
use crate::controllers::replica_calculator::{
    Counts, Measured, Proposal, Question, Readiness, by_average, by_average_of_all, by_utilization, by_value, no_metrics,
};
use crate::store::PodId;

/// A metric that gives no number: the reason of its condition, and the error.
pub(super) struct Invalid {
    pub(super) reason: &'static str,
    pub(super) error: String,
    /// The error with what upstream wraps around it further up.
    pub(super) outer: String,
}

/// Upstream's name of a metric, and what it asks for.
pub(super) type Answer = (String, Result<Proposal, Invalid>);

/// One look at all metrics of one autoscaler.
pub(super) struct Asker<'a> {
    pub(super) hpa: &'a HorizontalPodAutoscaler,
    pub(super) view: &'a View<'a>,
    pub(super) apis: &'a MetricsApis<'a>,
    /// Pods of its target.
    pub(super) pods: &'a [(PodId, &'a Pod)],
    /// Replicas of its target: wanted, and there.
    pub(super) current: i32,
    pub(super) status_replicas: i32,
}

impl Asker<'_> {
    pub(super) fn ask(&self, metric: &MetricSpec) -> Answer {
        match &metric.source {
            MetricSource::Resource(resource) => self.resource(resource, &metric.target, None),
            MetricSource::ContainerResource(resource, container) => self.resource(resource, &metric.target, Some(container)),
            MetricSource::Pods(named) => self.of_pods(named, &metric.target),
            MetricSource::Object(named, object) => self.of_object(named, object, &metric.target),
            MetricSource::External(named) => self.external(named, &metric.target),
        }
    }

    fn question<'q>(&self, pods: &'q [Measured<'q>], resource: Option<&'q ResourceName>) -> Question<'q> {
        let settings = &self.view.settings.horizontal_pod_autoscaler;
        Question {
            pods,
            resource,
            current: self.current,
            tolerances: tolerances(self.hpa.behavior.as_ref(), settings),
            readiness: Readiness {
                cpu_initialization_period: settings.cpu_initialization_period,
                initial_readiness_delay: settings.initial_readiness_delay,
            },
            now: self.view.now,
        }
    }

    fn counts(&self) -> Counts {
        let ready = self.pods.iter().filter(|(_, pod)| is_measured(pod) && pod.is_ready()).count();
        Counts {
            current: self.current,
            status: self.status_replicas,
            ready: (!self.pods.is_empty()).then_some(ready),
            tolerances: tolerances(self.hpa.behavior.as_ref(), &self.view.settings.horizontal_pod_autoscaler),
        }
    }

    /// Upstream: computeStatusForResourceMetricGeneric.
    fn resource(&self, resource: &ResourceName, target: &MetricTarget, container: Option<&Str>) -> Answer {
        let usage = |pod: &Pod| self.apis.resource.get(pod, resource, container, self.view).filter(|_| is_measured(pod));
        let measured: Vec<Measured<'_>> = self.pods.iter().map(|(_, pod)| Measured { pod, metric: usage(pod) }).collect();
        let question = self.question(&measured, Some(resource));
        let reason = if container.is_some() { "FailedGetContainerResourceMetric" } else { "FailedGetResourceMetric" };
        let middle = if container.is_some() { " container" } else { "" };
        let is_known = matches!(resource, ResourceName::Cpu | ResourceName::Memory);
        let (name, answer) = match *target {
            MetricTarget::AverageUtilization(target) => {
                let answer = if is_known { by_utilization(&question, target, container) } else { Err(no_metrics(resource)) };
                let name = format!("{resource}{middle} resource utilization (percentage of request)");
                (name, answer.map_err(|error| format!("failed to get {resource} utilization: {error}")))
            }
            MetricTarget::AverageValueMillis(target) => {
                let answer = if is_known { by_average(&question, target) } else { Err(no_metrics(resource)) };
                (format!("{resource} resource"), answer.map_err(|error| format!("failed to get {resource} usage: {error}")))
            }
            MetricTarget::ValueMillis(_) | MetricTarget::Unset => {
                let error =
                    "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set";
                (format!("{resource} resource"), Err(error.to_owned()))
            }
        };
        let outer = |error: &str| match container {
            Some(container) => format!("failed to get {container} container metric value: {error}"),
            None => format!("failed to get {resource} resource metric value: {error}"),
        };
        (name, answer.map_err(|error| Invalid { reason, outer: outer(&error), error }))
    }

    /// Upstream: computeStatusForPodsMetric.
    fn of_pods(&self, named: &MetricIdentifier, target: &MetricTarget) -> Answer {
        let ask = || {
            let MetricTarget::AverageValueMillis(target) = *target else { return Err(NO_TARGET.replace("{}", "pods")) };
            let values = self.apis.custom.of_pods(named, self.pods, self.view);
            let values = values.map_err(|error| format!("unable to get metric {}: {error}", named.name))?;
            let measured = self.pods.iter().zip(values).map(|((_, pod), metric)| Measured { pod, metric });
            by_average(&self.question(&measured.collect::<Vec<_>>(), None), target)
        };
        let invalid = |error| Invalid { reason: "FailedGetPodsMetric", outer: format!("failed to get pods metric value: {error}"), error };
        (format!("pods metric {}", named.name), ask().map_err(invalid))
    }

    /// Upstream: computeStatusForObjectMetric. An average value is called an external metric there, too.
    fn of_object(&self, named: &MetricIdentifier, object: &DescribedObject, target: &MetricTarget) -> Answer {
        let namespace = &self.hpa.meta.namespace;
        let usage = || {
            let usage = self.apis.custom.of_object(named, object, namespace, self.view);
            usage.map_err(|error| format!("unable to get metric {}: {error} on {} {namespace}/{}", named.name, object.kind, object.name))
        };
        let (name, answer, before) = match *target {
            MetricTarget::ValueMillis(target) => {
                let answer = usage().and_then(|usage| by_value(&self.counts(), usage, target));
                (format!("{} metric {}", object.kind, named.name), answer, String::new())
            }
            MetricTarget::AverageValueMillis(target) => {
                let answer = usage().map(|usage| by_average_of_all(&self.counts(), usage, target));
                (external_name(named), answer, format!("failed to get {} object metric: ", named.name))
            }
            MetricTarget::AverageUtilization(_) | MetricTarget::Unset => {
                (String::new(), Err(NO_TARGET.replace("{}", "object")), String::new())
            }
        };
        let outer = |error: &str| format!("failed to get object metric value: {before}{error}");
        (name, answer.map_err(|error| Invalid { reason: "FailedGetObjectMetric", outer: outer(&error), error }))
    }

    /// Upstream: computeStatusForExternalMetric.
    fn external(&self, named: &MetricIdentifier, target: &MetricTarget) -> Answer {
        let name = &named.name;
        let usage = || {
            let values = self.apis.custom.external(named, self.view).map_err(|error| {
                format!(
                    "unable to get external metric {}/{name}/{}: {error}",
                    self.hpa.meta.namespace,
                    selector_text(named.selector.as_ref())
                )
            });
            values.map(|values| values.into_iter().fold(0, i64::saturating_add))
        };
        let (answer, before) = match *target {
            MetricTarget::AverageValueMillis(target) => {
                let answer = usage().map(|usage| by_average_of_all(&self.counts(), usage, target));
                (answer, format!("failed to get {name} external metric: "))
            }
            MetricTarget::ValueMillis(target) => {
                let answer = usage().and_then(|usage| by_value(&self.counts(), usage, target));
                (answer, format!("failed to get external metric {name}: "))
            }
            MetricTarget::AverageUtilization(_) | MetricTarget::Unset => (Err(NO_TARGET.replace("{}", "external")), String::new()),
        };
        let outer = |error: &str| format!("failed to get {name} external metric value: {before}{error}");
        (external_name(named), answer.map_err(|error| Invalid { reason: "FailedGetExternalMetric", outer: outer(&error), error }))
    }
}

const NO_TARGET: &str = "invalid {} metric source: neither a value target nor an average value target was set";

fn external_name(named: &MetricIdentifier) -> String {
    format!("external metric {}({})", named.name, selector_text(named.selector.as_ref()))
}

/// A selector as Go prints it (upstream: apimachinery, pkg/apis/meta/v1/generated.pb.go).
fn selector_text(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else { return "nil".to_owned() };
    let labels = selector.match_labels.iter().fold(String::new(), |mut text, (key, value)| {
        let _ = write!(text, "{key}: {value},");
        text
    });
    let expressions = selector.match_expressions.iter().fold(String::new(), |mut text, one| {
        let values: Vec<&str> = one.values.iter().map(|value| &**value).collect();
        let _ = write!(text, "LabelSelectorRequirement{{Key:{},Operator:{:?},Values:[{}],}},", one.key, one.operator, values.join(" "));
        text
    });
    format!("&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}")
}

/// A metric as kubectl shows it: `cpu: 143%/65%`.
pub(super) fn show(metric: &MetricSpec, proposal: Option<&Proposal>) -> String {
    let (name, of_all) = match &metric.source {
        MetricSource::Resource(resource) | MetricSource::ContainerResource(resource, _) => (resource.as_str(), false),
        MetricSource::Pods(named) => (&*named.name, false),
        MetricSource::Object(named, _) | MetricSource::External(named) => (&*named.name, true),
    };
    let is_memory = !of_all && name == ResourceName::Memory.as_str();
    let text = if is_memory { bytes } else { millis };
    let current = |of: &dyn Fn(&Proposal) -> Option<String>| proposal.and_then(of).unwrap_or_else(|| "<unknown>".to_owned());
    let average = if of_all { " (avg)" } else { "" };
    match metric.target {
        MetricTarget::AverageUtilization(target) => {
            format!("{name}: {}/{target}%", current(&|proposal| proposal.utilization.map(|percent| format!("{percent}%"))))
        }
        MetricTarget::AverageValueMillis(target) => {
            format!("{name}: {}/{}{average}", current(&|proposal| Some(text(proposal.mean_millis))), text(target))
        }
        MetricTarget::ValueMillis(target) => format!("{name}: {}/{}", current(&|proposal| Some(text(proposal.mean_millis))), text(target)),
        MetricTarget::Unset => format!("{name}: <unknown>/<auto>"),
    }
}

fn bytes(millis: i64) -> String {
    api::Quantity::from_units((millis + 999) / 1000).to_string()
}

fn millis(value: i64) -> String {
    if value % 1000 == 0 { (value / 1000).to_string() } else { format!("{value}m") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::{Operator, Requirement};

    #[test]
    fn selectors_are_printed_as_go_prints_them() {
        assert_eq!(selector_text(None), "nil");
        let one_of = Requirement { key: "tier".into(), operator: Operator::In, values: vec!["a".into(), "b".into()] };
        let selector = LabelSelector { match_labels: [("queue".into(), "orders".into())].into(), match_expressions: vec![one_of] };
        assert_eq!(
            selector_text(Some(&selector)),
            "&LabelSelector{MatchLabels:map[string]string{queue: orders,},\
             MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:tier,Operator:In,Values:[a b],},},}"
        );
    }
}
