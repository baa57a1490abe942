//! Machines: node pools, their templates, and the distributions that every waiting time is written in.

use std::collections::BTreeMap;

use super::{DurationText, Part, QuantityText, fields};

fields! {
    /// The machines.
    Cluster as "mapping" {
        /// Kubernetes' version; only "1.36" is simulated.
        kubernetes_version: Option<String>,
        /// Zones, for node pools that spread over them.
        zones: Option<Vec<String>>,
        /// Pools of equal nodes.
        node_pools: Option<Vec<Part<NodePool>>>,
        /// Path of a dump (`kubectl get nodes,pods,deployments,services -A -o json`): its objects are there from the start. What controllers that are in it have made (ReplicaSets of Deployments, pods) they make anew, and it is scheduled anew.
        import: Option<String>,
    }

    /// A pool of equal nodes.
    NodePool as "mapping" {
        /// Name; its nodes are called `<name>-<n>`.
        name: String,
        /// How many nodes: a number, or {min, max, initial} to let the cluster autoscaler decide.
        count: Part<Count>,
        /// `zones` gives each node in turn one of the cluster's zones.
        spread_over: Option<String>,
        /// What each node looks like.
        template: Part<NodeTemplate>,
        /// Price of one node for one hour, in any currency. Default 0.
        price_per_hour: Option<f64>,
        /// Bytes per second in which one of its nodes pulls images whose size is known, all pulls together: a quantity such as `64Mi`. Default `controlPlane.kubelet.imagePullBandwidth`.
        image_pull_bandwidth: Option<QuantityText>,
        /// From ordering a node to its being Ready. Default 75s median, 140s at p95.
        provisioning: Option<Part<Law>>,
        /// Whether the cluster autoscaler gives it all its nodes or none (ZeroOrMaxNodeScaling). Default false.
        zero_or_max: Option<bool>,
    }

    /// A container image.
    Image as "mapping" {
        /// Its name as containers have it, with `*` for any text. The first that fits holds.
        name: String,
        /// What it takes of a node's disk, and what has to be pulled: a quantity such as `900Mi`.
        size: QuantityText,
    }

    /// The range of a pool that the cluster autoscaler resizes.
    Count as "whole number, or mapping" {
        /// Fewest nodes it leaves.
        min: u32,
        /// Most nodes it orders.
        max: u32,
        /// Nodes at the start. Default `min`.
        initial: Option<u32>,
    }

    /// What a node looks like.
    NodeTemplate as "mapping" {
        /// Everything there is: cpu, memory, pods (default 110), extended resources.
        capacity: BTreeMap<String, QuantityText>,
        /// What pods may request in all. Default: the capacity.
        allocatable: Option<BTreeMap<String, QuantityText>>,
        /// Labels. Name, zone and hostname come by themselves.
        labels: Option<BTreeMap<String, String>>,
        /// Taints, as mappings or as kubectl writes them: `dedicated=gpu:NoSchedule`.
        taints: Option<Vec<Part<TaintFields>>>,
    }

    /// How long a node that is shut down waits for pods of a priority.
    ShutdownGracePeriod as "mapping" {
        /// Pods of this priority, and of higher ones up to the next entry.
        priority: i32,
        /// How long; a bare number is seconds.
        shutdown_grace_period_seconds: DurationText,
    }

    /// A taint.
    TaintFields as "`key=value:effect`, or mapping" {
        /// Key.
        key: String,
        /// Value. Default empty.
        value: Option<String>,
        /// NoSchedule, PreferNoSchedule or NoExecute.
        effect: String,
    }

    /// A law for a span of time.
    Law as "a duration (always the same), or mapping" {
        /// constant, exponential, lognormal, uniform, weibull or empirical. May be left out where the other fields say it: {median, p95} is lognormal, {mean, cv} too (cv 0 is constant, cv 1 exponential), {min, max} uniform, {scale, shape} weibull, {values} empirical.
        distribution: Option<String>,
        /// constant: the value.
        value: Option<DurationText>,
        /// lognormal: half of all are shorter.
        median: Option<DurationText>,
        /// lognormal: 95 of 100 are shorter.
        p95: Option<DurationText>,
        /// lognormal: 99 of 100 are shorter; instead of p95.
        p99: Option<DurationText>,
        /// exponential, lognormal: the mean.
        mean: Option<DurationText>,
        /// Standard deviation as a share of the mean. Default 1.
        cv: Option<f64>,
        /// uniform: the least.
        min: Option<DurationText>,
        /// uniform: the most.
        max: Option<DurationText>,
        /// weibull: the scale.
        scale: Option<DurationText>,
        /// weibull: the shape. Below 1 the longer it took, the longer it will take.
        shape: Option<f64>,
        /// empirical: measured values, each as likely as the others, linear between.
        values: Option<Vec<DurationText>>,
        /// empirical: path of a CSV with the measured values.
        path: Option<String>,
        /// empirical: the CSV's column; its values are durations, or numbers of seconds. Default the last.
        column: Option<String>,
        /// imagePull only: whether a node keeps what it pulled. Always true; false is not simulated.
        cached_per_node: Option<bool>,
    }
}
