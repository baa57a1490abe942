//! Priority admission: the priority and preemption policy of a pod from its PriorityClass.
//!
//! Upstream: plugin/pkg/admission/priority/admission.go. A pod that names a class gets its value; one that names none
//! gets that of the class marked `globalDefault`, or 0.

use api::{PreemptionPolicy, PriorityClass};
use k8s_openapi::api::core::v1 as core;

use crate::check::Cx;
use crate::convert::pod::PREEMPTION;
use crate::nearest::suggestion;
use crate::source::Step;

/// Classes that every cluster has. Upstream: pkg/apis/scheduling/v1/helpers.go.
pub const SYSTEM_PRIORITY_CLASSES: &[(&str, i32)] = &[("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

/// Priority and preemption policy that a pod naming `class` (or none, when empty) is admitted with; `None` when there
/// is no such class.
pub fn priority_of<'c>(class: &str, classes: impl IntoIterator<Item = &'c PriorityClass>) -> Option<(i32, PreemptionPolicy)> {
    let mut classes = classes.into_iter();
    if class.is_empty() {
        let default = classes.find(|class| class.global_default);
        return Some(default.map_or((0, PreemptionPolicy::default()), |class| (class.value, class.preemption_policy)));
    }
    if let Some(found) = classes.find(|found| *found.meta.name == *class) {
        return Some((found.value, found.preemption_policy));
    }
    let system = SYSTEM_PRIORITY_CLASSES.iter().find(|(name, _)| *name == class)?;
    Some((system.1, PreemptionPolicy::default()))
}

/// The classes of the manifests being read.
#[derive(Default)]
pub(crate) struct Classes(pub(crate) Vec<PriorityClass>);

impl Classes {
    /// The priority and preemption policy of a pod spec. What the spec itself says holds.
    pub(crate) fn admit(&self, cx: &mut Cx<'_>, from: &core::PodSpec, at: &Step<'_>) -> (i32, PreemptionPolicy) {
        let class = from.priority_class_name.as_deref().unwrap_or("");
        let own = from.preemption_policy.as_deref().and_then(|word| cx.word(word, PREEMPTION, &at.key("preemptionPolicy")));
        let found = priority_of(class, &self.0);
        if found.is_none() && from.priority.is_none() {
            let known: Vec<&str> =
                self.0.iter().map(|class| &*class.meta.name).chain(SYSTEM_PRIORITY_CLASSES.iter().map(|class| class.0)).collect();
            let help = suggestion(class, &known).unwrap_or_default();
            cx.error_with_help(
                "WT0202",
                format!("no PriorityClass is called `{class}`"),
                "no such class among the manifests",
                help,
                &at.key("priorityClassName"),
            );
        }
        let (value, policy) = found.unwrap_or_default();
        (from.priority.unwrap_or(value), own.unwrap_or(policy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_come_from_the_class_the_default_class_or_nothing() {
        let class = |name: &str, value, global_default, preemption_policy| PriorityClass {
            meta: api::ObjectMeta { name: name.into(), ..Default::default() },
            value,
            global_default,
            preemption_policy,
        };
        let classes = [class("gold", 900, false, PreemptionPolicy::Never), class("plain", 10, true, PreemptionPolicy::default())];
        assert_eq!(priority_of("gold", &classes), Some((900, PreemptionPolicy::Never)));
        assert_eq!(priority_of("", &classes), Some((10, PreemptionPolicy::PreemptLowerPriority)));
        assert_eq!(priority_of("", &classes[..1]), Some((0, PreemptionPolicy::PreemptLowerPriority)));
        assert_eq!(priority_of("system-node-critical", &[]), Some((2_000_001_000, PreemptionPolicy::PreemptLowerPriority)));
        assert_eq!(priority_of("silver", &classes), None);
    }
}
