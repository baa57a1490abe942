//! A real `kubescheduler.config.k8s.io/v1` KubeSchedulerConfiguration into a policy.
//!
//! Plugins are merged as upstream merges them: a custom entry of `multiPoint` replaces the default one in its
//! place, an entry of one extension point overrides `multiPoint` there and runs before it.
//! Upstream: apis/config/v1/default_plugins.go (mergePlugins), framework/runtime/framework.go
//! (expandMultiPointPlugins, getScoreWeights).
//!
//! Invariant: everything in a configuration is obeyed, refused, or named in a [`Notice`].

pub(crate) mod args;
mod plugin_set;
pub(crate) mod reader;

use std::cell::RefCell;

use port::PluginPoints;
use serde_json::Value;

use crate::framework::Profile;
use crate::kube_scheduler::KubeScheduler;
use reader::{Findings, Reader};

/// Something in a configuration that is accepted and not simulated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Where, such as `profiles[0].plugins.filter.enabled[0]`.
    pub path: String,
    /// What does not happen.
    pub why: String,
}

/// Everything that is wrong with a policy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", messages.join("\n"))]
pub struct PolicyError {
    /// One line each.
    pub messages: Vec<String>,
}

impl PolicyError {
    pub(crate) fn one(message: String) -> Self {
        Self { messages: vec![message] }
    }
}

/// What is decided outside of a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Settings {
    /// Feature gate TaintTolerationComparisonOperators.
    pub(crate) comparison_operators: bool,
    /// All nodes are looked at, whatever the configuration says: no sampling, all preemption candidates.
    pub(crate) all_nodes: bool,
}

/// The policy that a KubeSchedulerConfiguration describes, and what in it is not simulated.
///
/// # Errors
/// When kube-scheduler would refuse the configuration, or it needs what is not supported.
pub fn from_config(config: &Value) -> Result<(Box<dyn port::Scheduler>, Vec<Notice>), PolicyError> {
    from_config_with(config, &[])
}

/// As [`from_config`]; the configuration may also name these plugins, as with an out-of-tree registry.
///
/// # Errors
/// As [`from_config`].
pub fn from_config_with(config: &Value, out_of_tree: &[PluginPoints]) -> Result<(Box<dyn port::Scheduler>, Vec<Notice>), PolicyError> {
    let (scheduler, notices) = configured("kube-scheduler", config, out_of_tree)?;
    Ok((Box::new(scheduler), notices))
}

pub(crate) fn configured(name: &str, config: &Value, out_of_tree: &[PluginPoints]) -> Result<(KubeScheduler, Vec<Notice>), PolicyError> {
    let (profiles, notices) = profiles(config, &Settings::default(), out_of_tree)?;
    Ok((KubeScheduler::new(name, profiles), notices))
}

/// The profiles of a configuration; `null` is the default configuration.
pub(crate) fn profiles(
    config: &Value,
    settings: &Settings,
    out_of_tree: &[PluginPoints],
) -> Result<(Vec<Profile>, Vec<Notice>), PolicyError> {
    let findings = RefCell::new(Findings::default());
    let root = Reader::new("", config, &findings);
    let percentage = top_level(&root);
    let empty = Value::Object(serde_json::Map::new());
    let mut readers = root.get("profiles").list();
    if readers.is_empty() {
        readers.push(Reader::new("profiles[0]", &empty, &findings));
    }
    let mut profiles: Vec<Profile> = Vec::new();
    for reader in &readers {
        let profile = profile(reader, percentage, settings, out_of_tree, readers.len() > 1);
        if profiles.iter().any(|other| other.scheduler_name == profile.scheduler_name) {
            reader.error(format!("another profile is called {:?} as well", &*profile.scheduler_name));
        }
        profiles.push(profile);
    }
    let sort = |profile: &Profile| profile.queue_sort.as_ref().map(|plugin| plugin.name());
    if profiles.iter().any(|profile| sort(profile) != sort(&profiles[0])) {
        root.get("profiles").error("all profiles share one queue and need the same QueueSort plugin");
    }
    let Findings { errors, notices } = findings.into_inner();
    if errors.is_empty() { Ok((profiles, notices)) } else { Err(PolicyError { messages: errors }) }
}

/// Everything besides profiles; gives percentageOfNodesToScore.
fn top_level(root: &Reader<'_>) -> u32 {
    const UNSIMULATED: [(&str, &str); 9] = [
        ("parallelism", "nodes are looked at one after the other"),
        ("leaderElection", "there is one scheduler"),
        ("clientConnection", "the scheduler's own API client is not limited"),
        ("enableProfiling", "there is no HTTP server"),
        ("enableContentionProfiling", "there is no HTTP server"),
        ("podInitialBackoffSeconds", "the queue backs off from 1 s"),
        ("podMaxBackoffSeconds", "the queue backs off up to 10 s"),
        ("delayCacheUntilActive", "the scheduler is always active"),
        ("healthzBindAddress", "there is no HTTP server"),
    ];
    let mut known = vec!["apiVersion", "kind", "profiles", "percentageOfNodesToScore", "extenders"];
    known.extend(UNSIMULATED.map(|(name, _)| name));
    root.fields(&known);
    if !root.is_absent() {
        for (key, wanted) in [("apiVersion", "kubescheduler.config.k8s.io/v1"), ("kind", "KubeSchedulerConfiguration")] {
            let found = root.get(key).text("");
            if found != wanted {
                root.get(key).error(format!("has to be {wanted:?}, not {found:?}"));
            }
        }
    }
    for (name, why) in UNSIMULATED {
        if !root.get(name).is_absent() {
            root.get(name).notice(why);
        }
    }
    if !root.get("extenders").list().is_empty() {
        root.get("extenders").error("extenders are not supported yet: a simulation calls no webhooks");
    }
    root.get("percentageOfNodesToScore").integer(0, 0..=100) as u32
}

fn profile(reader: &Reader<'_>, percentage: u32, settings: &Settings, out_of_tree: &[PluginPoints], several: bool) -> Profile {
    reader.fields(&["schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"]);
    let name = reader.get("schedulerName");
    if several && name.is_absent() {
        reader.error("schedulerName is needed when there are several profiles");
    }
    let mut profile = Profile::new(name.text("default-scheduler"));
    let own = reader.get("percentageOfNodesToScore").integer(i64::from(percentage), 0..=100) as u32;
    profile.percentage_of_nodes_to_score = if settings.all_nodes { 100 } else { own };
    plugin_set::fill(&mut profile, reader, settings, out_of_tree);
    if profile.queue_sort.is_none() {
        reader.error("a profile needs a QueueSort plugin");
    }
    profile
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(profile: Value) -> Result<(Vec<Profile>, Vec<Notice>), PolicyError> {
        let config = json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "profiles": [profile]});
        profiles(&config, &Settings::default(), &[])
    }

    fn scores(profile: Value) -> Vec<(&'static str, i64)> {
        let (profiles, _) = read(profile).expect("a valid configuration");
        profiles[0].scores.iter().map(|(plugin, weight)| (plugin.name(), *weight)).collect()
    }

    const DEFAULT_SCORES: [(&str, i64); 8] = [
        ("TaintToleration", 3),
        ("NodeAffinity", 2),
        ("NodeResourcesFit", 1),
        ("PodTopologySpread", 2),
        ("InterPodAffinity", 2),
        ("DynamicResources", 2),
        ("NodeResourcesBalancedAllocation", 1),
        ("ImageLocality", 1),
    ];

    #[test]
    fn an_empty_profile_is_the_default_profile() {
        assert_eq!(scores(json!({})), DEFAULT_SCORES);
    }

    #[test]
    fn a_multi_point_entry_replaces_the_default_in_its_place() {
        let changed = scores(json!({"plugins": {"multiPoint": {"enabled": [{"name": "NodeAffinity", "weight": 9}]}}}));
        let mut expected = DEFAULT_SCORES;
        expected[1].1 = 9;
        assert_eq!(changed, expected);
    }

    #[test]
    fn an_entry_of_one_point_overrides_multi_point_and_runs_first() {
        let changed = scores(json!({"plugins": {"score": {"enabled": [{"name": "ImageLocality", "weight": 4}]}}}));
        assert_eq!(changed[0], ("ImageLocality", 4));
        assert_eq!(changed[1..], DEFAULT_SCORES[..7]);
    }

    #[test]
    fn a_star_disables_all_defaults_of_a_point() {
        let score = json!({"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesBalancedAllocation"}]});
        assert_eq!(scores(json!({"plugins": {"score": score}})), [("NodeResourcesBalancedAllocation", 1)]);
    }

    #[test]
    fn a_disabled_plugin_is_gone_from_its_point_only() {
        let plugins = json!({"score": {"disabled": [{"name": "TaintToleration"}]}});
        let (profiles, _) = read(json!({"plugins": plugins})).expect("a valid configuration");
        assert!(profiles[0].scores.iter().all(|(plugin, _)| plugin.name() != "TaintToleration"));
        assert!(profiles[0].filters.iter().any(|plugin| plugin.name() == "TaintToleration"));
    }

    #[test]
    fn everything_wrong_is_said_at_once_with_its_place() {
        let error = read(json!({
            "plugins": {"filter": {"enabled": [{"name": "NodePort"}]}, "bandaid": {}},
            "pluginConfig": [{"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 101}}],
        }));
        let messages = error.err().map(|error| error.messages).unwrap_or_default();
        assert_eq!(messages.len(), 3, "{messages:#?}");
        assert!(
            messages.iter().any(|line| line.starts_with("profiles[0].plugins.filter.enabled[0]: no plugin is called \"NodePort\"; known:"))
        );
        assert!(messages.iter().any(|line| line.contains("unknown field \"bandaid\"")));
        assert!(messages.contains(&"profiles[0].pluginConfig[0].args.hardPodAffinityWeight: 101 is not in the range 0 to 100".to_owned()));
    }

    #[test]
    fn plugins_that_exist_but_are_not_modelled_are_named() {
        let (_, notices) = read(json!({"plugins": {"multiPoint": {"enabled": [{"name": "GangScheduling"}]}}})).expect("valid");
        assert_eq!(notices.len(), 1);
        assert_eq!(notices[0].path, "profiles[0].plugins.multiPoint.enabled[0]");
    }
}
