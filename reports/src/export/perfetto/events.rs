//! Trace events, one a line.
//!
//! Invariant: an instant that is after the end of the run is written as the end.

use std::io::{self, Write};

use api::SimTime;
use serde_json::{Value, json};

/// Pseudo-process of what concerns all.
pub(super) const CLUSTER: usize = 1;
/// Pseudo-process of the scheduler.
pub(super) const SCHEDULER: usize = 2;
/// Pseudo-process of pods without a node.
pub(super) const UNSCHEDULED: usize = 3;
/// The first node's process.
pub(super) const FIRST_NODE: usize = 10;

/// A process and a lane of it.
pub(super) type Place = (usize, usize);

/// A slice, or an instant when it has no end.
pub(super) struct Moment<'t> {
    pub(super) from: SimTime,
    pub(super) to: Option<SimTime>,
    pub(super) name: &'t str,
    pub(super) args: Value,
}

/// Writes events.
pub(super) struct Events<'a> {
    out: &'a mut dyn Write,
    end: SimTime,
    is_first: bool,
}

/// Whole microseconds.
fn micros(at: SimTime) -> u64 {
    at.as_nanos() / 1000
}

impl<'a> Events<'a> {
    pub(super) fn new(out: &'a mut dyn Write, end: SimTime) -> Self {
        Self { out, end, is_first: true }
    }

    fn write(&mut self, event: &Value) -> io::Result<()> {
        let separator = if std::mem::take(&mut self.is_first) { "\n" } else { ",\n" };
        write!(self.out, "{separator}{event}")
    }

    /// Closes the document.
    pub(super) fn finish(self) -> io::Result<()> {
        self.out.write_all(b"\n]}\n")
    }

    /// Names a process; they are shown in the order of their numbers.
    pub(super) fn process(&mut self, process: usize, name: &str) -> io::Result<()> {
        self.write(&json!({ "ph": "M", "name": "process_name", "pid": process, "args": { "name": name } }))?;
        self.write(&json!({ "ph": "M", "name": "process_sort_index", "pid": process, "args": { "sort_index": process } }))
    }

    /// Names a lane; they are shown in the order of their numbers.
    pub(super) fn lane(&mut self, process: usize, lane: usize, name: &str) -> io::Result<()> {
        self.write(&json!({ "ph": "M", "name": "thread_name", "pid": process, "tid": thread((process, lane)), "args": { "name": name } }))?;
        self.write(&json!({ "ph": "M", "name": "thread_sort_index", "pid": process, "tid": thread((process, lane)), "args": { "sort_index": lane } }))
    }

    /// Something that lasted.
    pub(super) fn slice(&mut self, place: Place, from: SimTime, to: SimTime, name: &str, args: &Value) -> io::Result<()> {
        let (from, to) = (micros(from.min(self.end)), micros(to.min(self.end)));
        let (pid, tid) = (place.0, thread(place));
        self.write(&json!({ "ph": "X", "name": name, "pid": pid, "tid": tid, "ts": from, "dur": to.saturating_sub(from), "args": args }))
    }

    /// Something that happened.
    pub(super) fn instant(&mut self, place: Place, at: SimTime, name: &str, args: &Value) -> io::Result<()> {
        let (pid, tid) = (place.0, thread(place));
        self.write(&json!({ "ph": "i", "s": "t", "name": name, "pid": pid, "tid": tid, "ts": micros(at.min(self.end)), "args": args }))
    }

    /// What lies in one lane, in order of time; of what begins together, the outer ones come first.
    pub(super) fn in_order(&mut self, place: Place, mut moments: Vec<Moment<'_>>) -> io::Result<()> {
        moments.sort_by_key(|moment| moment.from);
        moments.iter().try_for_each(|moment| match moment.to {
            Some(to) => self.slice(place, moment.from, to, moment.name, &moment.args),
            None => self.instant(place, moment.from, moment.name, &moment.args),
        })
    }

    /// Numbers that hold from now on. Perfetto calls each by the counter's name and its own.
    pub(super) fn counter(&mut self, process: usize, at: SimTime, name: &str, values: &Value) -> io::Result<()> {
        self.write(&json!({ "ph": "C", "name": name, "pid": process, "ts": micros(at.min(self.end)), "args": values }))
    }
}

/// Threads are numbered across processes: readers that know Linux take equal numbers for one thread.
const fn thread(place: Place) -> usize {
    place.0 * 100_000 + place.1
}
