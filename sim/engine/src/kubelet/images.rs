//! Images on a node, and how they get there: one pull after the other unless the kubelet is told otherwise.
//!
//! Upstream: pkg/kubelet/images/image_manager.go and puller.go. A pull's end is known when it is asked for.
//!
//! Not modelled: image garbage collection, credentials, layers shared between images.

use std::collections::BTreeMap;

use api::{ContainerImage, ImagePullPolicy, SimDuration, SimTime, Str};

/// What has to be waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pull {
    /// Nothing: it is there.
    Present,
    /// A pull that takes so long and is over then.
    Until { end: SimTime, takes: SimDuration },
    /// It is not there and must not be pulled.
    Never,
}

/// The images of one node.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// From when on each is there.
    there: BTreeMap<Str, SimTime>,
    /// When the pulls asked for so far are over.
    free: SimTime,
}

impl Images {
    /// Asks for an image. `takes` is how long a pull from nothing takes.
    pub(super) fn ensure(&mut self, ask: &Ask<'_>, takes: impl FnOnce() -> SimDuration) -> Pull {
        let on_disk = || ask.reported.iter().any(|image| image.names.contains(ask.image));
        let known = self.there.get(ask.image).copied().or_else(|| on_disk().then_some(SimTime::ZERO));
        let present = known.is_some_and(|since| since <= ask.now);
        match ask.policy {
            ImagePullPolicy::Never if !present => return Pull::Never,
            ImagePullPolicy::Always => {}
            ImagePullPolicy::Never | ImagePullPolicy::IfNotPresent if present => return Pull::Present,
            ImagePullPolicy::Never | ImagePullPolicy::IfNotPresent => {}
        }
        // An image that is there, or will be when its turn comes, is only asked for at the registry.
        let takes = if known.is_some() { SimDuration::ZERO } else { takes() };
        let turn = if ask.serialize { self.free.max(ask.now) } else { known.unwrap_or_default().max(ask.now) };
        let end = turn + takes;
        self.free = self.free.max(end);
        if !ask.fails {
            self.there.entry(ask.image.clone()).or_insert(end);
        }
        Pull::Until { end, takes }
    }

    /// Whether nothing has to be pulled.
    pub(super) fn has(&self, ask: &Ask<'_>) -> bool {
        let there = self.there.get(ask.image).is_some_and(|since| *since <= ask.now);
        ask.policy != ImagePullPolicy::Always && (there || ask.reported.iter().any(|image| image.names.contains(ask.image)))
    }

    /// The node lost power: what was under way is lost, what is on disk stays.
    pub(super) fn lose_power(&mut self, now: SimTime) {
        self.there.retain(|_, since| *since <= now);
        self.free = now;
    }
}

/// A request for an image.
pub(super) struct Ask<'a> {
    pub(super) image: &'a Str,
    pub(super) policy: ImagePullPolicy,
    /// What the node reported from the start.
    pub(super) reported: &'a [ContainerImage],
    pub(super) serialize: bool,
    /// The pull will fail.
    pub(super) fails: bool,
    pub(super) now: SimTime,
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

    fn ask<'a>(image: &'a Str, policy: ImagePullPolicy, at: u64, serialize: bool) -> Ask<'a> {
        Ask { image, policy, reported: &[], serialize, fails: false, now: SimTime::from_secs(at) }
    }

    fn until(end: u64, takes: u64) -> Pull {
        Pull::Until { end: SimTime::from_secs(end), takes: SimDuration::from_secs(takes) }
    }

    #[test]
    fn pulls_of_a_node_come_one_after_the_other_and_each_image_once() {
        let (a, b): (Str, Str) = ("a:1".into(), "b:1".into());
        let mut images = Images::default();
        let three = || SimDuration::from_secs(3);
        use ImagePullPolicy::{Always, IfNotPresent, Never};
        assert_eq!(images.ensure(&ask(&a, Never, 10, true), three), Pull::Never);
        assert_eq!(images.ensure(&ask(&a, IfNotPresent, 10, true), three), until(13, 3));
        assert_eq!(images.ensure(&ask(&b, IfNotPresent, 11, true), three), until(16, 3));
        assert_eq!(images.ensure(&ask(&a, IfNotPresent, 12, true), three), until(16, 0), "its turn comes, and the image is there");
        assert_eq!(images.ensure(&ask(&a, IfNotPresent, 13, true), three), Pull::Present);
        assert_eq!(images.ensure(&ask(&a, Always, 20, true), three), until(20, 0));
        images.lose_power(SimTime::from_secs(15));
        assert_eq!(images.ensure(&ask(&b, IfNotPresent, 20, true), three), until(23, 3));
    }

    #[test]
    fn parallel_pulls_do_not_wait_for_each_other() {
        let (a, b): (Str, Str) = ("a:1".into(), "b:1".into());
        let mut images = Images::default();
        let three = || SimDuration::from_secs(3);
        assert_eq!(images.ensure(&ask(&a, ImagePullPolicy::IfNotPresent, 0, false), three), until(3, 3));
        assert_eq!(images.ensure(&ask(&b, ImagePullPolicy::IfNotPresent, 1, false), three), until(4, 3));
        assert_eq!(images.ensure(&ask(&a, ImagePullPolicy::IfNotPresent, 2, false), three), until(3, 0));
    }

    #[test]
    fn durations_read_as_go_prints_them() {
        for (millis, text) in [(0, "0s"), (350, "350ms"), (2_000, "2s"), (2_003, "2.003s"), (90_500, "1m30.5s"), (3_600_000, "1h0m0s")] {
            assert_eq!(go_duration(SimDuration::from_millis(millis)), text);
        }
    }
}
