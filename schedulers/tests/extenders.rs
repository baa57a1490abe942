//! What extenders are asked and what their answers do, without a wire: answers are scripted per verb.

use std::sync::{Arc, Mutex};

use api::{Container, Labels, Node, NodeStatus, ObjectMeta, Pod, PodSpec, ResourceList, ResourceName};
use port::{ExtenderAddress, ExtenderClient};
use serde_json::{Value, json};
use wavetank_schedulers::harness::{Input, schedule};
use wavetank_schedulers::{Surroundings, TieBreak};

type Answer = Arc<dyn Fn(&str, &Value) -> Result<Value, String> + Send + Sync>;
type Calls = Arc<Mutex<Vec<(String, Value)>>>;

struct Scripted {
    answer: Answer,
    calls: Calls,
}

impl ExtenderClient for Scripted {
    fn post(&self, verb: &str, body: &str) -> Result<String, String> {
        let body: Value = serde_json::from_str(body).expect("JSON");
        self.calls.lock().expect("no panic before").push((verb.to_owned(), body.clone()));
        (self.answer)(verb, &body).map(|answer| answer.to_string())
    }
}

const GPU: &str = "example.com/gpu";

fn resources(cpu_millis: i64, gpus: i64) -> ResourceList {
    let mut list = ResourceList::from([(ResourceName::Cpu, cpu_millis)]);
    list.extend((gpus > 0).then(|| (ResourceName::new(GPU), gpus)));
    list
}

/// Nodes a, b and c with one cpu each.
fn nodes() -> Vec<Node> {
    let node = |name: &str| {
        let mut allocatable = resources(1_000, 0);
        allocatable.insert(ResourceName::Pods, 10);
        let labels = Arc::new(Labels::from([("rack".into(), name.into())]));
        let status = NodeStatus { allocatable: Arc::new(allocatable), ..NodeStatus::default() };
        Node { meta: ObjectMeta { name: name.into(), labels, ..ObjectMeta::default() }, status, ..Node::default() }
    };
    ["a", "b", "c"].map(node).to_vec()
}

fn pod(name: &str, cpu_millis: i64, gpus: i64, priority: i32) -> Pod {
    let container = Container { name: "main".into(), requests: resources(cpu_millis, gpus), ..Container::default() };
    let meta = ObjectMeta { namespace: "default".into(), name: name.into(), ..ObjectMeta::default() };
    Pod { meta, spec: Arc::new(PodSpec { containers: vec![container], priority, ..PodSpec::default() }), ..Pod::default() }
}

/// The attempts that come of it, and what was asked.
fn attempts(extender: Value, pods: Vec<Pod>, queue: Vec<Pod>, answer: Answer) -> (Value, Vec<(String, Value)>) {
    let calls = Calls::default();
    let mut config = json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"});
    config["extenders"] = json!([extender]);
    config["extenders"][0]["urlPrefix"] = json!("http://127.0.0.1:9999/x/");
    let seen = calls.clone();
    let connect = move |address: &ExtenderAddress| -> Box<dyn ExtenderClient> {
        assert_eq!(address.url_prefix, "http://127.0.0.1:9999/x");
        Box::new(Scripted { answer: answer.clone(), calls: seen.clone() })
    };
    let surroundings = Surroundings { tie_break: TieBreak::Name, connect: Some(Arc::new(connect)), ..Surroundings::default() };
    let document = schedule(Input { nodes: nodes(), pods, queue, config, surroundings, ..Input::default() }).expect("a valid question");
    let calls = calls.lock().expect("no panic before").clone();
    (document["attempts"].clone(), calls)
}

fn one(extender: Value, answer: impl Fn(&str, &Value) -> Result<Value, String> + Send + Sync + 'static) -> (Value, Vec<(String, Value)>) {
    let (attempts, calls) = attempts(extender, Vec::new(), vec![pod("p", 100, 0, 0)], Arc::new(answer));
    (attempts[0].clone(), calls)
}

#[test]
fn a_filter_takes_nodes_away_and_says_why() {
    let (attempt, calls) = one(json!({"filterVerb": "filter", "nodeCacheCapable": true}), |_, _| {
        Ok(json!({"NodeNames": ["b"], "FailedNodes": {"a": "too hot", "c": "too hot"}, "FailedAndUnresolvableNodes": {"c": "melted"}}))
    });
    assert_eq!(attempt["chosen"], "b");
    assert_eq!(attempt["infeasible"]["a"], json!({"plugin": "Extender", "code": "Unschedulable", "reasons": ["too hot"]}));
    assert_eq!(attempt["infeasible"]["c"], json!({"plugin": "Extender", "code": "UnschedulableAndUnresolvable", "reasons": ["melted"]}));
    let (verb, args) = &calls[0];
    assert_eq!(verb, "filter");
    assert_eq!(args["NodeNames"], json!(["a", "b", "c"]));
    assert_eq!(args["Nodes"], Value::Null);
    assert_eq!(args["Pod"]["metadata"]["name"], "p");
    assert_eq!(args["Pod"]["spec"]["containers"][0]["resources"]["requests"]["cpu"], "100m");
}

#[test]
fn an_extender_without_a_cache_is_sent_whole_nodes_and_sends_them_back() {
    let (attempt, calls) = one(json!({"filterVerb": "filter"}), |_, args| {
        let items: Vec<&Value> =
            args["Nodes"]["items"].as_array().into_iter().flatten().filter(|node| node["metadata"]["labels"]["rack"] == "c").collect();
        Ok(json!({"nodes": {"items": items}}))
    });
    assert_eq!(attempt["chosen"], "c");
    assert_eq!(calls[0].1["NodeNames"], Value::Null);
    assert_eq!(calls[0].1["Nodes"]["items"][0]["status"]["allocatable"]["cpu"], "1");
}

#[test]
fn when_an_extender_leaves_no_node_its_reasons_are_in_the_message() {
    let (attempt, _) = one(json!({"filterVerb": "filter", "nodeCacheCapable": true}), |_, _| {
        Ok(json!({"NodeNames": [], "FailedNodes": {"a": "too hot", "b": "too hot"}}))
    });
    assert_eq!(attempt["result"], "unschedulable");
    let message = attempt["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("0/3 nodes are available: 2 too hot."), "{message}");
}

#[test]
fn priorities_count_ten_times_their_weight() {
    let (attempt, _) = one(json!({"prioritizeVerb": "rank", "weight": 3, "nodeCacheCapable": true}), |_, _| {
        Ok(json!([{"Host": "c", "Score": 10}, {"host": "b", "score": 1}, {"Host": "nobody", "Score": 10}]))
    });
    assert_eq!(attempt["chosen"], "c");
    let feasible = &attempt["feasible"];
    let total = |node: &str| feasible[node]["total"].as_i64().unwrap_or(0);
    assert_eq!((total("c") - total("a"), total("b") - total("a")), (300, 30));
    assert_eq!(feasible["c"]["scores"]["Extender"], 300);
}

#[test]
fn failures_fail_the_attempt_unless_they_may_be_ignored() {
    let verbs = json!({"filterVerb": "filter", "bindVerb": "bind", "nodeCacheCapable": true});
    for (failing, message) in [("filter", "no answer"), ("bind", "no answer")] {
        let answer = move |verb: &str, args: &Value| match verb {
            verb if verb == failing => Err("no answer".to_owned()),
            "filter" => Ok(json!({"NodeNames": args["NodeNames"]})),
            _ => Ok(json!({})),
        };
        let (attempt, _) = one(verbs.clone(), answer);
        assert_eq!((attempt["result"].as_str(), attempt["message"].as_str()), (Some("error"), Some(message)), "{failing}");
        let mut ignorable = verbs.clone();
        ignorable["ignorable"] = json!(true);
        assert_eq!(one(ignorable, answer).0["chosen"], "a", "{failing}");
    }
    let (attempt, _) = one(verbs.clone(), |_, _| Ok(json!({"Error": "out of order"})));
    assert_eq!(attempt["message"], "out of order");
    let (attempt, _) = one(verbs, |_, _| Ok(json!({"NodeNames": ["z"]})));
    let claims = r#"extender "http://127.0.0.1:9999/x" claims a filtered node "z" which is not found in the input node list"#;
    assert_eq!(attempt["message"], claims);
    // A failing prioritize is never more than no opinion.
    assert_eq!(one(json!({"prioritizeVerb": "rank", "weight": 1}), |_, _| Err("no answer".to_owned())).0["chosen"], "a");
}

#[test]
fn the_binder_is_told_who_goes_where() {
    let (_, calls) = one(json!({"bindVerb": "bind"}), |_, _| Ok(json!({})));
    let told = json!({"PodName": "p", "PodNamespace": "default", "PodUID": calls[0].1["PodUID"], "Node": "a"});
    assert_eq!(calls, [("bind".to_owned(), told)]);
}

#[test]
fn only_pods_that_ask_for_managed_resources_are_shown_and_the_scheduler_can_leave_those_alone() {
    let managed = json!([{"name": GPU, "ignoredByScheduler": true}]);
    let extender = json!({"filterVerb": "filter", "nodeCacheCapable": true, "managedResources": managed});
    let answer: Answer = Arc::new(|_, _| Ok(json!({"NodeNames": ["c"]})));
    let queue = vec![pod("plain", 100, 0, 0), pod("with-gpu", 100, 1, 0)];
    let (attempts, calls) = attempts(extender, Vec::new(), queue, answer);
    assert_eq!(attempts[0]["chosen"], "a");
    // No node has a gpu: NodeResourcesFit would have turned them all down.
    assert_eq!(attempts[1]["chosen"], "c");
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].1["Pod"]["metadata"]["name"], "with-gpu");
}

/// Every node has one small and one large pod of low priority; the large one is enough for the preemptor.
fn crowded() -> Vec<Pod> {
    let place = |node: &str, name: &str, cpu| Pod { node_name: Some(node.into()), ..pod(&format!("{node}-{name}"), cpu, 0, 0) };
    ["a", "b", "c"].iter().flat_map(|node| [place(node, "large", 800), place(node, "small", 200)]).collect()
}

#[test]
fn an_extender_with_a_preempt_verb_says_where_and_whom() {
    for node_cache_capable in [false, true] {
        let extender = json!({"preemptVerb": "preempt", "nodeCacheCapable": node_cache_capable});
        let answer: Answer = Arc::new(|_, args| {
            let given = [&args["NodeNameToVictims"]["b"], &args["NodeNameToMetaVictims"]["b"]];
            let pods = given.iter().find_map(|victims| victims["Pods"].as_array()).expect("victims on b");
            let uid = |pod: &Value| pod["UID"].as_str().or_else(|| pod["metadata"]["uid"].as_str()).map(str::to_owned);
            let victims: Vec<Value> = pods.iter().filter_map(uid).map(|uid| json!({"UID": uid})).collect();
            Ok(json!({"NodeNameToMetaVictims": {"b": {"Pods": victims, "NumPDBViolations": 0}}}))
        });
        let (attempts, calls) = attempts(extender, crowded(), vec![pod("important", 800, 0, 9)], answer);
        assert_eq!(attempts[0]["preemption"]["nominatedNode"], "b");
        assert_eq!(attempts[0]["preemption"]["victims"], json!(["default/b-large"]));
        assert_eq!(attempts[1]["chosen"], "b");
        assert_eq!(calls[0].1["NodeNameToVictims"].is_object(), !node_cache_capable);
        assert_eq!(calls[0].1["NodeNameToMetaVictims"].is_object(), node_cache_capable);
    }
}

#[test]
fn a_preemption_that_no_extender_wants_does_not_happen() {
    let (attempts, _) = attempts(
        json!({"preemptVerb": "preempt"}),
        crowded(),
        vec![pod("important", 800, 0, 9)],
        Arc::new(|_, _| Ok(json!({"NodeNameToMetaVictims": {}}))),
    );
    assert_eq!(attempts[0]["result"], "unschedulable");
    let message = attempts[0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("preemption: no candidate node for preemption"), "{message}");
}

#[test]
fn extenders_without_a_wire_are_refused() {
    let config = json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
        "extenders": [{"urlPrefix": "http://localhost:1", "filterVerb": "f"}]});
    let error = wavetank_schedulers::from_config(&config).err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("extenders: nothing here can call extenders"));
    assert_eq!(wavetank_schedulers::extenders_of(&config), ["http://localhost:1"]);
}
