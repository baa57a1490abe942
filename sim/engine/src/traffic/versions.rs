//! The endpoints of a Service from one change to the next, for as long as anybody may still know of them.
//!
//! A version shares all slices but one with the version before it: a change costs that slice, and a copy of the list of
//! those chosen among.
//!
//! Not here: who knows which version (`proxy.rs`), and the choice (`reach.rs`).

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use api::{Str, Uid};
use rustc_hash::FxHashMap;

use super::reach::{ServiceRules, Targets};
use super::slices::Slices;

/// The endpoints of a Service from one change to the next.
#[derive(Default)]
pub(super) struct Version {
    /// Number of the change that made it, and when that was.
    pub(super) number: u64,
    pub(super) made_at: u64,
    /// By number; shared with the versions before and after it.
    pub(super) slices: Vec<(u32, Arc<Slice>)>,
    /// The slice of the version before that is another now.
    pub(super) replaced: Option<Arc<Slice>>,
    /// Everybody that a proxy without topology would choose among.
    pub(super) all: Vec<u32>,
    /// The zone of every ready endpoint is hinted; its node is.
    pub(super) zones_hinted: bool,
    pub(super) nodes_hinted: bool,
    /// What a node chooses among, under a `Local` policy or not. Looked up only.
    pub(super) near: FxHashMap<(u32, bool), Vec<u32>>,
}

impl Version {
    pub(super) fn listed(&self) -> impl Iterator<Item = &Listed> {
        self.slices.iter().flat_map(|(_, slice)| &slice.listed)
    }

    /// The next one: a slice is another, and so is a part of those chosen among.
    pub(super) fn next(&self, number: u32, slice: Slice, part: Range<usize>, chosen: Vec<u32>) -> Self {
        let (mut slices, mut all) = (self.slices.clone(), self.all.clone());
        all.splice(part, chosen);
        let slice = Arc::new(slice);
        let replaced = match slices.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(place) => Some(std::mem::replace(&mut slices[place].1, slice)),
            Err(place) => {
                slices.insert(place, (number, slice));
                None
            }
        };
        slices.retain(|(_, slice)| !slice.listed.is_empty());
        let sum = |count: fn(&Slice) -> usize| slices.iter().map(|(_, slice)| count(slice)).sum::<usize>();
        let ready = sum(|slice| slice.ready);
        let zones_hinted = ready > 0 && ready == sum(|slice| slice.ready_with_zone);
        let nodes_hinted = ready > 0 && ready == sum(|slice| slice.ready_with_node);
        Self { slices, replaced, all, zones_hinted, nodes_hinted, ..Self::default() }
    }
}

/// A slice as nodes know it, and how many of it are ready, and hinted.
pub(super) struct Slice {
    pub(super) listed: Vec<Listed>,
    pub(super) ready: usize,
    pub(super) ready_with_zone: usize,
    pub(super) ready_with_node: usize,
}

impl Slice {
    pub(super) fn new(listed: Vec<Listed>) -> Self {
        let count = |holds: fn(&Listed) -> bool| listed.iter().filter(|listed| listed.ready && holds(listed)).count();
        let (ready, ready_with_zone) = (count(|_| true), count(|listed| listed.zone.is_some()));
        let ready_with_node = count(|listed| listed.node.is_some());
        Self { listed, ready, ready_with_zone, ready_with_node }
    }
}

pub(super) struct Listed {
    pub(super) station: u32,
    pub(super) ready: bool,
    pub(super) draining: bool,
    pub(super) zone: Option<Str>,
    pub(super) node: Option<Str>,
}

/// The endpoints that anybody may still know of, and how they are chosen.
#[derive(Default)]
pub(super) struct Endpoints {
    pub(super) rules: ServiceRules,
    pub(super) slices: Slices,
    /// In order; the last is the present.
    pub(super) versions: VecDeque<Version>,
    /// From then on everybody knows the last.
    pub(super) settled_at: u64,
    /// Nothing but the last version matters, once it is settled.
    pub(super) plain: bool,
    /// What DNS answers: pods, until when.
    pub(super) names: (Vec<Uid>, u64),
    pub(super) targets: Option<Box<Targets>>,
}

impl Endpoints {
    /// What everybody chooses among now, if everybody does alike.
    pub(super) fn common(&self, now: u64) -> Option<&[u32]> {
        if self.plain && now >= self.settled_at { self.versions.back().map(|version| &version.all[..]) } else { None }
    }

    /// Whom a proxy that knows everything chooses among.
    pub(super) fn present(&self) -> &[u32] {
        self.versions.back().map_or(&[], |version| &version.all)
    }

    /// What a node with these changes in its rules knows.
    pub(super) fn version(&self, written: u64, now: u64) -> Option<usize> {
        let last = self.versions.len().checked_sub(1)?;
        if now >= self.settled_at {
            return Some(last);
        }
        self.versions.iter().rposition(|version| version.number <= written)
    }

    pub(super) fn look(&mut self) {
        let hinted = self.versions.iter().any(|version| version.zones_hinted || version.nodes_hinted);
        let rules = &self.rules;
        self.plain = !hinted && !rules.headless && rules.affinity_nanos.is_none() && !rules.internal_local && !rules.external_local;
    }
}

/// Ready ones, or those that still serve, of those that are near.
pub(super) fn near_by(version: &Version, is_near: impl Fn(&Listed) -> bool, out: &mut Vec<u32>) {
    let near = |listed: &&Listed| is_near(listed);
    out.extend(version.listed().filter(near).filter(|listed| listed.ready).map(|listed| listed.station));
    if out.is_empty() {
        out.extend(version.listed().filter(near).filter(|listed| listed.draining).map(|listed| listed.station));
    }
}
