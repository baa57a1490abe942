//! Who owns what by its labels: a controller takes over what its selector matches and nobody controls, and lets go
//! of what it controls and its selector no longer matches.
//!
//! Reads: owner references and labels. Writes: owner references (and a finalizer, for those who need one).
//! Upstream: pkg/controller/controller_ref_manager.go.
//!
//! Invariants: nothing gets a second controller; an owner that is being deleted neither takes nor lets go; an empty
//! selector, which the API server does not admit, takes nothing over.

use api::{Kind, LabelSelector, Labels, ObjectMeta, Pod};

use super::View;
use super::pod_control::controller_of;
use crate::effects::{Component, Effects, Write};
use crate::objects::Kept;
use crate::store::{Change, Id, Object, Table};

/// One owner that looks at what is its own.
pub(super) struct Claim<'a> {
    pub(super) by: Component,
    pub(super) kind: Kind,
    pub(super) owner: &'a ObjectMeta,
    pub(super) selector: &'a LabelSelector,
    /// What holds its pods until it has counted them.
    pub(super) finalizer: Option<&'static str>,
}

impl Claim<'_> {
    /// What of `table` is its own: what it controls and what it takes over, among those that `considers` lets it look
    /// at. What is written from here on waits until they are. `is_member` has to hold beside the selector.
    pub(super) fn claim<'s, T: Object>(
        &self,
        kind: Kind,
        table: &'s Table<T>,
        considers: impl Fn(&T) -> bool,
        is_member: impl Fn(&T) -> bool,
        out: &mut Effects,
    ) -> Vec<(Id<T>, &'s T)> {
        let before = out.writes.len();
        let belongs = |object: &T| self.selector.matches(&object.meta().labels) && is_member(object);
        let mut claimed = Vec::new();
        for (id, object) in table.of(self.owner.uid).filter(|(_, object)| considers(object)) {
            if belongs(object) {
                claimed.push((id, object));
            } else if !self.owner.is_deleting() {
                self.release(kind, id.number(), object.meta(), out);
            }
        }
        if !self.owner.is_deleting() && !self.selector.is_empty() {
            let near = |object: &T| object.meta().namespace == self.owner.namespace && !object.meta().is_deleting();
            for (id, object) in table.orphans().filter(|(_, object)| near(object) && considers(object) && belongs(object)) {
                let owner = Box::new(controller_of(self.kind.as_str(), self.owner));
                out.write(self.by, Write::Adopt(kind, id.number(), owner, self.finalizer.map(Into::into)));
                claimed.push((id, object));
            }
        }
        if out.writes.len() > before {
            out.then();
        }
        claimed
    }

    fn release(&self, kind: Kind, number: u32, meta: &ObjectMeta, out: &mut Effects) {
        if let Some(finalizer) = self.finalizer.filter(|name| meta.has_finalizer(name)) {
            out.write(self.by, Write::RemoveFinalizer(kind, number, finalizer.into()));
        }
        out.write(self.by, Write::Disown(kind, number, self.owner.uid));
    }
}

/// The pod of a change, when it has become one that somebody may take over.
fn orphan<'v>(change: &Change, view: &View<'v>) -> Option<&'v Pod> {
    let id = match change {
        Change::PodAdded(id) => id,
        Change::PodModified(id, before) if before.relabelled => id,
        _ => return None,
    };
    view.store.pods.get(*id).filter(|pod| pod.meta.controller().is_none() && !pod.meta.labels.is_empty() && !pod.meta.is_deleting())
}

/// Which owners of a kind would take over the pod of a change.
pub(super) fn heirs<T: Kept>(change: &Change, view: &View<'_>, selects: impl Fn(&T, &Labels) -> bool, queue: &mut dyn FnMut(Id<T>)) {
    let Some(pod) = orphan(change, view) else { return };
    for (id, _) in T::table(view.store).in_namespace(&pod.meta.namespace).filter(|(_, set)| selects(set, &pod.meta.labels)) {
        queue(id);
    }
}

/// Whether a selector that is to take something over matches.
pub(super) fn takes(selector: &LabelSelector, labels: &Labels) -> bool {
    !selector.is_empty() && selector.matches(labels)
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Bench, bench, labels, pod, template};
    use super::super::{daemon_set, deployment, replica_set, stateful_set};
    use super::*;
    use crate::store::ReplicaSetId;
    use api::{DaemonSet, ReplicaSet, StatefulSet};
    use std::sync::Arc;

    fn selecting(app: &str) -> Arc<LabelSelector> {
        Arc::new(LabelSelector { match_labels: (*labels(&format!("app={app}"))).clone(), ..LabelSelector::default() })
    }

    fn with_selector(mut bench: Bench, name: &str) -> Bench {
        bench.change_replica_set(name, |set| set.selector = selecting(name));
        bench
    }

    fn synced(bench: &mut Bench) -> Vec<String> {
        bench.run(|view, out| replica_set::sync(ReplicaSetId::new(0), view, out))
    }

    /// Names of those that have a controller.
    fn owned(bench: &Bench) -> Vec<String> {
        let pods = bench.store.pods.iter().filter(|(_, pod)| pod.meta.controller().is_some());
        pods.map(|(_, pod)| pod.meta.name.to_string()).collect()
    }

    #[test]
    fn a_replica_set_takes_over_what_it_selects_and_counts_it_at_once() {
        let app = "app=web";
        let mut bench = with_selector(bench().replica_set("web", 3), "web")
            .pod(pod("bare").labels(app).on("n").ready_since(0))
            .pod(pod("other").labels("app=db").on("n").ready_since(0))
            .pod(pod("going").labels(app).on("n").deleting())
            .pod(pod("ended").labels(app).on("n").failed())
            .pod(pod("plain").on("n"));
        let lines = synced(&mut bench);
        assert_eq!(lines[0], "replicaset-controller adopt bare by ReplicaSet/web");
        assert_eq!(lines.iter().filter(|line| line.contains(" create pod ")).count(), 2, "{lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("replicaset-controller status web replicas=1 ready=1 available=1"));
        assert_eq!(owned(&bench).len(), 3);
    }

    #[test]
    fn a_pod_with_other_labels_is_let_go_and_replaced() {
        let mut bench = with_selector(bench().replica_set("web", 1), "web").owned_pod("web", pod("a").labels("app=web").ready_since(0));
        synced(&mut bench);
        let id = bench.pod_id("a");
        bench.store.update_pod(id, |pod| {
            pod.meta.labels = labels("app=debug");
            true
        });
        let lines = synced(&mut bench);
        assert_eq!(lines[0], "replicaset-controller disown a");
        assert!(lines[1].starts_with("replicaset-controller create pod web-"), "{lines:?}");
        assert_eq!(owned(&bench).len(), 1, "the one that was let go stays, without an owner");
        assert_eq!(bench.pod_names().len(), 2);
    }

    #[test]
    fn nobody_takes_what_is_controlled_or_is_itself_going() {
        let mut bench = with_selector(bench().replica_set("web", 1), "web").replica_set("twin", 1);
        bench.change_replica_set("twin", |set| set.selector = selecting("web"));
        let mut bench = bench.owned_pod("twin", pod("a").labels("app=web")).pod(pod("bare").labels("app=web"));
        bench.change_replica_set("web", |set| set.meta.deletion = Some(api::SimTime::ZERO));
        assert_eq!(synced(&mut bench), ["replicaset-controller status web replicas=0 ready=0 available=0"]);
        assert_eq!(owned(&bench), ["a"]);
    }

    #[test]
    fn orphans_wake_those_that_select_them() {
        let bench = with_selector(bench().replica_set("web", 1).replica_set("db", 1), "web").pod(pod("bare").labels("app=web"));
        let woken = |relabelled, controlled: bool| {
            let mut bench = with_selector(bench_of(controlled), "web");
            bench.store.take_changes();
            let before = crate::store::PodBefore { bound: true, ready: false, deleting: false, terminal: false, relabelled };
            let mut woken = Vec::new();
            replica_set::interested(&Change::PodModified(bench.pod_id("bare"), before), &bench.view(), &mut |id| woken.push(id));
            woken
        };
        fn bench_of(controlled: bool) -> Bench {
            let bench = super::super::bench::bench().replica_set("web", 1).replica_set("db", 1);
            let pod = pod("bare").labels("app=web");
            if controlled { bench.owned_pod("db", pod) } else { bench.pod(pod) }
        }
        let mut added = Vec::new();
        replica_set::interested(&Change::PodAdded(bench.pod_id("bare")), &bench.view(), &mut |id| added.push(id));
        assert_eq!(added, [ReplicaSetId::new(0)]);
        assert_eq!(woken(true, false), [ReplicaSetId::new(0)]);
        assert_eq!(woken(false, false), [], "nothing about it has changed");
        assert_eq!(woken(true, true), [ReplicaSetId::new(1)], "its controller looks whether it still is its own");
    }

    #[test]
    fn a_deployment_takes_over_the_replica_set_of_its_template() {
        let mut bench = bench();
        let set = |name: &str, image: &str, replicas| ReplicaSet {
            meta: ObjectMeta { namespace: "default".into(), name: name.into(), labels: labels("app=web"), ..ObjectMeta::default() },
            replicas,
            selector: selecting("web"),
            template: template("web", image),
            ..ReplicaSet::default()
        };
        for (name, image, replicas) in [("web-new", "web:v1", 3), ("web-old", "web:v0", 1)] {
            bench.store.create(set(name, image, replicas), bench.now, &bench.streams).expect("a free name");
        }
        let mut bench = bench.at(10).deployment("web", 3, |_| {});
        let id = bench.store.deployments.iter().next().expect("one").0;
        let lines = bench.run(|view, out| deployment::sync(id, view, out));
        assert_eq!(
            lines[..2],
            [
                "deployment-controller adopt web-new by Deployment/web".to_owned(),
                "deployment-controller adopt web-old by Deployment/web".to_owned()
            ]
        );
        assert_eq!(bench.store.replica_sets.len(), 2, "none is made: the template is there already: {lines:?}");
        let id = bench.store.replica_sets.find(&api::ObjectKey::new("default", "web-old")).expect("it is there");
        bench.store.update(id, |set| {
            set.meta.labels = labels("app=retired");
            true
        });
        let id = bench.store.deployments.iter().next().expect("one").0;
        let lines = bench.run(|view, out| deployment::sync(id, view, out));
        assert_eq!(lines[0], "deployment-controller disown web-old");
    }

    #[test]
    fn a_stateful_set_takes_over_only_its_members_and_a_daemon_set_what_it_selects() {
        let meta = |name: &str| ObjectMeta { namespace: "default".into(), name: name.into(), ..ObjectMeta::default() };
        let mut bench = bench().node("n", "z", 1000).pod(pod("db-0").labels("app=db").on("n")).pod(pod("stray").labels("app=db").on("n"));
        let set = StatefulSet {
            meta: meta("db"),
            replicas: 1,
            selector: selecting("db"),
            template: template("db", "db:v1"),
            ..StatefulSet::default()
        };
        let id = bench.store.create(set, bench.now, &bench.streams).expect("a free name");
        let lines = bench.run(|view, out| stateful_set::sync(id, view, out));
        let adopted: Vec<&String> = lines.iter().filter(|line| line.contains(" adopt ")).collect();
        assert_eq!(adopted, ["statefulset-controller adopt db-0 by StatefulSet/db"], "{lines:?}");
        let mut bench = bench.pod(pod("agent-x").labels("app=agent").on("n"));
        let set = DaemonSet {
            meta: meta("agent"),
            selector: selecting("agent"),
            template: template("agent", "agent:v1"),
            ..DaemonSet::default()
        };
        let id = bench.store.create(set, bench.now, &bench.streams).expect("a free name");
        let lines = bench.run(|view, out| daemon_set::sync(id, view, out));
        assert!(lines.contains(&"daemonset-controller adopt agent-x by DaemonSet/agent".to_owned()), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("create pod")), "its node has a pod: {lines:?}");
    }
}
