//! Disturbances of one fault or mark, over all runs, as one row.
//!
//! Invariants: a row stands for the worst disturbance of each run: one that was not recovered from, else the longest.

use std::collections::BTreeMap;

use crate::Measures;
use crate::metrics::Recovery;

/// All that one fault or mark did.
pub(super) struct Cause<'a> {
    /// Of each run, by seed, its worst.
    pub worst: Vec<(u64, &'a Recovery)>,
    /// All, by seed and time.
    pub all: Vec<(u64, &'a Recovery)>,
    /// How often it struck, in the run in which it did so most.
    pub strikes: usize,
}

impl<'a> Cause<'a> {
    /// The earliest of all runs.
    pub(super) fn first(&self) -> Option<&'a Recovery> {
        self.all.iter().map(|(_, recovery)| *recovery).min_by_key(|recovery| recovery.at)
    }

    /// Whether some run recovered between the strikes.
    pub(super) fn is_several(&self) -> bool {
        self.all.len() > self.worst.len()
    }

    /// Its name, and how often it struck if more than once.
    pub(super) fn label(&self, times: &str) -> String {
        let name = self.first().map_or("", |recovery| &recovery.cause);
        if self.strikes > 1 { format!("{name} {times}{}", self.strikes) } else { name.to_owned() }
    }
}

/// The causes in `runs`, by the time they first struck.
pub(super) fn causes<'a>(runs: &[&'a Measures]) -> Vec<Cause<'a>> {
    let mut rows: BTreeMap<(&str, bool), Cause<'a>> = BTreeMap::new();
    for run in runs {
        let mut by_name: BTreeMap<(&str, bool), Vec<&'a Recovery>> = BTreeMap::new();
        for recovery in &run.recoveries {
            by_name.entry((&recovery.cause, recovery.is_mark)).or_default().push(recovery);
        }
        for (key, recoveries) in by_name {
            let row = rows.entry(key).or_insert_with(|| Cause { worst: Vec::new(), all: Vec::new(), strikes: 0 });
            row.strikes = row.strikes.max(recoveries.iter().map(|recovery| recovery.episodes.len().max(1)).sum());
            let worst = recoveries.iter().rev().max_by_key(|recovery| (recovery.total.is_none(), recovery.total));
            row.worst.extend(worst.map(|worst| (run.seed, *worst)));
            row.all.extend(recoveries.into_iter().map(|recovery| (run.seed, recovery)));
        }
    }
    let mut rows: Vec<Cause<'a>> = rows.into_values().collect();
    rows.sort_by_key(|row| row.first().map(|recovery| recovery.at));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Phase;
    use crate::testing::node_failure;
    use api::{SimDuration, SimTime};

    #[test]
    fn a_row_stands_for_the_worst_of_each_run_and_counts_all_strikes() {
        let mut measures = Measures::of_trace(&node_failure(1));
        let one = measures.recoveries.remove(0);
        let blow = |at: u64, strikes: usize, total: Option<u64>| Recovery {
            at: SimTime::from_secs(at),
            episodes: vec![SimTime::from_secs(at); strikes],
            total: total.map(SimDuration::from_secs),
            slo: total.map_or(Phase::Never, |_| Phase::Skipped),
            ..one.clone()
        };
        measures.recoveries = vec![blow(100, 3, Some(50)), blow(300, 1, None), blow(500, 1, Some(90))];
        let rows = causes(&[&measures]);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].label("×"), rows[0].is_several()), ("power-loss ×5".to_owned(), true));
        assert_eq!(rows[0].worst[0].1.at, SimTime::from_secs(300), "never is worse than long");
        assert_eq!(rows[0].first().map(|first| first.at), Some(SimTime::from_secs(100)));
    }
}
