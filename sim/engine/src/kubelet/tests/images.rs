//! Pulls of images whose size is known.

use super::*;

impl Bench {
    /// 100 bytes per second, and `big:1` has 500 bytes, every `small` image 200.
    fn with_sizes(mut self) -> Self {
        self.kubelets.catalog.sizes = vec![("big:1".into(), 500), ("small:*".into(), 200)];
        self.kubelets.nodes.get_mut(&self.node).expect("it is there").bandwidth = 100;
        self
    }
    fn runs(&mut self, name: &str, image: &str) -> PodId {
        self.pod(name, spec(Container { image: image.into(), ..app() }))
    }
    fn pulled(&mut self, until: u64) -> String {
        let log = self.until(until).log();
        let wanted = |line: &&str| ["Pulled:", "Failed:", "node images"].iter().any(|word| line.contains(word));
        log.lines().filter(wanted).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn a_known_size_takes_its_share_of_the_bandwidth_and_the_node_tells_of_it() {
    let mut bench = Bench::new(Behavior::default()).with_sizes().loud();
    bench.settings.kubelet.serialize_image_pulls = false;
    bench.runs("a", "big:1");
    bench.until(1);
    bench.runs("b", "small:1");
    check(
        &bench.pulled(100),
        "5s Pulled: Successfully pulled image \"small:1\" in 4s (4s including waiting). Image size: 200 bytes.
         7s Pulled: Successfully pulled image \"big:1\" in 7s (7s including waiting). Image size: 500 bytes.
         30.7s node images: big:1=500 small:1=200 web:v1=1",
    );
    assert!(bench.calendar.is_empty());
}

#[test]
fn a_given_time_wins_over_a_known_size() {
    let mut bench = Bench::new(Behavior { image_pull: constant(2), ..Behavior::default() }).with_sizes().loud();
    bench.runs("a", "big:1");
    assert!(bench.pulled(10).starts_with("2s Pulled: Successfully pulled image \"big:1\" in 2s"));
}

#[test]
fn a_pod_that_is_deleted_while_it_pulls_gives_its_pull_up() {
    let mut bench = Bench::new(Behavior::default()).with_sizes().loud();
    let first = bench.runs("a", "big:1");
    bench.runs("b", "small:1");
    bench.until(2);
    bench.delete(first, 30);
    check(
        &bench.pulled(10),
        "2s Failed: Failed to pull image \"big:1\": rpc error: code = Canceled desc = context canceled
         2s Failed: Error: ErrImagePull
         4s Pulled: Successfully pulled image \"small:1\" in 2s (4s including waiting). Image size: 200 bytes.",
    );
    assert!(bench.store.pods.get(first).is_none(), "it is gone long before its image could have come");
}

#[test]
fn too_many_pulls_at_once_fail_and_are_tried_again() {
    let mut bench = Bench::new(Behavior::default()).with_sizes().loud();
    bench.settings.kubelet.serialize_image_pulls = false;
    bench.settings.kubelet.registry_burst = 2;
    for number in 0..3 {
        bench.runs(&format!("p{number}"), &format!("small:{number}"));
    }
    check(
        &bench.pulled(60),
        "0s Failed: Failed to pull image \"small:2\": pull QPS exceeded
         0s Failed: Error: ErrImagePull
         500ms Failed: Error: ImagePullBackOff
         4s Pulled: Successfully pulled image \"small:0\" in 4s (4s including waiting). Image size: 200 bytes.
         4s Pulled: Successfully pulled image \"small:1\" in 4s (4s including waiting). Image size: 200 bytes.
         16.7s Pulled: Successfully pulled image \"small:2\" in 2s (2s including waiting). Image size: 200 bytes.
         30.7s node images: small:0=200 small:1=200 small:2=200 web:v1=1",
    );
}

#[test]
fn a_kubelet_that_ends_loses_its_pulls_and_begins_them_anew() {
    let mut bench = Bench::new(Behavior::default()).with_sizes().loud();
    bench.runs("a", "big:1");
    bench.until(3);
    let node = bench.node;
    bench.with(|room, _, _| room.kubelet_stopped(node));
    bench.until(20);
    bench.with(|room, view, out| room.kubelet_started(node, view, out));
    let log = bench.pulled(60);
    assert!(log.contains("Pulled: Successfully pulled image \"big:1\" in 5s (5s including waiting)"), "{log}");
}
