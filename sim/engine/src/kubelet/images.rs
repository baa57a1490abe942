//! Images on a node: what is there, what has to be pulled, and what the node says of it.
//!
//! Upstream: pkg/kubelet/images/image_manager.go (EnsureImageExists) and pkg/kubelet/nodestatus/setters.go (Images).
//!
//! Invariants:
//! - A node keeps what it pulled; power takes only what is under way.
//! - The node's status tells of images whose size somebody gives, within half a minute.
//!
//! Not modelled: credentials, layers shared between images, other names of one image.

use std::collections::BTreeSet;

use api::{ContainerImage, ImagePullPolicy, SimDuration, SimTime, Str};

use super::Kubelets;
use super::pulls::{Ended, Limits, Puller, Request};
use crate::controllers::View;
use crate::effects::{Component, Effects, Write};
use crate::event::{Event, NodeTimer};
use crate::store::NodeId;

/// How often a kubelet looks at the list of images that its node status tells. Upstream: image_gc_manager.go.
const LISTED_EVERY: SimDuration = SimDuration::from_secs(30);
/// `nodeStatusMaxImages`.
const MOST_REPORTED: usize = 50;

/// Whether an image is at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    Present,
    /// It must be pulled, or at least asked for.
    Absent,
    /// It is not there and must not be pulled.
    Never,
}

/// An image on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Kept {
    names: Vec<Str>,
    size: i64,
    /// Somebody gave its size.
    described: bool,
    since: SimTime,
    /// When the garbage collector first saw it.
    detected: Option<SimTime>,
    /// When it was last seen in use.
    last_used: SimTime,
}

/// The images of one node.
#[derive(Debug, Default)]
pub(super) struct Images {
    kept: Vec<Kept>,
    puller: Puller,
    /// The next end of a pull.
    timer: u32,
    /// The next report.
    report: u32,
    /// The node's status does not tell what is there.
    unsaid: bool,
}

impl Images {
    /// What the node's status told from the start.
    pub(super) fn new(reported: &[ContainerImage]) -> Self {
        let kept = reported.iter().map(|image| Kept {
            names: image.names.iter().map(tagged).collect(),
            size: image.size_bytes,
            described: true,
            since: SimTime::ZERO,
            detected: None,
            last_used: SimTime::ZERO,
        });
        Self { kept: kept.collect(), ..Self::default() }
    }

    /// Upstream: imagePullPrecheck.
    pub(super) fn look(&self, image: &Str, policy: ImagePullPolicy) -> Presence {
        match policy {
            ImagePullPolicy::Always => Presence::Absent,
            ImagePullPolicy::Never | ImagePullPolicy::IfNotPresent if self.has(image) => Presence::Present,
            ImagePullPolicy::Never => Presence::Never,
            ImagePullPolicy::IfNotPresent => Presence::Absent,
        }
    }

    fn has(&self, image: &Str) -> bool {
        has(&self.kept, image)
    }

    pub(super) fn pull(&mut self, request: Request) {
        self.puller.ask(request);
    }

    /// Nobody waits for this pod's pull any more; whether there was one.
    pub(super) fn cancel(&mut self, pod: crate::store::PodId) -> bool {
        self.puller.cancel(pod)
    }

    /// The kubelet's process has ended, and with it what it asked the runtime for.
    pub(super) fn stop_pulls(&mut self) {
        self.puller.clear();
    }

    /// The next pull that has ended by now.
    fn next_ended(&mut self, now: SimTime, limits: &Limits) -> Option<Ended> {
        let kept = &self.kept;
        self.puller.advance(now, limits, |image| has(kept, image))
    }

    /// Keeps an image that was fetched.
    fn keep(&mut self, image: &Str, size: i64, described: bool, now: SimTime) {
        self.kept.push(Kept { names: vec![tagged(image)], size, described, since: now, detected: None, last_used: SimTime::ZERO });
        self.unsaid |= described;
    }

    /// What all images take of the disk.
    pub(super) fn bytes(&self) -> i64 {
        self.kept.iter().map(|image| image.size).sum()
    }

    /// A container of this image is gone; the collector last saw it at its last look.
    pub(super) fn released(&mut self, image: &Str, looked: SimTime) {
        let name = tagged(image);
        if let Some(image) = self.kept.iter_mut().find(|image| image.names.contains(&name)) {
            image.last_used = image.last_used.max(looked);
        }
    }

    /// Deletes images that are not in use until so many bytes are freed; how many were.
    pub(super) fn free(&mut self, wanted: i64, used: &BTreeSet<Str>, now: SimTime, age: SimDuration) -> i64 {
        for image in &mut self.kept {
            // It was detected at the first look after it came, or is so now.
            let look = image.since.next_on_grid(SimTime::ZERO, super::image_gc::PERIOD);
            image.detected.get_or_insert(look.min(now));
        }
        let mut order: Vec<usize> = (0..self.kept.len()).collect();
        order.sort_by_key(|place| (self.kept[*place].last_used, self.kept[*place].detected));
        let (mut freed, mut gone) = (0, BTreeSet::new());
        for place in order {
            let image = &self.kept[place];
            let old_enough = image.detected.is_some_and(|detected| now.since(detected) >= age);
            if freed < wanted && old_enough && !image.names.iter().any(|name| used.contains(name)) {
                freed += image.size;
                self.unsaid |= image.described;
                gone.insert(place);
            }
        }
        let mut place = 0;
        self.kept.retain(|_| {
            place += 1;
            !gone.contains(&(place - 1))
        });
        freed
    }

    /// What the node's status tells: the largest first. Upstream: nodestatus.Images, which sorts by size.
    fn reported(&self) -> Vec<ContainerImage> {
        let mut images: Vec<&Kept> = self.kept.iter().filter(|image| image.described).collect();
        images.sort_by_key(|image| std::cmp::Reverse(image.size));
        images.truncate(MOST_REPORTED);
        images.into_iter().map(|image| ContainerImage { names: image.names.clone(), size_bytes: image.size }).collect()
    }
}

fn has(kept: &[Kept], image: &Str) -> bool {
    let name = tagged(image);
    kept.iter().any(|image| image.names.contains(&name))
}

/// A name with its tag. Upstream: applyDefaultImageTag.
pub(super) fn tagged(image: &Str) -> Str {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.contains(':') || last.contains('@') { image.clone() } else { format!("{image}:latest").into() }
}

impl Kubelets {
    /// Pulls were asked for, given up, or are over: tells who waited, and waits for the next end.
    pub(super) fn pulls_go_on(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let Some(state) = self.nodes.get_mut(&node).filter(|state| !state.looks_at_pulls) else { return };
        state.looks_at_pulls = true;
        let limits = Limits::new(&view.settings.kubelet, state.bandwidth);
        loop {
            let Some(state) = self.nodes.get_mut(&node) else { return };
            let Some(ended) = state.images.next_ended(view.now, &limits) else { break };
            if ended.fetched {
                let described = self.catalog.size(&ended.request.image).is_some();
                state.images.keep(&ended.request.image, ended.request.size, described, view.now);
                self.report_images(node, view, out);
                self.plan_pressure(node, view, out);
            }
            self.with(ended.request.pod, view, out, |worker, cx| worker.pulled(&ended, cx));
        }
        let Some(state) = self.nodes.get_mut(&node) else { return };
        (state.looks_at_pulls, state.pulls_changed) = (false, false);
        let next = state.images.puller.next_end(&limits);
        state.images.timer = next.map_or(0, |at| state.numbered(at, |number| Event::KubeletNode(node, NodeTimer::ImagePull, number), out));
    }

    /// The node's status is to tell what is there now, with its next list of images.
    pub(super) fn report_images(&mut self, node: NodeId, view: View<'_>, out: &mut Effects) {
        let due = |state: &&mut super::NodeState| state.images.unsaid && state.images.report == 0 && state.reaches_api();
        let Some(state) = self.nodes.get_mut(&node).filter(due) else { return };
        let at = view.now.next_on_grid(state.ticks.sync_at(SimTime::ZERO), LISTED_EVERY);
        state.images.report = state.numbered(at, |number| Event::KubeletNode(node, NodeTimer::Images, number), out);
    }

    /// A timer of images has come.
    pub(super) fn images_due(&mut self, node: NodeId, timer: NodeTimer, number: u32, view: View<'_>, out: &mut Effects) {
        let Some(state) = self.nodes.get_mut(&node) else { return };
        match timer {
            NodeTimer::ImagePull if state.images.timer == number && state.kubelet_works() => self.pulls_go_on(node, view, out),
            NodeTimer::Images if state.images.report == number => {
                state.images.report = 0;
                if state.reaches_api() {
                    state.images.unsaid = false;
                    out.write(Component::Kubelet, Write::NodeImages(node, state.images.reported()));
                }
            }
            _ => {}
        }
    }
}

/// A duration as Go prints it, cut to whole milliseconds: `2s`, `350ms`, `1m30.5s`.
pub(super) fn go_duration(span: SimDuration) -> String {
    let millis = span.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (hours, minutes, seconds) = (millis / 3_600_000, millis / 60_000 % 60, millis % 60_000);
    let seconds = if seconds % 1000 == 0 {
        format!("{}s", seconds / 1000)
    } else {
        format!("{}s", format!("{}.{:03}", seconds / 1000, seconds % 1000).trim_end_matches('0'))
    };
    match (hours, minutes) {
        (0, 0) => seconds,
        (0, _) => format!("{minutes}m{seconds}"),
        _ => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_means_the_latest() {
        let of = |image: &str| tagged(&image.into()).to_string();
        for (image, name) in [
            ("nginx", "nginx:latest"),
            ("nginx:1.27", "nginx:1.27"),
            ("registry:5000/web", "registry:5000/web:latest"),
            ("web@sha256:0f", "web@sha256:0f"),
        ] {
            assert_eq!(of(image), name);
        }
    }

    #[test]
    fn the_policy_says_whether_an_image_that_is_there_is_asked_for() {
        use ImagePullPolicy::{Always, IfNotPresent, Never};
        let images = Images::new(&[ContainerImage { names: vec!["web:v1".into(), "web:stable".into()], size_bytes: 1 }]);
        let of = |image: &str, policy| images.look(&image.into(), policy);
        assert_eq!(
            [Always, IfNotPresent, Never].map(|policy| of("web:stable", policy)),
            [Presence::Absent, Presence::Present, Presence::Present]
        );
        assert_eq!([Always, IfNotPresent, Never].map(|policy| of("db", policy)), [Presence::Absent, Presence::Absent, Presence::Never]);
    }

    #[test]
    fn durations_read_as_go_prints_them() {
        for (millis, text) in [(0, "0s"), (350, "350ms"), (2_000, "2s"), (2_003, "2.003s"), (90_500, "1m30.5s"), (3_600_000, "1h0m0s")] {
            assert_eq!(go_duration(SimDuration::from_millis(millis)), text);
        }
    }
}
