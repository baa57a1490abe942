//! Why a scheduler decided as it did, as data: what schedulers give, traces carry and reports print.
//!
//! Invariants:
//! - Scored nodes stand best first, nodes turned down nearest first; ties by name.
//! - Of a node's objections the first is the one the scheduler reports; the others are what it never came to ask.
//!
//! Not here: how any of it is found (`schedulers`), how it is worded on a page (`reports`).

use serde::{Deserialize, Serialize};

use crate::Str;

/// One decision about one pod, explained.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Explanation {
    /// Nodes there are.
    pub nodes: u32,
    /// Nodes looked at before the search had enough.
    pub evaluated_nodes: u32,
    /// The chosen node.
    pub chosen: Option<Str>,
    /// The node was nominated by preemption before, passed, and no other was looked at.
    pub via_nominated_node: bool,
    /// What holds the pod back whatever the node: PreEnqueue or PreFilter.
    pub pod_objections: Vec<Objection>,
    /// Nodes that would do, best first.
    pub scored: Vec<ScoredNode>,
    /// Nodes that would not, nearest first.
    pub turned_down: Vec<TurnedDown>,
    /// The scheduler's own text, when no node was left.
    pub message: Str,
    /// Nodes on which preemption would make room, the one it takes first.
    pub rooms: Vec<Room>,
    /// What would have been otherwise, were the pod more important.
    pub hypothetical: Option<Hypothetical>,
}

/// A node that would do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScoredNode {
    /// The node.
    pub node: Str,
    /// The sum of its weighted scores.
    pub total: i64,
    /// What each plugin gave it, in the profile's order.
    pub scores: Vec<PluginScore>,
}

/// What a plugin gave a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginScore {
    /// The plugin; `others` is what no plugin of the profile gave.
    pub plugin: Str,
    /// As Score gave it.
    pub raw: i64,
    /// After NormalizeScore: 0 to 100.
    pub normalized: i64,
    /// The plugin's weight.
    pub weight: i64,
}

impl PluginScore {
    /// What counts in the sum.
    #[must_use]
    pub const fn weighted(&self) -> i64 {
        self.normalized * self.weight
    }
}

/// A node that would not do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnedDown {
    /// The node.
    pub node: Str,
    /// Every plugin's no, in the profile's order.
    pub objections: Vec<Objection>,
}

impl TurnedDown {
    /// What would have to be otherwise, each once: a cordon is one thing, though two plugins mind it.
    #[must_use]
    pub fn remedies(&self) -> Vec<&Remedy> {
        let mut once: Vec<&Remedy> = Vec::new();
        for remedy in self.objections.iter().flat_map(|objection| &objection.remedies) {
            if once.iter().all(|known| known.text != remedy.text) {
                once.push(remedy);
            }
        }
        once
    }

    /// Objections that are not cured together with one before them.
    #[must_use]
    pub fn obstacles(&self) -> usize {
        let cured_before = |at: usize, remedy: &Remedy| self.objections[..at].iter().any(|before| before.remedies.contains(remedy));
        let is_new = |at: usize, objection: &Objection| {
            objection.remedies.is_empty() || objection.remedies.iter().any(|remedy| !cured_before(at, remedy))
        };
        self.objections.iter().enumerate().filter(|(at, objection)| is_new(*at, objection)).count()
    }

    /// How far from fitting: what is missing of everything in the way, in thousandths. An objection without a remedy
    /// is as far as one with everything missing. Compares nodes, nothing else.
    #[must_use]
    pub fn missing_permille(&self) -> u64 {
        let silent = self.objections.iter().filter(|objection| objection.remedies.is_empty()).count() as u64;
        let known: u64 = self.remedies().iter().map(|remedy| u64::from(remedy.missing_permille)).sum();
        silent * u64::from(Remedy::ALL_MISSING) + known
    }
}

/// A plugin's no.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Objection {
    /// The plugin.
    pub plugin: Str,
    /// Unschedulable, or UnschedulableAndUnresolvable when removing pods would not help.
    pub code: Str,
    /// As the event counts them.
    pub reasons: Vec<Str>,
    /// What would remove it; all of them together.
    pub remedies: Vec<Remedy>,
}

/// Something that would have to be otherwise for a node to fit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remedy {
    /// In one clause: `150m cpu short: asks 1, 850m of 4 free`.
    pub text: Str,
    /// How much of it is missing, in thousandths.
    pub missing_permille: u32,
}

impl Remedy {
    /// Nothing of what is asked for is there.
    pub const ALL_MISSING: u32 = 1000;

    /// Something that is there or is not.
    #[must_use]
    pub fn new(text: impl Into<Str>) -> Self {
        Self { text: text.into(), missing_permille: Self::ALL_MISSING }
    }

    /// Something of which `short` is missing of the `asked`.
    #[must_use]
    pub fn short(text: impl Into<Str>, short: i64, asked: i64) -> Self {
        let share = i128::from(short.max(0)) * i128::from(Self::ALL_MISSING) / i128::from(asked.max(1));
        Self { text: text.into(), missing_permille: u32::try_from(share).unwrap_or(u32::MAX) }
    }
}

/// A node on which other pods would go.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// The node.
    pub node: Str,
    /// Who would go, most important first.
    pub victims: Vec<Str>,
    /// How many of them a PodDisruptionBudget protects.
    pub pdb_violations: u32,
}

/// A priority at which preemption would make room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hypothetical {
    /// The pod would need more than this; `None` when its own is enough.
    pub priority_above: Option<i32>,
    /// The pod's own says that it preempts nobody.
    pub never_preempts: bool,
    /// Where room would be made.
    pub room: Room,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objection(plugin: &str, remedies: Vec<Remedy>) -> Objection {
        Objection { plugin: plugin.into(), code: "Unschedulable".into(), reasons: Vec::new(), remedies }
    }

    #[test]
    fn a_cordon_that_two_plugins_mind_is_one_obstacle() {
        let cordon = || vec![Remedy::new("uncordon the node")];
        let mut node = TurnedDown { node: "a".into(), objections: vec![objection("one", cordon()), objection("other", cordon())] };
        assert_eq!((node.obstacles(), node.missing_permille()), (1, 1000));
        node.objections.push(objection("silent", Vec::new()));
        assert_eq!((node.obstacles(), node.missing_permille()), (2, 2000));
        node.objections.push(objection("fit", vec![Remedy::short("150m cpu short", 150, 1000)]));
        assert_eq!((node.obstacles(), node.missing_permille()), (3, 2150));
    }
}
