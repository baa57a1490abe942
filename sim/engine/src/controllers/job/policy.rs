//! What failed pods and succeeded indexes mean for a Job.
//!
//! Upstream: pkg/controller/job/pod_failure_policy.go and success_policy.go.
//!
//! Invariant: the first rule that matches decides; without a match a failure counts.

use api::{ConditionStatus, ContainerState, Job, Pod, PodFailurePolicyAction, PodFailurePolicyRequirement, SuccessPolicyRule};

use super::indexes::Indexes;

/// What a failed pod means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    /// The Job fails, with this message.
    pub(super) fails_job: Option<String>,
    /// It counts towards the limits.
    pub(super) counts: bool,
    /// The action of the rule that matched.
    pub(super) action: Option<PodFailurePolicyAction>,
}

/// What `pod`, which has failed, means for `job`.
pub(super) fn judge(job: &Job, pod: &Pod) -> Verdict {
    for (place, rule) in job.spec.pod_failure_policy.iter().flatten().enumerate() {
        let Some(what) = matches(&rule.requirement, pod) else { continue };
        let message = || format!("{what} matching {} rule at index {place}", rule.action.as_str());
        return Verdict {
            fails_job: (rule.action == PodFailurePolicyAction::FailJob).then(message),
            counts: rule.action != PodFailurePolicyAction::Ignore,
            action: Some(rule.action),
        };
    }
    Verdict { fails_job: None, counts: true, action: None }
}

/// What matches, in words.
fn matches(requirement: &PodFailurePolicyRequirement, pod: &Pod) -> Option<String> {
    let name = &pod.meta.key();
    match requirement {
        PodFailurePolicyRequirement::ExitCodes { container, is_in, values } => {
            let regular = pod.spec.containers.iter().zip(&pod.status.containers);
            let init = pod.spec.init_containers.iter().zip(&pod.status.init_containers);
            regular.chain(init).find_map(|(spec, status)| {
                let ContainerState::Terminated { exit_code, .. } = status.state else { return None };
                let is_meant = container.as_ref().is_none_or(|wanted| *wanted == spec.name);
                let is_match = is_meant && exit_code != 0 && values.contains(&exit_code) == *is_in;
                is_match.then(|| format!("Container {} for pod {name} failed with exit code {exit_code}", spec.name))
            })
        }
        PodFailurePolicyRequirement::PodConditions(patterns) => {
            let found =
                conditions(pod).into_iter().find(|(kind, status)| patterns.iter().any(|(key, wanted)| **key == **kind && wanted == status));
            found.map(|(kind, _)| format!("Pod {name} has condition {kind}"))
        }
    }
}

fn conditions(pod: &Pod) -> Vec<(&'static str, ConditionStatus)> {
    let known = &pod.status.conditions;
    let mut conditions = vec![
        ("Initialized", known.initialized.status),
        ("Ready", known.ready.status),
        ("ContainersReady", known.containers_ready.status),
        ("PodScheduled", known.scheduled.status),
    ];
    if !known.disruption_target.is_empty() {
        conditions.push(("DisruptionTarget", ConditionStatus::True));
    }
    conditions
}

/// Which rule of the success policy is met, in words.
pub(super) fn success(rules: &[SuccessPolicyRule], succeeded: &Indexes, completions: i32) -> Option<String> {
    let is_met = |rule: &SuccessPolicyRule| match &rule.succeeded_indexes {
        Some(text) => {
            let wanted = Indexes::parse(text, completions);
            let reached = wanted.common(succeeded);
            wanted.total() > 0 && (reached == wanted.total() || rule.succeeded_count.is_some_and(|count| reached >= count))
        }
        None => rule.succeeded_count.is_some_and(|count| succeeded.total() >= count),
    };
    if succeeded.total() == 0 {
        return None;
    }
    rules.iter().position(is_met).map(|place| format!("Matched rules at index {place}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::bench::pod;
    use super::*;
    use api::{ContainerStatus, JobSpec, PodFailurePolicyRule, SimTime};

    fn job(rules: Vec<PodFailurePolicyRule>) -> Job {
        Job { spec: Arc::new(JobSpec { pod_failure_policy: Some(rules), ..JobSpec::default() }), ..Job::default() }
    }

    fn failed(exit_code: i32, disrupted: bool) -> Pod {
        let mut pod = pod("a").failed().restarts(0).build();
        pod.status.containers = pod.status.containers.into_iter().map(|status| ended(status, exit_code)).collect();
        pod.status.conditions.disruption_target = if disrupted { "PreemptionByScheduler".into() } else { "".into() };
        pod
    }

    fn ended(mut status: ContainerStatus, exit_code: i32) -> ContainerStatus {
        status.state = ContainerState::Terminated { exit_code, reason: "Error", finished: SimTime::ZERO };
        status
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let codes = |is_in, values: &[i32]| PodFailurePolicyRequirement::ExitCodes { container: None, is_in, values: values.to_vec() };
        let rule = |action, requirement| PodFailurePolicyRule { action, requirement };
        let job = job(vec![
            rule(
                PodFailurePolicyAction::Ignore,
                PodFailurePolicyRequirement::PodConditions(vec![("DisruptionTarget".into(), ConditionStatus::True)]),
            ),
            rule(PodFailurePolicyAction::FailJob, codes(true, &[42])),
            rule(PodFailurePolicyAction::FailIndex, codes(false, &[1, 2])),
        ]);
        let verdict = |pod: &Pod| judge(&job, pod);
        assert_eq!((verdict(&failed(42, true)).counts, verdict(&failed(42, true)).fails_job), (false, None));
        let message = "Container app for pod default/a failed with exit code 42 matching FailJob rule at index 1";
        assert_eq!(verdict(&failed(42, false)).fails_job.as_deref(), Some(message));
        assert_eq!(verdict(&failed(7, false)).action, Some(PodFailurePolicyAction::FailIndex));
        assert_eq!(verdict(&failed(1, false)), Verdict { fails_job: None, counts: true, action: None });
        assert_eq!(verdict(&failed(0, false)).action, None, "an exit code of zero matches nothing");
    }

    #[test]
    fn a_success_policy_is_met_by_its_indexes_or_their_number() {
        let rule = |indexes: Option<&str>, count| SuccessPolicyRule { succeeded_indexes: indexes.map(Into::into), succeeded_count: count };
        let met = |rules: &[SuccessPolicyRule], succeeded: &str| success(rules, &Indexes::parse(succeeded, 10), 10);
        assert_eq!(met(&[rule(Some("0,2"), None)], "0-1"), None);
        assert_eq!(met(&[rule(Some("0,2"), Some(1))], "0-1").as_deref(), Some("Matched rules at index 0"));
        assert_eq!(met(&[rule(Some("5"), None), rule(None, Some(2))], "0-1").as_deref(), Some("Matched rules at index 1"));
        assert_eq!(met(&[rule(Some("x"), Some(0))], "0"), None, "indexes that cannot be read");
    }
}
