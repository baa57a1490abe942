//! The loop around the scheduler: what happens between attempts.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

use api::{Explanation, Pod, SimTime, Str, Uid};
use port::{Candidate, ClusterSnapshot, Detail, NodeIndex, PodInfo, PodRequests, QueuedPod, Scheduler};
use serde_json::Value;

use super::input::{Input, Preemption, QueueOrder};
use super::output::{self, Entry, Step};
use crate::config::{self, PolicyError, Settings};
use crate::kube_scheduler::KubeScheduler;

/// 2026-01-01T00:00:00Z: existing pods that do not say when they started did so from then on, one a second.
const FIRST_START_SECONDS: u64 = 1_767_225_600;
/// A day later: pods that are scheduled start from then on.
const FIRST_BIND_SECONDS: u64 = FIRST_START_SECONDS + 86_400;
const MAX_ATTEMPTS: u32 = 5;

/// One attempt, explained for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explained {
    /// `namespace/name`.
    pub pod: Str,
    /// Which attempt of the pod.
    pub attempt: u32,
    /// Why it came to what it came to.
    pub explanation: Explanation,
}

/// Steps through the queue. The result is a document `{"schemaVersion": 1, "attempts": [...]}`.
///
/// # Errors
/// When the configuration is refused.
pub fn schedule(input: Input) -> Result<Value, PolicyError> {
    step_through(input, None).map(|(document, _)| document)
}

/// The same attempts, each with an explanation (none where no profile answers to the pod's schedulerName).
///
/// # Errors
/// When the configuration is refused.
pub fn explain(input: Input) -> Result<(Value, Vec<Explained>), PolicyError> {
    step_through(input, Some(Vec::new()))
}

fn step_through(mut input: Input, explained: Option<Vec<Explained>>) -> Result<(Value, Vec<Explained>), PolicyError> {
    let (comparison_operators, all_nodes) = (input.options.comparison_operators, !input.options.sampling);
    let settings = Settings { comparison_operators, all_nodes, ..Settings::default() };
    let (scheduler, _) = config::configured("kube-scheduler", &input.config, settings, &input.surroundings)?;
    input.complete_namespaces();
    let mut stepper = Stepper {
        scheduler,
        snapshot: ClusterSnapshot::default(),
        binds: 0,
        queue: VecDeque::new(),
        waiting: Vec::new(),
        lingering: Vec::new(),
        entries: Vec::new(),
        explained,
        options: input.options,
    };
    stepper.fill(input);
    while let Some(offered) = stepper.queue.pop_front() {
        stepper.offer(offered);
    }
    while !stepper.waiting.is_empty() {
        stepper.retry();
    }
    Ok((output::document(stepper.entries), stepper.explained.unwrap_or_default()))
}

struct Offered {
    pod: PodInfo,
    attempts: u32,
}

struct Stepper {
    scheduler: KubeScheduler,
    snapshot: ClusterSnapshot,
    binds: u64,
    queue: VecDeque<Offered>,
    /// Nominated pods that wait until the queue is through, in order of nomination.
    waiting: Vec<Offered>,
    /// Victims that are terminating.
    lingering: Vec<Uid>,
    entries: Vec<Value>,
    /// Filled when somebody wants to read it.
    explained: Option<Vec<Explained>>,
    options: super::Options,
}

fn pod_info(pod: &Pod, uid: u64) -> PodInfo {
    let mut info = PodInfo::new(pod, Arc::new(PodRequests::of_pod(pod)));
    info.uid = Uid(uid);
    info
}

impl Stepper {
    /// Fills the snapshot and the queue, in the order in which it is offered.
    fn fill(&mut self, input: Input) {
        *self.snapshot.objects_mut() = input.objects;
        for node in input.nodes {
            self.snapshot.put_node(Arc::new(node));
        }
        for (at, pod) in input.pods.iter().enumerate() {
            let Some(node) = pod.node_name.as_ref().and_then(|name| self.snapshot.find(name)) else { continue };
            // The scheduler never hears of pods that are done.
            if pod.status.phase.is_terminal() {
                continue;
            }
            let mut info = pod_info(pod, at as u64);
            info.start_time.get_or_insert(SimTime::from_secs(FIRST_START_SECONDS + at as u64));
            self.snapshot.node_mut(node).add_pod(info);
        }
        let first = input.pods.len();
        let mut queue: Vec<PodInfo> = input.queue.iter().enumerate().map(|(at, pod)| pod_info(pod, (first + at) as u64)).collect();
        if self.options.queue_order == QueueOrder::PrioritySort {
            queue.sort_by(|a, b| {
                let queued = |pod| QueuedPod { pod, timestamp: SimTime::ZERO };
                let profile = self.scheduler.profile(&a.spec.scheduler_name);
                profile.map_or(std::cmp::Ordering::Equal, |profile| profile.compare(&queued(a), &queued(b)))
            });
        }
        for pod in &queue {
            // The nominator knows only pods that are let into the queue.
            let is_let_in = self.scheduler.profile(&pod.spec.scheduler_name).is_some_and(|profile| profile.gate(pod).is_none());
            if let Some(node) = pod.nominated_node.as_ref().filter(|_| is_let_in) {
                self.snapshot.nominate(node, pod.clone());
            }
        }
        self.queue = queue.into_iter().map(|pod| Offered { pod, attempts: 0 }).collect();
    }

    /// One pod, until it is placed, dropped or made to wait.
    fn offer(&mut self, mut offered: Offered) {
        loop {
            offered.attempts += 1;
            let again = self.attempt(&mut offered);
            if !again || offered.attempts >= MAX_ATTEMPTS {
                return;
            }
            if self.options.preemption != Preemption::Immediate {
                self.waiting.push(offered);
                return;
            }
        }
    }

    /// Offers those that wait, more important ones first.
    fn retry(&mut self) {
        for uid in std::mem::take(&mut self.lingering) {
            self.remove(uid);
        }
        let mut round = std::mem::take(&mut self.waiting);
        round.sort_by_key(|offered| Reverse(offered.pod.spec.priority));
        // A nomination may be lost to another pod of the same round.
        self.waiting = round;
        for _ in 0..self.waiting.len() {
            let offered = self.waiting.remove(0);
            self.offer(offered);
        }
    }

    /// One attempt; whether the pod makes another one.
    fn attempt(&mut self, offered: &mut Offered) -> bool {
        let Offered { pod, attempts } = offered;
        let step = Step { seq: self.entries.len(), pod: pod.key.to_string(), attempt: *attempts, compact: self.options.compact };
        let Some(profile) = self.scheduler.profile(&pod.spec.scheduler_name) else {
            self.entries.push(output::entry(&step, &Entry::NoProfile));
            return false;
        };
        if let Some((plugin, code, reasons)) = profile.gate(pod) {
            self.entries.push(output::entry(&step, &Entry::Gated { plugin, code, reasons: &reasons }));
            if let Some(explained) = &mut self.explained
                && let Some(explanation) = self.scheduler.explain(pod, &self.snapshot)
            {
                explained.push(Explained { pod: pod.key.to_string().into(), attempt: *attempts, explanation });
            }
            return false;
        }
        let Some(mut attempt) = self.scheduler.attempt(pod, &self.snapshot, Detail::Full) else { return false };
        if let Some(node) = attempt.chosen
            && let Err(message) = self.scheduler.bind(pod, self.snapshot.node(node).name())
        {
            (attempt.chosen, attempt.error) = (None, Some(message));
        }
        if let Some(explained) = &mut self.explained
            && let Some(explanation) = self.scheduler.explain_attempt(pod, &self.snapshot, &attempt)
        {
            explained.push(Explained { pod: pod.key.to_string().into(), attempt: *attempts, explanation });
        }
        let sampling = self.options.sampling;
        let had_nomination = pod.nominated_node.is_some();
        let cleared = attempt.preemption.as_ref().map(|(_, cleared, _)| self.names_of_nominated(cleared)).unwrap_or_default();
        let entry = Entry::Attempted { attempt: &attempt, snapshot: &self.snapshot, sampling, had_nomination, cleared: &cleared };
        self.entries.push(output::entry(&step, &entry));
        if let Some(node) = attempt.chosen {
            pod.start_time = Some(SimTime::from_secs(FIRST_BIND_SECONDS + self.binds));
            self.binds += 1;
            self.snapshot.forget_nomination(pod.uid);
            self.scheduler.reserve(pod, node, &mut self.snapshot);
            self.snapshot.node_mut(node).add_pod(pod.clone());
            return false;
        }
        if let Some((chosen, cleared, _)) = attempt.preemption {
            self.nominate(pod, &chosen, &cleared);
            return true;
        }
        if attempt.clear_nomination {
            self.snapshot.forget_nomination(pod.uid);
            pod.nominated_node = None;
        }
        false
    }

    fn names_of_nominated(&self, uids: &[Uid]) -> Vec<String> {
        let nominated = self.snapshot.nodes().iter().flat_map(|node| self.snapshot.nominated(node.name()));
        let mut names: Vec<String> = nominated.filter(|pod| uids.contains(&pod.uid)).map(|pod| pod.key.to_string()).collect();
        names.sort_unstable();
        names
    }

    fn nominate(&mut self, pod: &mut PodInfo, chosen: &Candidate, cleared: &[Uid]) {
        let node = self.snapshot.node(chosen.node).name().clone();
        pod.nominated_node = Some(node.clone());
        self.snapshot.nominate(&node, pod.clone());
        for uid in cleared {
            self.snapshot.forget_nomination(*uid);
            if let Some(other) = self.queue.iter_mut().chain(&mut self.waiting).find(|other| other.pod.uid == *uid) {
                other.pod.nominated_node = None;
            }
        }
        for victim in &chosen.victims {
            if self.options.preemption == Preemption::LingerRetryAtEnd {
                self.terminate(chosen.node, victim.uid);
            } else {
                self.remove(victim.uid);
            }
        }
    }

    /// Lets a victim linger. One that is terminating already is left alone, as upstream does.
    fn terminate(&mut self, node: NodeIndex, uid: Uid) {
        let node = self.snapshot.node_mut(node);
        if node.pods.iter().any(|pod| pod.uid == uid && pod.deleting) {
            return;
        }
        if let Some(mut pod) = node.remove_pod(uid) {
            pod.deleting = true;
            pod.preempted = true;
            node.add_pod(pod);
            self.lingering.push(uid);
        }
    }

    fn remove(&mut self, uid: Uid) {
        for index in self.snapshot.list_order().to_vec() {
            if self.snapshot.node_mut(index).remove_pod(uid).is_some() {
                return;
            }
        }
    }
}
