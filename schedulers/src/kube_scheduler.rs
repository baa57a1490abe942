//! kube-scheduler as a policy: profiles by scheduler name, and one rotating start for all of them.

use api::Str;
use port::{
    ClusterEvent, ClusterSnapshot, Decision, Detail, Explanation, NodeIndex, NodeRejection, Outcome, PodInfo, Preemption, QueueingHint,
    Reservation, Scheduler, StatusCode,
};

use crate::extenders::Extenders;
use crate::framework::{self, Attempt, Profile, Scratch, TieBreak};
use crate::plugins::volume_binding;

/// kube-scheduler's framework with some profiles.
pub struct KubeScheduler {
    name: String,
    profiles: Vec<Profile>,
    tie_break: TieBreak,
    extenders: Extenders,
    /// Where the next attempt's node list begins.
    start: usize,
    scratch: Scratch,
}

impl KubeScheduler {
    /// A policy called `name` in reports.
    #[must_use]
    pub fn new(name: &str, profiles: Vec<Profile>) -> Self {
        let (tie_break, extenders) = (TieBreak::Upstream, Extenders::default());
        Self { name: name.to_owned(), profiles, tie_break, extenders, start: 0, scratch: Scratch::default() }
    }

    /// The same with another way to settle ties.
    #[must_use]
    pub fn with_tie_break(mut self, tie_break: TieBreak) -> Self {
        self.tie_break = tie_break;
        self
    }

    /// The same with extenders.
    pub(crate) fn with_extenders(mut self, extenders: Extenders) -> Self {
        self.extenders = extenders;
        self
    }

    /// Tells the extender that binds, if there is one, that `pod` goes to `node`.
    pub(crate) fn bind(&self, pod: &PodInfo, node: &str) -> Result<(), String> {
        self.extenders.bind(pod, node)
    }

    /// The profile that answers to `scheduler_name`.
    #[must_use]
    pub fn profile(&self, scheduler_name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.scheduler_name() == scheduler_name)
    }

    /// Everything there is to say of one attempt; `None` when no profile answers to the pod's schedulerName.
    pub fn attempt(&mut self, pod: &PodInfo, snapshot: &ClusterSnapshot, detail: Detail) -> Option<Attempt> {
        let profile = self.profiles.iter().find(|profile| profile.scheduler_name == pod.spec.scheduler_name)?;
        let settings = framework::Settings { tie_break: &self.tie_break, extenders: &self.extenders, detail };
        Some(framework::attempt(profile, pod, snapshot, &settings, &mut self.start, &mut self.scratch))
    }

    /// Why an attempt with [`Detail::Full`], made of `pod` on `snapshot`, came to what it came to.
    #[must_use]
    pub fn explain_attempt(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, attempt: &Attempt) -> Option<Explanation> {
        Some(framework::explain(self.profile(&pod.spec.scheduler_name)?, pod, snapshot, attempt))
    }
}

impl Scheduler for KubeScheduler {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_responsible_for(&self, scheduler_name: &str) -> bool {
        self.profile(scheduler_name).is_some()
    }

    fn gate(&self, pod: &PodInfo) -> Option<Str> {
        let (plugin, ..) = self.profile(&pod.spec.scheduler_name)?.gate(pod)?;
        Some(plugin.into())
    }

    fn schedule(&mut self, pod: &PodInfo, snapshot: &ClusterSnapshot, detail: Detail) -> Decision {
        match self.attempt(pod, snapshot, detail) {
            Some(attempt) => {
                let mut decision = decision(attempt, snapshot);
                // Upstream asks beside the next cycles; a refusal fails the attempt either way.
                if let Outcome::Scheduled { node } = decision.outcome
                    && let Err(message) = self.bind(pod, snapshot.node(node).name())
                {
                    decision.outcome = Outcome::Error { message };
                }
                decision
            }
            None => {
                Decision::new(Outcome::Error { message: format!("profile not found for scheduler name {:?}", pod.spec.scheduler_name) })
            }
        }
    }

    fn explain(&self, pod: &PodInfo, snapshot: &ClusterSnapshot) -> Option<Explanation> {
        let profile = self.profile(&pod.spec.scheduler_name)?;
        if let Some((plugin, code, reasons)) = profile.gate(pod) {
            return Some(framework::explain_gate(snapshot, plugin, code, reasons));
        }
        let settings = framework::Settings { tie_break: &self.tie_break, extenders: &self.extenders, detail: Detail::Full };
        let (mut start, mut scratch) = (self.start, Scratch::default());
        let attempt = framework::attempt(profile, pod, snapshot, &settings, &mut start, &mut scratch);
        Some(framework::explain(profile, pod, snapshot, &attempt))
    }

    fn reserve(&self, pod: &PodInfo, node: NodeIndex, snapshot: &mut ClusterSnapshot) -> Reservation {
        let binds_volumes = self.profile(&pod.spec.scheduler_name).is_some_and(Profile::binds_volumes);
        if binds_volumes { volume_binding::assume(pod, node, snapshot) } else { Reservation::default() }
    }

    fn fits(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> bool {
        self.profile(&pod.spec.scheduler_name).is_some_and(|profile| framework::fits(profile, pod, snapshot, node))
    }

    fn rejection(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, node: NodeIndex) -> Option<NodeRejection> {
        let Some(profile) = self.profile(&pod.spec.scheduler_name) else {
            return Some(NodeRejection { plugin: "".into(), code: StatusCode::Error, reasons: Vec::new() });
        };
        let (plugin, status) = framework::rejection(profile, pod, snapshot, node)?;
        let reasons = status.reasons().iter().map(|reason| reason.as_str().into()).collect();
        Some(NodeRejection { plugin: plugin.into(), code: status.code().unwrap_or(StatusCode::Error), reasons })
    }

    fn hint(&self, pod: &PodInfo, rejected_by: &[Str], event: &ClusterEvent<'_>, snapshot: &ClusterSnapshot) -> QueueingHint {
        self.profile(&pod.spec.scheduler_name).map_or(QueueingHint::Skip, |profile| profile.hint(pod, rejected_by, event, snapshot))
    }
}

fn decision(attempt: Attempt, snapshot: &ClusterSnapshot) -> Decision {
    let name = |node: NodeIndex| snapshot.node(node).name().clone();
    let mut scores: Vec<(Str, Vec<(Str, i64)>)> = attempt
        .feasible
        .iter()
        .map(|found| (name(found.node), found.scores.iter().map(|(plugin, score)| ((*plugin).into(), *score)).collect()))
        .collect();
    scores.sort_unstable();
    // Without full detail nobody reads why each node was turned down.
    let mut rejections: Vec<(Str, NodeRejection)> = Vec::new();
    if attempt.detail == Detail::Full {
        rejections.extend(attempt.rejected.iter().filter_map(|(node, plugin, status)| {
            let mut reasons: Vec<Str> = status.reasons().iter().map(|reason| reason.as_str().into()).collect();
            reasons.sort_unstable();
            Some((name(*node), NodeRejection { plugin: (*plugin).into(), code: status.code()?, reasons }))
        }));
        rejections.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    }
    let outcome = match (attempt.error, attempt.chosen) {
        (Some(message), _) => Outcome::Error { message },
        (None, Some(node)) => Outcome::Scheduled { node },
        (None, None) => Outcome::Unschedulable {
            message: attempt.message.unwrap_or_default(),
            rejected_by: attempt.rejected_by.iter().map(|plugin| (*plugin).into()).collect(),
            preemption: attempt.preemption.map(|(chosen, cleared_nominations, _)| Preemption {
                node: name(chosen.node),
                victims: chosen.victims.iter().map(|victim| victim.uid).collect(),
                cleared_nominations,
            }),
        },
    };
    Decision {
        outcome,
        evaluated_nodes: attempt.evaluated_nodes as u32,
        feasible_nodes: attempt.feasible_nodes as u32,
        scores,
        rejections,
        nomination_cleared: attempt.clear_nomination,
    }
}
