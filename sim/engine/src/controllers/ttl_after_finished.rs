//! TTL-after-finished controller: finished Jobs go when their time is over.
//!
//! Reads: Jobs. Writes: their deletion, in the foreground.
//! Upstream: pkg/controller/ttlafterfinished/ttlafterfinished_controller.go.
//!
//! Invariant: the time begins with the condition Complete or Failed, in whole seconds.

use api::{Job, Kind, Propagation, SimTime};

use super::View;
use crate::effects::{Component, Effects, Write};
use crate::store::{Change, JobId};

/// Which Jobs a change gives an end.
pub(crate) fn interested(change: &Change, view: &View<'_>, queue: &mut dyn FnMut(JobId)) {
    if let Change::Object(Kind::Job, number) = change
        && view.store.jobs.get(JobId::new(*number)).and_then(ends_at).is_some()
    {
        queue(JobId::new(*number));
    }
}

/// One reconciliation.
pub(crate) fn sync(id: JobId, view: &View<'_>, out: &mut Effects) {
    let Some(at) = view.store.jobs.get(id).and_then(ends_at) else { return };
    if at <= view.now {
        out.write(Component::TtlAfterFinished, Write::DeleteNumbered(Kind::Job, id.number(), Propagation::Foreground));
    } else {
        out.resync_at(at);
    }
}

fn ends_at(job: &Job) -> Option<SimTime> {
    let finished = job.status.finished().filter(|_| !job.meta.is_deleting())?;
    Some(finished.since + job.spec.ttl_after_finished?)
}
