//! What was decided about every pod of a run, and where two runs decide otherwise.
//!
//! Pods of two runs are the same pod when one controller made them as its first, second, … one: their names hold random
//! letters. Pods of StatefulSets and bare ones go by their names.
//!
//! Invariants: one pass over the records, as much memory as there are decisions. Pods of DaemonSets are left out: each
//! belongs to its node, and nobody decides about it.
//!
//! Not here: why a decision came out as it did; the scheduler tells that when it is asked
//! ([`FirstDecision::new`]).

use std::collections::BTreeMap;

use api::{Explanation, PluginScore, SimTime, Str};
use serde::{Deserialize, Serialize};
use trace::{Record, Trace, TraceSink};

/// What makes a pod the same pod in another run: who made it (or its own name), and the how manyeth it was.
type Identity = (Str, u32);

/// One attempt to place a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Decision {
    at: SimTime,
    attempt: u32,
    /// `None`: no node would do.
    node: Option<Str>,
}

#[derive(Debug)]
struct Pod {
    name: Str,
    workload: Str,
    created: SimTime,
    decisions: Vec<Decision>,
}

impl Pod {
    fn first_node(&self) -> Option<&Str> {
        self.decisions.iter().find_map(|decision| decision.node.as_ref())
    }
}

/// All decisions of a run. Listens to it, or is told a trace.
#[derive(Default, Debug)]
pub struct Decisions {
    pods: BTreeMap<Identity, Pod>,
    living: BTreeMap<Str, Identity>,
    made: BTreeMap<Str, u32>,
    /// In the order in which they were made: the pod, and the place among its decisions.
    order: Vec<(Identity, usize)>,
}

impl TraceSink for Decisions {
    fn record(&mut self, at: SimTime, record: &Record) {
        match record {
            Record::PodCreated { pod, workload, controller, .. } => self.created(at, pod, workload, controller),
            Record::PodScheduled { pod, node, attempts, .. } => {
                self.decided(pod, Decision { at, attempt: *attempts, node: Some(node.clone()) });
            }
            Record::PodUnschedulable { pod, attempt, .. } => self.decided(pod, Decision { at, attempt: *attempt, node: None }),
            Record::PodRemoved { pod } => {
                self.living.remove(pod);
            }
            _ => {}
        }
    }
}

impl Decisions {
    /// Those of a trace.
    #[must_use]
    pub fn of(trace: &Trace) -> Self {
        let mut decisions = Self::default();
        trace.records.iter().for_each(|(at, record)| decisions.record(*at, record));
        decisions
    }

    fn created(&mut self, at: SimTime, name: &Str, workload: &Str, controller: &Str) {
        if workload.starts_with("DaemonSet/") {
            return;
        }
        let by_name = controller.is_empty() || controller.starts_with("StatefulSet/");
        let maker = if by_name { name } else { controller };
        let made = self.made.entry(maker.clone()).or_default();
        *made += 1;
        let identity = (maker.clone(), *made);
        self.living.insert(name.clone(), identity.clone());
        self.pods.insert(identity, Pod { name: name.clone(), workload: workload.clone(), created: at, decisions: Vec::new() });
    }

    fn decided(&mut self, pod: &Str, decision: Decision) {
        let Some(identity) = self.living.get(pod) else { return };
        let Some(pod) = self.pods.get_mut(identity) else { return };
        self.order.push((identity.clone(), pod.decisions.len()));
        pod.decisions.push(decision);
    }

    /// The first decision of `self` that `other` makes otherwise about the same pod: theirs, and the other's.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<(Choice, Choice)> {
        self.order.iter().find_map(|(identity, place)| {
            let (mine, theirs) = (&self.pods[identity], other.pods.get(identity)?);
            let (one, two) = (&mine.decisions[*place], theirs.decisions.get(*place)?);
            (one.node != two.node).then(|| (Choice::of(mine, one), Choice::of(theirs, two)))
        })
    }

    /// Of every workload, how many pods went elsewhere in `other`.
    #[must_use]
    pub fn moved(&self, other: &Self) -> Vec<Moved> {
        let mut moved: BTreeMap<&str, Moved> = BTreeMap::new();
        let workload = |pod: &Pod| if pod.workload.is_empty() { "bare pods".into() } else { pod.workload.clone() };
        for (identity, pod) in &self.pods {
            let counts = moved.entry(&pod.workload).or_insert_with(|| Moved { workload: workload(pod), ..Moved::default() });
            match other.pods.get(identity) {
                Some(theirs) => {
                    counts.pods += 1;
                    counts.elsewhere += u64::from(pod.first_node() != theirs.first_node());
                }
                None => counts.only_one += 1,
            }
        }
        for (_, pod) in other.pods.iter().filter(|(identity, _)| !self.pods.contains_key(*identity)) {
            moved.entry(&pod.workload).or_insert_with(|| Moved { workload: workload(pod), ..Moved::default() }).only_other += 1;
        }
        moved.into_values().collect()
    }
}

/// A workload's pods in two runs.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    /// `Kind/namespace/name`, or `bare pods`.
    pub workload: Str,
    /// Pods that both runs have.
    pub pods: u64,
    /// Those whose first node is another one, or that only one run placed.
    pub elsewhere: u64,
    /// Pods of the one run only.
    pub only_one: u64,
    /// Pods of the other run only.
    pub only_other: u64,
}

impl Moved {
    /// Whether the two runs differ here.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.elsewhere + self.only_one + self.only_other > 0
    }
}

/// What one run decided about a pod.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// `namespace/name`.
    pub pod: Str,
    /// The workload on top, or empty.
    pub workload: Str,
    /// When the pod was created.
    #[serde(rename = "createdNanos")]
    pub created: SimTime,
    /// When it was decided.
    #[serde(rename = "atNanos")]
    pub at: SimTime,
    /// Which attempt.
    pub attempt: u32,
    /// The node; `None` when none would do.
    pub node: Option<Str>,
}

impl Choice {
    fn of(pod: &Pod, decision: &Decision) -> Self {
        Self {
            pod: pod.name.clone(),
            workload: pod.workload.clone(),
            created: pod.created,
            at: decision.at,
            attempt: decision.attempt,
            node: decision.node.clone(),
        }
    }
}

/// How a node fared in a decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Standing {
    /// It would do.
    Scored {
        /// The sum of its weighted scores.
        total: i64,
    },
    /// It would not do.
    TurnedDown {
        /// Who says so first.
        plugin: Str,
        /// Why.
        reason: String,
    },
    /// Enough nodes had been found before it was looked at, or it was not there.
    NotLookedAt,
    /// The scheduler gives no reasons.
    Unknown,
}

/// What one plugin counts for the nodes in question, in the order of [`FirstDecision::nodes`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginPart {
    /// The plugin.
    pub plugin: Str,
    /// Under the reference.
    pub reference: Vec<Option<i64>>,
    /// Under the other policy.
    pub subject: Vec<Option<i64>>,
}

/// The first decision on a pod that two policies make otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FirstDecision {
    /// What the reference decided.
    pub reference: Choice,
    /// What the other decided.
    pub subject: Choice,
    /// The nodes that were chosen, the reference's first.
    pub nodes: Vec<Str>,
    /// How they fared under the reference.
    pub reference_standings: Vec<Standing>,
    /// How they fared under the other.
    pub subject_standings: Vec<Standing>,
    /// What every plugin counts, in the profile's order.
    pub plugins: Vec<PluginPart>,
    /// The plugin that speaks most for the one's choice there and for the other's here; `None` when scores do not decide it.
    pub tipped_by: Option<Str>,
}

impl FirstDecision {
    /// From what the two schedulers said when they were asked.
    #[must_use]
    pub fn new(choices: (Choice, Choice), explanations: (Option<&Explanation>, Option<&Explanation>)) -> Self {
        let (reference, subject) = choices;
        let mut nodes: Vec<Str> = reference.node.iter().chain(&subject.node).cloned().collect();
        nodes.dedup();
        let standings = |explanation| nodes.iter().map(|node| standing(explanation, node)).collect::<Vec<_>>();
        let (reference_standings, subject_standings) = (standings(explanations.0), standings(explanations.1));
        let plugins: Vec<PluginPart> = plugins(explanations)
            .into_iter()
            .map(|plugin| {
                let of = |explanation| nodes.iter().map(|node| score(explanation, node, &plugin)).collect();
                PluginPart { reference: of(explanations.0), subject: of(explanations.1), plugin: plugin.clone() }
            })
            .collect();
        let is_scored = |standing: &Standing| matches!(standing, Standing::Scored { .. });
        let comparable = nodes.len() == 2 && reference_standings.iter().chain(&subject_standings).all(is_scored);
        let tipped_by = comparable.then(|| tipping(&plugins)).flatten();
        Self { reference, subject, nodes, reference_standings, subject_standings, plugins, tipped_by }
    }
}

/// One policy against the reference, in one seed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionDiff {
    /// The policy.
    pub subject: Str,
    /// The seed.
    pub seed: u64,
    /// The first decision that differs; `None` when none does.
    pub first: Option<FirstDecision>,
    /// Every workload's pods; `one` is the reference.
    pub moved: Vec<Moved>,
}

fn standing(explanation: Option<&Explanation>, node: &str) -> Standing {
    let Some(explanation) = explanation else { return Standing::Unknown };
    if let Some(scored) = explanation.scored.iter().find(|scored| &*scored.node == node) {
        return Standing::Scored { total: scored.total };
    }
    match explanation.turned_down.iter().find(|down| &*down.node == node).and_then(|down| down.objections.first()) {
        Some(objection) => Standing::TurnedDown { plugin: objection.plugin.clone(), reason: crate::render::reasons(objection) },
        None => Standing::NotLookedAt,
    }
}

/// All plugins that score, in the profile's order, those of the reference first.
fn plugins(explanations: (Option<&Explanation>, Option<&Explanation>)) -> Vec<Str> {
    let mut found: Vec<Str> = Vec::new();
    for explanation in [explanations.0, explanations.1].into_iter().flatten() {
        for score in explanation.scored.first().map_or(&[][..], |node| &node.scores) {
            if !found.contains(&score.plugin) {
                found.push(score.plugin.clone());
            }
        }
    }
    found
}

fn score(explanation: Option<&Explanation>, node: &str, plugin: &str) -> Option<i64> {
    let scored = explanation?.scored.iter().find(|scored| &*scored.node == node)?;
    scored.scores.iter().find(|score| &*score.plugin == plugin).map(PluginScore::weighted)
}

/// By how much the first node is ahead of the second.
pub(crate) fn lead(scores: &[Option<i64>]) -> i64 {
    let at = |place: usize| scores.get(place).copied().flatten().unwrap_or(0);
    at(0) - at(1)
}

/// The plugin whose lead for the reference's node shrinks most from the reference to the other; the first of equals.
fn tipping(plugins: &[PluginPart]) -> Option<Str> {
    let tips = |part: &PluginPart| lead(&part.reference) - lead(&part.subject);
    let most = plugins.iter().map(tips).max().filter(|most| *most > 0)?;
    plugins.iter().find(|part| tips(part) == most).map(|part| part.plugin.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Options, Subject, compare};
    use crate::render::{TextOptions, comparison_text};
    use api::{Objection, ScoredNode, TurnedDown};

    /// `+pod owner` creates, `pod>node` places, `pod>` finds none, `-pod` removes; a second each.
    fn run(script: &str) -> Decisions {
        let mut decisions = Decisions::default();
        let mut attempts: BTreeMap<&str, u32> = BTreeMap::new();
        for (second, word) in script.split(", ").enumerate() {
            let at = SimTime::from_secs(second as u64);
            let record = if let Some((pod, owner)) = word.strip_prefix('+').and_then(|word| word.split_once(' ')) {
                let (workload, controller) = (owner.replace("ReplicaSet", "Deployment"), owner.to_owned());
                let (workload, controller) = (workload.as_str().into(), controller.as_str().into());
                Record::PodCreated { pod: pod.into(), workload, controller, cpu_millis: 0, memory_bytes: 0, priority: 0 }
            } else if let Some(pod) = word.strip_prefix('-') {
                Record::PodRemoved { pod: pod.into() }
            } else {
                let (pod, node) = word.split_once('>').unwrap_or((word, ""));
                let attempt = attempts.entry(pod).and_modify(|attempt| *attempt += 1).or_insert(1);
                let (pod, attempts) = (pod.into(), *attempt);
                match node {
                    "" => Record::PodUnschedulable { pod, attempt: attempts, message: "".into(), rejected_by: vec![] },
                    node => Record::PodScheduled { pod, node: node.into(), attempts, feasible_nodes: 1, evaluated_nodes: 1 },
                }
            };
            decisions.record(at, &record);
        }
        decisions
    }

    fn first(one: &str, other: &str) -> Option<String> {
        let said = |choice: &Choice| format!("{}#{}>{}", choice.pod, choice.attempt, choice.node.as_deref().unwrap_or(""));
        run(one).first_difference(&run(other)).map(|(mine, theirs)| format!("{} {}", said(&mine), said(&theirs)))
    }

    #[test]
    fn pods_are_the_same_by_who_made_them_and_when_whatever_their_names() {
        let two = "+a ReplicaSet/ns/x, +b ReplicaSet/ns/x, a>n1, b>n2";
        for (one, other, expected) in [
            (two, two, None),
            (two, "+p ReplicaSet/ns/x, +q ReplicaSet/ns/x, p>n1, q>n2", None),
            (two, "+p ReplicaSet/ns/x, +q ReplicaSet/ns/x, p>n1, q>n3", Some("b#1>n2 q#1>n3")),
            // The order in which they are placed is no decision.
            (two, "+p ReplicaSet/ns/x, +q ReplicaSet/ns/x, q>n2, p>n1", None),
            ("+a ReplicaSet/ns/x, a>, a>n1", "+p ReplicaSet/ns/x, p>n1", Some("a#1> p#1>n1")),
            ("+a ReplicaSet/ns/x, a>, a>n1", "+p ReplicaSet/ns/x, p>, p>n2", Some("a#2>n1 p#2>n2")),
            // A pod of a StatefulSet goes by its name, and each of its lives is its own.
            (
                "+s-1 StatefulSet/ns/s, +s-0 StatefulSet/ns/s, s-1>n1, s-0>n2, -s-0, +s-0 StatefulSet/ns/s, s-0>n2",
                "+s-0 StatefulSet/ns/s, +s-1 StatefulSet/ns/s, s-1>n1, s-0>n2, -s-0, +s-0 StatefulSet/ns/s, s-0>n9",
                Some("s-0#2>n2 s-0#2>n9"),
            ),
            ("+d DaemonSet/ns/d, d>n1", "+d DaemonSet/ns/d, d>n2", None),
            (two, "+p ReplicaSet/ns/y, p>n7", None),
        ] {
            assert_eq!(first(one, other).as_deref(), expected, "{one} | {other}");
        }
        let moved = run(two).moved(&run("+p ReplicaSet/ns/x, +c ReplicaSet/ns/y, p>n7, c>n1"));
        let counts = |moved: &Moved| (moved.workload.to_string(), [moved.pods, moved.elsewhere, moved.only_one, moved.only_other]);
        assert_eq!(
            moved.iter().map(counts).collect::<Vec<_>>(),
            [("Deployment/ns/x".to_owned(), [1, 1, 1, 0]), ("Deployment/ns/y".to_owned(), [0, 0, 0, 1]),]
        );
    }

    fn explained(scored: &[(&str, [i64; 2])], down: &[(&str, &str)]) -> Explanation {
        let scores = |given: [i64; 2]| {
            let one = |plugin: &str, score| PluginScore { plugin: plugin.into(), raw: score, normalized: score, weight: 1 };
            vec![one("NodeResourcesFit", given[0]), one("ImageLocality", given[1]), one("Silent", 0)]
        };
        let objection = |reason: &str| Objection {
            plugin: "NodeResourcesFit".into(),
            code: "Unschedulable".into(),
            reasons: vec![reason.into()],
            remedies: vec![],
        };
        Explanation {
            scored: scored
                .iter()
                .map(|(node, given)| ScoredNode { node: (*node).into(), total: given.iter().sum(), scores: scores(*given) })
                .collect(),
            turned_down: down
                .iter()
                .map(|(node, reason)| TurnedDown { node: (*node).into(), objections: vec![objection(reason)] })
                .collect(),
            ..Explanation::default()
        }
    }

    #[test]
    fn what_tipped_it_is_told_with_the_scores_of_both_nodes_under_both_policies() {
        let choices = |other: &str| {
            let one = run("+a ReplicaSet/ns/x, +b ReplicaSet/ns/x, a>n1, b>n3");
            one.first_difference(&run(&format!("+a ReplicaSet/ns/x, +c ReplicaSet/ns/x, a>{other}"))).expect("they differ")
        };
        let spread = explained(&[("n1", [90, 10]), ("n2", [60, 20])], &[]);
        let tied = explained(&[("n1", [50, 10]), ("n2", [50, 10])], &[]);
        let cases = [
            ("n2", Some(spread.clone()), Some(explained(&[("n2", [60, 20]), ("n1", [10, 10])], &[])), Some("NodeResourcesFit")),
            ("n2", Some(spread.clone()), Some(explained(&[("n2", [60, 20])], &[("n1", "Insufficient cpu")])), None),
            ("n2", Some(tied.clone()), Some(tied), None),
            ("", Some(spread.clone()), Some(explained(&[], &[("n1", "Insufficient memory")])), None),
            ("n2", Some(spread), None, None),
        ];
        let mut comparison =
            compare(&[Subject { name: "default".into(), runs: vec![] }], &Options { alpha: 0.05, reference: 0, wanted: vec![] });
        for (other, mine, theirs, tipped) in cases {
            let decision = FirstDecision::new(choices(other), (mine.as_ref(), theirs.as_ref()));
            assert_eq!(decision.tipped_by.as_deref(), tipped);
            let moved = vec![Moved { workload: "Deployment/ns/x".into(), pods: 1, elsewhere: 1, only_one: 1, only_other: 2 }];
            comparison.decisions.push(DecisionDiff { subject: "mine".into(), seed: 1, first: Some(decision), moved });
        }
        comparison.decisions.push(DecisionDiff { subject: "default#2".into(), seed: 1, first: None, moved: vec![] });
        let again: Vec<DecisionDiff> = serde_json::from_str(&serde_json::to_string(&comparison.decisions).unwrap()).unwrap();
        assert_eq!(again, comparison.decisions, "it is read back as it was written");
        let text = comparison_text(&comparison, &TextOptions { utf8: true, ..TextOptions::default() });
        let from = text.find("FIRST DECISION").unwrap_or(0);
        insta::assert_snapshot!(&text[from..text.find("paired by seed").unwrap_or(text.len())]);
    }
}
