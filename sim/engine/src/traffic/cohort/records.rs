//! A window of the cohort engine as records, in whole requests.
//!
//! Every total is rounded down since the run's start; what is under way is what is left, so that each flow
//! adds up exactly: whole parts of shares never exceed the whole part of their sum.

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

impl FlowState {
    fn close(&mut self, service: api::Str, window: SimDuration) -> Option<Record> {
        let whole = |grains: u64| grains / GRAINS;
        let (now, told) = (self.totals, self.told);
        let over = |of: &Totals| whole(of.succeeded) + whole(of.shed) + whole(of.refused) + whole(of.timed_out) + whole(of.failed);
        let in_backoff = whole(self.backoff);
        let open = whole(now.arrived) - over(&now);
        assert!(open >= in_backoff, "{}: {open} open, {in_backoff} of them waiting", self.name);
        let since = |pick: fn(&Totals) -> u64| whole(pick(&now)) - whole(pick(&told));
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
            retries: (whole(now.retries) - self.retries_told).min(since(|of| of.attempts)),
        };
        let ended = counts.succeeded + counts.shed + counts.refused + counts.timed_out + counts.failed;
        assert_eq!(self.open_told + counts.arrived, ended + counts.in_flight + counts.in_backoff, "{}", self.name);
        let latency = whole_requests(&std::mem::take(&mut self.latency), counts.succeeded);
        self.told = now;
        self.open_told = open;
        self.retries_told += counts.retries;
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
