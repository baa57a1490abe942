//! A real `kubescheduler.config.k8s.io/v1` KubeSchedulerConfiguration into a policy.
//!
//! Plugins are merged as upstream merges them: a custom entry of `multiPoint` replaces the default one in its
//! place, an entry of one extension point overrides `multiPoint` there and runs before it.
//! Upstream: apis/config/v1/default_plugins.go (mergePlugins), framework/runtime/framework.go
//! (expandMultiPointPlugins, getScoreWeights).
//!
//! Invariant: everything in a configuration is obeyed, refused, or named in a [`Notice`].

pub(crate) mod args;
mod extenders;
mod plugin_set;
pub(crate) mod reader;

use std::cell::RefCell;

use api::Str;
use port::{ConnectExtender, PluginPoints};
use serde_json::Value;

use crate::extenders::{Extender, Extenders};
use crate::framework::{Profile, TieBreak};
use crate::kube_scheduler::KubeScheduler;
pub(crate) use extenders::ExtenderConfig;
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
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Settings {
    /// Feature gate TaintTolerationComparisonOperators.
    pub(crate) comparison_operators: bool,
    /// All nodes are looked at, whatever the configuration says: no sampling, all preemption candidates.
    pub(crate) all_nodes: bool,
    /// Extended resources that NodeResourcesFit leaves to extenders.
    pub(crate) left_to_extenders: Vec<Str>,
}

/// What a policy needs besides its configuration.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// Plugins that the configuration may name beside the in-tree ones.
    pub out_of_tree: Vec<PluginPoints>,
    /// How ties between best nodes are settled.
    pub tie_break: TieBreak,
    /// How extenders are reached; without it a configuration that has some is refused.
    pub connect: Option<ConnectExtender>,
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
    from_config_in(config, &Surroundings { out_of_tree: out_of_tree.to_vec(), ..Surroundings::default() })
}

/// As [`from_config`], in these surroundings.
///
/// # Errors
/// As [`from_config`].
pub fn from_config_in(config: &Value, surroundings: &Surroundings) -> Result<(Box<dyn port::Scheduler>, Vec<Notice>), PolicyError> {
    let (scheduler, notices) = configured("kube-scheduler", config, Settings::default(), surroundings)?;
    Ok((Box::new(scheduler), notices))
}

/// The URLs of a configuration's extenders: processes on which its decisions depend.
#[must_use]
pub fn extenders_of(config: &Value) -> Vec<String> {
    let findings = RefCell::new(Findings::default());
    extenders::read(&Reader::new("", config, &findings).get("extenders")).into_iter().map(|found| found.address.url_prefix).collect()
}

/// The policy that a configuration describes; `null` is the default configuration.
pub(crate) fn configured(
    name: &str,
    config: &Value,
    mut settings: Settings,
    surroundings: &Surroundings,
) -> Result<(KubeScheduler, Vec<Notice>), PolicyError> {
    let findings = RefCell::new(Findings::default());
    let reader = Reader::new("", config, &findings).get("extenders");
    let extenders = extenders::read(&reader);
    settings.left_to_extenders = extenders.iter().flat_map(|extender| extender.ignored_resources.iter().cloned()).collect();
    if surroundings.connect.is_none() && !extenders.is_empty() {
        reader.error("nothing here can call extenders");
    }
    let profiles = profiles(config, &settings, &surroundings.out_of_tree);
    let errors = findings.into_inner().errors;
    let (profiles, notices) = match profiles {
        Ok(found) if errors.is_empty() => found,
        Ok(_) => return Err(PolicyError { messages: errors }),
        Err(mut error) => {
            error.messages.extend(errors);
            return Err(error);
        }
    };
    let connect = |config| surroundings.connect.as_ref().map(|connect| Extender::new(config, connect));
    let extenders = Extenders::new(extenders.into_iter().filter_map(connect).collect());
    let scheduler = KubeScheduler::new(name, profiles).with_tie_break(surroundings.tie_break.clone()).with_extenders(extenders);
    Ok((scheduler, notices))
}

fn profiles(config: &Value, settings: &Settings, out_of_tree: &[PluginPoints]) -> Result<(Vec<Profile>, Vec<Notice>), PolicyError> {
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
