//! Which events bring a pod back that a plugin turned down: one table per plugin, drawn from upstream's
//! EventsToRegister and queueing hint functions (plugins/*).
//!
//! Tables name every case in words: those that give Queue first, then those that give Skip.

use std::sync::Arc;

use api::{
    Affinity, Container, ContainerPort, CsiDriver, CsiNode, CsiStorageCapacity, LabelSelector, Labels, Node, NodeAffinity,
    NodeSelectorTerm, NodeSpec, NodeStatus, ObjectMeta, Operator, PersistentVolume, PersistentVolumeClaim, Pod, PodAffinity,
    PodAffinityTerm, PodSpec, Requirement, ResourceList, ResourceName, StorageClass, Str, Taint, TaintEffect, Toleration,
    TolerationOperator, TopologySpreadConstraint, Uid, Volume, VolumeSource, WhenUnsatisfiable,
};
use port::{Changed, ClusterEvent, ClusterSnapshot, NodeIndex, NodeInfo, Plugin, PodInfo, PodRequests, QueueingHint};

use super::default_preemption::DefaultPreemption;
use super::inter_pod_affinity::InterPodAffinity;
use super::node_declared_features::NodeDeclaredFeatures;
use super::node_name::NodeName;
use super::node_ports::NodePorts;
use super::node_resources_fit::{NodeResourcesFit, Strategy};
use super::node_unschedulable::NodeUnschedulable;
use super::node_volume_limits::NodeVolumeLimits;
use super::pod_topology_spread::PodTopologySpread;
use super::scheduling_gates::SchedulingGates;
use super::taint_toleration::TaintToleration;
use super::volume_binding::VolumeBinding;
use super::volume_restrictions::VolumeRestrictions;
use super::volume_zone::VolumeZone;

const ZONE: &str = "topology.kubernetes.io/zone";
const WAITING: u64 = 1;

/// What happens, as a table writes it.
enum When {
    NodeAdded(Node),
    NodeUpdated(Node, Node),
    NodeDeleted(Node),
    PodDeleted(Pod),
    PodAdded(Pod),
    /// A placed pod changes.
    PodUpdated(Pod, Pod),
    /// The waiting pod itself changes.
    Itself(Pod, Pod),
}
use When::{Itself, NodeAdded, NodeDeleted, NodeUpdated, PodAdded, PodDeleted, PodUpdated};

fn labels(pairs: &[(&str, &str)]) -> Arc<Labels> {
    Arc::new(pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect())
}

fn node() -> Node {
    let allocatable: ResourceList =
        [(ResourceName::Cpu, 1000), (ResourceName::Memory, 1 << 30), (ResourceName::Pods, 10)].into_iter().collect();
    Node {
        meta: ObjectMeta { name: "n".into(), labels: labels(&[(ZONE, "a")]), ..ObjectMeta::default() },
        spec: NodeSpec::default(),
        status: NodeStatus { allocatable: Arc::new(allocatable), ..NodeStatus::default() },
    }
}

fn node_with(name: &str, amount: i64) -> Node {
    let mut node = node();
    Arc::make_mut(&mut node.status.allocatable).insert(ResourceName::new(name), amount);
    node
}

fn labelled_node(pairs: &[(&str, &str)]) -> Node {
    let mut node = node();
    node.meta.labels = labels(pairs);
    node
}

fn tainted(keys: &[&str]) -> Node {
    let mut node = node();
    node.spec.taints = keys.iter().map(|key| Taint::new(key, TaintEffect::NoSchedule)).collect();
    node
}

fn cordoned() -> Node {
    let mut node = node();
    node.spec.unschedulable = true;
    node
}

fn pod(spec: PodSpec) -> Pod {
    let meta = ObjectMeta { namespace: "ns".into(), name: "p".into(), labels: labels(&[("app", "web")]), ..ObjectMeta::default() };
    Pod { meta, spec: Arc::new(spec), ..Pod::default() }
}

fn asking(requests: &[(&str, i64)]) -> Pod {
    let requests = requests.iter().map(|(name, amount)| (ResourceName::new(name), *amount)).collect();
    pod(PodSpec { containers: vec![Container { requests, ..Container::default() }], ..PodSpec::default() })
}

fn labelled(pairs: &[(&str, &str)]) -> Pod {
    let mut pod = pod(PodSpec::default());
    pod.meta.labels = labels(pairs);
    pod
}

fn elsewhere(mut pod: Pod) -> Pod {
    pod.meta.namespace = "elsewhere".into();
    pod
}

fn tolerating(keys: &[&str]) -> Pod {
    let toleration = |key: &&str| Toleration { key: (*key).into(), operator: TolerationOperator::Exists, ..Toleration::default() };
    pod(PodSpec { tolerations: keys.iter().map(toleration).collect(), ..PodSpec::default() })
}

fn with_port(port: u16) -> Pod {
    let port = ContainerPort { name: "".into(), container_port: port, host_port: port, host_ip: "".into(), protocol: "".into() };
    pod(PodSpec { containers: vec![Container { ports: vec![port], ..Container::default() }], ..PodSpec::default() })
}

fn with_claim(name: &str) -> Pod {
    let volume = Volume { name: "data".into(), source: VolumeSource::PersistentVolumeClaim(name.into()) };
    pod(PodSpec { volumes: vec![volume], ..PodSpec::default() })
}

fn with_disk(name: &str, read_only: bool) -> Pod {
    let volume = Volume { name: "data".into(), source: VolumeSource::GcePersistentDisk { name: name.into(), read_only } };
    pod(PodSpec { volumes: vec![volume], ..PodSpec::default() })
}

fn selects(app: &str) -> Option<LabelSelector> {
    Some(LabelSelector { match_labels: [("app".into(), app.into())].into(), ..LabelSelector::default() })
}

fn affinity(apps: &[&str]) -> PodAffinity {
    let term = |app: &&str| PodAffinityTerm {
        label_selector: selects(app),
        namespaces: Vec::new(),
        namespace_selector: None,
        topology_key: ZONE.into(),
        match_label_keys: Vec::new(),
        mismatch_label_keys: Vec::new(),
    };
    PodAffinity { required: apps.iter().map(term).collect(), ..PodAffinity::default() }
}

fn near(apps: &[&str]) -> Pod {
    pod(PodSpec { affinity: Affinity { pod: Some(affinity(apps)), ..Affinity::default() }, ..PodSpec::default() })
}

fn away(apps: &[&str]) -> Pod {
    pod(PodSpec { affinity: Affinity { pod_anti: Some(affinity(apps)), ..Affinity::default() }, ..PodSpec::default() })
}

fn spread(honor_node_taints: bool) -> Pod {
    let constraint = TopologySpreadConstraint {
        max_skew: 1,
        topology_key: ZONE.into(),
        when_unsatisfiable: WhenUnsatisfiable::DoNotSchedule,
        label_selector: selects("web"),
        min_domains: None,
        honor_node_affinity: true,
        honor_node_taints,
        match_label_keys: Vec::new(),
    };
    pod(PodSpec { topology_spread_constraints: vec![constraint], ..PodSpec::default() })
}

fn info(pod: &Pod, uid: u64, placed: bool) -> PodInfo {
    let mut info = PodInfo::new(pod, Arc::new(PodRequests::of(&pod.spec)));
    info.uid = Uid(uid);
    info.requested_node = placed.then(|| Str::from("n"));
    info
}

fn answer(plugin: &dyn Plugin, waiting: &Pod, when: When) -> bool {
    let mut snapshot = ClusterSnapshot::default();
    let waiting = info(waiting, WAITING, false);
    let mut ask = |event: &ClusterEvent<'_>, node: Option<Node>| {
        if let Some(node) = node {
            snapshot.put_node(Arc::new(node));
        }
        plugin.hint(&waiting, event, &snapshot) == QueueingHint::Queue
    };
    let place = NodeIndex(0);
    match when {
        NodeAdded(node) => ask(&ClusterEvent::NodeAdded(place), Some(node)),
        NodeUpdated(before, after) => {
            let before = NodeInfo::new(Arc::new(before));
            ask(&ClusterEvent::NodeUpdated { before: &before, node: place }, Some(after))
        }
        NodeDeleted(node) => ask(&ClusterEvent::NodeDeleted(&NodeInfo::new(Arc::new(node))), None),
        PodDeleted(other) => ask(&ClusterEvent::PodDeleted(&info(&other, 2, true)), None),
        PodAdded(other) => ask(&ClusterEvent::PodAdded(&info(&other, 2, true)), None),
        PodUpdated(before, after) => ask(&ClusterEvent::PodUpdated { before: &info(&before, 2, true), pod: &info(&after, 2, true) }, None),
        Itself(before, after) => {
            ask(&ClusterEvent::PodUpdated { before: &info(&before, WAITING, false), pod: &info(&after, WAITING, false) }, None)
        }
    }
}

/// Asks every case.
fn check(plugin: &dyn Plugin, waiting: &Pod, wakes: Vec<(&str, When)>, sleeps: Vec<(&str, When)>) {
    let name = plugin.name();
    for (case, when) in wakes {
        assert!(answer(plugin, waiting, when), "{name}: {case} should wake the pod");
    }
    for (case, when) in sleeps {
        assert!(!answer(plugin, waiting, when), "{name}: {case} should leave the pod");
    }
}

fn fit() -> NodeResourcesFit {
    NodeResourcesFit {
        strategy: Strategy::LeastAllocated,
        resources: Vec::new(),
        ignored_resources: Vec::new(),
        ignored_groups: Vec::new(),
    }
}

#[test]
fn node_resources_fit_hears_of_room_for_what_the_pod_asks() {
    let small = || asking(&[("cpu", 100)]);
    check(
        &fit(),
        &asking(&[("cpu", 500)]),
        vec![
            ("a placed pod that went", PodDeleted(small())),
            ("a new node with room", NodeAdded(node())),
            ("more cpu", NodeUpdated(node_with("cpu", 800), node())),
            ("room for more pods", NodeUpdated(node_with("pods", 5), node())),
            ("a placed pod that asks for less cpu", PodUpdated(asking(&[("cpu", 400)]), small())),
            ("its own smaller request", Itself(asking(&[("cpu", 900)]), asking(&[("cpu", 500)]))),
            ("its own smaller request of something else", Itself(asking(&[("memory", 900)]), asking(&[("memory", 500)]))),
        ],
        vec![
            ("a placed pod", PodAdded(small())),
            ("a new node that is too small", NodeAdded(node_with("cpu", 400))),
            ("a node that has grown and is still too small", NodeUpdated(node_with("cpu", 300), node_with("cpu", 400))),
            ("less cpu", NodeUpdated(node_with("cpu", 2000), node())),
            ("more memory, which it does not ask for", NodeUpdated(node_with("memory", 1), node())),
            ("new labels", NodeUpdated(labelled_node(&[]), node())),
            ("a node that went", NodeDeleted(node())),
            ("a placed pod that asks for less memory", PodUpdated(asking(&[("memory", 400)]), asking(&[("memory", 100)]))),
            ("a placed pod that asks for more", PodUpdated(small(), asking(&[("cpu", 400)]))),
        ],
    );
}

#[test]
fn node_affinity_hears_of_nodes_that_begin_to_match() {
    let requirement = Requirement { key: "disk".into(), operator: Operator::In, values: vec!["ssd".into()] };
    let term = NodeSelectorTerm { match_expressions: vec![requirement], ..NodeSelectorTerm::default() };
    let required = NodeAffinity { required: Some(vec![term]), ..NodeAffinity::default() };
    let waiting = pod(PodSpec { affinity: Affinity { node: Some(required), ..Affinity::default() }, ..PodSpec::default() });
    let (ssd, hdd) = (|| labelled_node(&[("disk", "ssd")]), || labelled_node(&[("disk", "hdd")]));
    check(
        &super::node_affinity::NodeAffinity::default(),
        &waiting,
        vec![("a new node that matches", NodeAdded(ssd())), ("a node that begins to match", NodeUpdated(hdd(), ssd()))],
        vec![
            ("a new node that does not match", NodeAdded(hdd())),
            ("a node that matched before", NodeUpdated(ssd(), labelled_node(&[("disk", "ssd"), ("rack", "1")]))),
            ("a node that ceases to match", NodeUpdated(ssd(), hdd())),
            ("a node that went", NodeDeleted(ssd())),
            ("a pod that went", PodDeleted(pod(PodSpec::default()))),
        ],
    );
    let enforced = NodeSelectorTerm {
        match_expressions: vec![Requirement { key: "pool".into(), operator: Operator::In, values: vec!["batch".into()] }],
        ..NodeSelectorTerm::default()
    };
    let plugin =
        super::node_affinity::NodeAffinity { added_required: Some(vec![enforced]), ..super::node_affinity::NodeAffinity::default() };
    check(
        &plugin,
        &waiting,
        vec![("a node that both want", NodeAdded(labelled_node(&[("disk", "ssd"), ("pool", "batch")])))],
        vec![("a node that addedAffinity does not want", NodeAdded(ssd()))],
    );
}

#[test]
fn taint_toleration_hears_of_nodes_it_begins_to_tolerate_and_of_new_tolerations() {
    check(
        &TaintToleration { comparison_operators: false },
        &tolerating(&["gpu"]),
        vec![
            ("a new node without taints", NodeAdded(node())),
            ("a new node with a tolerated taint", NodeAdded(tainted(&["gpu"]))),
            ("a taint that went", NodeUpdated(tainted(&["full"]), node())),
            ("its own new toleration", Itself(tolerating(&[]), tolerating(&["gpu"]))),
        ],
        vec![
            ("a new node with another taint", NodeAdded(tainted(&["full"]))),
            ("a taint that came", NodeUpdated(node(), tainted(&["full"]))),
            ("a change among tolerated taints", NodeUpdated(tainted(&["gpu"]), node())),
            ("another pod's new toleration", PodUpdated(tolerating(&[]), tolerating(&["gpu"]))),
            ("a pod that went", PodDeleted(pod(PodSpec::default()))),
            ("a node that went", NodeDeleted(node())),
        ],
    );
}

#[test]
fn node_unschedulable_hears_of_uncordoned_nodes() {
    let tolerant = || tolerating(&["node.kubernetes.io/unschedulable"]);
    check(
        &NodeUnschedulable { comparison_operators: false },
        &pod(PodSpec::default()),
        vec![
            ("a new node", NodeAdded(node())),
            ("an uncordoned node", NodeUpdated(cordoned(), node())),
            ("its own new toleration of cordons", Itself(tolerating(&[]), tolerant())),
        ],
        vec![
            ("a new node that is cordoned", NodeAdded(cordoned())),
            ("a cordoned node", NodeUpdated(node(), cordoned())),
            ("a change of a node that is not cordoned", NodeUpdated(tainted(&["full"]), node())),
            ("its own new toleration of something else", Itself(tolerating(&[]), tolerating(&["gpu"]))),
            ("a pod that went", PodDeleted(pod(PodSpec::default()))),
        ],
    );
}

#[test]
fn node_name_hears_of_every_new_node() {
    check(
        &NodeName,
        &pod(PodSpec::default()),
        vec![("a new node", NodeAdded(node()))],
        vec![
            ("a changed node", NodeUpdated(labelled_node(&[]), node())),
            ("a pod that went", PodDeleted(pod(PodSpec::default()))),
            ("a node that went", NodeDeleted(node())),
        ],
    );
}

#[test]
fn node_declared_features_hears_of_new_nodes_and_of_what_nodes_declare() {
    let declaring = |features: &[&str]| {
        let mut node = node();
        node.status.info.declared_features = features.iter().map(|feature| (*feature).into()).collect();
        node
    };
    check(
        &NodeDeclaredFeatures,
        &pod(PodSpec { required_node_features: vec!["A".into()], ..PodSpec::default() }),
        vec![
            ("a new node, whatever it declares", NodeAdded(node())),
            ("a node that declares more", NodeUpdated(node(), declaring(&["A"]))),
            ("a node that declares less", NodeUpdated(declaring(&["A"]), node())),
        ],
        vec![
            ("new labels", NodeUpdated(labelled_node(&[]), node())),
            ("a pod that went", PodDeleted(pod(PodSpec::default()))),
            ("a node that went", NodeDeleted(declaring(&["A"]))),
        ],
    );
}

#[test]
fn node_ports_hears_of_freed_ports_and_new_nodes() {
    check(
        &NodePorts,
        &with_port(80),
        vec![("a new node", NodeAdded(node())), ("a pod with its port that went", PodDeleted(with_port(80)))],
        vec![
            ("a pod with another port that went", PodDeleted(with_port(81))),
            ("a pod without ports that went", PodDeleted(pod(PodSpec::default()))),
            ("a pod with its port that came", PodAdded(with_port(80))),
            ("a changed node", NodeUpdated(tainted(&["full"]), node())),
        ],
    );
}

#[test]
fn inter_pod_affinity_hears_of_friends_that_come() {
    let (web, db) = (|| labelled(&[("app", "web")]), || labelled(&[("app", "db")]));
    check(
        &InterPodAffinity { hard_pod_affinity_weight: 1, ignore_preferred_terms_of_existing_pods: false },
        &near(&["web"]),
        vec![
            ("a friend that came", PodAdded(web())),
            ("a pod that became a friend", PodUpdated(db(), web())),
            ("a new node with the topology key", NodeAdded(node())),
            ("a node that got the topology key", NodeUpdated(labelled_node(&[]), node())),
            ("a node that changed its zone", NodeUpdated(labelled_node(&[(ZONE, "b")]), node())),
            ("its own new labels", Itself(db(), web())),
        ],
        vec![
            ("a stranger that came", PodAdded(db())),
            ("a friend of another namespace", PodAdded(elsewhere(web()))),
            ("a friend that went", PodDeleted(web())),
            ("a pod that was a friend before", PodUpdated(web(), labelled(&[("app", "web"), ("v", "2")]))),
            ("a new node without the topology key", NodeAdded(labelled_node(&[]))),
            ("a node that lost the topology key", NodeUpdated(node(), labelled_node(&[]))),
            ("a node with other labels", NodeUpdated(node(), labelled_node(&[(ZONE, "a"), ("rack", "1")]))),
            ("a node that went", NodeDeleted(node())),
        ],
    );
    check(
        &InterPodAffinity { hard_pod_affinity_weight: 1, ignore_preferred_terms_of_existing_pods: false },
        &near(&["web", "db"]),
        vec![],
        vec![("a pod that only one of two terms is about", PodAdded(web()))],
    );
}

#[test]
fn inter_pod_affinity_hears_of_enemies_that_go() {
    let (web, db) = (|| labelled(&[("app", "web")]), || labelled(&[("app", "db")]));
    let plugin = InterPodAffinity { hard_pod_affinity_weight: 1, ignore_preferred_terms_of_existing_pods: false };
    check(
        &plugin,
        &away(&["web"]),
        vec![
            ("an enemy that went", PodDeleted(web())),
            ("a pod that ceased to be an enemy", PodUpdated(web(), db())),
            ("a new node", NodeAdded(labelled_node(&[]))),
            ("a node that lost the topology key", NodeUpdated(node(), labelled_node(&[]))),
            ("a node that changed its zone", NodeUpdated(labelled_node(&[(ZONE, "b")]), node())),
        ],
        vec![
            ("a stranger that went", PodDeleted(db())),
            ("an enemy that came", PodAdded(web())),
            ("a pod that became an enemy", PodUpdated(db(), web())),
            ("a node that got the topology key", NodeUpdated(labelled_node(&[]), node())),
            ("other taints", NodeUpdated(tainted(&["full"]), node())),
        ],
    );
    check(
        &plugin,
        &web(),
        vec![("a pod that kept it away went", PodDeleted(away(&["web"])))],
        vec![
            ("a pod that kept others away went", PodDeleted(away(&["db"]))),
            ("a pod of which one term of two was about it", PodDeleted(away(&["web", "db"]))),
        ],
    );
}

#[test]
fn pod_topology_spread_hears_of_selected_pods_and_of_domains() {
    let plugin = PodTopologySpread { default_constraints: Vec::new(), system_defaulted: false, comparison_operators: false };
    let (web, db) = (|| labelled(&[("app", "web")]), || labelled(&[("app", "db")]));
    check(
        &plugin,
        &spread(false),
        vec![
            ("a selected pod that came", PodAdded(web())),
            ("a selected pod that went", PodDeleted(web())),
            ("a pod that is selected from now on", PodUpdated(db(), web())),
            ("a pod that no longer is selected", PodUpdated(web(), db())),
            ("its own new labels", Itself(db(), web())),
            ("a new node of a domain", NodeAdded(node())),
            ("a node of a domain that went", NodeDeleted(node())),
            ("a node that changed its domain", NodeUpdated(labelled_node(&[(ZONE, "b")]), node())),
            ("a node that left its domain", NodeUpdated(node(), labelled_node(&[]))),
            ("other taints", NodeUpdated(tainted(&["full"]), node())),
        ],
        vec![
            ("another pod that went", PodDeleted(db())),
            ("a selected pod of another namespace", PodAdded(elsewhere(web()))),
            ("a selected pod with other labels", PodUpdated(web(), labelled(&[("app", "web"), ("v", "2")]))),
            ("a new node of no domain", NodeAdded(labelled_node(&[]))),
            ("a node of no domain that went", NodeDeleted(labelled_node(&[]))),
            ("more cpu", NodeUpdated(node_with("cpu", 1), node())),
            ("an uncordoned node", NodeUpdated(cordoned(), node())),
            ("its own new toleration", Itself(tolerating(&[]), tolerating(&["gpu"]))),
        ],
    );
    check(
        &plugin,
        &spread(true),
        vec![("its own new toleration, where taints count", Itself(tolerating(&[]), tolerating(&["gpu"])))],
        vec![],
    );
}

#[test]
fn volume_plugins_hear_of_what_frees_volumes_and_of_labels() {
    let plain = || pod(PodSpec::default());
    check(
        &VolumeRestrictions,
        &with_claim("data"),
        vec![("a new node", NodeAdded(node())), ("a pod with the same claim that went", PodDeleted(with_claim("data")))],
        vec![
            ("a pod with another claim that went", PodDeleted(with_claim("logs"))),
            ("a pod of another namespace that went", PodDeleted(elsewhere(with_claim("data")))),
            ("a changed node", NodeUpdated(labelled_node(&[]), node())),
        ],
    );
    check(
        &VolumeRestrictions,
        &with_disk("d", false),
        vec![("a pod with the same disk that went", PodDeleted(with_disk("d", true)))],
        vec![("a pod with another disk that went", PodDeleted(with_disk("e", false)))],
    );
    check(
        &NodeVolumeLimits,
        &with_claim("data"),
        vec![("a pod with a claim that went", PodDeleted(with_claim("logs")))],
        vec![("a pod without volumes that went", PodDeleted(plain())), ("a new node", NodeAdded(node()))],
    );
    for plugin in [&VolumeBinding as &dyn Plugin, &VolumeZone] {
        check(
            plugin,
            &with_claim("data"),
            vec![("a new node", NodeAdded(node())), ("new labels", NodeUpdated(labelled_node(&[]), node()))],
            vec![("more cpu", NodeUpdated(node_with("cpu", 1), node())), ("a pod that went", PodDeleted(with_claim("data")))],
        );
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: name.into(), ..ObjectMeta::default() }
}

fn claim(namespace: &str, name: &str) -> PersistentVolumeClaim {
    PersistentVolumeClaim { meta: ObjectMeta { namespace: namespace.into(), ..named(name) }, ..PersistentVolumeClaim::default() }
}

fn volume_in(zone: &str) -> PersistentVolume {
    PersistentVolume { meta: ObjectMeta { labels: labels(&[(ZONE, zone)]), ..named("v") }, ..PersistentVolume::default() }
}

fn class(wait_for_first_consumer: bool, zones: &[&str]) -> StorageClass {
    let requirement = |zone: &&str| Requirement { key: ZONE.into(), operator: Operator::In, values: vec![(*zone).into()] };
    let term = |zone| NodeSelectorTerm { match_expressions: vec![requirement(zone)], ..NodeSelectorTerm::default() };
    StorageClass {
        meta: named("c"),
        wait_for_first_consumer,
        allowed_topologies: zones.iter().map(term).collect(),
        ..StorageClass::default()
    }
}

fn csi_node(limit: Option<i32>) -> CsiNode {
    CsiNode { meta: named("n"), drivers: [("csi".into(), limit)].into() }
}

fn csi_driver(storage_capacity: bool) -> CsiDriver {
    CsiDriver { meta: named("csi"), storage_capacity, ..CsiDriver::default() }
}

fn capacity(bytes: Option<i64>) -> CsiStorageCapacity {
    CsiStorageCapacity { capacity_bytes: bytes, ..CsiStorageCapacity::default() }
}

/// Which of the four volume plugins hear of `event`, for a pod with the claim `data` and an inline CSI volume:
/// VolumeRestrictions, NodeVolumeLimits, VolumeBinding, VolumeZone by their initials.
fn who_hears(event: &ClusterEvent<'_>) -> String {
    let mut waiting = with_claim("data");
    Arc::make_mut(&mut waiting.spec).volumes.push(Volume { name: "scratch".into(), source: VolumeSource::Csi("csi".into()) });
    let waiting = info(&waiting, WAITING, false);
    let plugins: [(char, &dyn Plugin); 4] =
        [('R', &VolumeRestrictions), ('L', &NodeVolumeLimits), ('B', &VolumeBinding), ('Z', &VolumeZone)];
    let snapshot = ClusterSnapshot::default();
    plugins.iter().filter(|(_, plugin)| plugin.hint(&waiting, event, &snapshot) == QueueingHint::Queue).map(|(name, _)| *name).collect()
}

#[test]
fn volume_plugins_hear_of_the_storage_objects_they_look_at() {
    fn case<'a, T>(before: Option<&'a T>, after: &'a T) -> Changed<'a, T> {
        Changed { before, after }
    }
    let (own, other, foreign) = (claim("ns", "data"), claim("ns", "logs"), claim("elsewhere", "data"));
    let (a, b) = (volume_in("a"), volume_in("b"));
    let (waits, at_once, narrow) = (class(true, &[]), class(false, &[]), class(true, &["a"]));
    let (none, few, many) = (csi_node(None), csi_node(Some(2)), csi_node(Some(8)));
    let (tracks, tracks_not) = (csi_driver(true), csi_driver(false));
    let (small, large, unknown) = (capacity(Some(1)), capacity(Some(2)), capacity(None));
    use ClusterEvent as E;
    let table = [
        ("its claim came", E::PersistentVolumeClaim(case(None, &own)), "RLBZ"),
        ("its claim changed", E::PersistentVolumeClaim(case(Some(&own), &own)), "BZ"),
        ("another claim came", E::PersistentVolumeClaim(case(None, &other)), ""),
        ("a claim of that name came elsewhere", E::PersistentVolumeClaim(case(None, &foreign)), ""),
        ("a volume came", E::PersistentVolume(case(None, &a)), "BZ"),
        ("a volume changed its zone", E::PersistentVolume(case(Some(&a), &b)), "BZ"),
        ("a volume changed otherwise", E::PersistentVolume(case(Some(&a), &a)), "B"),
        ("a class that waits came", E::StorageClass(case(None, &waits)), "BZ"),
        ("a class that does not wait came", E::StorageClass(case(None, &at_once)), "B"),
        ("a class changed its topologies", E::StorageClass(case(Some(&waits), &narrow)), "B"),
        ("a class changed otherwise", E::StorageClass(case(Some(&at_once), &waits)), ""),
        ("a CSINode came", E::CsiNode(case(None, &few)), "LB"),
        ("a limit grew", E::CsiNode(case(Some(&few), &many)), "L"),
        ("a limit came", E::CsiNode(case(Some(&none), &few)), "L"),
        ("a limit shrank", E::CsiNode(case(Some(&many), &few)), ""),
        ("its driver no longer tracks capacity", E::CsiDriver(case(Some(&tracks), &tracks_not)), "B"),
        ("its driver tracks capacity from now on", E::CsiDriver(case(Some(&tracks_not), &tracks)), ""),
        ("a driver came", E::CsiDriver(case(None, &tracks)), ""),
        ("a capacity came", E::CsiStorageCapacity(case(None, &small)), "B"),
        ("a capacity grew", E::CsiStorageCapacity(case(Some(&small), &large)), "B"),
        ("a capacity became known", E::CsiStorageCapacity(case(Some(&unknown), &small)), "B"),
        ("a capacity shrank", E::CsiStorageCapacity(case(Some(&large), &small)), ""),
        ("a volume was detached", E::VolumeAttachmentDeleted, "L"),
    ];
    for (what, event, heard) in table {
        assert_eq!(who_hears(&event), heard, "{what}");
    }
}

#[test]
fn gates_hear_of_their_own_pod_and_preemption_of_nothing() {
    let gated = |gates: &[&str]| pod(PodSpec { scheduling_gates: gates.iter().map(|gate| (*gate).into()).collect(), ..PodSpec::default() });
    check(
        &SchedulingGates,
        &gated(&[]),
        vec![("its last gate that went", Itself(gated(&["a"]), gated(&[])))],
        vec![
            ("one gate of two that went", Itself(gated(&["a", "b"]), gated(&["a"]))),
            ("another pod's gate that went", PodUpdated(gated(&["a"]), gated(&[]))),
            ("a new node", NodeAdded(node())),
        ],
    );
    check(
        &DefaultPreemption { min_candidate_nodes_percentage: 10, min_candidate_nodes_absolute: 100 },
        &gated(&[]),
        vec![],
        vec![("a pod that went", PodDeleted(gated(&[]))), ("a new node", NodeAdded(node()))],
    );
}
