//! postStart hooks.

use api::LifecycleHandler;

use super::*;

fn hooked(hook: LifecycleHandler) -> Container {
    Container { post_start: Some(hook), ..app() }
}

#[test]
fn a_container_counts_as_started_and_is_probed_when_its_post_start_hook_is_over() {
    let mut bench = Bench::new(Behavior { post_start: constant(4), ..Behavior::default() });
    let container = Container { readiness_probe: Some(probe(10)), ..hooked(LifecycleHandler::Other) };
    let second = Container { name: "second".into(), ..app() };
    bench.pod("a", PodSpec { containers: vec![container, second], ..PodSpec::default() });
    check(
        &bench.until(100).log(),
        "0s answers
         0s Pending [ContainerCreating ContainerCreating]
         0s Pending [ContainerCreating ContainerCreating] sandbox
         4s Running [running running] sandbox
         4s Running [running running] ready",
    );
    assert!(bench.calendar.is_empty());
}

#[test]
fn a_hook_that_sleeps_takes_its_own_time() {
    let mut bench = Bench::new(Behavior { post_start: constant(4), ..Behavior::default() });
    bench.pod("a", spec(hooked(LifecycleHandler::Sleep(s(7)))));
    assert!(bench.until(100).log().contains("\n7s Running [running] ready"));
}

#[test]
fn a_container_whose_post_start_hook_fails_is_killed_and_held_back() {
    let behavior = Behavior { post_start: constant(1), post_start_fails: true, ..Behavior::default() };
    let mut bench = Bench::new(behavior).loud();
    bench.pod("a", spec(hooked(LifecycleHandler::Other)));
    let log = bench.until(60).log();
    check(
        &log.lines().filter(|line| !line.contains(" Pull")).take(9).collect::<Vec<_>>().join("\n"),
        "0s Created: Container created
         0s Started: Container started
         0s answers
         0s Pending [ContainerCreating]
         0s Pending [ContainerCreating] sandbox
         1s FailedPostStartHook: PostStartHook failed
         1s Killing: FailedPostStartHook
         1s SIGTERM
         2s process gone",
    );
    assert!(log.contains("[PostStartHookError]"), "{log}");
    assert!(log.contains("Pending [CrashLoopBackOff") || log.contains("Running [CrashLoopBackOff"), "{log}");
}
