//! ControllerRevisions: the templates that a workload had, by which its pods know their version.
//!
//! Reads: ControllerRevisions. Writes: ControllerRevisions.
//! Upstream: pkg/controller/history/controller_history.go.
//!
//! Invariant: a template that was there before gets its old revision back under a higher number; names
//! follow from the template alone.

use std::sync::Arc;

use api::{ControllerRevision, Kind, ObjectKey, ObjectMeta, OwnerReference, PodTemplate, Propagation, Str};

use super::View;
use super::claim::Claim;
use super::deployment::template_hash;
use crate::effects::{Component, Effects, Write};
use crate::objects::{Kept, Part};
use crate::store::Store;

const HASH_LABEL: &str = "controller.kubernetes.io/hash";

/// A revision that is there, or on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Revision {
    pub(crate) name: Str,
    pub(crate) template: Arc<PodTemplate>,
}

impl From<&ControllerRevision> for Revision {
    fn from(from: &ControllerRevision) -> Self {
        Self { name: from.meta.name.clone(), template: from.template.clone() }
    }
}

/// The revisions of one workload, oldest first.
pub(crate) struct History<'a> {
    revisions: Vec<&'a ControllerRevision>,
}

impl<'a> History<'a> {
    pub(crate) fn of(owner: &ObjectMeta, store: &'a Store) -> Self {
        Self::sorted(store.controller_revisions.of(owner.uid).map(|(_, revision)| revision).collect())
    }

    /// The same, with those that its selector takes over.
    pub(super) fn claimed(claim: &Claim<'_>, store: &'a Store, out: &mut Effects) -> Self {
        let claimed = claim.claim(Kind::ControllerRevision, &store.controller_revisions, |_| true, |_| true, out);
        Self::sorted(claimed.into_iter().map(|(_, revision)| revision).collect())
    }

    fn sorted(mut revisions: Vec<&'a ControllerRevision>) -> Self {
        revisions.sort_by(|a, b| (a.revision, a.meta.creation, &a.meta.name).cmp(&(b.revision, b.meta.creation, &b.meta.name)));
        Self { revisions }
    }

    /// All of them, oldest first.
    pub(crate) fn revisions(&self) -> &[&'a ControllerRevision] {
        &self.revisions
    }

    /// The revision of this name.
    pub(crate) fn find(&self, name: &str) -> Option<Revision> {
        self.revisions.iter().find(|revision| &*revision.meta.name == name).map(|revision| Revision::from(*revision))
    }

    /// The revision of `template`, made or made the newest when it is not; with how many names were taken.
    pub(crate) fn ensure(
        &self,
        (kind, owner): (Kind, &ObjectMeta),
        template: &Arc<PodTemplate>,
        mut collisions: u32,
        by: Component,
        view: &View<'_>,
        out: &mut Effects,
    ) -> (Revision, u32) {
        let next = self.revisions.last().map_or(0, |newest| newest.revision) + 1;
        if let Some(equal) = self.revisions.iter().rev().find(|revision| revision.template == *template) {
            if equal.revision + 1 != next {
                let renewed = ControllerRevision { revision: next, ..(*equal).clone() };
                out.write(by, Write::Update(renewed.into_any(), Part::Spec));
            }
            return (Revision::from(*equal), collisions);
        }
        let (name, hash) = loop {
            let hash = template_hash(template, collisions);
            let name: Str = format!("{}-{hash}", owner.name).into();
            if view.store.controller_revisions.find(&ObjectKey { namespace: owner.namespace.clone(), name: name.clone() }).is_none() {
                break (name, hash);
            }
            collisions += 1;
        };
        let mut labels = (*template.labels).clone();
        labels.insert(HASH_LABEL.into(), hash.into());
        let meta = ObjectMeta {
            namespace: owner.namespace.clone(),
            name: name.clone(),
            labels: Arc::new(labels),
            annotations: owner.annotations.clone(),
            owners: vec![OwnerReference { kind: kind.as_str().into(), name: owner.name.clone(), uid: owner.uid, controller: true }],
            ..ObjectMeta::default()
        };
        let made = ControllerRevision { meta, revision: next, template: template.clone() };
        out.write(by, Write::Create(made.into_any()));
        (Revision { name, template: template.clone() }, collisions)
    }

    /// Deletes the oldest revisions that nothing has any more, until `limit` of these are left.
    pub(crate) fn truncate(&self, limit: i32, is_live: impl Fn(&Str) -> bool, by: Component, out: &mut Effects) {
        let dead: Vec<&ObjectMeta> = self.revisions.iter().map(|revision| &revision.meta).filter(|meta| !is_live(&meta.name)).collect();
        let Ok(limit) = usize::try_from(limit) else { return };
        for meta in dead.iter().take(dead.len().saturating_sub(limit)) {
            out.write(by, Write::Delete(Kind::ControllerRevision, meta.key(), Propagation::Background));
        }
    }
}
