//! Pods that get other cores while they work: what is under way comes later, or sooner.
//!
//! Attempts are given their time when they come; those still in line when a pod's cores change are told another one.
//! Cpu that neighbours on a node take is not in it: it moves from step to step.

use api::Uid;

use super::super::ProcessStarted;
use super::super::sharing::LEAST_WEIGHT;
use super::super::station::Process;
use super::kernel::Kernel;
use super::pods::PodState;
use super::{Cohort, Due, Entry, Failure, GRAINS, ProgramState, QUANTUM, drops};

impl PodState {
    /// What comes now finds the queue as it was, at another speed.
    fn feel_speed(&mut self) {
        let slowdown = (1000.0 * f64::from(self.workers) / self.granted_millis.max(1e-9)).max(1.0) * self.penalty;
        if self.kernel.slowdown > 0.0 {
            self.kernel.mean *= slowdown / self.kernel.slowdown;
        }
        (self.kernel.slowdown, self.kernel.drift) = (slowdown, 0.0);
    }
}

impl Cohort {
    /// The process goes on with other cpu and memory.
    pub(super) fn process_resized(&mut self, resized: &ProcessStarted) {
        let Some(pod) = self.pod_by_uid.get(&resized.pod).copied() else { return };
        let state = &mut self.pods[pod as usize];
        if state.process != Process::Running {
            return;
        }
        if let Some(memory) = &mut state.memory {
            (memory.limit_bytes, memory.told) = (resized.memory_limit_bytes.unwrap_or(i64::MAX), false);
        }
        self.will_resize(pod);
        self.give_cpu(pod, resized);
    }

    /// Cores, weight and speed of a process.
    pub(super) fn give_cpu(&mut self, pod: u32, process: &ProcessStarted) {
        let node_cpu_millis = process.node_cpu_millis.max(0);
        let usable = process.cpu_limit_millis.filter(|limit| *limit > 0).unwrap_or(node_cpu_millis).min(node_cpu_millis);
        let cores = (usable as u64).div_ceil(1000).clamp(1, 4096) as u32;
        let state = &mut self.pods[pod as usize];
        state.workers = state.concurrency.min(cores);
        state.cores_millis = usable.min(i64::from(state.workers) * 1000);
        state.granted_millis = state.cores_millis as f64;
        state.weight = process.cpu_request_millis.max(LEAST_WEIGHT);
        let speed = usable as f64 / (1000.0 * f64::from(state.workers));
        state.kernel = Kernel {
            mean: self.programs[state.program as usize].cpu.mean / speed.clamp(1e-9, 1.0),
            slowdown: 1.0 / speed.clamp(1e-9, 1.0),
            ..Kernel::default()
        };
    }

    /// Gives a pod other cores, as a stress fault would: its workers stay.
    pub(crate) fn set_cores(&mut self, uid: Uid, millis: i64, now: api::SimTime) {
        self.enter(now, true);
        let pod = self.pod(uid);
        self.will_resize(pod);
        self.pods[pod as usize].cores_millis = millis;
        self.changed = true;
        self.step = QUANTUM;
    }

    /// Notes what a program's pods had since the last step.
    fn will_resize(&mut self, pod: u32) {
        let PodState { program, process, .. } = self.pods[pod as usize];
        if process == Process::Running && !self.resized.contains_key(&program) {
            self.resized.insert(program, self.mean_cores(program));
        }
    }

    /// Of each pod in the mean, in millicores.
    fn mean_cores(&self, program: u32) -> f64 {
        let pods = &self.programs[program as usize].pods;
        pods.iter().map(|pod| self.pods[*pod as usize].cores_millis as f64).sum::<f64>() / pods.len().max(1) as f64
    }

    /// What is under way at pods that got other cores since the last step takes accordingly longer, or shorter.
    pub(super) fn feel_resized(&mut self) {
        for (program, before) in std::mem::take(&mut self.resized) {
            let now = self.mean_cores(program);
            for place in 0..self.programs[program as usize].pods.len() {
                let pod = self.programs[program as usize].pods[place];
                self.pods[pod as usize].feel_speed();
            }
            // Those who leave at their deadline are looked at when it gets quicker (`rescue`); what stands still is held.
            let rescues = now > before && drops(&self.programs[program as usize].behavior);
            if now > 0.0 && before > 0.0 && !rescues && (before / now - 1.0).abs() > 0.01 {
                self.stretch(program, before / now);
            }
        }
    }

    fn stretch(&mut self, program: u32, ratio: f64) {
        let ProgramState { services, pods, rest, .. } = &self.programs[program as usize];
        let Some(pod) = pods.first().map(|pod| &self.pods[*pod as usize]) else { return };
        let of_cpu = pod.kernel.mean / (pod.kernel.mean + rest).max(1e-12);
        let mut moved = Vec::new();
        for (place, entries) in &mut self.ring {
            entries.retain(|entry| {
                let waits = matches!(entry.due, Due::Ok | Due::Fail(Failure::Failed))
                    && services.contains(&self.flows[self.routes[entry.route as usize].flow as usize].service);
                if waits {
                    moved.push((*place, *entry));
                }
                !waits
            });
        }
        let (now, start) = (self.now, self.now as f64 / 1e9);
        for (place, entry) in moved {
            let left = (place * QUANTUM + QUANTUM / 2).saturating_sub(now) as f64 / 1e9;
            let longer = left * (ratio - 1.0) * of_cpu;
            let (at, delay) = (start + left + longer, (entry.delay + longer).max(0.0));
            let timeout = self.routes[entry.route as usize].client.timeout.as_secs_f64();
            // When an attempt after the first began is not known here: it stays in time.
            if entry.attempt == 1 && delay > timeout {
                let due = Due::Fail(Failure::TimedOut);
                self.put(at - (delay - timeout), now, Entry { due, delay: timeout, ..entry });
            } else {
                self.put(at, now, Entry { delay, ..entry });
            }
        }
    }

    /// Pods that drop at the deadline have become quicker: of those in line who were thought lost, the first in line are
    /// served as long as it is before their deadline.
    pub(super) fn rescue(&mut self, program: u32, most: f64, per_second: f64, end: u64) {
        let ProgramState { services, cpu: law, pods, rest, .. } = &self.programs[program as usize];
        let Some(pod) = pods.first().map(|pod| &self.pods[*pod as usize]) else { return };
        let workers = f64::from(pod.workers);
        let slow = (1000.0 * workers / pod.granted_millis.max(1e-9)).max(1.0);
        let own = law.mean * slow + rest;
        let waits = |entry: &super::Entry| {
            // Of slots, `route` is none.
            matches!(entry.due, Due::Fail(Failure::TimedOut))
                && services.contains(&self.flows[self.routes[entry.route as usize].flow as usize].service)
        };
        let (mut all, mut last) = (0u64, self.now);
        for (place, entries) in self.ring.range(self.now / QUANTUM..) {
            let here: u64 = entries.iter().filter(|entry| waits(entry)).map(|entry| entry.grains).sum();
            (all, last) = (all + here, if here > 0 { place * QUANTUM } else { last });
        }
        // More than can be served until their deadlines: each is taken just in time, and some are not done in time.
        let span = last.saturating_sub(self.now) as f64 / 1e9;
        let ratio = all as f64 / GRAINS as f64 / (span * per_second).max(1e-9);
        let late = |slack: f64| if ratio > 1.0 { 1.0 - 1.0 / (1.0 + workers * (ratio - 1.0)) } else { law.beyond(slack / slow) };
        let (mut left, mut served) = ((most * GRAINS as f64) as u64, 0u64);
        let mut saved = Vec::new();
        for (place, entries) in self.ring.range_mut(self.now / QUANTUM..) {
            // Who waits for ever is due in the last place there is.
            let due = (place * QUANTUM).saturating_add(QUANTUM / 2).saturating_sub(self.now) as f64 / 1e9;
            // Those of a place came together: each has the same part in what is reached in time.
            let here: u64 = entries.iter().filter(|entry| waits(entry)).map(|entry| entry.grains).sum();
            let until = ((due * per_second * GRAINS as f64) as u64).saturating_sub(served);
            let share = here.min(left).min(until) as f64 / here.max(1) as f64;
            for entry in entries.iter_mut().filter(|entry| waits(entry)) {
                let at = served as f64 / GRAINS as f64 / per_second;
                let reached = ((entry.grains as f64 * share) as u64).min(left);
                let grains = ((reached as f64 * (1.0 - late(due - at))) as u64).min(reached);
                (served, left) = (served + reached, left - reached);
                entry.grains -= grains;
                let at = at + own;
                saved.push((at, super::Entry { due: Due::Ok, grains, delay: (entry.delay + at - due).max(own), ..*entry }));
            }
        }
        let start = self.now as f64 / 1e9;
        for (at, entry) in saved {
            self.put(start + at, end, entry);
        }
    }
}
