//! What pods ask for, worked out once per template.
//!
//! Pods of one template share an `Arc<PodSpec>`, so its address is the template's identity. Each entry keeps
//! its spec alive: an address cannot be taken by another spec while it is a key here. The map is looked up
//! and pruned, never walked in an order that could matter.

use std::sync::Arc;

use api::PodSpec;
use port::PodRequests;
use rustc_hash::FxHashMap;

/// Entries that nobody else uses are dropped when the cache has doubled since the last time.
const PRUNE_AT_LEAST: usize = 256;

#[derive(Default)]
pub(super) struct Requests {
    by_spec: FxHashMap<*const PodSpec, (Arc<PodSpec>, Arc<PodRequests>)>,
    prune_at: usize,
}

impl Requests {
    /// The requests of pods of this spec.
    pub(super) fn of(&mut self, spec: &Arc<PodSpec>) -> Arc<PodRequests> {
        if let Some((_, requests)) = self.by_spec.get(&Arc::as_ptr(spec)) {
            return requests.clone();
        }
        if self.by_spec.len() >= self.prune_at {
            self.by_spec.retain(|_, (spec, _)| Arc::strong_count(spec) > 1);
            self.prune_at = (self.by_spec.len() * 2).max(PRUNE_AT_LEAST);
        }
        let requests = Arc::new(PodRequests::of(spec));
        self.by_spec.insert(Arc::as_ptr(spec), (spec.clone(), requests.clone()));
        requests
    }
}
