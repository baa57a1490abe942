//! The in-tree plugins of 1.36: their names, their order and weight in the default profile, and how those
//! that are implemented are made from their arguments.
//!
//! Upstream: framework/plugins/registry.go, apis/config/v1/default_plugins.go.

use port::{PluginPoints, Register};

use crate::config::Settings;
use crate::config::args::{self, Reader};
use crate::plugins::default_preemption::DefaultPreemption;
use crate::plugins::dynamic_resources::DynamicResources;
use crate::plugins::image_locality::ImageLocality;
use crate::plugins::node_name::NodeName;
use crate::plugins::node_ports::NodePorts;
use crate::plugins::node_unschedulable::NodeUnschedulable;
use crate::plugins::node_volume_limits::NodeVolumeLimits;
use crate::plugins::queue::{PrioritySort, SchedulingGates};
use crate::plugins::taint_toleration::TaintToleration;
use crate::plugins::volume_restrictions::VolumeRestrictions;
use crate::plugins::volume_zone::VolumeZone;

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
    by_default("SchedulingGates", 0, |_, _| Register::new(SchedulingGates).pre_enqueue().done()),
    by_default("PrioritySort", 0, |_, _| Register::new(PrioritySort).queue_sort().done()),
    by_default("NodeUnschedulable", 0, |_, settings| {
        Register::new(NodeUnschedulable { comparison_operators: settings.comparison_operators }).filter().done()
    }),
    by_default("NodeName", 0, |_, _| Register::new(NodeName).filter().done()),
    by_default("TaintToleration", 3, |_, settings| {
        Register::new(TaintToleration { comparison_operators: settings.comparison_operators }).filter().score().done()
    }),
    by_default("NodeAffinity", 2, |args, _| Register::new(args::node_affinity(args)).filter().score().done()),
    by_default("NodePorts", 0, |_, _| Register::new(NodePorts).filter().done()),
    by_default("NodeResourcesFit", 1, |args, settings| {
        let mut plugin = args::node_resources_fit(args);
        plugin.ignored_resources.extend(settings.left_to_extenders.iter().cloned());
        Register::new(plugin).filter().score().done()
    }),
    by_default("VolumeRestrictions", 0, |_, _| Register::new(VolumeRestrictions).filter().done()),
    by_default("NodeVolumeLimits", 0, |_, _| Register::new(NodeVolumeLimits).filter().done()),
    by_default("VolumeBinding", 0, |args, _| Register::new(args::volume_binding(args)).filter().done()),
    by_default("VolumeZone", 0, |_, _| Register::new(VolumeZone).filter().done()),
    by_default("PodTopologySpread", 2, |args, settings| {
        Register::new(args::pod_topology_spread(args, settings.comparison_operators)).filter().score().done()
    }),
    by_default("InterPodAffinity", 2, |args, _| Register::new(args::inter_pod_affinity(args)).filter().score().done()),
    by_default("DynamicResources", 2, |_, _| Register::new(DynamicResources).post_filter().score().done()),
    by_default("DefaultPreemption", 0, |args, settings| {
        let mut plugin: DefaultPreemption = args::default_preemption(args);
        if settings.all_nodes {
            plugin.min_candidate_nodes_percentage = 100;
        }
        Register::new(plugin).post_filter().done()
    }),
    by_default("NodeResourcesBalancedAllocation", 1, |args, _| Register::new(args::balanced_allocation(args)).score().done()),
    by_default("ImageLocality", 1, |_, _| Register::new(ImageLocality).score().done()),
    // What it does (the binding) is the engine's.
    not_modelled("DefaultBinder", true),
    not_modelled("NodeDeclaredFeatures", true),
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
