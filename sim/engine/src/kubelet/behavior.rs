//! What the scenario says of a pod that its manifest does not, resolved once per pod.
//!
//! Field by field the first behavior holds that selects the pod and gives the field. Pods that the same
//! behaviors select share one [`ResolvedBehavior`].

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Pod;

use crate::random::Distribution;
use crate::select::selects;
use crate::spec::{Behavior, Crash, ServiceBehavior};
use crate::store::Store;

/// What holds for one pod. `None` leaves a component's default.
#[derive(Debug, Default)]
pub(crate) struct ResolvedBehavior {
    pub(crate) image_pull: Option<Distribution>,
    pub(crate) ready_after: Option<Distribution>,
    pub(crate) never_ready: bool,
    pub(crate) stop: Option<Distribution>,
    pub(crate) crash: Option<Crash>,
    /// How it answers requests; `None` means it takes none.
    pub(crate) service: Option<Arc<ServiceBehavior>>,
}

/// All behaviors of a scenario.
#[derive(Debug, Default)]
pub(crate) struct Behaviors {
    behaviors: Vec<(Behavior, Option<Arc<ServiceBehavior>>)>,
    /// By the places of the behaviors that select a pod.
    resolved: BTreeMap<Vec<usize>, Arc<ResolvedBehavior>>,
}

impl Behaviors {
    pub(crate) fn new(behaviors: &[Behavior]) -> Self {
        let with_service = |behavior: &Behavior| (behavior.clone(), behavior.service.clone().map(Arc::new));
        Self { behaviors: behaviors.iter().map(with_service).collect(), resolved: BTreeMap::new() }
    }

    /// What holds for `pod`.
    pub(crate) fn resolve(&mut self, pod: &Pod, store: &Store) -> Arc<ResolvedBehavior> {
        let selecting = |(place, (behavior, _)): (usize, &(Behavior, _))| selects(&behavior.selector, pod, store).then_some(place);
        let places: Vec<usize> = self.behaviors.iter().enumerate().filter_map(selecting).collect();
        let behaviors = &self.behaviors;
        self.resolved
            .entry(places)
            .or_insert_with_key(|places| {
                let mut resolved = ResolvedBehavior::default();
                for (behavior, service) in places.iter().map(|place| &behaviors[*place]) {
                    resolved.image_pull = resolved.image_pull.or_else(|| behavior.image_pull.clone());
                    resolved.ready_after = resolved.ready_after.or_else(|| behavior.ready_after.clone());
                    resolved.never_ready |= behavior.never_ready;
                    resolved.stop = resolved.stop.or_else(|| behavior.stop.clone());
                    resolved.crash = resolved.crash.or_else(|| behavior.crash.clone());
                    resolved.service = resolved.service.or_else(|| service.clone());
                }
                Arc::new(resolved)
            })
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::PodSelector;
    use api::{ObjectMeta, SimDuration};

    #[test]
    fn the_first_behavior_that_gives_a_field_holds_for_that_field() {
        let seconds = |seconds| Some(Distribution::Constant(SimDuration::from_secs(seconds)));
        let of_web = PodSelector { names: vec!["web".into()], ..PodSelector::default() };
        let mut behaviors = Behaviors::new(&[
            Behavior { selector: of_web, ready_after: seconds(5), ..Behavior::default() },
            Behavior { ready_after: seconds(9), stop: seconds(2), ..Behavior::default() },
        ]);
        let store = Store::default();
        let pod = |name: &str| Pod { meta: ObjectMeta { name: name.into(), ..ObjectMeta::default() }, ..Pod::default() };
        let web = behaviors.resolve(&pod("web"), &store);
        assert_eq!((&web.ready_after, &web.stop, &web.image_pull), (&seconds(5), &seconds(2), &None));
        assert_eq!(behaviors.resolve(&pod("db"), &store).ready_after, seconds(9));
        assert!(Arc::ptr_eq(&web, &behaviors.resolve(&pod("web"), &store)), "equal pods share one");
    }
}
