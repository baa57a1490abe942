//! The in-tree plugins of 1.36, one file or folder each, named as upstream names them; and the registry: their
//! names, their order and weight in the default profile, and how each is made from its arguments.
//!
//! Each follows its upstream plugin to the letter in what it answers (codes, reasons, integer arithmetic);
//! how it gets there is its own. A new plugin is its file and its lines here.
//! Upstream: framework/plugins/registry.go, apis/config/v1/default_plugins.go.

pub(crate) mod default_preemption;
pub(crate) mod dynamic_resources;
mod helper;
#[cfg(test)]
mod hint_tests;
pub(crate) mod image_locality;
pub(crate) mod inter_pod_affinity;
pub(crate) mod node_affinity;
pub(crate) mod node_declared_features;
pub(crate) mod node_name;
pub(crate) mod node_ports;
pub(crate) mod node_resources_balanced_allocation;
pub(crate) mod node_resources_fit;
pub(crate) mod node_unschedulable;
pub(crate) mod node_volume_limits;
pub(crate) mod pod_topology_spread;
pub(crate) mod priority_sort;
pub(crate) mod scheduling_gates;
pub(crate) mod taint_toleration;
pub(crate) mod volume_binding;
pub(crate) mod volume_restrictions;
pub(crate) mod volume_zone;
mod volumes;
mod wording;

use port::{PluginPoints, Register};

use crate::config::Settings;
use crate::config::args::Reader;
use helper::{default_normalize, namespace_labels, node_came_or_was_relabelled, queue_if, tolerations_grew};

/// Makes a plugin from its arguments.
type Make = fn(&Reader<'_>, &Settings) -> PluginPoints;

/// An in-tree plugin.
pub(crate) struct InTree {
    pub(crate) name: &'static str,
    /// Its weight in the default profile; `None` when it is not part of that.
    pub(crate) default_weight: Option<i64>,
    /// `None` when its behaviour is not modelled.
    pub(crate) make: Option<Make>,
}

const fn by_default(name: &'static str, weight: i64, make: Make) -> InTree {
    InTree { name, default_weight: Some(weight), make: Some(make) }
}

const fn not_modelled(name: &'static str, is_default: bool) -> InTree {
    InTree { name, default_weight: if is_default { Some(0) } else { None }, make: None }
}

/// All of them; those of the default profile in its order.
pub(crate) const IN_TREE: &[InTree] = &[
    by_default("SchedulingGates", 0, |_, _| Register::new(scheduling_gates::SchedulingGates).pre_enqueue().done()),
    by_default("PrioritySort", 0, |_, _| Register::new(priority_sort::PrioritySort).queue_sort().done()),
    by_default("NodeUnschedulable", 0, |_, settings| {
        Register::new(node_unschedulable::NodeUnschedulable { comparison_operators: settings.comparison_operators }).filter().done()
    }),
    by_default("NodeName", 0, |_, _| Register::new(node_name::NodeName).filter().done()),
    by_default("TaintToleration", 3, |_, settings| {
        Register::new(taint_toleration::TaintToleration { comparison_operators: settings.comparison_operators }).filter().score().done()
    }),
    by_default("NodeAffinity", 2, |args, _| Register::new(node_affinity::from_args(args)).filter().score().done()),
    by_default("NodePorts", 0, |_, _| Register::new(node_ports::NodePorts).filter().done()),
    by_default("NodeResourcesFit", 1, |args, settings| {
        let mut plugin = node_resources_fit::from_args(args);
        plugin.ignored_resources.extend(settings.left_to_extenders.iter().cloned());
        Register::new(plugin).filter().score().done()
    }),
    by_default("VolumeRestrictions", 0, |_, _| Register::new(volume_restrictions::VolumeRestrictions).filter().done()),
    by_default("NodeVolumeLimits", 0, |_, _| Register::new(node_volume_limits::NodeVolumeLimits).filter().done()),
    by_default("VolumeBinding", 0, |args, _| Register::new(volume_binding::from_args(args)).filter().done()),
    by_default("VolumeZone", 0, |_, _| Register::new(volume_zone::VolumeZone).filter().done()),
    by_default("PodTopologySpread", 2, |args, settings| {
        Register::new(pod_topology_spread::from_args(args, settings.comparison_operators)).filter().score().done()
    }),
    by_default("InterPodAffinity", 2, |args, _| Register::new(inter_pod_affinity::from_args(args)).filter().score().done()),
    by_default("DynamicResources", 2, |_, _| Register::new(dynamic_resources::DynamicResources).post_filter().score().done()),
    by_default("DefaultPreemption", 0, |args, settings| {
        let mut plugin = default_preemption::from_args(args);
        if settings.all_nodes {
            plugin.min_candidate_nodes_percentage = 100;
        }
        Register::new(plugin).post_filter().done()
    }),
    by_default("NodeResourcesBalancedAllocation", 1, |args, _| {
        Register::new(node_resources_balanced_allocation::from_args(args)).score().done()
    }),
    by_default("ImageLocality", 1, |_, _| Register::new(image_locality::ImageLocality).score().done()),
    // What it does (the binding) is the engine's.
    not_modelled("DefaultBinder", true),
    by_default("NodeDeclaredFeatures", 0, |_, _| Register::new(node_declared_features::NodeDeclaredFeatures).filter().done()),
    not_modelled("GangScheduling", false),
    not_modelled("TopologyPlacementGenerator", false),
    not_modelled("PodGroupPodsCount", false),
];

/// The in-tree plugin of this name.
pub(crate) fn in_tree(name: &str) -> Option<&'static InTree> {
    IN_TREE.iter().find(|known| known.name == name)
}

/// Names of the in-tree plugins whose behaviour is modelled.
#[must_use]
pub fn implemented_plugins() -> Vec<&'static str> {
    IN_TREE.iter().filter(|known| known.make.is_some()).map(|known| known.name).collect()
}
