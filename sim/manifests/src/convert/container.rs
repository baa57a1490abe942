//! Containers: resources, ports, probes, hooks.

use api::{
    Container, ContainerPort, ContainerRestartRule, ImagePullPolicy, LifecycleHandler, Probe, ProbeHandler, ResourceList, ResourceName,
    RestartPolicy, SimDuration, Str,
};
use k8s_openapi::api::core::v1 as core;

use crate::check::{Cx, NameRule, text, texts};
use crate::source::Step;

/// Which list a container is in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Main,
    Init,
}

/// A container, with requests filled in from limits.
pub(crate) fn container(cx: &mut Cx<'_>, from: &core::Container, role: Role, host_network: bool, at: &Step<'_>) -> Container {
    if from.name.is_empty() {
        cx.missing("name", at);
    } else {
        cx.name(&from.name, NameRule::Label, &at.key("name"));
    }
    let image = from.image.as_deref().unwrap_or("");
    if image.is_empty() {
        cx.missing("image", at);
    }
    let policies =
        &[("Always", ImagePullPolicy::Always), ("IfNotPresent", ImagePullPolicy::IfNotPresent), ("Never", ImagePullPolicy::Never)];
    let policy = from.image_pull_policy.as_deref().filter(|word| !word.is_empty());
    let policy = policy.and_then(|word| cx.word(word, policies, &at.key("imagePullPolicy")));
    let restart = from.restart_policy.as_deref();
    let restarts = &[("Always", RestartPolicy::Always), ("OnFailure", RestartPolicy::OnFailure), ("Never", RestartPolicy::Never)];
    let restart_policy = restart.and_then(|word| cx.word(word, restarts, &at.key("restartPolicy")));
    let always = restart_policy == Some(RestartPolicy::Always);
    let restart_rules = restart_rules(cx, from, at);
    let (requests, limits) = from.resources.as_ref().map(|from| requirements(cx, from, true, &at.key("resources"))).unwrap_or_default();
    let is_plain_init = role == Role::Init && !always;
    let probe_at = |cx: &mut Cx<'_>, from: &Option<core::Probe>, field: &str, only_once: bool| {
        let from = from.as_ref()?;
        let at = at.key(field);
        if is_plain_init {
            cx.error(
                "WT0117",
                "a probe on an init container",
                "only containers, and init containers with `restartPolicy: Always`, have probes",
                &at,
            );
        }
        probe(cx, from, only_once, &at)
    };
    let hooks = from.lifecycle.as_ref();
    Container {
        name: from.name.as_str().into(),
        image: image.into(),
        image_pull_policy: policy.unwrap_or_else(|| pull_policy(image)),
        args: from.command.iter().flatten().chain(from.args.iter().flatten()).map(|word| word.as_str().into()).collect(),
        requests,
        limits,
        ports: ports(cx, from.ports.as_deref().unwrap_or_default(), host_network, at),
        startup_probe: probe_at(cx, &from.startup_probe, "startupProbe", true),
        liveness_probe: probe_at(cx, &from.liveness_probe, "livenessProbe", true),
        readiness_probe: probe_at(cx, &from.readiness_probe, "readinessProbe", false),
        post_start: hooks
            .and_then(|hooks| hooks.post_start.as_ref())
            .and_then(|from| hook(cx, from, &at.key("lifecycle").key("postStart"))),
        pre_stop: hooks.and_then(|hooks| hooks.pre_stop.as_ref()).and_then(|from| hook(cx, from, &at.key("lifecycle").key("preStop"))),
        is_sidecar: role == Role::Init && always,
        restart_policy,
        restart_rules,
        restarts_on_resize: restarts_on_resize(cx, from, at),
    }
}

/// Resources that are resized by starting the container anew.
fn restarts_on_resize(cx: &mut Cx<'_>, from: &core::Container, at: &Step<'_>) -> Vec<ResourceName> {
    let list = at.key("resizePolicy");
    let (resources, policies) = (&[("cpu", true), ("memory", false)], &[("NotRequired", false), ("RestartContainer", true)]);
    let mut found = Vec::new();
    for (index, policy) in from.resize_policy.iter().flatten().enumerate() {
        let at = list.index(index);
        let is_cpu = cx.word(&policy.resource_name, resources, &at.key("resourceName"));
        let restarts = cx.word(&policy.restart_policy, policies, &at.key("restartPolicy"));
        if restarts == Some(true) && from.restart_policy.as_deref() == Some("Never") {
            cx.error("WT0117", "RestartContainer in a container that is never restarted", "restartPolicy is Never", &at);
        }
        if let (Some(is_cpu), Some(true)) = (is_cpu, restarts) {
            found.push(if is_cpu { ResourceName::Cpu } else { ResourceName::Memory });
        }
    }
    found
}

fn restart_rules(cx: &mut Cx<'_>, from: &core::Container, at: &Step<'_>) -> Vec<ContainerRestartRule> {
    let rules_at = at.key("restartPolicyRules");
    let rules = from.restart_policy_rules.as_deref().unwrap_or_default();
    if !rules.is_empty() && from.restart_policy.is_none() {
        cx.error("WT0107", "rules without a policy", "a container with restartPolicyRules needs a restartPolicy of its own", &rules_at);
    }
    let (actions, operators) = (&[("Restart", false), ("RestartAllContainers", true)], &[("In", true), ("NotIn", false)]);
    let mut found = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let at = rules_at.index(index);
        let restarts_all = cx.word(&rule.action, actions, &at.key("action"));
        let Some(codes) = &rule.exit_codes else {
            cx.missing("exitCodes", &at);
            continue;
        };
        let codes_at = at.key("exitCodes");
        let matches_listed = cx.word(&codes.operator, operators, &codes_at.key("operator"));
        if let (Some(restarts_all), Some(matches_listed)) = (restarts_all, matches_listed) {
            let exit_codes = codes.values.clone().unwrap_or_default();
            found.push(ContainerRestartRule { matches_listed, exit_codes, restarts_all });
        }
    }
    found
}

/// Always for `latest` or no tag, IfNotPresent otherwise. Upstream: pkg/apis/core/v1/defaults.go.
fn pull_policy(image: &str) -> ImagePullPolicy {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or(name);
    match (last.split_once(':'), digest) {
        (Some((_, "latest")), _) | (None, None) => ImagePullPolicy::Always,
        _ => ImagePullPolicy::IfNotPresent,
    }
}

/// Requests and limits. `fill` copies a missing request from the limit.
pub(crate) fn requirements(cx: &mut Cx<'_>, from: &core::ResourceRequirements, fill: bool, at: &Step<'_>) -> (ResourceList, ResourceList) {
    let (requests_at, limits_at) = (at.key("requests"), at.key("limits"));
    let mut requests = cx.resources(from.requests.iter().flatten(), &requests_at);
    let limits = cx.resources(from.limits.iter().flatten(), &limits_at);
    for (name, request) in &requests {
        let at = requests_at.key(name.as_str());
        let overcommits = matches!(name, ResourceName::Cpu | ResourceName::Memory | ResourceName::EphemeralStorage);
        let shown = from.limits.as_ref().and_then(|limits| limits.get(name.as_str())).map_or("", |raw| raw.0.as_str());
        match limits.get(name) {
            Some(limit) if request > limit => {
                cx.error("WT0115", format!("the request for {name} exceeds its limit"), format!("the limit is {shown}"), &at)
            }
            Some(limit) if !overcommits && request != limit => {
                cx.error(
                    "WT0115",
                    format!("request and limit of {name} differ"),
                    format!("the limit is {shown}; they must be equal for this resource"),
                    &at,
                );
            }
            None if fill && !overcommits => {
                cx.error("WT0107", format!("{name} is requested without a limit"), "this resource needs an equal limit", &at);
            }
            _ => {}
        }
    }
    if fill {
        for (name, limit) in &limits {
            requests.entry(name.clone()).or_insert(*limit);
        }
    }
    (requests, limits)
}

fn ports(cx: &mut Cx<'_>, from: &[core::ContainerPort], host_network: bool, at: &Step<'_>) -> Vec<ContainerPort> {
    let ports_at = at.key("ports");
    let protocols = &[("TCP", ()), ("UDP", ()), ("SCTP", ())];
    let mut found = Vec::new();
    for (index, from) in from.iter().enumerate() {
        let at = ports_at.index(index);
        let container_port = cx.ranged(from.container_port, 1..=65535, &at.key("containerPort")).unwrap_or(0) as u16;
        let host_port =
            from.host_port.filter(|port| *port != 0).and_then(|port| cx.ranged(port, 1..=65535, &at.key("hostPort"))).unwrap_or(0) as u16;
        let protocol = from.protocol.as_deref().filter(|word| !word.is_empty()).unwrap_or("TCP");
        cx.word(protocol, protocols, &at.key("protocol"));
        if host_network && host_port != 0 && host_port != container_port {
            cx.error(
                "WT0118",
                "hostPort differs from containerPort",
                "with `hostNetwork: true` they are the same port",
                &at.key("hostPort"),
            );
        }
        found.push(ContainerPort {
            name: text(from.name.as_ref()),
            container_port,
            host_port: if host_network && host_port == 0 { container_port } else { host_port },
            host_ip: text(from.host_ip.as_ref()),
            protocol: protocol.into(),
        });
    }
    found
}

/// A probe with upstream's defaults. `only_once` for those whose successThreshold must be 1.
fn probe(cx: &mut Cx<'_>, from: &core::Probe, only_once: bool, at: &Step<'_>) -> Option<Probe> {
    let handlers = [from.exec.is_some(), from.http_get.is_some(), from.tcp_socket.is_some(), from.grpc.is_some()];
    match handlers.iter().filter(|there| **there).count() {
        0 => cx.error_with_help(
            "WT0107",
            "a probe that asks nothing",
            "one of httpGet, tcpSocket, grpc, exec belongs here",
            "a probe needs exactly one handler",
            at,
        ),
        1 => {}
        _ => cx.error("WT0117", "a probe with several handlers", "exactly one of httpGet, tcpSocket, grpc, exec", at),
    }
    let handler = match from {
        core::Probe { exec: Some(exec), .. } => ProbeHandler::Exec(texts(exec.command.as_ref())),
        core::Probe { http_get: Some(_), .. } => ProbeHandler::HttpGet,
        core::Probe { tcp_socket: Some(_), .. } => ProbeHandler::TcpSocket,
        core::Probe { grpc: Some(_), .. } => ProbeHandler::Grpc,
        _ => return None,
    };
    let mut number = |value: Option<i32>, default: i32, field: &str| match value {
        None | Some(0) => default,
        Some(value) => cx.count(value, &at.key(field)),
    };
    let initial_delay = number(from.initial_delay_seconds, 0, "initialDelaySeconds");
    let timeout = number(from.timeout_seconds, 1, "timeoutSeconds");
    let period = number(from.period_seconds, 10, "periodSeconds");
    let success_threshold = number(from.success_threshold, 1, "successThreshold");
    let failure_threshold = number(from.failure_threshold, 3, "failureThreshold");
    if only_once && success_threshold != 1 {
        cx.error(
            "WT0109",
            format!("{success_threshold} is out of range"),
            "must be 1 for liveness and startup probes",
            &at.key("successThreshold"),
        );
    }
    let seconds = |value: i32| SimDuration::from_secs(u64::from(value.unsigned_abs()));
    Some(Probe {
        handler,
        initial_delay: seconds(initial_delay),
        timeout: seconds(timeout),
        period: seconds(period.max(1)),
        success_threshold: success_threshold.unsigned_abs().max(1),
        failure_threshold: failure_threshold.unsigned_abs().max(1),
        termination_grace_period: from
            .termination_grace_period_seconds
            .map(|value| cx.seconds(value, &at.key("terminationGracePeriodSeconds"))),
    })
}

fn hook(cx: &mut Cx<'_>, from: &core::LifecycleHandler, at: &Step<'_>) -> Option<LifecycleHandler> {
    if let Some(sleep) = &from.sleep {
        let sleep_at = at.key("sleep");
        return Some(LifecycleHandler::Sleep(cx.seconds(sleep.seconds, &sleep_at.key("seconds"))));
    }
    if from.exec.is_none() && from.http_get.is_none() && from.tcp_socket.is_none() {
        cx.error("WT0107", "a hook that does nothing", "one of exec, httpGet, sleep belongs here", at);
        return None;
    }
    Some(LifecycleHandler::Other)
}

/// Mounts of volumes that the pod does not have.
pub(crate) fn mounts(cx: &mut Cx<'_>, from: &core::Container, volumes: &[Str], at: &Step<'_>) {
    let mounts_at = at.key("volumeMounts");
    for (index, mount) in from.volume_mounts.iter().flatten().enumerate() {
        if !volumes.iter().any(|name| **name == mount.name) {
            let at = mounts_at.index(index);
            let known: Vec<&str> = volumes.iter().map(|name| &**name).collect();
            let help = crate::nearest::suggestion(&mount.name, &known).unwrap_or_else(|| "list it under spec.volumes".to_owned());
            cx.error_with_help(
                "WT0204",
                format!("no volume is called `{}`", mount.name),
                "not in the pod's volumes",
                help,
                &at.key("name"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pull_policy_follows_the_tag() {
        for (image, always) in [
            ("app", true),
            ("app:latest", true),
            ("app:1.2", false),
            ("registry:5000/app", true),
            ("registry:5000/app:v1", false),
            ("app@sha256:0123", false),
            ("app:latest@sha256:0123", true),
        ] {
            assert_eq!(pull_policy(image) == ImagePullPolicy::Always, always, "{image}");
        }
    }
}
