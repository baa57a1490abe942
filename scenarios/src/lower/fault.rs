//! What goes wrong.

use api::{SimDuration, Str};
use engine::spec::{
    ControlPlaneComponent, Fault, FaultAction, FaultMode, FaultTarget, PodSelector, ProbeKind, ProvisioningFailure,
    ProvisioningFailureReason,
};
use manifests::{Diagnostic, Pointer};

use super::cluster::taint;
use super::selector::{match_labels, selector};
use crate::cx::{Cx, percent, with_help};
use crate::format::{self, Selector};

/// Actions and what they do, in the order they are listed.
const ACTIONS: &[(&str, Kind, &str)] = &[
    ("node-poweroff", Kind::Node, "The node loses power: nothing is announced, nothing answers. Undone, it boots with the same name."),
    ("node-restart", Kind::Node, "The node restarts and comes back by itself after `downtime`."),
    ("kubelet-service-kill", Kind::Node, "The kubelet stops; containers go on. Undone, it starts again."),
    (
        "node-network-partition",
        Kind::Node,
        "The kubelet and the API server cannot reach each other; pods go on. Undone, the kubelet connects again.",
    ),
    (
        "node-shutdown",
        Kind::Node,
        "The node is shut down in order: its kubelet ends pods as shutdownGracePeriod says, then the power goes. Undone, it boots with the same name.",
    ),
    ("node-drain", Kind::Node, "The node is cordoned and its pods are evicted. Undone, it is uncordoned."),
    ("node-taint", Kind::Node, "The node gets `taint`. Undone, it loses it."),
    ("pod-kill", Kind::Pod, "The pod is deleted, with `gracePeriod`."),
    ("container-kill", Kind::Pod, "A container exits with `exitCode`; the kubelet starts it again."),
    ("probe-failure", Kind::Pod, "The container's `probe` (liveness, readiness or startup) fails until the container is another."),
    (
        "control-plane-kill",
        Kind::ControlPlane,
        "`component` is away: kube-scheduler, kube-controller-manager, kube-apiserver or etcd. Undone, it starts again; leaders wait for their lease.",
    ),
    (
        "provisioning-failure",
        Kind::Cloud,
        "Nodes that the cluster autoscaler orders for `nodePools` do not come, for `reason`. Undone, orders made from then on succeed.",
    ),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Node,
    Pod,
    /// A part of the control plane, which `component` names.
    ControlPlane,
    /// The cloud that nodes are ordered from.
    Cloud,
}

const REASONS: &[(&str, (ProvisioningFailureReason, &str))] = &[
    ("out-of-resources", (ProvisioningFailureReason::OutOfResources, "the zone does not have enough resources available")),
    ("quota-exceeded", (ProvisioningFailureReason::QuotaExceeded, "quota exceeded")),
    ("refused", (ProvisioningFailureReason::Refused, "the cloud refused the request")),
    ("never-created", (ProvisioningFailureReason::NeverCreated, "")),
    ("never-registers", (ProvisioningFailureReason::NeverRegisters, "")),
];

const COMPONENTS: &[(&str, ControlPlaneComponent)] = &[
    ("kube-scheduler", ControlPlaneComponent::KubeScheduler),
    ("kube-controller-manager", ControlPlaneComponent::KubeControllerManager),
    ("kube-apiserver", ControlPlaneComponent::KubeApiserver),
    ("etcd", ControlPlaneComponent::Etcd),
];

const PROBES: &[(&str, ProbeKind)] =
    &[("liveness", ProbeKind::Liveness), ("readiness", ProbeKind::Readiness), ("startup", ProbeKind::Startup)];

/// Kinds of Chaos Mesh that are known and not simulated.
const OTHER_KINDS: &[&str] = &[
    "NetworkChaos",
    "IOChaos",
    "StressChaos",
    "TimeChaos",
    "DNSChaos",
    "HTTPChaos",
    "KernelChaos",
    "JVMChaos",
    "AWSChaos",
    "GCPChaos",
    "AzureChaos",
    "BlockChaos",
    "PhysicalMachineChaos",
    "Schedule",
    "Workflow",
];
/// Actions that are known and not simulated.
const OTHER_ACTIONS: &[&str] = &[
    "pod-failure",
    "node-cpu-hog",
    "node-memory-hog",
    "node-io-stress",
    "docker-service-kill",
    "partition",
    "delay",
    "loss",
    "bandwidth",
    "duplicate",
    "corrupt",
];

/// The faults that a scenario may name, with what they do.
#[must_use]
pub fn faults() -> Vec<(&'static str, &'static str)> {
    ACTIONS.iter().map(|(name, _, what)| (*name, *what)).collect()
}

/// The faults at `path`, each with its place.
pub(crate) fn lower(cx: &mut Cx<'_>, path: &Pointer) -> Vec<(Fault, Pointer)> {
    cx.items(path).into_iter().filter_map(|item| Some((fault(cx, &item)?, item))).collect()
}

fn fault(cx: &mut Cx<'_>, path: &Pointer) -> Option<Fault> {
    let kind_text = cx.text(&path.key("kind")).map(str::to_owned);
    if let Some(kind) = kind_text.as_deref().filter(|kind| OTHER_KINDS.contains(kind)) {
        let diagnostic = Diagnostic::error("WT0310", format!("{kind} is not supported yet")).label("this fault would not happen");
        cx.push(
            diagnostic.help("take it out, or use PodChaos or NodeChaos; `wavetank list faults` shows what there is"),
            &path.key("kind"),
        );
        return None;
    }
    let fields: format::Fault = cx.read(path)?;
    let kind = kind(cx, &fields, path);
    let at = cx.moment(&path.key("at"));
    let action = action(cx, &fields, path);
    let duration = cx.optional_duration(fields.duration.as_ref(), &path.key("duration"));
    let mode = mode(cx, &fields, path);
    let of = ACTIONS.iter().find(|(name, ..)| *name == fields.action).map(|(_, of, _)| *of);
    if let (Some(said), Some(of)) = (kind, of)
        && said != of
    {
        let right = match of {
            Kind::Node => "NodeChaos",
            Kind::Pod => "PodChaos",
            Kind::ControlPlane | Kind::Cloud => "no kind of Chaos Mesh; take `kind` out",
        };
        cx.error(
            "WT0301",
            format!("`{}` is not an action of {}", fields.action, kind_text.unwrap_or_default()),
            format!("it belongs to {right}"),
            &path.key("action"),
        );
    }
    let target = target(cx, of?, &fields, path);
    let schedule = schedule(cx, &fields, path);
    Some(Fault { name: fields.name.as_str().into(), at: at?, duration, schedule, action: action?, mode: mode?, target: target? })
}

fn kind(cx: &mut Cx<'_>, fields: &format::Fault, path: &Pointer) -> Option<Kind> {
    let kind = fields.kind.as_deref()?;
    match kind {
        "NodeChaos" => Some(Kind::Node),
        "PodChaos" => Some(Kind::Pod),
        other => {
            let diagnostic = Diagnostic::error("WT0301", format!("no kind of fault is called `{other}`")).label("no such kind");
            cx.push(with_help(diagnostic, manifests::suggestion(other, &["NodeChaos", "PodChaos"])), &path.key("kind"));
            None
        }
    }
}

fn action(cx: &mut Cx<'_>, fields: &format::Fault, path: &Pointer) -> Option<FaultAction> {
    let at = path.key("action");
    Some(match fields.action.as_str() {
        "node-poweroff" => FaultAction::NodePoweroff,
        "node-restart" => {
            let downtime = cx.optional_duration(fields.downtime.as_ref(), &path.key("downtime"));
            FaultAction::NodeRestart(downtime.unwrap_or(SimDuration::from_secs(60)))
        }
        "kubelet-service-kill" => FaultAction::KubeletServiceKill,
        "node-network-partition" => FaultAction::NodeNetworkPartition,
        "node-shutdown" => FaultAction::NodeShutdown,
        "node-drain" => FaultAction::NodeDrain,
        "node-taint" => {
            if fields.taint.is_none() {
                cx.error("WT0107", "required field `taint` is missing", "such as `taint: dedicated=x:NoExecute`", path);
                return None;
            }
            FaultAction::NodeTaint(taint(cx, &path.key("taint"))?)
        }
        "container-kill" => {
            let container = fields.container_names.iter().flatten().next().map(|name| Str::from(name.as_str()));
            FaultAction::ContainerKill { container, exit_code: fields.exit_code.unwrap_or(137) }
        }
        "probe-failure" => {
            let container = fields.container_names.iter().flatten().next().map(|name| Str::from(name.as_str()));
            let Some(probe) = &fields.probe else {
                cx.error("WT0107", "required field `probe` is missing", "such as `probe: liveness`", path);
                return None;
            };
            FaultAction::ProbeFailure { container, probe: cx.word(probe, PROBES, &path.key("probe"))? }
        }
        "control-plane-kill" => {
            let Some(component) = &fields.component else {
                cx.error("WT0107", "required field `component` is missing", "such as `component: kube-scheduler`", path);
                return None;
            };
            FaultAction::ControlPlaneKill(cx.word(component, COMPONENTS, &path.key("component"))?)
        }
        "pod-kill" => FaultAction::PodKill { grace: grace(cx, fields, path)? },
        "provisioning-failure" => FaultAction::ProvisioningFailure(provisioning_failure(cx, fields, path)?),
        other if OTHER_ACTIONS.contains(&other) => {
            let diagnostic = Diagnostic::error("WT0310", format!("`{other}` is not supported yet")).label("this fault would not happen");
            cx.push(diagnostic.help("take it out, or use another action; `wavetank list faults` shows what there is"), &at);
            return None;
        }
        other => {
            let known: Vec<&str> = ACTIONS.iter().map(|(name, ..)| *name).collect();
            let diagnostic = Diagnostic::error("WT0301", format!("no fault is called `{other}`")).label("no such action");
            cx.push(with_help(diagnostic, manifests::suggestion(other, &known)), &at);
            return None;
        }
    })
}

fn provisioning_failure(cx: &mut Cx<'_>, fields: &format::Fault, path: &Pointer) -> Option<ProvisioningFailure> {
    let (reason, message) = match &fields.reason {
        Some(word) => cx.word(word, REASONS, &path.key("reason"))?,
        None => REASONS[0].1,
    };
    let share = match &fields.share {
        Some(text) => cx.share(text, &path.key("share"))?,
        None => 1.0,
    };
    let after = cx.optional_duration(fields.detected_after.as_ref(), &path.key("detectedAfter")).unwrap_or(SimDuration::from_secs(10));
    let pools = fields.node_pools.iter().flatten().map(|name| name.as_str().into()).collect();
    Some(ProvisioningFailure { pools, reason, message: fields.message.as_deref().unwrap_or(message).into(), share, after })
}

/// Chaos Mesh writes the grace as a bare number of seconds.
fn grace(cx: &mut Cx<'_>, fields: &format::Fault, path: &Pointer) -> Option<SimDuration> {
    let Some(scalar) = &fields.grace_period else { return Some(SimDuration::ZERO) };
    let at = path.key("gracePeriod");
    match scalar.number {
        Some(seconds) => cx.within(seconds, 0.0, "a grace period", &at).map(SimDuration::from_secs_f64),
        None => cx.duration(scalar, &at),
    }
}

fn mode(cx: &mut Cx<'_>, fields: &format::Fault, path: &Pointer) -> Option<FaultMode> {
    let word = fields.mode.as_deref().unwrap_or("one");
    let at = path.key("value");
    let known: &[(&str, u8)] = &[("one", 0), ("all", 1), ("fixed", 2), ("fixed-percent", 3), ("random-max-percent", 4)];
    let mode = cx.word(word, known, &path.key("mode"))?;
    if mode < 2 {
        if fields.value.is_some() {
            cx.error("WT0118", format!("mode `{word}` takes no value"), "take it out, or use `fixed` or `fixed-percent`", &at);
        }
        return Some(if mode == 0 { FaultMode::One } else { FaultMode::All });
    }
    let Some(value) = &fields.value else {
        cx.error("WT0107", "required field `value` is missing", format!("mode `{word}` needs it"), path);
        return None;
    };
    let number = value.number.or_else(|| value.text.parse().ok());
    if mode == 2 {
        let count = number.filter(|number| number.fract() == 0.0 && (1.0..=1e6).contains(number));
        if count.is_none() {
            cx.error("WT0109", format!("`{}` is not a count", value.text), "expected a whole number of at least 1", &at);
        }
        return count.map(|count| FaultMode::Fixed(count as u32));
    }
    let share = percent(&value.text).or(number).filter(|share| *share > 0.0 && *share <= 100.0);
    if share.is_none() {
        cx.error("WT0109", format!("`{}` is not a percentage", value.text), "expected more than 0 and at most 100", &at);
    }
    share.map(|share| if mode == 3 { FaultMode::FixedPercent(share) } else { FaultMode::RandomMaxPercent(share) })
}

fn target(cx: &mut Cx<'_>, kind: Kind, fields: &format::Fault, path: &Pointer) -> Option<FaultTarget> {
    let at = path.key("selector");
    if kind == Kind::Cloud {
        if fields.selector.is_some() {
            cx.error("WT0118", "the cloud is not selected", "`nodePools` says whose orders fail; take `selector` out", &at);
        }
        return Some(FaultTarget::Cloud);
    }
    if kind == Kind::ControlPlane {
        if fields.selector.is_some() {
            cx.error("WT0118", "the control plane is not selected", "`component` says what is away; take `selector` out", &at);
        }
        return Some(FaultTarget::ControlPlane);
    }
    if fields.selector.is_none() {
        return Some(match kind {
            Kind::Node => FaultTarget::Nodes { labels: None, names: Vec::new() },
            Kind::Pod => FaultTarget::Pods(PodSelector::default()),
            Kind::ControlPlane => FaultTarget::ControlPlane,
            Kind::Cloud => FaultTarget::Cloud,
        });
    }
    let (pods, raw) = selector(cx, &at)?;
    match kind {
        Kind::Pod => {
            if raw.target.is_some() || raw.nodes.is_some() {
                cx.error("WT0118", "a fault of pods", "`nodes` and `target` belong to faults of nodes; `nodeSelectors` is for both", &at);
            }
            Some(FaultTarget::Pods(pods))
        }
        Kind::Node => node_target(cx, &pods, &raw, &at),
        Kind::ControlPlane | Kind::Cloud => None,
    }
}

fn node_target(cx: &mut Cx<'_>, pods: &PodSelector, raw: &Selector, at: &Pointer) -> Option<FaultTarget> {
    if let Some(word) = &raw.target {
        cx.word(word, &[("node-of-pod", ())], &at.key("target"))?;
        return Some(FaultTarget::NodesOfPods(pods.clone()));
    }
    let of_pods = PodSelector { node_labels: None, ..pods.clone() } != PodSelector::default();
    if of_pods {
        let diagnostic = Diagnostic::error("WT0118", "this selects pods, and the fault strikes nodes").label("labels and names of pods");
        cx.push(diagnostic.help("add `target: node-of-pod`, or select nodes by `nodeSelectors` or `nodes`"), at);
        return None;
    }
    let names = raw.nodes.iter().flatten().map(|name| name.as_str().into()).collect();
    Some(FaultTarget::Nodes { labels: raw.node_selectors.as_ref().map(match_labels), names })
}

fn schedule(cx: &mut Cx<'_>, fields: &format::Fault, path: &Pointer) -> Option<(SimDuration, u32)> {
    let schedule = fields.schedule.as_ref()?;
    let at = path.key("schedule");
    let every = cx.duration(&schedule.every, &at.key("every"))?;
    if every.is_zero() {
        cx.error("WT0109", "again every 0s", "expected more than 0s", &at.key("every"));
        return None;
    }
    let fits = u32::try_from(cx.duration.as_nanos() / every.as_nanos()).unwrap_or(u32::MAX).saturating_add(1);
    Some((every, schedule.times.unwrap_or(fits)))
}
