//! Labels and label selectors.
//!
//! Upstream: apimachinery/pkg/labels/selector.go. A selector that is *absent* is the caller's matter
//! (it matches nothing or everything depending on the field); an empty one matches everything.

use std::collections::BTreeMap;

use crate::Str;

/// Labels or annotations, ordered by key.
pub type Labels = BTreeMap<Str, Str>;

/// What an expression of a selector asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operator {
    /// The key has one of the values.
    In,
    /// The key is absent or has none of the values.
    NotIn,
    /// The key is there.
    Exists,
    /// The key is not there.
    DoesNotExist,
    /// The key's value is an integer greater than the one given (node selectors only).
    Gt,
    /// The key's value is an integer less than the one given (node selectors only).
    Lt,
}

/// One expression of a selector.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Requirement {
    /// The label key.
    pub key: Str,
    /// What is asked of it.
    pub operator: Operator,
    /// The values it is compared with.
    pub values: Vec<Str>,
}

impl Requirement {
    /// Whether `labels` meet the expression.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let found = labels.get(&self.key);
        match self.operator {
            Operator::In => found.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => found.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
            Operator::Gt => self.compare(found, |a, b| a > b),
            Operator::Lt => self.compare(found, |a, b| a < b),
        }
    }

    fn compare(&self, found: Option<&Str>, holds: impl Fn(i64, i64) -> bool) -> bool {
        let left = found.and_then(|value| value.parse::<i64>().ok());
        let right = self.values.first().and_then(|value| value.parse::<i64>().ok());
        matches!((left, right), (Some(left), Some(right)) if holds(left, right))
    }
}

/// A selector: all labels and all expressions must hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct LabelSelector {
    /// Exact labels.
    pub match_labels: Labels,
    /// Further expressions.
    pub match_expressions: Vec<Requirement>,
}

impl LabelSelector {
    /// Whether `labels` are selected. An empty selector selects everything.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
}
