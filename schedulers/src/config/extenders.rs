//! `extenders:` of a KubeSchedulerConfiguration.
//!
//! Upstream: staging/src/k8s.io/kube-scheduler/config/v1/types.go (Extender), validated as in
//! apis/config/validation/validation.go. Ours besides: an extender has to be on this machine and speaks plain
//! HTTP, so that a simulation reaches into no network.

use std::collections::BTreeSet;
use std::time::Duration;

use api::{SimDuration, Str};
use port::ExtenderAddress;

use super::reader::Reader;

/// Upstream: DefaultExtenderTimeout.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// One extender as configured. A verb that is empty is not served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ExtenderConfig {
    pub(crate) address: ExtenderAddress,
    pub(crate) filter_verb: String,
    pub(crate) prioritize_verb: String,
    pub(crate) preempt_verb: String,
    pub(crate) bind_verb: String,
    pub(crate) weight: i64,
    pub(crate) node_cache_capable: bool,
    /// A pod that asks for none of these is not its business; empty is every pod.
    pub(crate) managed_resources: Vec<Str>,
    /// Those of them that NodeResourcesFit leaves to it.
    pub(crate) ignored_resources: Vec<Str>,
    pub(crate) ignorable: bool,
}

/// Reads the list.
pub(crate) fn read(list: &Reader<'_>) -> Vec<ExtenderConfig> {
    let extenders: Vec<ExtenderConfig> = list.list().iter().map(extender).collect();
    if extenders.iter().filter(|extender| !extender.bind_verb.is_empty()).count() > 1 {
        list.error("only one extender can have a bindVerb");
    }
    let mut seen: BTreeSet<&Str> = BTreeSet::new();
    for name in extenders.iter().flat_map(|extender| &extender.managed_resources).filter(|name| !seen.insert(name)) {
        list.error(format!("the resource {name:?} is managed twice"));
    }
    extenders
}

fn extender(item: &Reader<'_>) -> ExtenderConfig {
    item.fields(&[
        "urlPrefix",
        "filterVerb",
        "preemptVerb",
        "prioritizeVerb",
        "weight",
        "bindVerb",
        "enableHTTPS",
        "tlsConfig",
        "httpTimeout",
        "nodeCacheCapable",
        "managedResources",
        "ignorable",
    ]);
    if item.get("enableHTTPS").boolean(false) {
        item.get("enableHTTPS").error("extenders are called over plain HTTP on this machine: take enableHTTPS away");
    }
    if !item.get("tlsConfig").is_absent() {
        item.get("tlsConfig").error("extenders are called over plain HTTP on this machine: take tlsConfig away");
    }
    let verb = |name: &str| item.get(name).text("").to_owned();
    let weight = item.get("weight").integer(0, 0..=i64::from(i32::MAX));
    if weight == 0 && !verb("prioritizeVerb").is_empty() {
        item.get("weight").error("has to be positive with a prioritizeVerb");
    }
    let (managed_resources, ignored_resources) = resources(&item.get("managedResources"));
    ExtenderConfig {
        address: ExtenderAddress { url_prefix: url_prefix(&item.get("urlPrefix")), timeout: timeout(&item.get("httpTimeout")) },
        filter_verb: verb("filterVerb"),
        prioritize_verb: verb("prioritizeVerb"),
        preempt_verb: verb("preemptVerb"),
        bind_verb: verb("bindVerb"),
        weight,
        node_cache_capable: item.get("nodeCacheCapable").boolean(false),
        managed_resources,
        ignored_resources,
        ignorable: item.get("ignorable").boolean(false),
    }
}

fn timeout(reader: &Reader<'_>) -> Duration {
    let text = reader.text("0");
    match text.parse::<SimDuration>() {
        Ok(SimDuration::ZERO) => DEFAULT_TIMEOUT,
        Ok(timeout) => Duration::from_nanos(timeout.as_nanos()),
        Err(_) => {
            reader.error(format!("{text:?} is not a duration such as 500ms or 5s"));
            DEFAULT_TIMEOUT
        }
    }
}

fn url_prefix(reader: &Reader<'_>) -> String {
    let text = reader.text("");
    match text.strip_prefix("http://") {
        Some(rest) if is_loopback(host(rest)) => {}
        Some(_) => reader.error(format!("{text:?} is not on this machine: an extender has to listen on 127.0.0.1, [::1] or localhost")),
        None => reader.error(format!("{text:?} has to begin with http:// and a host of this machine, as http://127.0.0.1:8888/scheduler")),
    }
    text.trim_end_matches('/').to_owned()
}

/// The host of what follows `http://`. A user name before it would hide another host: then there is none.
fn host(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains(['@', '\\']) {
        return "";
    }
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Names of managed resources, and of those that are left to the extender.
fn resources(list: &Reader<'_>) -> (Vec<Str>, Vec<Str>) {
    let (mut managed, mut ignored) = (Vec::new(), Vec::new());
    for item in list.list() {
        item.fields(&["name", "ignoredByScheduler"]);
        let name = item.get("name").text("");
        // Upstream: v1helper.IsExtendedResourceName.
        let is_native = !name.contains('/') || name.split('/').next().is_some_and(|domain| domain.contains("kubernetes.io"));
        if is_native || name.starts_with("requests.") {
            item.get("name").error(format!("{name:?} is not the name of an extended resource, such as example.com/gpu"));
        }
        managed.push(Str::from(name));
        ignored.extend(item.get("ignoredByScheduler").boolean(false).then(|| Str::from(name)));
    }
    (managed, ignored)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::{Value, json};

    use super::super::reader::Findings;
    use super::*;

    fn errors(extenders: Value) -> Vec<String> {
        let findings = RefCell::new(Findings::default());
        read(&Reader::new("extenders", &extenders, &findings));
        findings.into_inner().errors
    }

    #[test]
    fn only_this_machine_is_called_and_only_without_tls() {
        for url in ["http://127.0.0.1:8888/x", "http://localhost", "http://[::1]:80", "http://127.1.2.3/"] {
            assert_eq!(errors(json!([{"urlPrefix": url}])), Vec::<String>::new(), "{url}");
        }
        for url in [
            "",
            "https://127.0.0.1",
            "http://10.0.0.1",
            "http://example.com",
            "http://127.0.0.1@example.com",
            "http://127.0.0.1.example.com",
            "http://[::2]",
            "127.0.0.1",
        ] {
            assert_eq!(errors(json!([{"urlPrefix": url}])).len(), 1, "{url}");
        }
        let tls = errors(json!([{"urlPrefix": "http://localhost", "enableHTTPS": true, "tlsConfig": {"insecure": true}}]));
        assert_eq!(tls.len(), 2, "{tls:#?}");
    }

    #[test]
    fn what_kube_scheduler_refuses_is_refused() {
        let local = |mut extender: Value| {
            extender["urlPrefix"] = json!("http://localhost:1");
            extender
        };
        let gpu = json!([{"name": "example.com/gpu"}]);
        for wrong in [
            json!([local(json!({"prioritizeVerb": "p"}))]),
            json!([local(json!({"bindVerb": "b"})), local(json!({"bindVerb": "b"}))]),
            json!([local(json!({"managedResources": gpu})), local(json!({"managedResources": gpu}))]),
            json!([local(json!({"managedResources": [{"name": "cpu"}]}))]),
            json!([local(json!({"httpTimeout": "soon"}))]),
            json!([local(json!({"verb": "x"}))]),
        ] {
            assert_eq!(errors(wrong.clone()).len(), 1, "{wrong}");
        }
    }
}
