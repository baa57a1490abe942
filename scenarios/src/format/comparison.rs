//! A comparison in a file: what `wavetank compare` takes as flags.

use std::collections::BTreeMap;

use super::{AmountText, Metadata, NameText, Part, Seeds, fields};

fields! {
    /// A whole comparison file.
    ComparisonFile as "mapping" {
        /// `wavetank.dev/v1`.
        api_version: Option<String>,
        /// `Comparison`.
        kind: Option<String>,
        /// What the comparison is called.
        metadata: Option<Metadata>,
        /// What is compared.
        spec: Option<Part<Comparison>>,
    }

    /// What is compared, and how it is judged. Flags of `wavetank compare` go before what stands here.
    Comparison as "mapping" {
        /// The scenario: the name of a shipped one, or a path, relative to this file, else to the working directory.
        scenario: String,
        /// The policies and variations: two or more. All get the same seeds.
        policies: Vec<Part<Subject>>,
        /// The name of the one that others are measured against. Default the first.
        reference: Option<String>,
        /// Seeds to run: a list, or {from, count}. Default the scenario's; 30 are a good number.
        seeds: Option<Part<Seeds>>,
        /// Rows of the table. Default the scenario's expectations, recovery from every fault, and what everybody asks.
        metrics: Option<Vec<Part<ComparedMetric>>>,
        /// Differences that do not matter, by metric: `latency.p99: 5ms`, `cost.total: 2%` (of the reference), `availability: 0.1pp`. Default 0.1pp of shares, 1% of anything else.
        equivalence: Option<BTreeMap<String, AmountText>>,
        /// The chance of any false "better" or "worse" in the whole table. Default 0.05.
        alpha: Option<f64>,
    }

    /// A policy, or a variation of the scenario under one.
    Subject as "mapping" {
        /// What tables call it. Default the policy's name.
        name: Option<String>,
        /// A built-in policy, with options if need be (`default:NodeResourcesFit.weight=5`), or the path of a KubeSchedulerConfiguration. Default the scenario's.
        policy: Option<String>,
        /// Changes of the scenario: paths and values, as `--set` takes them; a mapping or a list is quoted.
        set: Option<BTreeMap<String, NameText>>,
    }

    /// A row of the table.
    ComparedMetric as "mapping" {
        /// The metric, with its statistic and what it is asked of: `latency.p99`, `pods.pending.max`, `availability(service=cart)`.
        metric: String,
        /// A difference of this metric that does not matter: `5ms`, `2%` of the reference, or `0.1pp` of a share.
        equivalence: Option<AmountText>,
    }
}
