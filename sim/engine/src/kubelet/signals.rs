//! What a node runs short of: eviction signals, their thresholds, and when a threshold will be crossed.
//!
//! Upstream: pkg/kubelet/eviction/helpers.go, api/types.go and defaults_linux.go.
//!
//! Invariants:
//! - What containers use goes in straight lines between given points, so that crossings are known ahead.
//! - A node has one file system: nodefs.available and imagefs.available are the same number with thresholds of their own.
//!   A node that does not say how much `ephemeral-storage` it has never runs short of it.
//!
//! Not modelled: inodes, allocatableMemory.available, split file systems, what a container wrote once it has ended.

use api::{ResourceName, SimDuration, SimTime};

use crate::spec::{EvictionSignal, EvictionValue, KubeletSettings, MemoryUse};
use crate::store::PodId;

/// What is used up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Resource {
    Memory,
    Storage,
    Pids,
}

impl Resource {
    pub(super) const ALL: [Self; 3] = [Self::Memory, Self::Storage, Self::Pids];

    /// As events call it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Storage => "ephemeral-storage",
            Self::Pids => "pids",
        }
    }
    /// What containers ask for of it.
    pub(super) const fn requested(self) -> Option<ResourceName> {
        match self {
            Self::Memory => Some(ResourceName::Memory),
            Self::Storage => Some(ResourceName::EphemeralStorage),
            Self::Pids => None,
        }
    }
    /// The node's condition: its type, and the reasons of its event when it is True and False.
    pub(super) const fn condition(self) -> [&'static str; 3] {
        match self {
            Self::Memory => ["MemoryPressure", "NodeHasInsufficientMemory", "NodeHasSufficientMemory"],
            Self::Storage => ["DiskPressure", "NodeHasDiskPressure", "NodeHasNoDiskPressure"],
            Self::Pids => ["PIDPressure", "NodeHasInsufficientPID", "NodeHasSufficientPID"],
        }
    }
}

impl EvictionSignal {
    pub(super) const fn resource(self) -> Resource {
        match self {
            Self::MemoryAvailable => Resource::Memory,
            Self::NodefsAvailable | Self::ImagefsAvailable => Resource::Storage,
            Self::PidAvailable => Resource::Pids,
        }
    }
}

impl EvictionValue {
    /// Upstream: GetThresholdQuantity, whose percentages are 32-bit floats.
    pub(super) fn of(self, capacity: i64) -> i64 {
        match self {
            Self::Amount(amount) => amount,
            Self::Percent(percent) => (capacity as f64 * f64::from(percent as f32 / 100.0)) as i64,
        }
    }
}

/// A threshold; hard without a grace period.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Threshold {
    pub(super) signal: EvictionSignal,
    value: EvictionValue,
    pub(super) grace: Option<SimDuration>,
    reclaim: Option<EvictionValue>,
}

impl Threshold {
    pub(super) fn resource(&self) -> Resource {
        self.signal.resource()
    }
    /// How much must be available.
    pub(super) fn least(&self, capacity: i64) -> i64 {
        self.value.of(capacity)
    }
    /// How much must be available once it was crossed.
    pub(super) fn enough(&self, capacity: i64) -> i64 {
        self.least(capacity) + self.reclaim.map_or(0, |reclaim| reclaim.of(capacity))
    }
}

/// All thresholds of a kubelet. Setting one hard threshold replaces all that hold by default.
/// Upstream: ParseThresholdConfig; defaults_linux.go.
pub(super) fn thresholds(settings: &KubeletSettings) -> Vec<Threshold> {
    use EvictionSignal::{ImagefsAvailable, MemoryAvailable, NodefsAvailable};
    let defaults = [
        (MemoryAvailable, EvictionValue::Amount(settings.eviction_hard_memory_available_bytes)),
        (NodefsAvailable, EvictionValue::Percent(10.0)),
        (ImagefsAvailable, EvictionValue::Percent(15.0)),
    ];
    let hard = settings.eviction_hard.as_deref().unwrap_or(&defaults).iter().map(|(signal, value)| (*signal, *value, None));
    let grace = |signal: EvictionSignal| settings.eviction_soft_grace_period.iter().find(|(of, _)| *of == signal).map(|(_, grace)| *grace);
    let soft = settings.eviction_soft.iter().map(|(signal, value)| (*signal, *value, Some(grace(*signal).unwrap_or_default())));
    let reclaim = |signal: EvictionSignal| {
        let given = settings.eviction_minimum_reclaim.iter().find(|(of, _)| *of == signal).map(|(_, value)| *value);
        let of_memory = (signal == MemoryAvailable).then_some(EvictionValue::Amount(settings.eviction_minimum_reclaim_memory_bytes));
        given.or(of_memory)
    };
    hard.chain(soft).map(|(signal, value, grace)| Threshold { signal, value, grace, reclaim: reclaim(signal) }).collect()
}

/// A container that uses something.
pub(super) struct User<'a> {
    pub(super) pod: PodId,
    pub(super) place: u8,
    pub(super) started: SimTime,
    pub(super) uses: &'a MemoryUse,
    /// What it asked for.
    pub(super) request: i64,
}

impl User<'_> {
    pub(super) fn at(&self, now: SimTime) -> i64 {
        self.uses.at(now.since(self.started))
    }
}

/// Something of a node, and who uses it.
pub(super) struct Room<'a> {
    pub(super) capacity: i64,
    /// What is not the containers'.
    pub(super) taken: i64,
    pub(super) users: Vec<User<'a>>,
}

impl Room<'_> {
    pub(super) fn available(&self, at: SimTime) -> i64 {
        self.capacity - self.taken - self.users.iter().map(|user| user.at(at)).sum::<i64>()
    }

    pub(super) fn used_by(&self, pod: PodId, at: SimTime) -> i64 {
        self.users.iter().filter(|user| user.pod == pod).map(|user| user.at(at)).sum()
    }

    /// When the available amount first falls below `least`, from `now` on.
    pub(super) fn first_below(&self, least: i64, now: SimTime) -> Option<SimTime> {
        first_below(&self.users, now, |at| self.available(at), least)
    }
}

/// When a value that goes in straight lines from bend to bend of some uses first falls below `least`, from `now` on.
pub(super) fn first_below(users: &[User<'_>], now: SimTime, value: impl Fn(SimTime) -> i64, least: i64) -> Option<SimTime> {
    let mut instants: Vec<SimTime> = users.iter().flat_map(|user| user.uses.bends(user.started, now)).collect();
    instants.push(now);
    instants.sort();
    instants.dedup();
    let mut before: Option<(SimTime, i64)> = None;
    for at in instants {
        let available = value(at);
        if available < least {
            let Some((from, more)) = before else { return Some(at) };
            // A straight line from one bend to the next; the first instant strictly below.
            let (span, fall) = (i128::from(at.since(from).as_nanos()), i128::from(more - available));
            let waits = span * i128::from(more - least) / fall + 1;
            return Some((from + SimDuration::from_nanos(waits as u64)).min(at));
        }
        before = Some((at, available));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hard_threshold_replaces_all_defaults_and_soft_ones_come_on_top() {
        let mut settings = KubeletSettings::default();
        let seen = |settings: &KubeletSettings| -> Vec<(EvictionSignal, i64, bool)> {
            thresholds(settings).iter().map(|threshold| (threshold.signal, threshold.least(1000), threshold.grace.is_some())).collect()
        };
        use EvictionSignal::{ImagefsAvailable, MemoryAvailable, NodefsAvailable};
        assert_eq!(seen(&settings), [(MemoryAvailable, 100 << 20, false), (NodefsAvailable, 100, false), (ImagefsAvailable, 150, false)]);
        settings.eviction_hard = Some(vec![(MemoryAvailable, EvictionValue::Amount(7))]);
        settings.eviction_soft = vec![(NodefsAvailable, EvictionValue::Percent(20.0))];
        assert_eq!(seen(&settings), [(MemoryAvailable, 7, false), (NodefsAvailable, 200, true)]);
        settings.eviction_minimum_reclaim = vec![(NodefsAvailable, EvictionValue::Percent(5.0))];
        assert_eq!(thresholds(&settings).iter().map(|threshold| threshold.enough(1000)).collect::<Vec<_>>(), [7, 250]);
    }
}
