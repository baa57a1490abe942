//! What the scenario says of a pod that its manifest does not, resolved once per pod.
//!
//! Field by field the first behavior holds that selects the pod and gives the field. Pods that the same
//! behaviors select share one [`ResolvedBehavior`].

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Pod, Str};

use super::signals::Resource;
use crate::random::Distribution;
use crate::select::selects;
use crate::spec::{Behavior, Crash, MemoryUse, ServiceBehavior};
use crate::store::Store;

/// What holds for one pod. `None` leaves a component's default.
#[derive(Debug, Default)]
pub(crate) struct ResolvedBehavior {
    pub(crate) image_pull: Option<Distribution>,
    pub(crate) image_pull_error: Option<Str>,
    pub(super) readiness_gates: Option<Distribution>,
    /// How it answers requests; `None` means it takes none.
    pub(crate) service: Option<Arc<ServiceBehavior>>,
    /// Of the containers.
    main: ProcessBehavior,
    /// Of init containers and sidecars: how they stop.
    init: ProcessBehavior,
    /// Of containers that are spoken of by name.
    named: Vec<(Str, ProcessBehavior)>,
}

impl ResolvedBehavior {
    /// What holds for the process of one container.
    pub(super) fn process(&self, container: &Str, is_init: bool) -> &ProcessBehavior {
        let named = self.named.iter().find(|(name, _)| name == container).map(|(_, process)| process);
        named.unwrap_or(if is_init { &self.init } else { &self.main })
    }
}

/// What holds for the process of one container.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessBehavior {
    pub(super) ready_after: Option<Distribution>,
    pub(super) never_ready: bool,
    pub(super) stop: Option<Distribution>,
    pub(super) crash: Option<Crash>,
    pub(super) post_start: Option<Distribution>,
    pub(super) post_start_fails: bool,
    pub(super) pre_stop: Option<Distribution>,
    pub(super) memory: Option<MemoryUse>,
    storage: Option<MemoryUse>,
    pids: Option<MemoryUse>,
}

impl ProcessBehavior {
    /// What it uses of a resource over time, if somebody says so.
    pub(super) const fn uses(&self, resource: Resource) -> Option<&MemoryUse> {
        match resource {
            Resource::Memory => self.memory.as_ref(),
            Resource::Storage => self.storage.as_ref(),
            Resource::Pids => self.pids.as_ref(),
        }
    }
    /// Whether anything is said of what it uses.
    pub(super) const fn is_described(&self) -> bool {
        self.memory.is_some() || self.storage.is_some() || self.pids.is_some()
    }
    /// Takes what is not said yet.
    fn fill(&mut self, behavior: &Behavior) {
        let or = |kept: &mut Option<Distribution>, given: &Option<Distribution>| *kept = kept.take().or_else(|| given.clone());
        or(&mut self.ready_after, &behavior.ready_after);
        or(&mut self.stop, &behavior.stop);
        or(&mut self.pre_stop, &behavior.pre_stop);
        or(&mut self.post_start, &behavior.post_start);
        self.post_start_fails |= behavior.post_start_fails;
        self.never_ready |= behavior.never_ready;
        self.memory = self.memory.take().or_else(|| behavior.memory.clone());
        self.storage = self.storage.take().or_else(|| behavior.storage.clone());
        self.pids = self.pids.take().or_else(|| behavior.pids.clone());
        self.crash = self.crash.take().or_else(|| behavior.crash.clone());
    }
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
        let resolve = |places: &Vec<usize>| Arc::new(merged(places.iter().map(|place| &behaviors[*place])));
        self.resolved.entry(places).or_insert_with_key(resolve).clone()
    }
}

fn merged<'a>(behaviors: impl Iterator<Item = &'a (Behavior, Option<Arc<ServiceBehavior>>)> + Clone) -> ResolvedBehavior {
    let mut resolved = ResolvedBehavior::default();
    let mut names: Vec<Str> = behaviors.clone().filter_map(|(behavior, _)| behavior.container.clone()).collect();
    names.sort();
    names.dedup();
    resolved.named = names.into_iter().map(|name| (name, ProcessBehavior::default())).collect();
    for (behavior, service) in behaviors {
        resolved.image_pull = resolved.image_pull.or_else(|| behavior.image_pull.clone());
        resolved.image_pull_error = resolved.image_pull_error.or_else(|| behavior.image_pull_error.clone());
        resolved.readiness_gates = resolved.readiness_gates.or_else(|| behavior.readiness_gates.clone());
        resolved.service = resolved.service.or_else(|| service.clone());
        for (name, process) in &mut resolved.named {
            if behavior.container.as_ref().is_none_or(|container| container == name) {
                process.fill(behavior);
            }
        }
        if behavior.container.is_none() {
            resolved.main.fill(behavior);
        }
    }
    let ProcessBehavior { stop, pre_stop, .. } = resolved.main.clone();
    resolved.init = ProcessBehavior { stop, pre_stop, ..ProcessBehavior::default() };
    resolved
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
        let app: Str = "app".into();
        assert_eq!((&web.process(&app, false).ready_after, &web.process(&app, false).stop), (&seconds(5), &seconds(2)));
        assert_eq!(behaviors.resolve(&pod("db"), &store).process(&app, false).ready_after, seconds(9));
        assert!(Arc::ptr_eq(&web, &behaviors.resolve(&pod("web"), &store)), "equal pods share one");
    }

    #[test]
    fn a_behavior_of_a_container_is_about_that_container_only() {
        let stop = |seconds| Some(Distribution::Constant(SimDuration::from_secs(seconds)));
        let mut behaviors = Behaviors::new(&[
            Behavior { container: Some("proxy".into()), stop: stop(9), ..Behavior::default() },
            Behavior { stop: stop(2), never_ready: true, ..Behavior::default() },
        ]);
        let of_all = behaviors.resolve(&Pod::default(), &Store::default());
        let (app, proxy): (Str, Str) = ("app".into(), "proxy".into());
        assert_eq!((&of_all.process(&app, false).stop, &of_all.process(&proxy, false).stop), (&stop(2), &stop(9)));
        assert!(of_all.process(&proxy, false).never_ready, "what it does not say itself is taken from the others");
        let init = of_all.process(&app, true);
        assert_eq!((&init.stop, init.never_ready), (&stop(2), false), "of init containers only how they stop");
    }
}
