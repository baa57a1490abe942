//! What controllers of a dump would have made: it is made anew, by them.
//!
//! A dump of a cluster has a Deployment, its ReplicaSets and their pods. The simulation's controllers know only what they
//! made themselves; beside what is there they would make all of it once more.
//!
//! Invariant: only what names a controller that is among the objects is taken away. What a controller left behind that
//! is not there (or is not simulated: an operator's pods, static pods of a node) stays as it is, where it is.

use std::collections::BTreeSet;

use api::{ObjectMeta, Str};
use manifests::{Found, Objects};

/// Takes away what the objects' own controllers make, and says how many pods that were.
pub(crate) fn make_anew(objects: &mut Objects) -> usize {
    fn names<T>(into: &mut BTreeSet<(&'static str, Str, Str)>, kind: &'static str, found: &[Found<T>], meta: impl Fn(&T) -> &ObjectMeta) {
        into.extend(found.iter().map(|one| (kind, meta(&one.object).namespace.clone(), meta(&one.object).name.clone())));
    }
    let mut makers = BTreeSet::new();
    names(&mut makers, "Deployment", &objects.deployments, |one| &one.meta);
    names(&mut makers, "ReplicaSet", &objects.replica_sets, |one| &one.meta);
    names(&mut makers, "StatefulSet", &objects.stateful_sets, |one| &one.meta);
    names(&mut makers, "DaemonSet", &objects.daemon_sets, |one| &one.meta);
    names(&mut makers, "Job", &objects.jobs, |one| &one.meta);
    names(&mut makers, "CronJob", &objects.cron_jobs, |one| &one.meta);
    let is_made = |meta: &ObjectMeta| {
        let of = |kind: &str, name: &Str| makers.iter().any(|maker| maker.0 == kind && maker.1 == meta.namespace && maker.2 == *name);
        meta.controller().is_some_and(|owner| of(&owner.kind, &owner.name))
    };
    let before = objects.pods.len();
    objects.pods.retain(|pod| !is_made(&pod.meta));
    objects.replica_sets.retain(|set| !is_made(&set.meta));
    objects.jobs.retain(|job| !is_made(&job.meta));
    before - objects.pods.len()
}

#[cfg(test)]
mod tests {
    use manifests::{Options, Problems, SourceFile};

    use super::*;

    fn read(text: &str) -> Objects {
        let mut problems = Problems::default();
        let documents = manifests::documents(&SourceFile::new("dump.yaml", text), &mut problems);
        let objects = manifests::read_documents(&documents, &Options::default(), &mut problems);
        assert!(!problems.has_errors(), "{}", manifests::render(&problems, false));
        objects
    }

    /// An object with a template or, for a pod, a spec; owned by `owner` (`Kind/name`), or by nobody.
    fn object(kind: &str, name: &str, owner: &str) -> String {
        let version = if kind == "Pod" { "v1" } else { "apps/v1" };
        let owner = owner.split_once('/').map_or_else(String::new, |(kind, name)| {
            format!(", ownerReferences: [{{apiVersion: apps/v1, kind: {kind}, name: {name}, uid: u, controller: true}}]")
        });
        let pod = "{containers: [{name: a, image: x}]}";
        let spec = match kind {
            "Pod" => pod.to_owned(),
            _ => format!("{{selector: {{matchLabels: {{app: a}}}}, template: {{metadata: {{labels: {{app: a}}}}, spec: {pod}}}}}"),
        };
        format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, labels: {{app: a}}{owner}}}\nspec: {spec}\n---\n")
    }

    #[test]
    fn what_a_controller_of_the_dump_made_goes_and_all_else_stays() {
        let mut objects = read(
            &[
                object("Deployment", "web", ""),
                object("ReplicaSet", "web-1", "Deployment/web"),
                object("Pod", "web-1-a", "ReplicaSet/web-1"),
                object("Pod", "web-1-b", "ReplicaSet/web-1"),
                object("ReplicaSet", "own", ""),
                object("Pod", "own-a", "ReplicaSet/own"),
                object("Pod", "orphan", "ReplicaSet/gone"),
                object("Pod", "static", "Node/n1"),
                object("Pod", "bare", ""),
            ]
            .concat(),
        );
        assert_eq!(make_anew(&mut objects), 3);
        let pods: Vec<&str> = objects.pods.iter().map(|pod| &*pod.meta.name).collect();
        let sets: Vec<&str> = objects.replica_sets.iter().map(|set| &*set.meta.name).collect();
        assert_eq!((pods, sets), (vec!["orphan", "static", "bare"], vec!["own"]));
    }
}
