//! Scheduler extenders: what they are asked, and what their answers mean.
//!
//! An extender is a process of the user's. It is asked after the Filter plugins, beside the Score plugins,
//! during preemption, and at binding; one after the other, in the order of the configuration.
//! Upstream: pkg/scheduler/extender.go, schedule_one.go, framework/preemption/preemption.go (callExtenders),
//! staging/src/k8s.io/kube-scheduler/extender/v1.
//!
//! Invariants: nothing here does I/O, an [`port::ExtenderClient`] carries the calls; an answer is checked
//! before it is believed.
//!
//! Not here: nodes sent back whole count as the nodes they are called after. Upstream 1.36 goes on with what was
//! sent back and scores it as a node without pods.

mod objects;

use std::collections::BTreeMap;

use api::ResourceName;
use port::{
    Candidate, CandidateFilter, ClusterSnapshot, ConnectExtender, ExtenderClient, MAX_NODE_SCORE, NodeIndex, PodInfo, Reason, Reasons,
    Status,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub(crate) use crate::config::ExtenderConfig;
use crate::framework::RejectedNode;

/// Upstream: extenderv1.MaxExtenderPriority.
const MAX_EXTENDER_PRIORITY: i64 = 10;

/// One extender with its wire.
pub(crate) struct Extender {
    config: ExtenderConfig,
    client: Box<dyn ExtenderClient>,
}

/// All of them, in the order of the configuration.
#[derive(Default)]
pub(crate) struct Extenders(Vec<Extender>);

// Upstream reads names of fields in any case; older extenders write them small.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct FilterResult {
    #[serde(alias = "nodes")]
    nodes: Option<NodeList>,
    #[serde(alias = "nodeNames", alias = "nodenames")]
    node_names: Option<Vec<String>>,
    #[serde(alias = "failedNodes", alias = "failednodes")]
    failed_nodes: Option<BTreeMap<String, String>>,
    #[serde(alias = "failedAndUnresolvableNodes", alias = "failedandunresolvablenodes")]
    failed_and_unresolvable_nodes: Option<BTreeMap<String, String>>,
    #[serde(alias = "error")]
    error: String,
}

#[derive(Deserialize)]
struct NodeList {
    #[serde(default)]
    items: Vec<NamedNode>,
}

#[derive(Deserialize)]
struct NamedNode {
    metadata: NodeMeta,
}

#[derive(Deserialize)]
struct NodeMeta {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostPriority {
    #[serde(alias = "host")]
    host: String,
    #[serde(alias = "score")]
    score: i64,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct PreemptionResult {
    #[serde(alias = "nodeNameToMetaVictims", alias = "nodenametometavictims")]
    node_name_to_meta_victims: Option<BTreeMap<String, Option<MetaVictims>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MetaVictims {
    #[serde(rename = "Pods", alias = "pods")]
    pods: Option<Vec<MetaPod>>,
    #[serde(rename = "NumPDBViolations", alias = "numPDBViolations", alias = "numpdbviolations")]
    pdb_violations: i64,
}

#[derive(Deserialize)]
struct MetaPod {
    #[serde(rename = "UID", alias = "uid")]
    uid: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct BindingResult {
    #[serde(alias = "error")]
    error: String,
}

impl Extender {
    pub(crate) fn new(config: ExtenderConfig, connect: &ConnectExtender) -> Self {
        let client = connect(&config.address);
        Self { config, client }
    }

    /// Whether the pod asks for a resource it manages.
    fn is_interested(&self, pod: &PodInfo) -> bool {
        let managed = &self.config.managed_resources;
        let is_managed = |name: &ResourceName| managed.iter().any(|managed| &**managed == name.as_str());
        managed.is_empty()
            || pod.spec.containers.iter().chain(&pod.spec.init_containers).any(|c| c.requests.keys().chain(c.limits.keys()).any(is_managed))
    }

    fn send<T: for<'de> Deserialize<'de>>(&self, verb: &str, args: &Value) -> Result<T, String> {
        let answer = self.client.post(verb, &args.to_string())?;
        let url = &self.config.address.url_prefix;
        serde_json::from_str(&answer).map_err(|error| format!("extender {url:?} gave no valid answer to {verb:?}: {error}"))
    }

    /// `ExtenderArgs`.
    fn args(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, nodes: &[NodeIndex]) -> Value {
        let infos = || nodes.iter().map(|node| snapshot.node(*node));
        let (list, names) = if self.config.node_cache_capable {
            (Value::Null, infos().map(|node| json!(**node.name())).collect())
        } else {
            (json!({"metadata": {}, "items": infos().map(|node| objects::node(&node.node)).collect::<Vec<_>>()}), Value::Null)
        };
        json!({"Pod": objects::pod(pod, None), "Nodes": list, "NodeNames": names})
    }

    fn filter(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, nodes: &[NodeIndex]) -> Result<(Vec<NodeIndex>, FilterResult), String> {
        let result: FilterResult = self.send(&self.config.filter_verb, &self.args(pod, snapshot, nodes))?;
        if !result.error.is_empty() {
            return Err(result.error);
        }
        let names: Vec<&String> = match (&result.node_names, &result.nodes) {
            (Some(names), _) if self.config.node_cache_capable => names.iter().collect(),
            (_, Some(list)) => list.items.iter().map(|node| &node.metadata.name).collect(),
            _ => Vec::new(),
        };
        let mut left = Vec::with_capacity(names.len());
        for name in names {
            let Some(node) = snapshot.find(name).filter(|node| nodes.contains(node)) else {
                let url = &self.config.address.url_prefix;
                return Err(format!("extender {url:?} claims a filtered node {name:?} which is not found in the input node list"));
            };
            left.push(node);
        }
        Ok((left, result))
    }

    fn prioritize(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, nodes: &[NodeIndex]) -> Result<Vec<HostPriority>, String> {
        let list: Option<Vec<HostPriority>> = self.send(&self.config.prioritize_verb, &self.args(pod, snapshot, nodes))?;
        Ok(list.unwrap_or_default())
    }

    /// `ExtenderPreemptionArgs` and what comes back, by node name.
    fn preempt(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, candidates: &[Candidate]) -> Result<Vec<Candidate>, String> {
        let meta = self.config.node_cache_capable;
        let mut victims = Map::new();
        for candidate in candidates {
            let node = snapshot.node(candidate.node).name();
            let victim = |victim: &PodInfo| {
                if meta { json!({"UID": victim.uid.to_string()}) } else { objects::pod(victim, Some(node)) }
            };
            let pods: Vec<Value> = candidate.victims.iter().map(victim).collect();
            victims.insert(node.to_string(), json!({"Pods": pods, "NumPDBViolations": candidate.pdb_violations}));
        }
        let (full, short) = if meta { (Value::Null, Value::Object(victims)) } else { (Value::Object(victims), Value::Null) };
        let args = json!({"Pod": objects::pod(pod, None), "NodeNameToVictims": full, "NodeNameToMetaVictims": short});
        let result: PreemptionResult = self.send(&self.config.preempt_verb, &args)?;
        let mut remaining = Vec::new();
        for (name, victims) in result.node_name_to_meta_victims.unwrap_or_default() {
            let victims = victims.unwrap_or_default();
            let Some(node) = snapshot.find(&name) else { return Err(format!("nodeinfo not found for node name {name:?}")) };
            let mut pods = Vec::new();
            for victim in victims.pods.unwrap_or_default() {
                let Some(found) = snapshot.node(node).pods.iter().find(|other| other.uid.to_string() == victim.uid) else {
                    let (url, uid) = (&self.config.address.url_prefix, &victim.uid);
                    let text = format!(
                        "extender: {url} claims to preempt pod (UID: {uid}) on node: {name}, but the pod is not found on that node"
                    );
                    return Err(text);
                };
                pods.push(found.clone());
            }
            if !pods.is_empty() {
                remaining.push(Candidate { node, victims: pods, pdb_violations: victims.pdb_violations.max(0) as u32 });
            } else if !self.config.ignorable {
                return Err(format!("expected at least one victim pod on node {name:?}"));
            }
        }
        Ok(remaining)
    }

    fn bind(&self, pod: &PodInfo, node: &str) -> Result<(), String> {
        let args = json!({"PodName": *pod.key.name, "PodNamespace": *pod.key.namespace, "PodUID": pod.uid.to_string(), "Node": node});
        let result: BindingResult = self.send(&self.config.bind_verb, &args)?;
        if result.error.is_empty() { Ok(()) } else { Err(result.error) }
    }
}

impl Extenders {
    /// What stands for them where plugins are named. Upstream: framework.ExtenderName.
    pub(crate) const NAME: &str = "Extender";

    pub(crate) const fn new(extenders: Vec<Extender>) -> Self {
        Self(extenders)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether more than one feasible node is of use to any of them.
    pub(crate) fn filter_or_prioritize(&self) -> bool {
        self.0.iter().any(|extender| !extender.config.filter_verb.is_empty() || !extender.config.prioritize_verb.is_empty())
    }

    /// Takes nodes that an extender turns down out of `feasible` and puts them, if it says why, into `rejected`.
    pub(crate) fn filter(
        &self,
        pod: &PodInfo,
        snapshot: &ClusterSnapshot,
        feasible: &mut Vec<NodeIndex>,
        rejected: &mut Vec<RejectedNode>,
    ) -> Result<(), String> {
        for extender in self.0.iter().filter(|extender| !extender.config.filter_verb.is_empty() && extender.is_interested(pod)) {
            if feasible.is_empty() {
                break;
            }
            let (left, result) = match extender.filter(pod, snapshot, feasible) {
                Ok(answer) => answer,
                Err(_) if extender.config.ignorable => continue,
                Err(message) => return Err(message),
            };
            let (failed, unresolvable) =
                (result.failed_nodes.unwrap_or_default(), result.failed_and_unresolvable_nodes.unwrap_or_default());
            let reasons = |text: &String| Reasons::One(Reason::from(text.clone()));
            for node in &*feasible {
                let name = &**snapshot.node(*node).name();
                let status = match (unresolvable.get(name), failed.get(name)) {
                    (Some(text), _) => Status::UnschedulableAndUnresolvable(reasons(text)),
                    (None, Some(text)) => Status::Unschedulable(reasons(text)),
                    (None, None) => continue,
                };
                rejected.retain(|(known, ..)| known != node);
                rejected.push((*node, Self::NAME, status));
            }
            *feasible = left;
        }
        Ok(())
    }

    /// What their scores add to each feasible node, into `scores`. One that fails adds nothing.
    pub(crate) fn prioritize(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, feasible: &[NodeIndex], scores: &mut Vec<i64>) {
        scores.clear();
        scores.resize(feasible.len(), 0);
        for extender in self.0.iter().filter(|extender| !extender.config.prioritize_verb.is_empty() && extender.is_interested(pod)) {
            let Ok(list) = extender.prioritize(pod, snapshot, feasible) else { continue };
            for HostPriority { host, score } in list {
                let Some(node) = snapshot.find(&host) else { continue };
                if let Some(place) = feasible.iter().position(|other| *other == node) {
                    let weight = extender.config.weight * (MAX_NODE_SCORE / MAX_EXTENDER_PRIORITY);
                    scores[place] = scores[place].saturating_add(score.saturating_mul(weight));
                }
            }
        }
    }

    /// Tells the one that binds.
    pub(crate) fn bind(&self, pod: &PodInfo, node: &str) -> Result<(), String> {
        for extender in self.0.iter().filter(|extender| !extender.config.bind_verb.is_empty() && extender.is_interested(pod)) {
            match extender.bind(pod, node) {
                Err(_) if extender.config.ignorable => {}
                told => return told,
            }
        }
        Ok(())
    }
}

impl CandidateFilter for Extenders {
    fn remaining(&self, pod: &PodInfo, snapshot: &ClusterSnapshot, mut candidates: Vec<Candidate>) -> Result<Vec<Candidate>, String> {
        for extender in self.0.iter().filter(|extender| !extender.config.preempt_verb.is_empty() && extender.is_interested(pod)) {
            match extender.preempt(pod, snapshot, &candidates) {
                Ok(remaining) => candidates = remaining,
                Err(_) if extender.config.ignorable => {}
                Err(message) => return Err(message),
            }
            if candidates.is_empty() {
                break;
            }
        }
        Ok(candidates)
    }
}
