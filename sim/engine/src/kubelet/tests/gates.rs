//! Readiness gates.

use super::*;

#[test]
fn a_pod_with_readiness_gates_is_ready_when_somebody_has_fulfilled_them() {
    let gated = || PodSpec { readiness_gates: vec!["example.com/lb".into()], ..spec(app()) };
    let mut bench = Bench::new(Behavior { readiness_gates: constant(5), ..Behavior::default() });
    bench.pod("a", gated());
    let log = bench.until(100).log();
    assert!(log.contains("0s Running [running] sandbox\n5s Running [running] ready"), "{log}");
    assert!(bench.calendar.is_empty());
    let mut bench = Bench::new(Behavior::default());
    bench.pod("a", gated());
    assert!(!bench.until(1000).log().contains("ready"), "nobody does unless it is said");
}
