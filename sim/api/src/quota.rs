//! What a namespace may hold, and what its pods get when they do not say.

use std::collections::BTreeMap;

use crate::{ObjectMeta, Quantity, ResourceList, ResourceName, Str};

/// Amounts by quota name (`pods`, `requests.cpu`, `count/jobs.batch`): cpu in millicpu, everything else in whole units.
pub type QuotaList = BTreeMap<Str, i64>;

/// Which pods a ResourceQuota speaks of. All of its scopes must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QuotaScope {
    /// With (`true`) or without an activeDeadlineSeconds.
    Terminating(bool),
    /// Of class BestEffort (`true`), or of the others.
    BestEffort(bool),
    /// Whose priority class is among these (`true`), or is not.
    PriorityClass(Vec<Str>, bool),
    /// With any priority class (`true`), or without.
    AnyPriorityClass(bool),
}

/// A ResourceQuota.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ResourceQuota {
    /// Name.
    pub meta: ObjectMeta,
    /// `spec.hard`.
    pub hard: QuotaList,
    /// Which pods it speaks of; empty means all.
    pub scopes: Vec<QuotaScope>,
    /// `status`: the limits observed and what is used, once they have been counted.
    pub status: Option<QuotaStatus>,
}

/// What is observed of a ResourceQuota.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct QuotaStatus {
    /// Limits.
    pub hard: QuotaList,
    /// What is used of each.
    pub used: QuotaList,
}

/// An amount of a ResourceQuota as kubectl shows it.
#[must_use]
pub fn quota_text(name: &str, amount: i64) -> String {
    if is_cpu(name) { decimal(amount) } else { Quantity::from_units(amount).to_string() }
}

fn decimal(millis: i64) -> String {
    if millis % 1000 == 0 { (millis / 1000).to_string() } else { format!("{millis}m") }
}

/// Whether amounts of this name are millicpu.
#[must_use]
pub fn is_cpu(quota: &str) -> bool {
    matches!(quota, "cpu" | "requests.cpu" | "limits.cpu")
}

/// What an item of a LimitRange speaks of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "official names")]
pub enum LimitType {
    Pod,
    Container,
    PersistentVolumeClaim,
}

impl LimitType {
    /// The official name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Container => "Container",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
        }
    }
}

/// One item of a LimitRange, with upstream's defaults filled in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitRangeItem {
    /// What it speaks of.
    pub kind: LimitType,
    /// Least request and limit.
    pub min: ResourceList,
    /// Largest request and limit.
    pub max: ResourceList,
    /// Limits of containers that name none.
    pub default: ResourceList,
    /// Requests of containers that name none.
    pub default_request: ResourceList,
    /// Largest limit per request, in thousandths.
    pub max_ratio_millis: BTreeMap<ResourceName, i64>,
}

/// A LimitRange.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LimitRange {
    /// Name.
    pub meta: ObjectMeta,
    /// Its items.
    pub limits: Vec<LimitRangeItem>,
}
