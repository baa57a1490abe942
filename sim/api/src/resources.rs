//! Amounts of resources: lists as manifests give them, and dense sums for arithmetic.
//!
//! Invariants:
//! - [`ResourceList`] remembers which resources were *named*, because an explicit 0 differs from absence.
//! - cpu is whole millicpu, everything else whole units (bytes, pieces).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Quantity, Str};

/// Thousandths of a cpu.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millicpu(pub i64);

/// Bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub i64);

/// The name of a resource. Ordered as upstream lists them: the native four, then the others by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ResourceName {
    /// `cpu`, counted in millicpu.
    Cpu,
    /// `memory`, counted in bytes.
    Memory,
    /// `ephemeral-storage`, counted in bytes.
    EphemeralStorage,
    /// `pods`, a count; only nodes have it.
    Pods,
    /// An extended resource, hugepages or attachable volumes, counted in units.
    Scalar(Str),
}

impl ResourceName {
    /// The resource called `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        match name {
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            "ephemeral-storage" => Self::EphemeralStorage,
            "pods" => Self::Pods,
            _ => Self::Scalar(name.into()),
        }
    }
    /// Its official name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::EphemeralStorage => "ephemeral-storage",
            Self::Pods => "pods",
            Self::Scalar(name) => name,
        }
    }
    /// `quantity` in the integer unit this resource is counted in.
    #[must_use]
    pub fn amount(&self, quantity: Quantity) -> i64 {
        if *self == Self::Cpu { quantity.milli_value() } else { quantity.value() }
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Amounts by resource, as a manifest names them (requests, limits, capacity, allocatable, overhead).
pub type ResourceList = BTreeMap<ResourceName, i64>;

/// A dense sum of resources, for arithmetic.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Resources {
    /// Thousandths of a cpu.
    pub cpu_millis: i64,
    /// Bytes of memory.
    pub memory_bytes: i64,
    /// Bytes of ephemeral storage.
    pub ephemeral_storage_bytes: i64,
    /// How many pods (only meaningful for nodes).
    pub pods: i64,
    /// Everything else, in units.
    pub scalars: BTreeMap<Str, i64>,
}

impl Resources {
    /// The amounts of `list`.
    #[must_use]
    pub fn from_list(list: &ResourceList) -> Self {
        let mut sum = Self::default();
        sum.add_list(list);
        sum
    }
    /// The amount of one resource.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &ResourceName) -> i64 {
        match name {
            ResourceName::Cpu => self.cpu_millis,
            ResourceName::Memory => self.memory_bytes,
            ResourceName::EphemeralStorage => self.ephemeral_storage_bytes,
            ResourceName::Pods => self.pods,
            ResourceName::Scalar(name) => self.scalars.get(name).copied().unwrap_or(0),
        }
    }
    /// The place of one resource, made if it is not there.
    pub fn get_mut(&mut self, name: &ResourceName) -> &mut i64 {
        match name {
            ResourceName::Cpu => &mut self.cpu_millis,
            ResourceName::Memory => &mut self.memory_bytes,
            ResourceName::EphemeralStorage => &mut self.ephemeral_storage_bytes,
            ResourceName::Pods => &mut self.pods,
            ResourceName::Scalar(name) => self.scalars.entry(name.clone()).or_insert(0),
        }
    }
    /// Adds every amount of `list`.
    pub fn add_list(&mut self, list: &ResourceList) {
        for (name, amount) in list {
            *self.get_mut(name) += amount;
        }
    }
    /// Raises every amount to at least that of `list`.
    pub fn max_list(&mut self, list: &ResourceList) {
        for (name, amount) in list {
            let place = self.get_mut(name);
            *place = (*place).max(*amount);
        }
    }
    /// Adds `other`, resource by resource.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, |a, b| a + b);
    }
    /// Takes `other` away, resource by resource; the result may be negative.
    pub fn sub(&mut self, other: &Self) {
        self.combine(other, |a, b| a - b);
    }
    /// The larger of the two, resource by resource.
    pub fn max(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }
    fn combine(&mut self, other: &Self, op: impl Fn(i64, i64) -> i64) {
        self.cpu_millis = op(self.cpu_millis, other.cpu_millis);
        self.memory_bytes = op(self.memory_bytes, other.memory_bytes);
        self.ephemeral_storage_bytes = op(self.ephemeral_storage_bytes, other.ephemeral_storage_bytes);
        self.pods = op(self.pods, other.pods);
        for (name, amount) in &other.scalars {
            let place = self.scalars.entry(name.clone()).or_insert(0);
            *place = op(*place, *amount);
        }
    }
}
