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
    let (scheduler, _) = configured(known.name, &configuration(known.name), Settings::default(), surroundings)?;
    Ok(Box::new(scheduler))
}

fn configuration(name: &str) -> Value {
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
