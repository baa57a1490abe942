//! Which engine plays the requests: the world and the bench know this one door.

use api::{ObjectKey, SimDuration, SimTime, Uid};
use trace::Record;

use super::cohort::Cohort;
use super::{EndpointTarget, Signal, Traffic, TrafficProcess};
use crate::event::ProbeKind;
use crate::random::Streams;
use crate::spec::{TrafficEngine, TrafficSpec};

/// Whoever plays the requests of a run.
pub(crate) enum Player {
    /// Every request by itself.
    Exact(Box<Traffic>),
    /// Requests counted together.
    Cohort(Box<Cohort>),
}

/// Asks whichever engine it is.
macro_rules! either {
    ($player:expr, $engine:ident => $do:expr) => {
        match $player {
            Player::Exact($engine) => $do,
            Player::Cohort($engine) => $do,
        }
    };
}

impl Player {
    /// The engine that `spec` names, with all its sources and no pod yet.
    pub(crate) fn new(spec: &TrafficSpec, streams: Streams) -> Self {
        match spec.engine {
            TrafficEngine::Exact => Self::Exact(Box::new(Traffic::new(spec, streams))),
            TrafficEngine::Cohort => Self::Cohort(Box::new(Cohort::new(spec))),
        }
    }
    /// Plays up to and including `until`, or up to the first event that raises a signal; says where it stopped.
    pub(crate) fn advance_to(&mut self, until: SimTime, signals: &mut Vec<Signal>) -> SimTime {
        either!(self, engine => engine.advance_to(until, signals))
    }
    /// Something about a pod's process.
    pub(crate) fn process(&mut self, change: &TrafficProcess, now: SimTime) {
        either!(self, engine => engine.process(change, now));
    }
    /// What the client nodes see behind a Service from now on.
    pub(crate) fn endpoints(&mut self, service: &ObjectKey, targets: &[EndpointTarget], now: SimTime) {
        either!(self, engine => engine.endpoints(service, targets, now));
    }
    /// Asks a pod's process whether it is there; the answer is a [`Signal::ProbeAnswered`].
    pub(crate) fn probe(&mut self, pod: Uid, container: u8, kind: ProbeKind, timeout: SimDuration, now: SimTime) {
        either!(self, engine => engine.probe(pod, container, kind, timeout, now));
    }
    /// Cpu time that the processes of a pod have used so far; `None` when it never had one.
    pub(crate) fn cpu_used(&self, pod: Uid, now: SimTime) -> Option<SimDuration> {
        either!(self, engine => engine.cpu_used(pod, now))
    }
    /// Bytes that a pod's process uses; `None` when its service says nothing of memory.
    pub(crate) fn memory_bytes(&self, pod: Uid, now: SimTime) -> Option<i64> {
        either!(self, engine => engine.memory_bytes(pod, now))
    }
    /// Events (exact) or steps (cohort) played so far.
    pub(crate) fn events(&self) -> u64 {
        either!(self, engine => engine.events())
    }
    /// Ends a window: its records.
    pub(crate) fn close_window(&mut self, now: SimTime, out: &mut Vec<Record>) {
        either!(self, engine => engine.close_window(now, out));
    }
    /// Gives a pod other cores, as a stress fault would: its workers stay.
    pub(crate) fn set_cores(&mut self, pod: Uid, millis: i64, now: SimTime) {
        either!(self, engine => engine.set_cores(pod, millis, now));
    }
}
