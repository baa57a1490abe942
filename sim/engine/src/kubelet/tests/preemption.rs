//! Room for critical pods.

use super::*;

fn asks(priority: i32, cpu: i64, limited: bool) -> PodSpec {
    let list = || [(ResourceName::Cpu, cpu), (ResourceName::Memory, 1 << 20)].into();
    let limits = if limited { list() } else { Default::default() };
    PodSpec { priority, ..spec(Container { requests: list(), limits, ..app() }) }
}

#[test]
fn a_critical_pod_that_does_not_fit_makes_room_with_the_cheapest_pods_that_will_do() {
    let mut bench = Bench::new(Behavior { stop: constant(3), ..Behavior::default() }).loud();
    bench.pod("guaranteed", asks(0, 2000, true));
    bench.pod("small", asks(0, 500, false));
    bench.pod("large", asks(0, 1500, false));
    bench.until(10).log();
    let critical = bench.pod("critical", asks(2_000_000_000, 1000, false));
    let log = bench.until(60).log();
    let told: Vec<&str> = log.lines().filter(|line| ["Preempting", "answers", "OutOf"].iter().any(|word| line.contains(word))).collect();
    assert_eq!(told[0], "10s Preempting: Preempted in order to admit critical pod", "{log}");
    assert_eq!(told.len(), 2, "one victim, and the pod that wanted its place:\n{log}");
    assert!(told[1].starts_with("13s answers"), "once the victim has stopped:\n{log}");
    assert!(bench.store.pods.get(critical).expect("it is there").is_ready());
    let large = bench.store.pods.find(&ObjectKey::new("ns", "large")).and_then(|id| bench.store.pods.get(id)).expect("it stays");
    assert!(large.status.phase.is_terminal(), "1500 millicores are nearer to what is lacking than 500");
    assert!(bench.calendar.is_empty());
}

#[test]
fn a_critical_pod_that_no_room_can_be_made_for_is_turned_down() {
    let mut bench = Bench::new(Behavior::default()).loud();
    bench.pod("critical", asks(2_000_000_000, 3000, false));
    bench.pod("other", asks(2_000_000_000, 2000, false));
    let log = bench.until(10).log();
    let message = "UnexpectedAdmissionError: Unexpected error while attempting to recover from admission failure: preemption: error finding \
                   a set of pods to preempt: no set of running pods found to reclaim resources: [(res: cpu, q: 1000), ]";
    assert!(log.contains(message), "{log}");
}
