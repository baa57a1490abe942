//! The event recorder's limit: of one object, type and source, 25 events and then one every five minutes.
//!
//! Upstream: client-go/tools/record/events_cache.go (EventSourceObjectSpamFilter). What is over the limit is dropped,
//! not delayed. One instant says it all: the one at which the bucket is full again.
//!
//! Not here: counting equal events together (whoever reads the trace can), and upstream's aggregation of more than
//! ten different messages.

use api::SimTime;

const BURST: u32 = 25;
const REFILL_SECONDS: u32 = 300;

/// How much one object may still be spoken of.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Tokens {
    /// In whole seconds.
    full_at: u32,
}

impl Tokens {
    /// From when on there is a token.
    pub(super) fn next(self) -> SimTime {
        SimTime::from_secs(u64::from(self.full_at.saturating_sub(REFILL_SECONDS * (BURST - 1))))
    }

    /// Takes a token; `false` when there is none.
    pub(super) fn take(&mut self, now: SimTime) -> bool {
        let there = self.next() <= now;
        if there {
            let now = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
            self.full_at = self.full_at.max(now).saturating_add(REFILL_SECONDS);
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_five_events_and_then_one_every_five_minutes() {
        let mut tokens = Tokens::default();
        let at = |seconds: u64| SimTime::from_secs(1000 + seconds);
        let told: Vec<u64> = (0..1000).filter(|second| tokens.take(at(*second))).collect();
        assert_eq!(told[..25], (0..25).collect::<Vec<_>>());
        assert_eq!(told[25..], [300, 600, 900]);
    }
}
