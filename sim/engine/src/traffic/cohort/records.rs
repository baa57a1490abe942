//! A window of the cohort engine as records, in whole requests.
//!
//! Every total since the run's start is rounded to the nearest; what is under way is what is left, so that each flow
//! adds up exactly.

use api::{SimDuration, SimTime};
use trace::{Histogram, Record, TrafficCounts};

use super::{Cohort, FlowState, GRAINS, Totals};

impl Cohort {
    /// Ends a window: its records, flows first, sources before calls, then Services; each by name.
    pub(crate) fn close_window(&mut self, now: SimTime, out: &mut Vec<Record>) {
        self.enter(now, true);
        let window = SimDuration::from_nanos(self.now - self.window_start);
        self.window_start = self.now;
        for external in [true, false] {
            for index in self.flow_by_name.values() {
                let flow = &mut self.flows[*index as usize];
                if flow.external == external {
                    out.extend(flow.close(self.services[flow.service as usize].name.clone(), window));
                }
            }
        }
        self.close_services(window, out);
        self.let_go();
    }

    fn close_services(&mut self, window: SimDuration, out: &mut Vec<Record>) {
        for index in self.service_by_key.values() {
            let service = &self.services[*index as usize];
            let (mut queued, mut busy, mut shed, mut orphaned, mut cpu) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for pod in service.programs.iter().flat_map(|program| &self.programs[*program as usize].pods) {
                let pod = &self.pods[*pod as usize];
                queued += pod.queued();
                busy += pod.held() - pod.queued();
                shed += pod.window_shed;
                orphaned += pod.window_orphaned;
                cpu += pod.cpu_nanos - pod.cpu_told;
            }
            let levels = if window.is_zero() { 0.0 } else { queued + busy };
            if levels + shed + orphaned + cpu >= 1.0 {
                out.push(Record::Station {
                    service: service.name.clone(),
                    pods: service.pods,
                    queued: (queued + 0.5) as u64,
                    busy: (busy + 0.5) as u64,
                    shed: (shed + 0.5) as u64,
                    orphaned: (orphaned + 0.5) as u64,
                    cpu_used: SimDuration::from_nanos(cpu as u64),
                });
            }
        }
        for pod in &mut self.pods {
            (pod.window_shed, pod.window_orphaned, pod.cpu_told) = (0.0, 0.0, pod.cpu_nanos);
        }
    }
}

impl Totals {
    /// Ways in which a request ends.
    const fn ends(&mut self) -> [&mut u64; 5] {
        [&mut self.succeeded, &mut self.shed, &mut self.refused, &mut self.timed_out, &mut self.failed]
    }

    /// Grains as whole requests, each number the nearest to its total: none less than was `told` before, no more ends than
    /// arrivals, no more retries in a window than attempts.
    fn whole(mut self, told: Self) -> Self {
        let nearest = |grains: u64, least: u64| ((grains + GRAINS / 2) / GRAINS).max(least);
        let mut whole = Self {
            arrived: nearest(self.arrived, told.arrived),
            attempts: nearest(self.attempts, told.attempts),
            succeeded: nearest(self.succeeded, told.succeeded),
            shed: nearest(self.shed, told.shed),
            refused: nearest(self.refused, told.refused),
            timed_out: nearest(self.timed_out, told.timed_out),
            failed: nearest(self.failed, told.failed),
            retries: nearest(self.retries, told.retries),
        };
        whole.retries = whole.retries.min(told.retries + whole.attempts - told.attempts);
        let (mut told, over) = (told, whole.ends().into_iter().map(|end| *end).sum::<u64>());
        for _ in whole.arrived..over {
            // Of those that went up, the one that was rounded up most goes back.
            let ends = whole.ends().into_iter().zip(told.ends()).zip(self.ends());
            let most =
                ends.filter(|((end, told), _)| end > told).max_by_key(|((end, _), grains)| (**end * GRAINS).saturating_sub(**grains));
            if let Some(((end, _), _)) = most {
                *end -= 1;
            }
        }
        whole
    }

    /// Neither ended nor yet to come.
    pub(super) fn open(mut self) -> u64 {
        self.arrived - self.ends().into_iter().map(|end| *end).sum::<u64>()
    }
}

impl FlowState {
    fn close(&mut self, service: api::Str, window: SimDuration) -> Option<Record> {
        let before = self.told;
        let now = self.totals.whole(before);
        let open = now.open();
        let in_backoff = ((self.backoff + GRAINS / 2) / GRAINS).min(open);
        let since = |pick: fn(&Totals) -> u64| pick(&now) - pick(&before);
        let counts = TrafficCounts {
            arrived: since(|of| of.arrived),
            succeeded: since(|of| of.succeeded),
            shed: since(|of| of.shed),
            refused: since(|of| of.refused),
            timed_out: since(|of| of.timed_out),
            failed: since(|of| of.failed),
            in_flight: open - in_backoff,
            in_backoff,
            attempts: since(|of| of.attempts),
            retries: since(|of| of.retries),
        };
        let ended = counts.succeeded + counts.shed + counts.refused + counts.timed_out + counts.failed;
        assert_eq!(before.open() + counts.arrived, ended + counts.in_flight + counts.in_backoff, "{}", self.name);
        let latency = whole_requests(&std::mem::take(&mut self.latency), counts.succeeded);
        self.told = now;
        let moved = counts.arrived + ended + counts.attempts > 0;
        let (flow, external) = (self.name.clone(), self.external);
        (moved || (!window.is_zero() && open > 0)).then_some(Record::Traffic { flow, external, service, window, counts, latency })
    }
}

/// The same shape with so many counts in all.
fn whole_requests(grains: &Histogram, count: u64) -> Histogram {
    let mut whole = Histogram::default();
    let total = u128::from(grains.count());
    let (mut seen, mut given) = (0u128, 0u128);
    for (bucket, n) in grains.buckets() {
        seen += u128::from(n);
        // Each whole request stands in the middle of its share.
        let upto = (seen * u128::from(count) + total / 2) / total;
        if upto > given {
            whole.record_n(Histogram::middle(bucket), (upto - given) as u64);
        }
        given = upto;
    }
    whole
}
