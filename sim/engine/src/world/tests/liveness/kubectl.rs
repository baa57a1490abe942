//! What operators have made of each node in the end: every cordon and taint that was put on or taken off by a
//! fault or a step, in order, but for requests that nobody answered.

use std::collections::BTreeMap;

use api::{SimDuration, SimTime, Str};
use trace::Record;

use super::super::Run;
use super::case::BROKEN_TAINT;
use crate::spec::StepAction;

/// A request is answered, or refused, within this.
const ANSWERED: SimDuration = SimDuration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Mark {
    Cordon,
    Taint,
}

/// A request to put a mark on a node or to take it off.
struct Request {
    at: SimTime,
    node: Str,
    mark: Mark,
    put_on: bool,
    drains: bool,
}

/// What operators made of the nodes.
pub(super) struct Operators {
    requests: Vec<Request>,
}

impl Operators {
    pub(super) fn new(run: &Run) -> Self {
        let mut requests = Vec::new();
        let mut targets: BTreeMap<Str, (Str, Vec<Str>)> = BTreeMap::new();
        for (at, record) in &run.records {
            match record {
                Record::FaultBegan { fault, action, targets: struck } => {
                    let nodes: Vec<Str> = struck.iter().filter_map(|target| target.strip_prefix("Node/")).map(Str::from).collect();
                    requests.extend(nodes.iter().filter_map(|node| by_fault(*at, action, node, true)));
                    targets.insert(fault.clone(), (action.clone(), nodes));
                }
                Record::FaultEnded { fault } => {
                    let (action, nodes) = targets.remove(fault).unwrap_or_default();
                    requests.extend(nodes.iter().filter_map(|node| by_fault(*at, &action, node, false)));
                }
                Record::Step { step, outcome } if !outcome.contains("refused") => requests.extend(by_step(run, *at, step)),
                Record::Step { step, .. } => forget_refused(&mut requests, *at, step),
                _ => {}
            }
        }
        Self { requests }
    }

    /// Whether a node may be in this state: the last request was for it, or one of those of the same instant.
    pub(super) fn allow(&self, node: &str, mark: Mark, is_on: bool) -> bool {
        let about = || self.requests.iter().filter(|request| &*request.node == node && request.mark == mark);
        let last = about().map(|request| request.at).max();
        if last.is_none() { !is_on } else { about().any(|request| Some(request.at) == last && request.put_on == is_on) }
    }

    /// Since when it is being drained, when that was the last that was asked of it.
    pub(super) fn drained_since(&self, node: &str) -> Option<SimTime> {
        let last = self.requests.iter().rfind(|request| &*request.node == node && request.mark == Mark::Cordon)?;
        (last.put_on && last.drains).then_some(last.at)
    }
}

fn by_fault(at: SimTime, action: &str, node: &Str, begins: bool) -> Option<Request> {
    let mark = match action {
        "node-drain" => Mark::Cordon,
        "node-taint" => Mark::Taint,
        _ => return None,
    };
    Some(Request { at, node: node.clone(), mark, put_on: begins, drains: begins })
}

fn by_step(run: &Run, at: SimTime, name: &str) -> Option<Request> {
    let step = run.world.spec.steps.iter().find(|step| &*step.name == name)?;
    let (node, mark, put_on, drains) = match &step.action {
        StepAction::Cordon(node, put_on) => (node, Mark::Cordon, *put_on, false),
        StepAction::Drain(node) => (node, Mark::Cordon, true, true),
        StepAction::Taint(node, taint, put_on) if &*taint.key == BROKEN_TAINT => (node, Mark::Taint, *put_on, false),
        _ => return None,
    };
    Some(Request { at, node: node.clone(), mark, put_on, drains })
}

/// kubectl says which of its requests nobody answered, such as `kubectl uncordon node-3`.
fn forget_refused(requests: &mut Vec<Request>, now: SimTime, command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    let (node, mark, put_on) = match words[..] {
        ["kubectl", "cordon" | "drain", node] => (node, Mark::Cordon, true),
        ["kubectl", "uncordon", node] => (node, Mark::Cordon, false),
        ["kubectl", "taint", "node", node, taint] => (node, Mark::Taint, !taint.ends_with('-')),
        _ => return,
    };
    let is_it =
        |request: &Request| now.since(request.at) < ANSWERED && &*request.node == node && request.mark == mark && request.put_on == put_on;
    if let Some(place) = requests.iter().position(is_it) {
        requests.remove(place);
    }
}
