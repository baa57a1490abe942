//! A small world around the kubelets: writes land at once, timers come in order, what is seen is text.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{
    Container, ContainerState, ImagePullPolicy, LifecycleHandler, Node, NodeStatus, ObjectKey, ObjectMeta, Pod, PodSpec, PodStatus, Probe,
    ProbeHandler, ResourceName, RestartPolicy, SimDuration, SimTime,
};
use proptest::prelude::*;
use trace::Record;

use crate::controllers::View;
use crate::effects::{Effects, NodePressure, ProbeRequest, ProcessChange, Write};
use crate::event::Event;
use crate::random::{Distribution, Streams};
use crate::spec::{Behavior, ControlPlane, Crash, ImageCatalog, MemoryUse, PodSelector};
use crate::store::{NodeId, PodId, Store};

use super::Kubelets;
use super::ticks::Ticks;

mod gates;
mod hooks;
mod images;
mod preemption;
mod pressure;
mod resize;

const fn s(seconds: u64) -> SimDuration {
    SimDuration::from_secs(seconds)
}
const fn constant(seconds: u64) -> Option<Distribution> {
    Some(Distribution::Constant(s(seconds)))
}

/// A container that is there at once, unless a test says otherwise.
fn app() -> Container {
    Container { name: "app".into(), image: "web:v1".into(), ..Container::default() }
}

fn probe(period: u64) -> Probe {
    Probe {
        handler: ProbeHandler::HttpGet,
        initial_delay: SimDuration::ZERO,
        timeout: s(1),
        period: s(period),
        success_threshold: 1,
        failure_threshold: 3,
        termination_grace_period: None,
    }
}

fn spec(container: Container) -> PodSpec {
    PodSpec { containers: vec![container], ..PodSpec::default() }
}

struct Bench {
    store: Store,
    settings: ControlPlane,
    kubelets: Kubelets,
    calendar: BTreeMap<(SimTime, u32), Event>,
    events: u32,
    handled: u32,
    now: SimTime,
    node: NodeId,
    /// What a busy process answers to probes.
    answer: bool,
    log: Vec<String>,
    /// Leave these event reasons out of the log.
    quiet: bool,
}

impl Bench {
    /// One node with the image `web:v1` on it; containers start at once and stop within a second, writes take no
    /// time, and the PLEG lists at every half second, the work queue is looked into at .7.
    fn new(behavior: Behavior) -> Self {
        let mut settings = ControlPlane::default();
        settings.kubelet.container_start = Distribution::Constant(SimDuration::ZERO);
        settings.kubelet.default_stop = Distribution::Constant(s(1));
        settings.api_server.request_latency = Distribution::Constant(SimDuration::ZERO);
        let mut store = Store::default();
        let allocatable = Arc::new([(ResourceName::Pods, 110), (ResourceName::Cpu, 4000), (ResourceName::Memory, 4 << 30)].into());
        let images = vec![api::ContainerImage { names: vec!["web:v1".into()], size_bytes: 1 }];
        let meta = ObjectMeta { name: "n".into(), ..ObjectMeta::default() };
        let node = Node { meta, status: NodeStatus { allocatable, images, ..NodeStatus::default() }, ..Node::default() };
        let node = store.create_node(node, SimTime::ZERO, &Streams::new(1)).expect("the name is free");
        let mut bench = Self {
            store,
            settings,
            kubelets: Kubelets::new(&[behavior], &ImageCatalog::default()),
            calendar: BTreeMap::new(),
            events: 0,
            handled: 0,
            now: SimTime::ZERO,
            node,
            answer: true,
            log: Vec::new(),
            quiet: true,
        };
        bench.settle();
        let ticks = Ticks::at(SimTime::from_millis(500), SimTime::from_millis(700));
        bench.kubelets.nodes.get_mut(&bench.node).expect("it is there").ticks = ticks;
        bench
    }
    fn loud(mut self) -> Self {
        self.quiet = false;
        self
    }
    fn pod(&mut self, name: &str, spec: PodSpec) -> PodId {
        let meta = ObjectMeta { namespace: "ns".into(), name: name.into(), ..ObjectMeta::default() };
        let pod = Pod { meta, spec: Arc::new(spec), node_name: Some("n".into()), ..Pod::default() };
        let id = self.store.create_pod(pod, self.now, &Streams::new(1)).expect("the name is free");
        self.settle();
        id
    }
    fn delete(&mut self, id: PodId, grace: u64) {
        let deadline = self.now + s(grace);
        self.store.update_pod(id, |pod| {
            (pod.meta.deletion, pod.meta.deletion_grace) = (Some(deadline), Some(s(grace)));
            true
        });
        self.settle();
    }
    fn with(&mut self, mut run: impl FnMut(&mut Kubelets, View<'_>, &mut Effects)) {
        self.call(&mut run);
    }
    fn call(&mut self, run: &mut dyn FnMut(&mut Kubelets, View<'_>, &mut Effects)) {
        let mut out = Effects::default();
        let streams = Streams::new(1);
        let view = View { store: &self.store, settings: &self.settings, streams: &streams, now: self.now };
        run(&mut self.kubelets, view, &mut out);
        for (at, event) in out.timers {
            self.events += 1;
            self.calendar.insert((at, self.events), event);
        }
        for record in out.records {
            if let Record::Event { reason, message, .. } = &record
                && (!self.quiet || matches!(&**reason, "Unhealthy" | "OutOfcpu" | "Evicted" | "NodeShutdown"))
            {
                self.log.push(format!("{} {reason}: {message}", self.now));
            }
        }
        for change in out.processes {
            let word = match change {
                ProcessChange::Started(_) => "answers",
                ProcessChange::Resized(_) => "resized",
                ProcessChange::Terminating(_) => "SIGTERM",
                ProcessChange::Stopped(_) | ProcessChange::Removed(_) => "process gone",
            };
            self.log.push(format!("{} {word}", self.now));
        }
        for (_, write) in out.writes {
            match write {
                Write::PodStatus(id, status) => {
                    self.log.push(format!("{} {}", self.now, seen(&status)));
                    self.store.update_pod(id, |pod| {
                        pod.status = *status;
                        true
                    });
                }
                Write::RemovePod(id) => {
                    self.log.push(format!("{} removed", self.now));
                    self.store.remove_pod(id);
                }
                Write::NodeReady { status, .. } => self.log.push(format!("{} node ready: {}", self.now, status.as_str())),
                Write::NodeImages(_, images) => {
                    let names: Vec<String> = images.iter().map(|image| format!("{}={}", image.names[0], image.size_bytes)).collect();
                    self.log.push(format!("{} node images: {}", self.now, names.join(" ")));
                }
                Write::NodePressure(_, condition, holds) => {
                    let name = match condition {
                        NodePressure::Memory => "memory",
                        NodePressure::Disk => "disk",
                        NodePressure::Pid => "pid",
                    };
                    self.log.push(format!("{} {name} pressure: {holds}", self.now));
                }
                other => unreachable!("a kubelet does not ask for {other:?}"),
            }
        }
        for ProbeRequest { pod, container, kind, timeout } in out.probes {
            let (at, ok) = (self.now, self.answer);
            self.now += if ok { SimDuration::ZERO } else { timeout };
            self.call(&mut |room, view, out| room.probe_answered(pod, container, kind, ok, view, out));
            self.now = at;
        }
        self.settle();
    }
    fn settle(&mut self) {
        for change in self.store.take_changes() {
            self.call(&mut |room, view, out| room.changed(&change, view, out));
        }
    }
    fn until(&mut self, seconds: u64) -> &mut Self {
        let end = SimTime::from_secs(seconds);
        while let Some(entry) = self.calendar.first_entry().filter(|entry| entry.key().0 <= end) {
            self.now = entry.key().0;
            self.handled += 1;
            match entry.remove() {
                Event::Kubelet(id, timer, number) => self.with(|room, view, out| room.due(id, timer, number, view, out)),
                Event::KubeletNode(id, timer, number) => self.with(|room, view, out| room.node_due(id, timer, number, view, out)),
                Event::NodePowersOff(node) => {
                    self.log.push(format!("{} power off", self.now));
                    self.with(|room, _, _| room.node_down(node));
                }
                other => unreachable!("a kubelet does not ask for {other:?}"),
            }
        }
        self.now = end;
        self
    }
    fn log(&mut self) -> String {
        std::mem::take(&mut self.log).join("\n")
    }
    /// When the pod's first container was started.
    fn starts(&mut self, until: u64) -> Vec<u64> {
        self.until(until);
        let log = self.log();
        log.lines().filter(|line| line.ends_with("answers")).map(seconds).collect()
    }
}

fn seconds(line: &str) -> u64 {
    let time = line.split(' ').next().unwrap_or_default();
    time.parse::<SimDuration>().expect("a line begins with its time").as_secs()
}

/// A status in one line: phase, containers, readiness.
fn seen(status: &PodStatus) -> String {
    let state = |container: &api::ContainerStatus| {
        let state = match container.state {
            ContainerState::Waiting { reason } => reason.to_owned(),
            ContainerState::Running { .. } => "running".to_owned(),
            ContainerState::Terminated { exit_code, reason, .. } => format!("{reason}({exit_code})"),
        };
        if container.restart_count > 0 { format!("{state}+{}", container.restart_count) } else { state }
    };
    let containers: Vec<String> = status.init_containers.iter().chain(&status.containers).map(state).collect();
    let ready = if status.conditions.ready.status.is_true() { " ready" } else { "" };
    let reason = if status.reason.is_empty() { String::new() } else { format!(" {}", status.reason) };
    let sandbox = if ready.is_empty() && status.conditions.ready_to_start_containers == Some(true) { " sandbox" } else { "" };
    format!("{}{reason} [{}]{sandbox}{ready}", status.phase.as_str(), containers.join(" "))
}

fn check(log: &str, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(log.lines().map(str::trim_end).collect::<Vec<_>>(), expected, "\n{log}\n");
}

#[test]
fn a_pod_without_probes_is_ready_when_it_runs_and_then_costs_nothing() {
    let mut bench = Bench::new(Behavior { image_pull: constant(2), ..Behavior::default() }).loud();
    let container = Container { image: "db:v1".into(), ..app() };
    bench.pod("a", spec(container));
    check(
        &bench.until(86_400).log(),
        "0s Pulling: Pulling image \"db:v1\"
         0s Pending [ContainerCreating]
         0s Pending [ContainerCreating] sandbox
         2s Pulled: Successfully pulled image \"db:v1\" in 2s (2s including waiting). Image size: 52428800 bytes.
         2s Created: Container created
         2s Started: Container started
         2s answers
         2s Running [running] ready",
    );
    assert!(bench.calendar.is_empty());
    let worker = bench.kubelets.workers.values().next().expect("the pod is there");
    assert!(worker.runs[0].busy.is_none());
    let bytes = size_of_val(worker) + size_of_val(&*worker.runs);
    assert!(bytes <= 240, "a healthy pod keeps {bytes} bytes");
}

#[test]
fn images_are_pulled_one_after_the_other_and_kept() {
    let mut bench = Bench::new(Behavior { image_pull: constant(3), ..Behavior::default() }).loud();
    for (name, image) in [("a", "x:1"), ("b", "y:1"), ("c", "x:1")] {
        bench.pod(name, spec(Container { image: image.into(), ..app() }));
    }
    bench.until(10);
    bench.pod("d", spec(Container { image: "y:1".into(), ..app() }));
    let pulled: Vec<String> = bench.log().lines().filter(|line| line.contains("Pulled")).map(str::to_owned).collect();
    check(
        &pulled.join("\n"),
        "3s Pulled: Successfully pulled image \"x:1\" in 3s (3s including waiting). Image size: 52428800 bytes.
         6s Pulled: Successfully pulled image \"y:1\" in 3s (6s including waiting). Image size: 52428800 bytes.
         6.3s Pulled: Successfully pulled image \"x:1\" in 300ms (6.3s including waiting). Image size: 52428800 bytes.
         10s Pulled: Container image \"y:1\" already present on machine and can be accessed by the pod",
    );
    let never = Container { image: "z:1".into(), image_pull_policy: ImagePullPolicy::Never, ..app() };
    bench.pod("e", spec(never));
    assert!(bench.until(1000).log().contains("Pending [ErrImageNeverPull]"));
}

#[test]
fn init_containers_and_sidecars_come_first_in_order() {
    let mut bench = Bench::new(Behavior::default());
    let init = |name: &str, is_sidecar| Container { name: name.into(), is_sidecar, ..app() };
    let sidecar = Container { startup_probe: Some(probe(5)), ..init("proxy", true) };
    let sidecar = Container { startup_probe: Some(Probe { initial_delay: s(5), ..probe(5) }), ..sidecar };
    bench.pod("a", PodSpec { init_containers: vec![init("migrate", false), sidecar], ..spec(app()) });
    check(
        &bench.until(100).log(),
        "0s Pending [PodInitializing PodInitializing PodInitializing]
         0s Pending [PodInitializing PodInitializing PodInitializing] sandbox
         0s Pending [running PodInitializing PodInitializing] sandbox
         500ms Pending [Completed(0) PodInitializing PodInitializing] sandbox
         500ms Pending [Completed(0) running PodInitializing] sandbox
         10s answers
         10s Pending [Completed(0) running PodInitializing] sandbox
         10s Running [Completed(0) running running] ready",
    );
}

#[test]
fn readiness_comes_at_the_first_attempt_that_the_process_can_answer() {
    // A container that is not ready when it starts is asked again at the PLEG's next list, half a second later, and
    // every period from there. (ready after, period, initial delay, success threshold, ready at in ms)
    for (ready_after, period, initial_delay, successes, ready_at) in [
        (0, 10, 0, 1, 0),
        (3, 1, 0, 1, 3500),
        (3, 2, 0, 1, 4500),
        (3, 10, 0, 1, 10_500),
        (0, 10, 5, 1, 10_500),
        (0, 1, 5, 3, 7500),
        (7, 2, 0, 3, 12_500),
    ] {
        let mut bench = Bench::new(Behavior { ready_after: constant(ready_after), ..Behavior::default() });
        let probe = Probe { initial_delay: s(initial_delay), success_threshold: successes, ..probe(period) };
        bench.pod("a", spec(Container { readiness_probe: Some(probe), ..app() }));
        bench.until(1000);
        let log = bench.log();
        let ready: Vec<u64> = log.lines().filter(|line| line.contains("ready") && !line.contains(':')).map(millis).collect();
        assert_eq!(ready, [ready_at], "{ready_after} {period} {initial_delay} {successes}");
        let told = log.lines().filter(|line| line.contains("Unhealthy")).count() as u32;
        assert!(bench.handled <= told + 8, "only attempts that decide or tell something are looked at");
        assert!(bench.calendar.is_empty());
    }
}

#[test]
fn a_pod_that_never_gets_ready_says_so_as_long_as_the_recorder_listens_and_lives_on() {
    let mut bench = Bench::new(Behavior { never_ready: true, ..Behavior::default() });
    let container = Container { readiness_probe: Some(probe(1)), liveness_probe: Some(probe(1)), ..app() };
    bench.pod("a", spec(container));
    let log = bench.until(3600).log();
    let told: Vec<u64> = log.lines().filter(|line| line.contains("Unhealthy: Readiness")).map(millis).collect();
    // The first attempt at once, the next at the PLEG's list, and then every period.
    assert_eq!(told[..4], [0, 500, 1500, 2500]);
    assert_eq!(told.len(), 25 + 11, "a burst, and one every five minutes");
    assert!(log.lines().filter(|line| !line.contains("Unhealthy")).all(|line| line.starts_with("0s")), "nothing else happens:\n{log}");
    assert!(bench.handled < 200, "{} events", bench.handled);
}

#[test]
fn a_startup_probe_gives_a_slow_process_time_and_liveness_does_not() {
    let refused = "probe failed: Get \"http://a/\": dial tcp a: connect: connection refused";
    let slow = Behavior { ready_after: constant(25), ..Behavior::default() };
    let patient = Probe { failure_threshold: 30, ..probe(2) };
    let mut bench = Bench::new(slow.clone());
    let container = Container { startup_probe: Some(patient), liveness_probe: Some(probe(10)), readiness_probe: Some(probe(10)), ..app() };
    bench.pod("a", spec(container));
    check(
        &bench.until(3600).log(),
        &("0s Pending [ContainerCreating]
         0s Pending [ContainerCreating] sandbox
         0s Running [running] sandbox
"
        .to_owned()
            + &(0..13).map(|attempt| format!("{}s Unhealthy: Startup {refused}\n", 2 * attempt)).collect::<String>()
            + "25s answers
         26s Running [running] sandbox
         26s Running [running] ready"),
    );
    // Failures at 0, 5 and 10 s; 1 s to stop; the container starts in the same sync that killed it, and its probe keeps
    // to the grid of the pod's first sync: 15, 20 and 25 s. The kubelet waits for the PLEG before it syncs again.
    let mut bench = Bench::new(slow);
    bench.pod("a", spec(Container { liveness_probe: Some(probe(5)), ..app() }));
    let log = bench.until(27).log();
    let seen: String = log.lines().filter(|line| !line.contains("Unhealthy")).map(|line| format!("{line}\n")).collect();
    check(
        &seen,
        "0s Pending [ContainerCreating]
         0s Pending [ContainerCreating] sandbox
         0s Running [running] ready
         11s Running [running+1] ready
         26s Running [running+2] ready",
    );
    let told: Vec<u64> = log.lines().filter(|line| line.contains("Unhealthy: Liveness")).map(seconds).collect();
    assert_eq!(told, [0, 5, 10, 15, 20, 25]);
}

#[test]
fn a_crashing_container_is_held_back_longer_and_longer() {
    let crash = Some(Crash { after: Distribution::Constant(s(1)), exit_code: 1, times: None });
    let mut bench = Bench::new(Behavior { crash, ..Behavior::default() });
    bench.pod("a", spec(app()));
    let starts = bench.starts(2000);
    let waits: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0] - 1).collect();
    // From the exit on: the back-off, its jitter of up to half of what was left when the PLEG saw the exit, and up to
    // a second each for the PLEG and the work queue. Beyond the sync interval the last stretch alone is jittered.
    let longest = [2, 17, 32, 62, 92, 175, 345];
    for (place, (least, most)) in [0, 10, 20, 40, 80, 160, 300].into_iter().zip(longest).enumerate() {
        assert!((least..=most).contains(&waits[place]), "restart {place} after {} s: {waits:?}", waits[place]);
    }
}

#[test]
fn a_container_whose_first_starts_fail_runs_for_ever_after_them() {
    let crash = Some(Crash { after: Distribution::Constant(s(1)), exit_code: 1, times: Some(2) });
    let mut bench = Bench::new(Behavior { crash, ..Behavior::default() });
    bench.pod("a", spec(app()));
    assert!(bench.until(1000).log().ends_with("Running [running+2] ready"));
    assert!(bench.calendar.is_empty());
}

#[test]
fn a_crash_is_seen_by_the_pleg_and_waiting_when_the_work_queue_comes_round() {
    let crash = Some(Crash { after: Distribution::Constant(s(2)), exit_code: 3, times: None });
    let mut bench = Bench::new(Behavior { crash, ..Behavior::default() });
    bench.pod("a", spec(app()));
    let log = bench.until(21).log();
    check(
        &log.lines().take(10).collect::<Vec<_>>().join("\n"),
        "0s answers
         0s Pending [ContainerCreating]
         0s Pending [ContainerCreating] sandbox
         0s Running [running] ready
         2s process gone
         2.5s answers
         2.5s Running [Error(3)] sandbox
         2.5s Running [running+1] ready
         4.5s process gone
         5.5s Running [Error(3)+1] sandbox",
    );
    let rest: Vec<&str> = log.lines().skip(10).map(|line| line.split_once(' ').expect("a time comes first").1).collect();
    assert_eq!(rest[..3], ["answers", "Running [CrashLoopBackOff+1] sandbox", "Running [running+2] ready"]);
}

#[test]
fn an_image_that_cannot_be_had_is_tried_again_later_and_later() {
    let behavior = Behavior {
        image_pull: Some(Distribution::Constant(SimDuration::from_millis(200))),
        image_pull_error: Some("not found".into()),
        ..Behavior::default()
    };
    let mut bench = Bench::new(behavior).loud();
    bench.pod("a", spec(Container { image: "db:v1".into(), ..app() }));
    let log = bench.until(60).log();
    check(
        &log.lines().take(8).collect::<Vec<_>>().join("\n"),
        "0s Pulling: Pulling image \"db:v1\"
         0s Pending [ContainerCreating]
         0s Pending [ContainerCreating] sandbox
         200ms Failed: Failed to pull image \"db:v1\": not found
         200ms Failed: Error: ErrImagePull
         500ms BackOff: Back-off pulling image \"db:v1\"
         500ms Failed: Error: ImagePullBackOff
         500ms Pending [ErrImagePull] sandbox",
    );
    let pulls: Vec<u64> = log.lines().filter(|line| line.contains("Pulling")).map(seconds).collect();
    assert_eq!(pulls.len(), 3, "{pulls:?}");
    assert!((10..=16).contains(&pulls[1]) && (20..=32).contains(&(pulls[2] - pulls[1])), "{pulls:?}");
    assert!(log.contains("Pending [ImagePullBackOff]"));
}

#[test]
fn the_restart_policy_decides_what_an_exit_means() {
    use RestartPolicy::{Always, Never, OnFailure};
    for (restart_policy, exit_code, last) in [
        (Always, 0, "Running [running+1] ready"),
        (OnFailure, 0, "Succeeded [Completed(0)]"),
        (OnFailure, 1, "Running [running+1] ready"),
        (Never, 0, "Succeeded [Completed(0)]"),
        (Never, 7, "Failed [Error(7)]"),
    ] {
        let crash = Some(Crash { after: Distribution::Constant(s(5)), exit_code, times: None });
        let mut bench = Bench::new(Behavior { crash, ..Behavior::default() });
        bench.pod("a", PodSpec { restart_policy, ..spec(app()) });
        // The PLEG sees the exit half a second later, and a pod has ended once it has looked again.
        let log = bench.until(7).log();
        let at = if last.starts_with("Running") { "5.5s" } else { "6.5s" };
        assert!(log.ends_with(&format!("{at} {last}")), "{restart_policy:?} {exit_code}:\n{log}");
    }
}

#[test]
fn sidecars_do_not_keep_a_finished_pod_alive() {
    let crash = Some(Crash { after: Distribution::Constant(s(5)), exit_code: 0, times: None });
    let mut bench = Bench::new(Behavior { crash, ..Behavior::default() });
    let sidecar = Container { name: "proxy".into(), is_sidecar: true, ..app() };
    bench.pod("a", PodSpec { restart_policy: RestartPolicy::Never, init_containers: vec![sidecar], ..spec(app()) });
    let log = bench.until(60).log();
    check(
        &log.lines().skip(4).collect::<Vec<_>>().join("\n"),
        "0s Running [running running] ready
         5s process gone
         5.5s Running [running Completed(0)] sandbox
         6.5s Running [Completed(0) Completed(0)] sandbox
         7.5s Succeeded [Completed(0) Completed(0)]",
    );
}

#[test]
fn a_deleted_pod_sleeps_gets_sigterm_stops_and_goes() {
    // (stop takes, grace, preStop sleep, SIGTERM at, gone at, last word)
    for (stop, grace, sleep, term, gone, last) in [
        (1, 30, 0, 100, 101, "Succeeded [Completed(0)]"),
        (1, 30, 5, 105, 106, "Succeeded [Completed(0)]"),
        (60, 30, 0, 100, 130, "Failed [Error(137)]"),
        (60, 10, 9, 109, 111, "Failed [Error(137)]"), // At least 2 s are left after preStop.
        (60, 10, 20, 110, 112, "Failed [Error(137)]"),
    ] {
        let mut bench = Bench::new(Behavior { stop: constant(stop), ..Behavior::default() });
        let pre_stop = (sleep > 0).then_some(LifecycleHandler::Sleep(s(sleep)));
        let id = bench.pod("a", spec(Container { pre_stop, ..app() }));
        bench.until(100).log();
        bench.delete(id, grace);
        let removed = format!("{} removed", SimTime::from_millis(gone * 1000 + 500)); // The PLEG lists once more.
        let expected = format!("{}\n{}\n{}\n{removed}", at(term, "SIGTERM"), at(gone, "process gone"), at(gone, last));
        check(&bench.until(1000).log(), &expected);
        assert!(bench.kubelets.workers.is_empty());
    }
}

fn millis(line: &str) -> u64 {
    let time = line.split(' ').next().unwrap_or_default();
    time.parse::<SimDuration>().expect("a line begins with its time").as_millis()
}

fn at(seconds: u64, what: &str) -> String {
    format!("{} {what}", SimTime::from_secs(seconds))
}

#[test]
fn a_second_deletion_shortens_the_grace() {
    let mut bench = Bench::new(Behavior { stop: constant(60), ..Behavior::default() });
    let id = bench.pod("a", spec(app()));
    bench.until(10).log();
    bench.delete(id, 30);
    bench.until(15);
    bench.delete(id, 2);
    bench.until(16);
    bench.delete(id, 25);
    check(
        &bench.until(100).log(),
        "10s SIGTERM
         15s SIGTERM
         17s process gone
         17s Failed [Error(137)]
         17.5s removed",
    );
}

#[test]
fn a_pod_deleted_while_it_is_held_back_goes_at_once() {
    let crash = Some(Crash { after: Distribution::Constant(s(1)), exit_code: 1, times: None });
    let mut bench = Bench::new(Behavior { crash, ..Behavior::default() });
    let id = bench.pod("a", spec(app()));
    bench.until(5).log();
    bench.delete(id, 30);
    check(
        &bench.until(100).log(),
        "5s Failed [Error(1)+1]
         5.5s removed",
    );
}

#[test]
fn sidecars_stop_after_the_containers_they_serve() {
    let mut bench = Bench::new(Behavior { stop: constant(3), ..Behavior::default() });
    let sidecar = |name: &str| Container { name: name.into(), is_sidecar: true, ..app() };
    let id = bench.pod("a", PodSpec { init_containers: vec![sidecar("one"), sidecar("two")], ..spec(app()) });
    bench.until(10).log();
    bench.delete(id, 30);
    check(
        &bench.until(100).log(),
        "10s SIGTERM
         13s process gone
         19s Succeeded [Completed(0) Completed(0) Completed(0)]
         19.5s removed",
    );
}

#[test]
fn a_pod_that_does_not_fit_any_more_fails() {
    let mut bench = Bench::new(Behavior::default());
    let hungry = || Container { requests: [(ResourceName::Cpu, 3000)].into(), ..app() };
    let id = bench.pod("a", spec(hungry()));
    bench.until(1).log();
    bench.pod("b", spec(hungry()));
    check(
        &bench.log(),
        "1s OutOfcpu: Node didn't have enough resource: cpu, requested: 3000, used: 3000, capacity: 4000
         1s Failed OutOfcpu []",
    );
    bench.delete(id, 0);
    bench.until(10).log();
    bench.pod("c", spec(hungry()));
    assert!(bench.until(10).log().ends_with("10s Running [running] ready"), "what went gave back what it held");
}

#[test]
fn a_busy_process_loses_readiness_and_gets_it_back() {
    let mut bench = Bench::new(Behavior::default());
    let id = bench.pod("a", spec(Container { readiness_probe: Some(probe(10)), ..app() }));
    bench.until(95).log();
    let uid = bench.store.pods.get(id).expect("it is there").meta.uid;
    bench.answer = false;
    bench.with(|room, view, out| room.stressed(uid, view.now, view, out));
    bench.until(145);
    bench.answer = true;
    bench.until(165);
    bench.with(|room, view, out| room.relieved(uid, view, out));
    check(
        &bench.until(1000).log(),
        "1m41s Unhealthy: Readiness probe failed: Get \"http://a/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)
         1m51s Unhealthy: Readiness probe failed: Get \"http://a/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)
         2m01s Unhealthy: Readiness probe failed: Get \"http://a/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)
         2m01s Running [running] sandbox
         2m02s Unhealthy: Readiness probe failed: Get \"http://a/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)
         2m12s Unhealthy: Readiness probe failed: Get \"http://a/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)
         2m22s Unhealthy: Readiness probe failed: Get \"http://a/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)
         2m31s Running [running] ready",
    );
    assert!(bench.calendar.is_empty(), "a relieved pod has no timer");
}

#[test]
fn an_attempt_between_the_hang_and_its_discovery_is_made_up_for() {
    let hang = |since: u64| {
        let mut bench = Bench::new(Behavior::default());
        let id = bench.pod("a", spec(Container { liveness_probe: Some(probe(10)), ..app() }));
        // The grid's attempts are at 80 s, 90 s, and so on.
        bench.until(95).log();
        bench.now = SimTime::from_nanos(90_050_000_000);
        let uid = bench.store.pods.get(id).expect("it is there").meta.uid;
        bench.answer = false;
        bench.with(|room, view, out| room.stressed(uid, SimTime::from_nanos(since * 1_000_000), view, out));
        let log = bench.until(150).log();
        log.lines()
            .filter(|line| line.contains("Liveness"))
            .map(|line| line.trim().split(' ').next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(hang(90_010), ["1m41s", "1m51s", "2m01s"], "the attempt at 90 s was answered before it hung");
    assert_eq!(hang(89_990), ["1m31s", "1m41s", "1m51s"]);
}

#[test]
fn a_process_too_busy_for_liveness_is_started_again() {
    let mut bench = Bench::new(Behavior::default());
    let id = bench.pod("a", spec(Container { liveness_probe: Some(probe(10)), ..app() }));
    bench.until(95).log();
    let uid = bench.store.pods.get(id).expect("it is there").meta.uid;
    bench.answer = false;
    bench.with(|room, view, out| room.stressed(uid, view.now, view, out));
    check(
        &bench.until(1000).log(),
        "1m41s Unhealthy: Liveness probe failed: Get \"http://a/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)
         1m51s Unhealthy: Liveness probe failed: Get \"http://a/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)
         2m01s Unhealthy: Liveness probe failed: Get \"http://a/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)
         2m01s SIGTERM
         2m02s process gone
         2m02s answers
         2m02s Running [running+1] ready",
    );
    assert!(bench.calendar.is_empty());
}

#[test]
fn a_probe_that_a_fault_makes_fail_fails_until_the_container_is_another() {
    let mut bench = Bench::new(Behavior::default());
    let id = bench.pod("a", spec(Container { liveness_probe: Some(probe(10)), readiness_probe: Some(probe(10)), ..app() }));
    bench.until(95).log();
    bench.with(|room, view, out| room.fail_probe(id, None, crate::spec::ProbeKind::Liveness, view, out));
    let log = bench.until(1000).log();
    let told: Vec<&str> =
        log.lines().filter(|line| line.contains("Liveness probe failed")).map(|line| line.split(' ').next().unwrap_or("")).collect();
    assert_eq!(told, ["1m40s", "1m50s", "2m00s"], "{log}");
    assert!(log.trim_end().ends_with("ready"), "{log}");
    assert!(log.contains("[running+1]") && !log.contains("[running+2]"), "{log}");
}

#[test]
fn a_container_killed_by_a_fault_starts_again() {
    let mut bench = Bench::new(Behavior::default());
    let id = bench.pod("a", spec(app()));
    bench.until(10).log();
    bench.with(|room, view, out| assert!(room.kill_container(id, None, 137, "OOMKilled", view, out)));
    check(
        &bench.until(20).log(),
        "10s process gone
         10.5s answers
         10.5s Running [OOMKilled(137)] sandbox
         10.5s Running [running+1] ready",
    );
}

#[test]
fn a_node_that_boots_makes_its_pods_anew_and_lets_deleted_ones_go() {
    let mut bench = Bench::new(Behavior::default());
    let (node, _) = (bench.node, bench.pod("stays", spec(app())));
    let goes = bench.pod("goes", spec(app()));
    bench.until(10).log();
    bench.with(|room, _, _| room.node_down(node));
    bench.delete(goes, 30);
    assert!(bench.until(100).log().is_empty(), "a node without power says nothing");
    bench.with(|room, view, out| room.node_up(node, view, out));
    bench.until(200);
    check(
        &bench.log(),
        "1m40s process gone
         1m40s process gone
         1m41s answers
         1m41s Running [ContainerCreating+1]
         1m41s Running [ContainerCreating+1] sandbox
         1m41s Running [running+1] ready
         1m41s Running [ContainerCreating]
         1m41s Failed [ContainerCreating]
         1m42s Failed [ContainerStatusUnknown(137)]
         1m42s removed",
    );
}

#[test]
fn a_stopped_kubelet_notices_nothing_until_it_is_back() {
    let crash = Some(Crash { after: Distribution::Constant(s(20)), exit_code: 1, times: None });
    let mut bench = Bench::new(Behavior { crash, ..Behavior::default() });
    let node = bench.node;
    bench.pod("a", spec(app()));
    bench.until(10).log();
    bench.with(|room, _, _| room.kubelet_stopped(node));
    bench.pod("b", spec(app()));
    check(&bench.until(30).log(), "20s process gone");
    bench.with(|room, view, out| room.kubelet_started(node, view, out));
    bench.until(31);
    check(
        &bench.log(),
        "30s answers
         30s Pending [ContainerCreating]
         30s Pending [ContainerCreating] sandbox
         30s Running [running] ready
         31s answers
         31s Running [Error(1)] sandbox
         31s Running [running+1] ready",
    );
}

#[test]
fn what_the_node_controller_said_of_a_pod_is_put_right() {
    let mut bench = Bench::new(Behavior::default());
    let id = bench.pod("a", spec(app()));
    bench.until(10).log();
    bench.store.update_pod(id, |pod| {
        pod.status.conditions.ready.status = api::ConditionStatus::False;
        true
    });
    bench.settle();
    check(&bench.log(), "10s Running [running] ready");
}

#[test]
fn a_pod_removed_by_force_takes_its_process_along() {
    let mut bench = Bench::new(Behavior::default());
    let id = bench.pod("a", spec(app()));
    bench.until(10).log();
    bench.store.remove_pod(id);
    bench.settle();
    check(&bench.log(), "10s process gone");
    assert!(bench.store.pods.find(&ObjectKey::new("ns", "a")).is_none());
}

#[test]
fn probes_of_a_ready_pod_ask_with_the_shortest_timeout() {
    let exec = Probe { handler: ProbeHandler::Exec(vec!["true".into()]), ..probe(1) };
    let with = |liveness_probe, readiness_probe| Pod {
        spec: Arc::new(spec(Container { liveness_probe, readiness_probe, ..app() })),
        ..Pod::default()
    };
    let slow = Probe { timeout: s(5), ..probe(1) };
    assert_eq!(super::shortest_timeout(&with(Some(exec.clone()), None)), None);
    assert_eq!(super::shortest_timeout(&with(Some(exec), Some(slow.clone()))), Some(s(5)));
    assert_eq!(super::shortest_timeout(&with(Some(probe(1)), Some(slow))), Some(s(1)));
}

/// What may happen to a node and its pods.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Kill(usize),
    Delete(usize, u64),
    Remove(usize),
    PowerOff,
    PowerOn,
    KubeletStops,
    KubeletStarts,
    CutOff,
    Reconnect,
    Stress(usize),
    Relieve(usize),
    Busy(bool),
}

fn blow() -> impl Strategy<Value = (u64, Blow)> {
    let pod = 0usize..3;
    let blow = prop_oneof![
        pod.clone().prop_map(Blow::Kill),
        (pod.clone(), 1u64..40).prop_map(|(pod, grace)| Blow::Delete(pod, grace)),
        pod.clone().prop_map(Blow::Remove),
        Just(Blow::PowerOff),
        Just(Blow::PowerOn),
        Just(Blow::KubeletStops),
        Just(Blow::KubeletStarts),
        Just(Blow::CutOff),
        Just(Blow::Reconnect),
        pod.clone().prop_map(Blow::Stress),
        pod.prop_map(Blow::Relieve),
        any::<bool>().prop_map(Blow::Busy),
    ];
    (0u64..40, blow)
}

impl Bench {
    fn strike(&mut self, pods: &[PodId], blow: Blow) {
        let node = self.node;
        let uid = |bench: &Self, pod: usize| bench.store.pods.get(pods[pod]).map(|pod| pod.meta.uid);
        match blow {
            Blow::Kill(pod) => self.with(|room, view, out| {
                room.kill_container(pods[pod], None, 1, "Error", view, out);
            }),
            Blow::Delete(pod, grace) => self.delete(pods[pod], grace),
            Blow::Remove(pod) => {
                self.store.remove_pod(pods[pod]);
                self.settle();
            }
            Blow::PowerOff => self.with(|room, _, _| room.node_down(node)),
            Blow::PowerOn => self.with(|room, view, out| room.node_up(node, view, out)),
            Blow::KubeletStops => self.with(|room, _, _| room.kubelet_stopped(node)),
            Blow::CutOff => self.with(|room, _, _| room.cut_off(node)),
            Blow::Reconnect => self.with(|room, view, out| room.reconnected(node, view, out)),
            Blow::KubeletStarts => self.with(|room, view, out| room.kubelet_started(node, view, out)),
            Blow::Stress(pod) | Blow::Relieve(pod) => {
                let Some(uid) = uid(self, pod) else { return };
                let stress = matches!(blow, Blow::Stress(_));
                self.with(|room, view, out| if stress { room.stressed(uid, view.now, view, out) } else { room.relieved(uid, view, out) });
            }
            Blow::Busy(busy) => self.answer = !busy,
        }
    }
}

proptest! {
    /// Whatever happens, once it is over deleted pods are gone, the others run and are ready, and nothing is left to wait for.
    #[test]
    fn after_any_blows_pods_recover_and_fall_silent(blows in prop::collection::vec(blow(), 0..25), ready_after in 0u64..12) {
        let mut bench = Bench::new(Behavior { ready_after: constant(ready_after), stop: constant(2), ..Behavior::default() });
        let full = Container {
            startup_probe: Some(Probe { failure_threshold: 30, ..probe(3) }),
            liveness_probe: Some(probe(10)),
            readiness_probe: Some(Probe { success_threshold: 2, ..probe(5) }),
            pre_stop: Some(LifecycleHandler::Sleep(s(3))),
            ..app()
        };
        let sidecar = Container { name: "proxy".into(), is_sidecar: true, ..app() };
        let other = Container { name: "other".into(), image: "other:v1".into(), requests: [(ResourceName::Cpu, 100)].into(), ..app() };
        let pods = [
            bench.pod("a", spec(full)),
            bench.pod("b", PodSpec { init_containers: vec![sidecar], containers: vec![app(), other], ..PodSpec::default() }),
            bench.pod("c", spec(Container { readiness_probe: Some(probe(1)), ..app() })),
        ];
        let mut now = 0;
        for (wait, blow) in blows {
            now += wait;
            bench.until(now).strike(&pods, blow);
        }
        bench.answer = true;
        for blow in [Blow::PowerOn, Blow::KubeletStarts, Blow::Reconnect, Blow::Relieve(0), Blow::Relieve(1), Blow::Relieve(2)] {
            bench.strike(&pods, blow);
        }
        bench.until(now + 2_000);
        let mut left = 0;
        for (_, pod) in bench.store.pods.iter() {
            prop_assert!(!pod.meta.is_deleting(), "{} is still there", pod.meta.name);
            prop_assert_eq!(pod.status.phase, api::PodPhase::Running);
            prop_assert!(pod.is_ready(), "{} is not ready: {:?}", pod.meta.name, pod.status);
            left += 1;
        }
        prop_assert_eq!(bench.kubelets.workers.len(), left);
        prop_assert!(bench.calendar.is_empty(), "somebody still waits: {:?}", bench.calendar);
        let balance = bench.log().lines().fold(0i32, |running, line| running + i32::from(line.ends_with("answers")) - i32::from(line.ends_with("process gone")));
        prop_assert_eq!(balance as usize, left, "every process that answered and is gone was said to be gone");
        let held: i64 = bench.kubelets.nodes.values().map(|node| node.held.pods()).sum();
        prop_assert_eq!(held as usize, left);
    }
}

#[test]
fn a_kubelet_that_is_cut_off_goes_on_and_catches_up() {
    let mut bench = Bench::new(Behavior::default());
    let node = bench.node;
    let (stays, goes) = (bench.pod("stays", spec(app())), bench.pod("goes", spec(app())));
    bench.until(10).log();
    bench.with(|room, _, _| room.cut_off(node));
    bench.with(|room, view, out| assert!(room.kill_container(stays, None, 1, "Error", view, out)));
    bench.delete(goes, 30);
    bench.pod("late", spec(app()));
    check(
        &bench.until(100).log(),
        "10s process gone
         10.5s answers",
    );
    bench.with(|room, view, out| room.reconnected(node, view, out));
    bench.until(103);
    check(
        &bench.log(),
        "1m40s SIGTERM
         1m40s answers
         1m40s Running [running+1] ready
         1m40s Pending [ContainerCreating]
         1m40s Pending [ContainerCreating] sandbox
         1m40s Running [running] ready
         1m41s process gone
         1m41s Succeeded [Completed(0)]
         1m41s removed",
    );
}

#[test]
fn a_shutdown_ends_pods_by_priority_and_then_the_power_goes() {
    let mut bench = Bench::new(Behavior { stop: constant(3), ..Behavior::default() });
    bench.settings.kubelet.shutdown_grace_period = s(30);
    bench.settings.kubelet.shutdown_grace_period_critical_pods = s(10);
    bench.pod("app", spec(app()));
    bench.pod("critical", PodSpec { priority: 2_000_001_000, ..spec(app()) });
    bench.until(10).log();
    let node = bench.node;
    bench.with(|room, view, out| room.shut_down(node, view, out));
    bench.pod("late", spec(app()));
    check(
        &bench.until(100).log(),
        "10s SIGTERM
         10s node ready: False
         10s NodeShutdown: Pod was rejected as the node is shutting down.
         10s Failed NodeShutdown []
         13s process gone
         13s SIGTERM
         13s Succeeded [Completed(0)]
         16s process gone
         16s Succeeded [Completed(0)]
         16s power off",
    );
}

#[test]
fn a_shutdown_waits_no_longer_than_its_periods() {
    let mut bench = Bench::new(Behavior { stop: constant(60), ..Behavior::default() });
    bench.settings.kubelet.shutdown_grace_period = s(30);
    bench.settings.kubelet.shutdown_grace_period_critical_pods = s(10);
    bench.pod("app", spec(app()));
    bench.pod("critical", PodSpec { priority: 2_000_001_000, ..spec(app()) });
    bench.until(10).log();
    let node = bench.node;
    bench.with(|room, view, out| room.shut_down(node, view, out));
    let log = bench.until(100).log();
    let seen: Vec<&str> = log.lines().filter(|line| line.contains("Failed") || line.contains("power")).collect();
    assert_eq!(seen, ["30s Failed Terminated [Error(137)]", "40s Failed Terminated [Error(137)]", "40s power off"], "{log}");
}

#[test]
fn a_shutdown_without_periods_waits_for_nobody_and_one_called_off_takes_the_power_from_nobody() {
    let mut bench = Bench::new(Behavior { stop: constant(3), ..Behavior::default() });
    bench.pod("app", spec(app()));
    bench.until(10).log();
    let node = bench.node;
    bench.settings.kubelet.shutdown_grace_period = s(30);
    bench.with(|room, view, out| room.shut_down(node, view, out));
    bench.with(|room, view, out| assert!(room.shutdown_cancelled(node, view, out)));
    assert!(!bench.until(60).log().contains("power off"));
    bench.settings.kubelet.shutdown_grace_period = s(0);
    bench.with(|room, view, out| room.shut_down(node, view, out));
    assert_eq!(bench.until(61).log(), "1m00s power off");
}

/// Memory of an app that starts with `from` MiB and reaches `to` MiB after so many seconds.
fn grows(from: i64, to: i64, seconds: u64) -> Option<MemoryUse> {
    Some(MemoryUse { points: vec![(SimDuration::ZERO, from << 20), (s(seconds), to << 20)] })
}

#[test]
fn a_container_that_reaches_its_memory_limit_is_killed_by_the_kernel() {
    let mut bench = Bench::new(Behavior { memory: grows(100, 300, 100), ..Behavior::default() });
    bench.pod("a", spec(Container { limits: [(ResourceName::Memory, 200 << 20)].into(), ..app() }));
    assert!(bench.until(49).log().ends_with("ready"));
    check(
        &bench.until(51).log(),
        "50s process gone
         50.5s answers
         50.5s Running [OOMKilled(137)] sandbox
         50.5s Running [running+1] ready",
    );
}

#[test]
fn a_node_short_of_memory_evicts_the_pod_that_exceeds_its_request_most() {
    // 4 GiB in all, of which the modest pod takes 1000 MiB: the greedy one leaves less than 100 MiB after 742.6 s.
    let of = |name: &str| PodSelector { names: vec![name.into()], ..PodSelector::default() };
    let behaviors = [
        Behavior { selector: of("greedy"), memory: grows(100, 4000, 1000), ..Behavior::default() },
        Behavior { selector: of("modest"), memory: grows(1000, 1000, 1), ..Behavior::default() },
    ];
    let mut bench = Bench::new(Behavior::default());
    bench.kubelets.behaviors = super::behavior::Behaviors::new(&behaviors);
    let requests = || [(ResourceName::Memory, 1 << 30)].into();
    bench.pod("modest", spec(Container { requests: requests(), ..app() }));
    bench.pod("greedy", spec(Container { requests: requests(), ..app() }));
    bench.until(700).log();
    assert!(bench.handled < 10, "as long as there is enough nobody looks");
    let log = bench.until(760).log();
    bench.pod("whatever", spec(app()));
    bench.pod("asking", spec(Container { requests: requests(), ..app() }));
    let later = bench.until(2000).log();
    check(
        &log,
        "12m30s Evicted: The node was low on resource: memory. Threshold quantity: 100Mi, available: 69908Ki. Container app was using 3100392Ki, request is 1Gi, has larger consumption of memory.
         12m30s SIGTERM
         12m30s memory pressure: true
         12m31s process gone
         12m31s Succeeded [Completed(0)]",
    );
    assert!(later.starts_with("12m40s Evicted: The node had condition: [MemoryPressure]. "), "best effort pods stay out: {later}");
    assert!(later.contains("Running [running] ready"), "others come: {later}");
    assert!(later.ends_with("memory pressure: false"), "{later}");
    assert!(bench.calendar.is_empty());
}

#[test]
fn a_node_without_any_memory_left_kills_at_once() {
    let mut bench = Bench::new(Behavior { memory: grows(100, 6000, 5), ..Behavior::default() });
    bench.pod("a", spec(app()));
    let log = bench.until(6).log();
    assert!(log.contains("Running [OOMKilled(137)]"), "faster than the eviction manager looks: {log}");
}

#[test]
fn a_container_restarts_by_its_own_policy_and_rules_before_the_pods() {
    use RestartPolicy::{Always, Never};
    let rule = |exit_code| api::ContainerRestartRule { matches_listed: true, exit_codes: vec![exit_code], restarts_all: false };
    for (pod, own, rules, last) in [
        (Never, Some(Always), vec![], "Running [running+1] ready"),
        (Always, Some(Never), vec![], "Failed [Error(3)]"),
        (Never, Some(Never), vec![rule(3)], "Running [running+1] ready"),
        (Never, Some(Never), vec![rule(4)], "Failed [Error(3)]"),
        (Never, None, vec![rule(3)], "Failed [Error(3)]"),
    ] {
        let crash = Some(Crash { after: Distribution::Constant(s(5)), exit_code: 3, times: Some(1) });
        let mut bench = Bench::new(Behavior { crash, ..Behavior::default() });
        bench.pod("a", PodSpec { restart_policy: pod, ..spec(Container { restart_policy: own, restart_rules: rules, ..app() }) });
        let log = bench.until(10).log();
        assert!(log.ends_with(last), "{pod:?} {own:?}:\n{log}");
    }
}

#[test]
fn a_rule_can_restart_all_containers_in_place() {
    let crash = Some(Crash { after: Distribution::Constant(s(5)), exit_code: 42, times: Some(1) });
    let mut bench = Bench::new(Behavior { container: Some("worker".into()), crash, ..Behavior::default() });
    let all = api::ContainerRestartRule { matches_listed: true, exit_codes: vec![42], restarts_all: true };
    let worker = Container { name: "worker".into(), restart_policy: Some(RestartPolicy::Never), restart_rules: vec![all], ..app() };
    let init = Container { name: "init".into(), ..app() };
    let pod = PodSpec { init_containers: vec![init], containers: vec![app(), worker], ..PodSpec::default() };
    bench.pod("a", PodSpec { restart_policy: RestartPolicy::Never, ..pod });
    bench.until(5).log();
    let log = bench.until(30).log();
    let words: Vec<&str> = log.lines().filter(|line| line.contains('[')).map(|line| line.split_once(' ').expect("a time").1).collect();
    assert_eq!(words.last(), Some(&"Running [Completed(0)+1 running+1 running+1] ready"), "{log}");
    assert!(words.iter().any(|line| line.contains("RestartingAllContainers+1")), "{log}");
    assert!(bench.calendar.is_empty());
}
