//! The policies that have a name of their own. Each is a KubeSchedulerConfiguration.

use serde_json::{Value, json};

use crate::config::{PolicyError, Settings, Surroundings, configured};

/// A policy known by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub description: &'static str,
}

const BUILTIN: [Builtin; 2] = [
    Builtin { name: "default", description: "kube-scheduler 1.36 with its default profile: spreads load (LeastAllocated)" },
    Builtin { name: "bin-pack", description: "kube-scheduler 1.36 with NodeResourcesFit MostAllocated: fills nodes before opening others" },
];

/// All policies known by name.
#[must_use]
pub const fn builtin() -> &'static [Builtin] {
    &BUILTIN
}

/// Their names.
#[must_use]
pub const fn names() -> &'static [&'static str] {
    const NAMES: [&str; BUILTIN.len()] = [BUILTIN[0].name, BUILTIN[1].name];
    &NAMES
}

/// The policy of this name.
///
/// # Errors
/// When there is none.
pub fn policy(name: &str) -> Result<Box<dyn port::Scheduler>, PolicyError> {
    policy_in(name, &Surroundings::default())
}

/// The policy of this name, in these surroundings.
///
/// # Errors
/// When there is none.
pub fn policy_in(name: &str, surroundings: &Surroundings) -> Result<Box<dyn port::Scheduler>, PolicyError> {
    let Some(known) = BUILTIN.iter().find(|known| known.name == name) else {
        return Err(PolicyError::one(format!("no scheduling policy is called {name:?}; known: {}", names().join(", "))));
    };
    let (scheduler, _) = configured(known.name, &document(known.name), Settings::default(), surroundings)?;
    Ok(Box::new(scheduler))
}

/// The KubeSchedulerConfiguration that a built-in policy is.
#[must_use]
pub fn configuration(name: &str) -> Option<Value> {
    BUILTIN.iter().any(|known| known.name == name).then(|| document(name))
}

/// Changes one thing of a configuration: a field of the document (`percentageOfNodesToScore`), a plugin's weight
/// (`NodeResourcesFit.weight`; zero turns it off as a scorer) or one of its arguments (`PodTopologySpread.args.defaultingType`).
///
/// # Errors
/// In words, when there is no such thing; whether the value fits is seen when the configuration is read.
pub fn set_option(config: &mut Value, key: &str, value: Value) -> Result<(), String> {
    let profile = &mut config["profiles"][0];
    match key.split('.').collect::<Vec<_>>()[..] {
        [field] => {
            config[field] = value;
            Ok(())
        }
        [plugin, "weight"] => {
            known_plugin(plugin)?;
            let score = &mut profile["plugins"]["score"];
            push(&mut score["disabled"], json!({ "name": plugin }));
            if value != json!(0) {
                push(&mut score["enabled"], json!({ "name": plugin, "weight": value }));
            }
            Ok(())
        }
        [plugin, "args", ref path @ ..] if !path.is_empty() => {
            known_plugin(plugin)?;
            let mut place = plugin_args(&mut profile["pluginConfig"], plugin);
            for field in path {
                place = &mut place[*field];
            }
            *place = value;
            Ok(())
        }
        _ => Err("there is no such option".to_owned()),
    }
}

fn known_plugin(name: &str) -> Result<(), String> {
    crate::plugins::in_tree(name).map(|_| ()).ok_or_else(|| format!("there is no plugin `{name}`"))
}

fn push(list: &mut Value, entry: Value) {
    match list.as_array_mut() {
        Some(entries) => entries.push(entry),
        None => *list = json!([entry]),
    }
}

/// The arguments of a plugin, made when they are not there.
fn plugin_args<'v>(plugin_config: &'v mut Value, plugin: &str) -> &'v mut Value {
    let at = plugin_config.as_array().and_then(|entries| entries.iter().position(|entry| entry["name"] == plugin));
    let at = at.unwrap_or_else(|| {
        push(plugin_config, json!({ "name": plugin, "args": {} }));
        plugin_config.as_array().map_or(0, |entries| entries.len() - 1)
    });
    &mut plugin_config[at]["args"]
}

fn document(name: &str) -> Value {
    let plugin_config = match name {
        "bin-pack" => {
            let resources = json!([{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}]);
            json!([{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated", "resources": resources}}}])
        }
        _ => json!([]),
    };
    json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "profiles": [{"schedulerName": "default-scheduler", "pluginConfig": plugin_config}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_known_by_name_can_be_made() {
        for known in builtin() {
            let made = policy(known.name).map(|made| made.name().to_owned());
            assert_eq!(made.as_deref(), Ok(known.name));
        }
    }

    #[test]
    fn an_unknown_policy_is_told_the_known_ones() {
        let error = policy("spread").err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("no scheduling policy is called \"spread\"; known: default, bin-pack"));
    }
}
