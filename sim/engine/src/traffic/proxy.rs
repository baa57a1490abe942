//! What each node's kube-proxy knows of the endpoints: every node hears of a change at a time of its own, and writes
//! its rules no oftener than `minSyncPeriod` lets it.
//!
//! Upstream: pkg/proxy/runner/bounded_frequency_runner.go: a run begins at once unless one ended less than the
//! minimum ago; what is heard meanwhile is written together, of all Services.
//!
//! Nothing of this is an event: a node's state is worked out when somebody on it connects. Changes are remembered
//! as long as they could matter to anybody.
//!
//! Invariants: a node hears of changes in their order; after [`Proxies::span`] everybody knows a change.
//! Simplified: writing the rules takes no time of its own; nodes that are cut off from the API server hear too.

use crate::random::{Draw, Purpose, Split, mix};
use crate::spec::KubeProxy;

/// Changes of endpoints on their way, of all Services.
pub(super) struct Proxies {
    base: u64,
    jitter: u64,
    min_sync: u64,
    /// When each happened, and its luck; the first has number `first`.
    changes: Vec<(u64, u64)>,
    first: u64,
}

/// How far one node has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// What tells the node from others.
    name: u64,
    /// The next change it has not heard of.
    next: u64,
    heard_at: u64,
    /// The last change in its rules.
    written: u64,
    written_at: Option<u64>,
    /// When its rules are written next, and the last change they will then hold.
    pending: Option<(u64, u64)>,
}

impl Proxies {
    pub(super) fn new(settings: &KubeProxy) -> Self {
        Self {
            base: settings.propagation_base.as_nanos(),
            jitter: settings.propagation_jitter.as_nanos(),
            min_sync: settings.min_sync_period.as_nanos(),
            changes: Vec::new(),
            first: 1,
        }
    }

    /// Time after which everybody knows a change.
    pub(super) const fn span(&self) -> u64 {
        self.base.saturating_add(self.jitter).saturating_add(self.min_sync)
    }

    /// Something has changed: its number.
    pub(super) fn change(&mut self, now: u64, luck: u64) -> u64 {
        // After such a pause no writing from before it can put off one from after it.
        let pause = self.span().saturating_add(self.min_sync);
        if self.changes.last().is_some_and(|(at, _)| at.saturating_add(pause) <= now) {
            self.first += self.changes.len() as u64;
            self.changes.clear();
        }
        self.changes.push((now, luck));
        self.newest()
    }

    /// The number of the last change.
    fn newest(&self) -> u64 {
        self.first + self.changes.len() as u64 - 1
    }

    /// A node that knows everything so far.
    pub(super) fn up_to_date(&self, name: u64) -> Known {
        let newest = self.newest();
        Known { name, next: newest + 1, heard_at: 0, written: newest, written_at: None, pending: None }
    }

    /// The last change that is in a node's rules at `now`.
    pub(super) fn written(&self, node: &mut Known, now: u64) -> u64 {
        if node.next < self.first {
            // What came before is with everybody, and too old to put off anything.
            (node.next, node.written, node.written_at, node.pending) = (self.first, self.first - 1, None, None);
        }
        while let Some((at, luck)) = self.changes.get((node.next - self.first) as usize) {
            let share = Split::new(mix(luck ^ node.name), Purpose::EndpointPropagation, 0).below(self.jitter.saturating_add(1));
            let heard_at = (at + self.base + share).max(node.heard_at);
            if heard_at > now {
                break;
            }
            node.heard_at = heard_at;
            if let Some((due, last)) = node.pending.filter(|(due, _)| *due < heard_at) {
                (node.written, node.written_at, node.pending) = (last, Some(due), None);
            }
            let due = match node.pending {
                Some((due, _)) => due,
                None => node.written_at.map_or(heard_at, |before| heard_at.max(before.saturating_add(self.min_sync))),
            };
            node.pending = Some((due, node.next));
            node.next += 1;
        }
        if let Some((due, last)) = node.pending.filter(|(due, _)| *due <= now) {
            (node.written, node.written_at, node.pending) = (last, Some(due), None);
        }
        node.written
    }
}

#[cfg(test)]
mod tests {
    use api::SimDuration;
    use proptest::prelude::*;

    use super::*;

    fn proxies(base: u64, jitter: u64, min_sync: u64) -> Proxies {
        let ms = SimDuration::from_millis;
        Proxies::new(&KubeProxy {
            propagation_base: ms(base),
            propagation_jitter: ms(jitter),
            min_sync_period: ms(min_sync),
            ..KubeProxy::default()
        })
    }
    const MS: u64 = 1_000_000;

    #[test]
    fn rules_are_written_at_once_and_then_not_before_the_minimum_has_passed() {
        let mut proxies = proxies(100, 0, 1000);
        let mut node = proxies.up_to_date(7);
        for at in [0, 300, 700, 2000] {
            proxies.change(at * MS, 1);
        }
        let steps = [(99, 0), (100, 1), (399, 1), (1099, 1), (1100, 3), (2099, 3), (2100, 4)];
        for (at, written) in steps {
            assert_eq!(proxies.written(&mut node, at * MS), written, "at {at} ms");
        }
        let mut asleep = proxies.up_to_date(8);
        (asleep.next, asleep.written) = (1, 0);
        assert_eq!(proxies.written(&mut asleep, 2099 * MS), 3, "who asks seldom knows as much");
    }

    proptest! {
        #[test]
        fn nodes_learn_in_order_and_in_time_however_often_they_are_asked(
            gaps in proptest::collection::vec(1u64..3000, 1..30), asks in proptest::collection::vec(0u64..2000, 1..60), name: u64,
            base in 0u64..800, jitter in 0u64..1500, min_sync in 0u64..1500
        ) {
            let mut proxies = proxies(base, jitter, min_sync);
            let (mut often, mut seldom) = (proxies.up_to_date(name), proxies.up_to_date(name));
            let (mut at, mut made, mut asked) = (0, Vec::new(), 0);
            let mut last = 0;
            for (gap, ask) in gaps.iter().zip(asks.iter().cycle()) {
                at += gap * MS;
                proxies.change(at, at ^ 0x55);
                made.push(at);
                asked = at + ask.min(gap) * MS;
                let written = proxies.written(&mut often, at);
                prop_assert!(written >= last);
                last = written;
                for (number, made_at) in (1u64..).zip(&made) {
                    prop_assert!(written < number || at >= made_at + base * MS, "known before it could be");
                    prop_assert!(written >= number || at < made_at + proxies.span(), "unknown after everybody knew");
                }
            }
            asked = asked.max(at);
            prop_assert_eq!(proxies.written(&mut often, asked), proxies.written(&mut seldom, asked));
            prop_assert_eq!(proxies.written(&mut often, asked + proxies.span()), made.len() as u64);
        }
    }
}
