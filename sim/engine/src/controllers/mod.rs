//! One file per controller: read the store, return the writes wanted.
//!
//! Each has a pure `sync(key, view, out)`: level-triggered, it looks at what is, not at what changed.
//! Which changes put which key into which work queue is in [`interested`]; queues, clients and retries
//! are the world's.

use api::SimTime;

use crate::random::Streams;
use crate::spec::ControlPlane;
use crate::store::Store;

/// What a room may read.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) store: &'a Store,
    pub(crate) settings: &'a ControlPlane,
    pub(crate) streams: &'a Streams,
    pub(crate) now: SimTime,
}
