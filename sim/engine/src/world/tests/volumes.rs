//! Claims, volumes and the pods that wait for them, under the default scheduler.

use super::*;
use crate::spec::{Step, StepAction};
use api::{
    ClaimRetentionPolicy, EphemeralClaim, Kind, PersistentVolume, PersistentVolumeClaim, Pod, Propagation, StatefulSet, StorageClass,
    Volume, VolumeSource,
};

fn class(name: &str, waits: bool) -> StorageClass {
    StorageClass {
        meta: ObjectMeta { name: name.into(), ..ObjectMeta::default() },
        provisioner: "disks.example".into(),
        wait_for_first_consumer: waits,
        deletes_when_released: true,
        ..StorageClass::default()
    }
}

fn claim(name: &str, class: Option<&str>, gigabytes: i64) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        meta: ObjectMeta { namespace: "default".into(), name: name.into(), ..ObjectMeta::default() },
        request_bytes: gigabytes << 30,
        access_modes: vec!["ReadWriteOnce".into()],
        storage_class_name: class.map(Into::into),
        ..PersistentVolumeClaim::default()
    }
}

fn volume(name: &str, gigabytes: i64) -> PersistentVolume {
    PersistentVolume {
        meta: ObjectMeta { name: name.into(), ..ObjectMeta::default() },
        capacity_bytes: gigabytes << 30,
        access_modes: vec!["ReadWriteOnce".into()],
        ..PersistentVolume::default()
    }
}

/// A pod that mounts the claim `data`.
fn pod(name: &str, source: VolumeSource) -> Pod {
    let mut spec = (*template(name, "app:v1", 100).spec).clone();
    spec.volumes = vec![Volume { name: "data".into(), source }];
    let meta = ObjectMeta { namespace: "default".into(), name: name.into(), labels: labels(name), ..ObjectMeta::default() };
    Pod { meta, spec: Arc::new(spec), ..Pod::default() }
}

fn mounting(claim: &str) -> VolumeSource {
    VolumeSource::PersistentVolumeClaim(claim.into())
}

/// Two nodes in zones of their own.
fn cluster(duration_s: u64) -> WorldSpec {
    let mut nodes = pool("node", 2, 4000);
    nodes.zones = vec!["a".into(), "b".into()];
    let mut spec = WorldSpec { duration: SimDuration::from_secs(duration_s), node_pools: vec![nodes], ..WorldSpec::default() };
    spec.control_plane.kubelet.default_image_pull = Distribution::Constant(SimDuration::ZERO);
    spec
}

fn step(at_s: u64, action: StepAction) -> Step {
    Step { name: "step".into(), at: SimTime::from_secs(at_s), action }
}

fn delete(kind: Kind, name: &str) -> StepAction {
    StepAction::Delete(kind, key(name), Propagation::Background)
}

fn play(spec: WorldSpec) -> Run {
    let scheduler = schedulers::policy("default").expect("a built-in policy");
    let mut world = World::new(Arc::new(spec), scheduler, 1);
    let mut sink = MemorySink::default();
    let summary = world.run(&mut sink, &Limits::default(), &mut |_| true);
    assert_eq!(world.check(), Ok(()));
    Run { records: sink.records, summary, world }
}

impl Run {
    /// Reasons of events about an object, in order.
    fn reasons(&self, object: &str) -> Vec<String> {
        let said = self.all(|record| match record {
            Record::Event { object: about, reason, .. } if **about == *object => Some(reason.to_string()),
            _ => None,
        });
        said.into_iter().map(|(_, reason)| reason).collect()
    }
    fn messages(&self, reason: &str) -> Vec<String> {
        let said = self.all(|record| match record {
            Record::Event { reason: of, message, .. } if **of == *reason => Some(message.to_string()),
            _ => None,
        });
        said.into_iter().map(|(_, message)| message).collect()
    }
    fn claim(&self, name: &str) -> Option<&PersistentVolumeClaim> {
        let table = &self.world.store.persistent_volume_claims;
        table.get(table.find(&key(name))?)
    }
    fn volume(&self, name: &str) -> Option<&PersistentVolume> {
        let table = &self.world.store.persistent_volumes;
        table.get(table.find(&ObjectKey::new("", name))?)
    }
    fn scheduled_at(&self, pod: &str) -> Vec<f64> {
        let at = self.all(|record| match record {
            Record::PodScheduled { pod: of, .. } if **of == *pod => Some(()),
            _ => None,
        });
        at.into_iter().map(|(at, ())| at.as_secs_f64()).collect()
    }
    fn running_at(&self, pod: &str) -> Vec<f64> {
        let at = self.all(|record| match record {
            Record::PodPhase { pod: of, phase, .. } if **of == *pod && &**phase == "Running" => Some(()),
            _ => None,
        });
        at.into_iter().map(|(at, ())| at.as_secs_f64()).collect()
    }
}

#[test]
fn a_claim_that_waits_for_its_consumer_gets_a_volume_where_the_pod_is() {
    let mut spec = cluster(60);
    spec.objects.storage_classes.push(class("fast", true));
    spec.objects.persistent_volume_claims.push(claim("data", Some("fast"), 5));
    spec.steps.push(step(
        10,
        StepAction::Apply(Arc::new(crate::spec::Objects { pods: vec![pod("app", mounting("data"))], ..Default::default() })),
    ));
    let run = play(spec);
    assert_eq!(
        run.reasons("PersistentVolumeClaim/default/data"),
        ["WaitForFirstConsumer", "ExternalProvisioning", "Provisioning", "ProvisioningSucceeded"]
    );
    let bound = run.claim("data").expect("the claim");
    assert_eq!((&*bound.phase, bound.volume_name.starts_with("pvc-")), ("Bound", true));
    let made = run.volume(&bound.volume_name).expect("its volume");
    assert_eq!((&*made.phase, made.capacity_bytes, &*made.claim_ref), ("Bound", 5 << 30, "default/data"));
    let node = run.world.store.pods.iter().next().expect("a pod").1.node_name.clone().expect("a node");
    let zone = if &*node == "node-0" { "a" } else { "b" };
    assert_eq!(made.node_affinity.as_ref().expect("reachable from its zone")[0].match_expressions[0].values, [zone.into()]);
    // 3 s for the volume, looked at each full second after the decision; then 3 s until it is on the node.
    let (scheduled, running) = (run.scheduled_at("default/app")[0], run.running_at("default/app")[0]);
    assert!((14.0..14.1).contains(&scheduled) && (17.0..17.6).contains(&running), "{scheduled} {running}");
    assert_eq!(run.world.store.volume_attachments.len(), 1);
}

#[test]
fn a_claim_of_an_immediate_class_is_bound_before_any_pod_comes() {
    let mut spec = cluster(30);
    spec.objects.storage_classes.push(class("standard", false));
    spec.objects.persistent_volume_claims.push(claim("data", Some("standard"), 1));
    spec.objects.pods.push(pod("app", mounting("data")));
    let run = play(spec);
    assert_eq!(run.reasons("PersistentVolumeClaim/default/data"), ["ExternalProvisioning", "Provisioning", "ProvisioningSucceeded"]);
    let refusals = run.messages("FailedScheduling");
    let is_unbound = |message: &String| message.contains("pod has unbound immediate PersistentVolumeClaims");
    assert!(!refusals.is_empty() && refusals.iter().all(is_unbound), "until then no node will do: {refusals:?}");
    assert_eq!(run.running_at("default/app").len(), 1);
}

#[test]
fn claims_are_bound_to_the_smallest_volume_that_will_do() {
    // What the claim asks for, and the volume it gets.
    let with = |change: &dyn Fn(&mut PersistentVolumeClaim)| {
        let mut claim = claim("data", Some(""), 4);
        change(&mut claim);
        claim
    };
    let rows: [(&str, PersistentVolumeClaim, &str); 6] = [
        ("size", with(&|_| {}), "five"),
        ("a larger one", with(&|claim| claim.request_bytes = 6 << 30), "ten"),
        ("too large", with(&|claim| claim.request_bytes = 50 << 30), ""),
        ("by name", with(&|claim| claim.volume_name = "ten".into()), "ten"),
        ("access mode", with(&|claim| claim.access_modes = vec!["ReadWriteMany".into()]), "shared"),
        (
            "selector",
            with(&|claim| claim.selector = Some(LabelSelector { match_labels: (*labels("x")).clone(), ..LabelSelector::default() })),
            "labelled",
        ),
    ];
    for (why, claim, expected) in rows {
        let mut spec = cluster(5);
        let mut shared = volume("shared", 20);
        shared.access_modes.push("ReadWriteMany".into());
        let mut labelled = volume("labelled", 30);
        labelled.meta.labels = labels("x");
        let mut reserved = volume("reserved", 4);
        reserved.claim_ref = "default/other".into();
        let other = PersistentVolume { storage_class_name: "other".into(), ..volume("other", 4) };
        spec.objects.persistent_volumes = vec![volume("ten", 10), volume("five", 5), volume("two", 2), other, reserved, shared, labelled];
        spec.objects.persistent_volume_claims.push(claim);
        let run = play(spec);
        let found = run.claim("data").expect("the claim");
        assert_eq!(&*found.volume_name, expected, "{why}");
        assert_eq!(&*found.phase, if expected.is_empty() { "Pending" } else { "Bound" }, "{why}");
    }
}

#[test]
fn a_reserved_volume_goes_to_its_claim_and_to_no_other() {
    let mut spec = cluster(5);
    let reserved = PersistentVolume { claim_ref: "default/data".into(), ..volume("big", 100) };
    spec.objects.persistent_volumes = vec![volume("small", 1), reserved];
    spec.objects.persistent_volume_claims = vec![claim("other", Some(""), 50), claim("data", Some(""), 1)];
    let run = play(spec);
    assert_eq!(&*run.claim("data").expect("a claim").volume_name, "big");
    assert_eq!(&*run.claim("other").expect("a claim").phase, "Pending");
}

#[test]
fn what_cannot_be_bound_says_why() {
    let rows: [(PersistentVolumeClaim, &str, &str); 4] = [
        (claim("data", Some(""), 1), "FailedBinding", "no persistent volumes available for this claim and no storage class is set"),
        (claim("data", Some("gone"), 1), "ProvisioningFailed", "storageclass.storage.k8s.io \"gone\" not found"),
        (claim("data", Some("local"), 1), "ProvisioningFailed", "no volume plugin matched name: kubernetes.io/no-provisioner"),
        (
            PersistentVolumeClaim { volume_name: "tiny".into(), ..claim("data", Some("special"), 9) },
            "VolumeMismatch",
            "Cannot bind to requested volume \"tiny\": requested PV is too small",
        ),
    ];
    for (claim, reason, message) in rows {
        let mut spec = cluster(5);
        spec.objects.storage_classes.push(StorageClass { provisioner: "kubernetes.io/no-provisioner".into(), ..class("local", false) });
        spec.objects.persistent_volumes.push(PersistentVolume { storage_class_name: "special".into(), ..volume("tiny", 1) });
        spec.objects.persistent_volume_claims.push(claim);
        let run = play(spec);
        assert_eq!(run.messages(reason).first().map(String::as_str), Some(message));
        assert_eq!(&*run.claim("data").expect("a claim").phase, "Pending");
    }
}

#[test]
fn a_class_or_a_volume_that_comes_later_is_found() {
    let mut spec = cluster(30);
    spec.objects.persistent_volume_claims = vec![claim("data", Some("fast"), 1), claim("old", Some(""), 1)];
    let later = crate::spec::Objects {
        storage_classes: vec![class("fast", false)],
        persistent_volumes: vec![volume("late", 2)],
        ..Default::default()
    };
    spec.steps.push(step(10, StepAction::Apply(Arc::new(later))));
    let run = play(spec);
    assert_eq!(&*run.claim("data").expect("a claim").phase, "Bound");
    assert_eq!(&*run.claim("old").expect("a claim").volume_name, "late");
}

#[test]
fn the_default_class_is_given_to_claims_that_name_none() {
    let mut spec = cluster(10);
    let mut default = class("standard", false);
    default.meta.annotations = Arc::new([("storageclass.kubernetes.io/is-default-class".into(), "true".into())].into());
    spec.objects.storage_classes = vec![class("other", false), default];
    spec.objects.persistent_volume_claims = vec![claim("data", None, 1), claim("none", Some(""), 1)];
    let run = play(spec);
    assert_eq!(run.claim("data").expect("a claim").class(), "standard");
    assert_eq!(run.claim("none").expect("a claim").class(), "");
}

#[test]
fn a_claim_in_use_goes_with_its_pod_and_its_volume_after_it() {
    let mut spec = cluster(60);
    spec.objects.storage_classes.push(class("standard", false));
    spec.objects.persistent_volume_claims = vec![claim("data", Some("standard"), 1), claim("kept", Some(""), 1)];
    spec.objects.persistent_volumes.push(volume("static", 1));
    spec.objects.pods.push(pod("app", mounting("data")));
    spec.steps = vec![
        step(20, delete(Kind::PersistentVolumeClaim, "data")),
        step(20, delete(Kind::PersistentVolumeClaim, "kept")),
        step(40, delete(Kind::Pod, "app")),
    ];
    let mut early = spec.clone();
    early.duration = SimDuration::from_secs(35);
    let run = play(early);
    assert!(run.claim("data").expect("its pod has it").meta.is_deleting());
    assert!(run.claim("kept").is_none());
    assert_eq!(&*run.volume("static").expect("retained").phase, "Released");
    let run = play(spec);
    assert!(run.claim("data").is_none());
    assert_eq!(run.world.store.persistent_volumes.iter().map(|(_, volume)| volume.meta.name.to_string()).collect::<Vec<_>>(), ["static"]);
    assert_eq!(run.world.store.volume_attachments.len(), 0);
}

#[test]
fn a_volume_for_one_node_leaves_the_old_node_before_it_comes_to_the_new_one() {
    let (mut spec, node) = with_disk(120);
    spec.control_plane.kubelet.default_stop = Distribution::Constant(SimDuration::from_secs(10));
    spec.steps.push(step(30, StepAction::Drain(node)));
    let run = play(spec);
    let runs = run.runs();
    // 30 s + 10 s to stop + up to 10 s until the kubelet says so + 3 s to detach + 3 s to attach.
    assert!(runs.len() == 2 && (46.0..58.0).contains(&runs[1]), "{runs:?}");
    let errors = run.messages("FailedAttachVolume");
    assert!(errors[0].starts_with("Multi-Attach error for volume \"disk\" Volume is already used by pod(s) web-"), "{errors:?}");
}

/// A Deployment of one pod on a disk that is there, and where the pod went.
fn with_disk(duration_s: u64) -> (WorldSpec, Str) {
    let mut spec = cluster(duration_s);
    let disk = PersistentVolume { csi: Some(("disks.example".into(), "1".into())), ..volume("disk", 1) };
    spec.objects.persistent_volumes.push(disk);
    spec.objects.persistent_volume_claims.push(claim("data", Some(""), 1));
    let mut web = deployment("web", 1, 100);
    Arc::make_mut(&mut Arc::make_mut(&mut web.template).spec).volumes = vec![Volume { name: "data".into(), source: mounting("data") }];
    spec.objects.deployments.push(web);
    let run = play(WorldSpec { duration: SimDuration::from_secs(5), ..spec.clone() });
    let node = run.all(|record| if let Record::PodScheduled { node, .. } = record { Some(node.clone()) } else { None })[0].1.clone();
    (spec, node)
}

impl Run {
    fn runs(&self) -> Vec<f64> {
        let running = self.all(|record| match record {
            Record::PodPhase { phase, .. } if &**phase == "Running" => Some(()),
            _ => None,
        });
        running.into_iter().map(|(at, ())| at.as_secs_f64()).collect()
    }
}

#[test]
fn a_volume_is_taken_from_a_silent_node_after_six_minutes_or_when_it_is_out_of_service() {
    let (mut spec, node) = with_disk(900);
    let off = crate::spec::Fault {
        name: "off".into(),
        at: SimTime::from_secs(60),
        duration: None,
        schedule: None,
        action: crate::spec::FaultAction::NodePoweroff,
        mode: crate::spec::FaultMode::All,
        target: crate::spec::FaultTarget::Nodes { labels: None, names: vec![node.clone()] },
    };
    spec.faults.push(off);
    let mut gone = spec.clone();
    gone.steps.push(step(150, StepAction::Delete(Kind::Node, ObjectKey::new("", &node), Propagation::Background)));
    let runs = play(gone).runs();
    // PodGC finds the pod within a minute; then 6 min, 3 s to detach, 3 s to attach.
    assert!(runs.len() == 2 && (516.0..600.0).contains(&runs[1]), "{runs:?}");
    let taint = api::Taint::new("node.kubernetes.io/out-of-service", TaintEffect::NoExecute);
    spec.steps.push(step(150, StepAction::Taint(node, taint, true)));
    let runs = play(spec).runs();
    assert!(runs.len() == 2 && (156.0..240.0).contains(&runs[1]), "{runs:?}");
}

#[test]
fn a_pod_that_comes_back_to_its_node_at_once_finds_its_volume_there() {
    let (mut spec, node) = with_disk(60);
    spec.steps.push(step(20, StepAction::Cordon(if &*node == "node-0" { "node-1".into() } else { "node-0".into() }, true)));
    let web = play(WorldSpec { duration: SimDuration::from_secs(15), ..spec.clone() })
        .world
        .store
        .pods
        .iter()
        .next()
        .expect("a pod")
        .1
        .meta
        .key();
    spec.steps.push(step(30, StepAction::Delete(Kind::Pod, web, Propagation::Background)));
    let run = play(spec);
    assert!(run.runs().len() == 2 && run.runs()[1] < 33.0, "{:?}", run.runs());
    assert_eq!(run.messages("SuccessfulAttachVolume"), ["AttachVolume.Attach succeeded for volume \"disk\" "]);
}

#[test]
fn generic_ephemeral_volumes_live_as_long_as_their_pod() {
    let mut spec = cluster(60);
    spec.objects.storage_classes.push(class("fast", true));
    let wanted = EphemeralClaim {
        request_bytes: 1 << 30,
        access_modes: vec!["ReadWriteOnce".into()],
        storage_class_name: Some("fast".into()),
        ..EphemeralClaim::default()
    };
    spec.objects.pods.push(pod("app", VolumeSource::Ephemeral(Box::new(wanted))));
    spec.steps.push(step(30, delete(Kind::Pod, "app")));
    let mut early = spec.clone();
    early.duration = SimDuration::from_secs(29);
    let run = play(early);
    assert_eq!(&*run.claim("app-data").expect("a claim").phase, "Bound");
    assert_eq!(run.running_at("default/app").len(), 1);
    let run = play(spec);
    assert_eq!((run.world.store.persistent_volume_claims.len(), run.world.store.persistent_volumes.len()), (0, 0));
}

#[test]
fn a_pod_whose_volume_takes_too_long_is_given_up_and_tried_again() {
    let mut spec = cluster(700);
    spec.control_plane.volumes.provision = Distribution::Constant(SimDuration::from_secs(650));
    spec.objects.storage_classes.push(class("fast", true));
    spec.objects.persistent_volume_claims.push(claim("data", Some("fast"), 1));
    spec.objects.pods.push(pod("app", mounting("data")));
    let run = play(spec);
    assert_eq!(run.messages("FailedScheduling"), ["running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded"]);
    assert_eq!(run.running_at("default/app").len(), 1);
    assert!(run.summary.events < 600, "{} events: nobody looks at the claim every second", run.summary.events);
}

#[test]
fn pods_of_a_stateful_set_keep_their_claims_and_lose_them_when_told_to() {
    let set = |retention: ClaimRetentionPolicy| StatefulSet {
        meta: ObjectMeta { namespace: "default".into(), name: "db".into(), ..ObjectMeta::default() },
        replicas: 3,
        selector: Arc::new(LabelSelector { match_labels: (*labels("db")).clone(), ..LabelSelector::default() }),
        template: template("db", "db:v1", 100),
        volume_claim_templates: vec![PersistentVolumeClaim {
            meta: ObjectMeta { name: "data".into(), ..ObjectMeta::default() },
            ..claim("data", Some("fast"), 1)
        }],
        revision_history_limit: 10,
        claim_retention: retention,
        ..StatefulSet::default()
    };
    // whenDeleted, whenScaled, claims after a smaller scale, claims after the deletion.
    let rows = [(false, false, 3, 3), (false, true, 1, 1), (true, false, 3, 0), (true, true, 1, 0)];
    for (delete_when_deleted, delete_when_scaled, scaled, deleted) in rows {
        let mut spec = cluster(150);
        spec.objects.storage_classes.push(class("fast", true));
        spec.objects.stateful_sets.push(set(ClaimRetentionPolicy { delete_when_deleted, delete_when_scaled }));
        spec.steps = vec![step(60, StepAction::Scale(Kind::StatefulSet, key("db"), 1)), step(120, delete(Kind::StatefulSet, "db"))];
        let mut early = spec.clone();
        early.duration = SimDuration::from_secs(119);
        let claims = |run: &Run| run.world.store.persistent_volume_claims.len();
        let run = play(early);
        assert_eq!((run.running_at("default/db-2").len(), claims(&run)), (1, scaled), "{delete_when_deleted} {delete_when_scaled}");
        assert_eq!(claims(&play(spec)), deleted, "{delete_when_deleted} {delete_when_scaled}");
    }
}
