//! In-place resize.

use super::*;

fn with(cpu: i64, memory: i64) -> Container {
    let list = || [(ResourceName::Cpu, cpu), (ResourceName::Memory, memory << 20)].into();
    Container { requests: list(), limits: list(), ..app() }
}

impl Bench {
    /// What the API server does with a resize.
    fn resize(&mut self, id: PodId, container: Container) {
        self.store.update_pod(id, |pod| {
            pod.spec = Arc::new(PodSpec { containers: vec![container.clone()], ..PodSpec::clone(&pod.spec) });
            pod.meta.generation += 1;
            true
        });
        self.settle();
    }
    fn conditions(&self, id: PodId) -> (bool, bool) {
        let conditions = &self.store.pods.get(id).expect("it is there").status.conditions;
        (conditions.resize_deferred, conditions.resize_in_progress)
    }
    /// Requests that the status tells: what the container has, and what is allocated to it; in millicores.
    fn told(&self, id: PodId) -> Option<(i64, i64)> {
        let status = &self.store.pods.get(id)?.status.containers[0];
        Some((status.requests.as_ref()?[&ResourceName::Cpu], status.allocated.as_ref()?[&ResourceName::Cpu]))
    }
}

fn events(log: &str) -> String {
    let wanted = |line: &&str| ["Resize", "Killing", "resized", "answers", "process gone"].iter().any(|word| line.contains(word));
    log.lines().filter(wanted).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_running_container_gets_other_resources_without_a_restart() {
    let mut bench = Bench::new(Behavior::default()).loud();
    let id = bench.pod("a", spec(with(500, 64)));
    bench.until(10);
    bench.log();
    bench.resize(id, with(1500, 64));
    let resources = "{\"containers\":[{\"name\":\"app\",\"resources\":{\"limits\":{\"cpu\":\"1500m\",\"memory\":\"64Mi\"},\
                     \"requests\":{\"cpu\":\"1500m\",\"memory\":\"64Mi\"}}}],\"generation\":2}";
    check(
        &events(&bench.until(1000).log()),
        &format!("10s ResizeStarted: Pod resize started: {resources}\n10s ResizeCompleted: Pod resize completed: {resources}\n10s resized"),
    );
    assert_eq!((bench.conditions(id), bench.told(id)), ((false, false), Some((1500, 1500))));
    assert!(bench.calendar.is_empty(), "a resized pod is as quiet as any");
}

#[test]
fn a_container_whose_policy_says_so_is_started_anew() {
    let mut bench = Bench::new(Behavior::default()).loud();
    let picky = |cpu, memory| Container { restarts_on_resize: vec![ResourceName::Memory], ..with(cpu, memory) };
    let id = bench.pod("a", spec(picky(500, 64)));
    bench.until(10);
    bench.log();
    bench.resize(id, picky(600, 64));
    assert!(!bench.until(20).log().contains("Killing"), "its cpu changes in place");
    bench.resize(id, picky(600, 128));
    let log = bench.until(100).log();
    assert!(log.contains("20s Killing: Container app resize requires restart"), "{log}");
    assert!(log.contains("21s process gone") && log.contains("21s answers"), "{log}");
    assert!(log.contains("ResizeCompleted") && log.contains("Running [running+1] ready"), "{log}");
}

#[test]
fn a_resize_that_does_not_fit_waits_until_a_pod_goes() {
    let mut bench = Bench::new(Behavior::default()).loud();
    let (other, id) = (bench.pod("other", spec(with(2500, 64))), bench.pod("a", spec(with(500, 64))));
    bench.until(10);
    bench.log();
    bench.resize(id, with(2000, 64));
    let log = bench.until(12).log();
    let message = "10s ResizeDeferred: Pod resize OutOfcpu: {\"containers\"";
    let error = "\"error\":\"Node didn't have enough resource: cpu, requested: 2000, used: 2500, capacity: 4000\"}";
    assert!(log.contains(message) && log.contains(error), "{log}");
    assert_eq!((bench.conditions(id), bench.told(id)), ((true, false), Some((500, 500))));
    bench.delete(other, 0);
    let log = bench.until(400).log();
    assert!(log.contains("ResizeCompleted"), "{log}");
    assert_eq!((bench.conditions(id), bench.told(id)), ((false, false), Some((2000, 2000))));
    assert!(bench.calendar.is_empty());
}

#[test]
fn a_resize_that_waits_is_withdrawn_with_the_spec() {
    let mut bench = Bench::new(Behavior::default()).loud();
    let id = bench.pod("a", spec(with(500, 64)));
    bench.pod("other", spec(with(3000, 64)));
    bench.until(10);
    bench.resize(id, with(2000, 64));
    bench.until(20);
    bench.resize(id, with(500, 64));
    bench.until(1000);
    assert_eq!((bench.conditions(id), bench.told(id)), ((false, false), Some((500, 500))));
    assert!(bench.calendar.is_empty());
}

#[test]
fn a_higher_memory_limit_comes_in_time_and_a_lower_one_waits_for_less_use() {
    // 10 MiB a second: a limit of 100 MiB would be reached after ten seconds, one of 200 MiB after twenty.
    let behavior = Behavior { memory: grows(0, 300, 30), ..Behavior::default() };
    let mut bench = Bench::new(behavior).loud();
    let id = bench.pod("a", spec(with(100, 100)));
    bench.until(5);
    bench.resize(id, with(100, 200));
    let log = bench.until(15).log();
    assert!(!log.contains("OOMKilled"), "{log}");
    bench.resize(id, with(100, 120));
    let log = bench.until(19).log();
    let error =
        "cannot decrease memory limits: attempting to set container \\\"app\\\" memory limit (125829120) below current usage (157286400)";
    assert!(log.contains("15s ResizeError: Pod resize error:") && log.contains(error), "{log}");
    let log = bench.until(30).log();
    let killed = log.lines().find(|line| line.contains("process gone")).map(seconds);
    assert_eq!(killed, Some(20), "by the limit it still has\n{log}");
}
