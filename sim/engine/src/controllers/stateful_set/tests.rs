//! Rows drawn from upstream's own stateful_set_control_test.go and from recordings of the real controller.

use std::sync::Arc;

use api::{ClaimRetentionPolicy, LabelSelector, ObjectKey, PersistentVolumeClaim, SimDuration, SimTime};

use super::super::bench::{Bench, bench, labels, pod, template};
use super::*;

const NEW: &str = "db:v2";

fn set(bench: &mut Bench, replicas: i32, change: impl FnOnce(&mut StatefulSet)) {
    let selector = LabelSelector { match_labels: (*labels("app=db")).clone(), ..LabelSelector::default() };
    let meta = ObjectMeta { namespace: "default".into(), name: "db".into(), ..ObjectMeta::default() };
    let template = template("db", "db:v1");
    let mut set =
        StatefulSet { meta, replicas, selector: Arc::new(selector), template, revision_history_limit: 10, ..StatefulSet::default() };
    change(&mut set);
    bench.store.create(set, bench.now, &bench.streams).expect("a free name");
}

fn with_set(replicas: i32, change: impl FnOnce(&mut StatefulSet)) -> Bench {
    let mut bench = bench();
    set(&mut bench, replicas, change);
    bench
}

fn parallel(set: &mut StatefulSet) {
    set.pod_management = PodManagementPolicy::Parallel;
}

fn partition(partition: Option<i32>) -> impl FnOnce(&mut StatefulSet) {
    move |set| set.update_strategy = StatefulSetUpdateStrategy::RollingUpdate { partition }
}

fn claim(name: &str) -> PersistentVolumeClaim {
    PersistentVolumeClaim { meta: ObjectMeta { name: name.into(), ..ObjectMeta::default() }, request_bytes: 1, ..Default::default() }
}

impl Bench {
    fn set_id(&self) -> StatefulSetId {
        self.store.stateful_sets.iter().next().expect("a StatefulSet").0
    }
    fn set(&self) -> &StatefulSet {
        self.store.stateful_sets.get(self.set_id()).expect("a StatefulSet")
    }
    fn change_set(&mut self, change: impl FnOnce(&mut StatefulSet)) {
        let id = self.set_id();
        self.store.update(id, |set| {
            change(set);
            set.meta.generation += 1;
            true
        });
    }
    /// One sync, in short: what was done to which pod or claim, and the counts when they were written.
    fn step(&mut self) -> String {
        let id = self.set_id();
        let lines = self.run(|view, out| sync(id, view, out));
        let short = lines.iter().filter(|line| !line.contains("ControllerRevision")).map(|line| {
            let line = line.trim_start_matches("statefulset-controller ");
            let line = line.split_once(';').map_or(line, |(line, _)| line);
            line.replace("update db status of StatefulSet", "status").replace("PersistentVolumeClaim", "claim")
        });
        short.collect::<Vec<_>>().join("; ")
    }
    /// Syncs until nothing is done any more; what was done but for status.
    fn settle(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        for _ in 0..20 {
            let step = self.step();
            done.extend(step.split("; ").filter(|part| !part.is_empty() && !part.starts_with("status")).map(str::to_owned));
            if step.is_empty() {
                break;
            }
        }
        done
    }
    /// The kubelets finish what was asked of them: deleted pods go.
    fn reap(&mut self) {
        let gone: Vec<PodId> = self.store.pods.iter().filter(|(_, pod)| pod.meta.is_deleting()).map(|(id, _)| id).collect();
        for id in gone {
            self.store.remove_pod(id);
        }
    }
    fn fail(&mut self, name: &str, phase: PodPhase) {
        let id = self.pod_id(name);
        self.store.update_pod(id, |pod| {
            pod.status.phase = phase;
            pod.status.conditions.ready.status = api::ConditionStatus::False;
            true
        });
    }
    fn unready(&mut self, name: &str) {
        self.fail(name, PodPhase::Running);
    }
    /// All pods there are become ready, and new ones too, until nothing happens.
    fn bring_up(&mut self) {
        for _ in 0..40 {
            self.reap();
            self.ready_all("n");
            if self.settle().is_empty() {
                return;
            }
        }
    }
    fn revisions(&self) -> Vec<(String, String)> {
        let revision = |pod: &Pod| {
            let name = revision_of(pod);
            let of = |wanted: &str| name == wanted;
            let status = &self.set().status;
            if of(&status.update_revision) {
                "new"
            } else if of(&status.current_revision) {
                "old"
            } else {
                "?"
            }
            .to_owned()
        };
        let mut pods: Vec<_> = self.store.pods.iter().map(|(_, pod)| (pod.meta.name.to_string(), revision(pod))).collect();
        pods.sort();
        pods
    }
    fn claims(&self) -> Vec<String> {
        let owners = |claim: &PersistentVolumeClaim| claim.meta.owners.iter().map(|owner| format!(" < {}", owner.kind)).collect::<String>();
        self.store.persistent_volume_claims.iter().map(|(_, claim)| format!("{}{}", claim.meta.name, owners(claim))).collect()
    }
}

#[test]
fn ordered_pods_come_one_by_one_each_when_the_one_before_is_ready() {
    let mut bench = with_set(2, |_| {});
    assert_eq!(bench.step(), "create pod db-0; status [2, 0, 0, 0, 0]", "revisions are said at once, counts when watched");
    assert_eq!(bench.step(), "status [2, 1, 1, 0, 0]");
    assert_eq!(bench.step(), "");
    bench.ready_all("n");
    assert_eq!(bench.step(), "create pod db-1; status [2, 1, 1, 1, 1]");
    assert_eq!(bench.step(), "status [2, 2, 2, 1, 1]");
    bench.ready_all("n");
    assert_eq!(bench.step(), "status [2, 2, 2, 2, 2]");
    assert_eq!(bench.step(), "");
}

#[test]
fn events_have_upstreams_words() {
    let mut bench = with_set(1, |set| set.volume_claim_templates = vec![claim("data")]);
    let id = bench.set_id();
    let lines = bench.run(|view, out| sync(id, view, out));
    assert!(
        lines.contains(
            &"statefulset-controller create pod db-0; SuccessfulCreate StatefulSet/default/db: Create Pod db-0 in StatefulSet db successful"
                .to_owned()
        ),
        "{lines:#?}"
    );
    assert!(
        lines.iter().any(
            |line| line.ends_with("SuccessfulCreate StatefulSet/default/db: Create Claim data-db-0 Pod db-0 in StatefulSet db success")
        ),
        "{lines:#?}"
    );
    bench.bring_up();
    bench.change_set(|set| set.replicas = 0);
    let lines = bench.run(|view, out| sync(id, view, out));
    assert!(lines[0].ends_with("SuccessfulDelete StatefulSet/default/db: Delete Pod db-0 in StatefulSet db successful"), "{lines:#?}");
}

#[test]
fn parallel_pods_come_and_go_together() {
    let mut bench = with_set(3, parallel);
    assert_eq!(bench.step(), "create pod db-0; create pod db-1; create pod db-2; status [3, 0, 0, 0, 0]");
    bench.bring_up();
    bench.change_set(|set| set.replicas = 1);
    assert_eq!(bench.settle(), ["delete pod db-2", "delete pod db-1"]);
}

#[test]
fn a_smaller_scale_removes_the_highest_pod_and_waits_until_it_is_gone() {
    let mut bench = with_set(3, |_| {});
    bench.bring_up();
    bench.change_set(|set| set.replicas = 1);
    assert_eq!(bench.settle(), ["delete pod db-2"]);
    bench.reap();
    assert_eq!(bench.settle(), ["delete pod db-1"]);
    bench.reap();
    assert_eq!(bench.settle(), Vec::<String>::new());
}

#[test]
fn unhealthy_pods_hold_up_what_is_ordered() {
    // Each row: which pods are not ready, the wanted replicas, and what is done about it.
    let rows: [(&str, &[&str], i32, &[&str]); 5] = [
        ("a kept pod below", &["db-0"], 1, &[]),
        ("the only unhealthy one is the highest condemned", &["db-2"], 2, &["delete pod db-2"]),
        ("a condemned one below is the first unhealthy", &["db-1", "db-2"], 1, &[]),
        ("nothing above an unhealthy pod is made", &["db-1"], 5, &[]),
        ("all healthy", &[], 2, &["delete pod db-2"]),
    ];
    for (why, sick, replicas, expected) in rows {
        let mut bench = with_set(3, |_| {});
        bench.bring_up();
        sick.iter().for_each(|name| bench.unready(name));
        bench.change_set(|set| set.replicas = replicas);
        assert_eq!(bench.settle(), expected, "{why}");
    }
}

#[test]
fn failed_and_succeeded_pods_are_deleted_and_made_again() {
    for phase in [PodPhase::Failed, PodPhase::Succeeded] {
        for change in [(|_| {}) as fn(&mut StatefulSet), parallel] {
            let mut bench = with_set(3, change);
            bench.bring_up();
            bench.fail("db-1", phase);
            assert_eq!(bench.settle(), ["delete pod db-1"]);
            bench.reap();
            assert_eq!(bench.settle(), ["create pod db-1"]);
        }
    }
}

#[test]
fn a_terminating_pod_is_not_replaced_until_it_is_gone() {
    for change in [(|_| {}) as fn(&mut StatefulSet), parallel] {
        let mut bench = with_set(3, change);
        bench.bring_up();
        let id = bench.pod_id("db-1");
        bench.store.update_pod(id, |pod| {
            pod.meta.deletion = Some(SimTime::ZERO);
            true
        });
        assert_eq!(bench.settle(), Vec::<String>::new(), "the node may be unreachable: its pod may still run");
        assert_eq!(bench.set().status.updated, 2, "and counts as there, but of no revision");
        bench.reap();
        assert_eq!(bench.settle(), ["create pod db-1"]);
    }
}

#[test]
fn a_rollout_goes_from_the_highest_ordinal_down_and_waits_for_each() {
    let mut bench = with_set(3, |_| {});
    bench.bring_up();
    let old = bench.set().status.current_revision.clone();
    bench.change_set(|set| set.template = template("db", NEW));
    let mut order = Vec::new();
    for _ in 0..3 {
        order.extend(bench.settle());
        bench.reap();
        order.extend(bench.settle());
        assert_eq!(bench.set().status.current_revision, old, "not before the last one is ready");
        bench.ready_all("n");
    }
    order.extend(bench.settle());
    assert_eq!(order.join(" "), "delete pod db-2 create pod db-2 delete pod db-1 create pod db-1 delete pod db-0 create pod db-0");
    let status = &bench.set().status;
    assert_eq!((&status.current_revision, status.current, status.updated), (&status.update_revision, 3, 3));
    assert!(status.current_revision != old);
}

#[test]
fn a_partition_keeps_the_ordinals_below_it_at_the_old_revision() {
    let mut bench = with_set(3, partition(Some(2)));
    bench.bring_up();
    bench.change_set(|set| set.template = template("db", NEW));
    bench.bring_up();
    let is = |name: &str, revision: &str| (name.to_owned(), revision.to_owned());
    assert_eq!(bench.revisions(), [is("db-0", "old"), is("db-1", "old"), is("db-2", "new")]);
    assert_eq!((bench.set().status.current, bench.set().status.updated), (2, 1));
    // A pod below it that goes comes back as it was.
    let id = bench.pod_id("db-0");
    bench.store.remove_pod(id);
    bench.bring_up();
    assert_eq!(bench.revisions()[0], is("db-0", "old"));
    bench.change_set(|set| partition(Some(0))(set));
    bench.bring_up();
    assert!(bench.revisions().iter().all(|(_, revision)| revision == "new"));
}

#[test]
fn on_delete_waits_for_somebody_to_delete() {
    let mut bench = with_set(2, |set| set.update_strategy = StatefulSetUpdateStrategy::OnDelete);
    bench.bring_up();
    bench.change_set(|set| set.template = template("db", NEW));
    assert_eq!(bench.settle(), Vec::<String>::new());
    let id = bench.pod_id("db-0");
    bench.store.remove_pod(id);
    assert_eq!(bench.settle(), ["create pod db-0"]);
    assert_eq!(bench.revisions()[0].1, "new");
}

#[test]
fn a_broken_pod_of_the_new_revision_blocks_the_way_back() {
    let mut bench = with_set(2, |_| {});
    bench.bring_up();
    let good = bench.set().template.clone();
    bench.change_set(|set| set.template = template("db", NEW));
    bench.settle();
    bench.reap();
    bench.settle();
    bench.change_set(|set| set.template = good);
    assert_eq!(bench.settle(), Vec::<String>::new(), "upstream's known issue: db-1 has to be deleted by hand");
    let id = bench.pod_id("db-1");
    bench.store.remove_pod(id);
    assert_eq!(bench.settle(), ["create pod db-1"]);
    bench.bring_up();
    assert_eq!(bench.store.controller_revisions.len(), 2, "the old revision came back under a higher number");
    let history = History::of(&bench.set().meta, &bench.store);
    let numbers: Vec<u64> = history.revisions().iter().map(|revision| revision.revision).collect();
    assert_eq!(numbers, [2, 3]);
    assert_eq!(history.revisions()[1].meta.name, bench.set().status.update_revision);
}

#[test]
fn revisions_that_no_pod_has_are_kept_up_to_the_limit() {
    let mut bench = with_set(1, |set| set.revision_history_limit = 2);
    for version in 1..=6 {
        bench.change_set(|set| set.template = template("db", &format!("db:v{version}")));
        bench.bring_up();
    }
    let history = History::of(&bench.set().meta, &bench.store);
    let numbers: Vec<u64> = history.revisions().iter().map(|revision| revision.revision).collect();
    assert_eq!(numbers, [4, 5, 6]);
}

#[test]
fn ordinals_may_start_anywhere() {
    let mut bench = with_set(2, |set| set.ordinals_start = 5);
    bench.bring_up();
    assert_eq!(bench.pod_names(), ["db-5", "db-6"]);
    bench.change_set(|set| set.ordinals_start = 6);
    bench.bring_up();
    let mut names = bench.pod_names();
    names.sort();
    assert_eq!(names, ["db-6", "db-7"]);
}

#[test]
fn pods_carry_their_name_their_number_and_their_revision() {
    let mut bench = with_set(1, |_| {});
    bench.settle();
    let pod = bench.store.pods.get(bench.pod_id("db-0")).expect("a pod");
    let label = |key: &str| pod.meta.labels.get(key).map(|value| value.to_string());
    assert_eq!((label(POD_NAME_LABEL), label(POD_INDEX_LABEL)), (Some("db-0".into()), Some("0".into())));
    assert_eq!(label(REVISION_LABEL), Some(bench.set().status.update_revision.to_string()));
    assert_eq!(label("app"), Some("db".into()));
}

#[test]
fn availability_comes_with_time_and_the_next_pod_waits_for_it() {
    let mut bench = with_set(2, |set| set.min_ready = SimDuration::from_secs(10));
    bench.settle();
    bench.now = SimTime::from_millis(5700);
    bench.ready_all("n");
    assert_eq!(bench.step(), "status [2, 1, 1, 1, 0]; resync at 15s");
    bench.now = SimTime::from_secs(15);
    assert_eq!(bench.step(), "create pod db-1; status [2, 1, 1, 1, 1]");
}

#[test]
fn claims_are_made_before_their_pod_and_stay_when_it_goes() {
    let mut bench = with_set(2, |set| set.volume_claim_templates = vec![claim("data"), claim("log")]);
    assert_eq!(bench.step(), "create data-db-0 claim; create log-db-0 claim; create pod db-0; status [2, 0, 0, 0, 0]");
    bench.bring_up();
    let pod = bench.store.pods.get(bench.pod_id("db-1")).expect("a pod");
    let sources: Vec<String> = pod.spec.volumes.iter().map(|volume| format!("{}={:?}", volume.name, volume.source)).collect();
    assert_eq!(sources, [r#"data=PersistentVolumeClaim("data-db-1")"#, r#"log=PersistentVolumeClaim("log-db-1")"#]);
    bench.change_set(|set| set.replicas = 1);
    bench.bring_up();
    assert_eq!(bench.claims(), ["data-db-0", "log-db-0", "data-db-1", "log-db-1"]);
    let key = ObjectKey::new("default", "data-db-0");
    let id = bench.store.persistent_volume_claims.find(&key).expect("a claim");
    assert_eq!(bench.store.persistent_volume_claims.get(id).expect("a claim").meta.labels.get("app").map(|value| &**value), Some("db"));
}

#[test]
fn the_retention_policy_says_who_owns_the_claims() {
    // whenDeleted, whenScaled, owners of the claim of a kept pod, owners of the claim of a pod scaled away.
    let rows = [
        (false, false, "", ""),
        (true, false, " < StatefulSet", " < StatefulSet"),
        (false, true, "", " < Pod"),
        (true, true, " < StatefulSet", " < Pod"),
    ];
    for (delete_when_deleted, delete_when_scaled, kept, scaled) in rows {
        let mut bench = with_set(2, |set| {
            set.volume_claim_templates = vec![claim("data")];
            set.claim_retention = ClaimRetentionPolicy { delete_when_deleted, delete_when_scaled };
        });
        bench.bring_up();
        assert_eq!(bench.claims(), [format!("data-db-0{kept}"), format!("data-db-1{kept}")]);
        bench.change_set(|set| set.replicas = 1);
        bench.settle();
        assert_eq!(
            bench.claims(),
            [format!("data-db-0{kept}"), format!("data-db-1{scaled}")],
            "{delete_when_deleted} {delete_when_scaled}"
        );
    }
}

#[test]
fn a_pod_waits_for_the_claims_of_its_predecessor_to_go() {
    let policy = ClaimRetentionPolicy { delete_when_deleted: false, delete_when_scaled: true };
    let mut bench = with_set(2, |set| {
        set.volume_claim_templates = vec![claim("data")];
        set.claim_retention = policy;
    });
    bench.bring_up();
    bench.change_set(|set| set.replicas = 1);
    bench.settle();
    bench.reap();
    bench.change_set(|set| set.replicas = 2);
    assert_eq!(bench.settle(), Vec::<String>::new(), "the claim belongs to the pod that is gone");
    let id = bench.store.persistent_volume_claims.find(&ObjectKey::new("default", "data-db-1")).expect("a claim");
    bench.store.take_changes();
    bench.store.remove(id);
    let mut woken = Vec::new();
    for change in bench.store.take_changes() {
        interested(&change, &bench.view(), &mut |id| woken.push(id));
    }
    assert_eq!(woken, [bench.set_id()], "its end wakes the set");
    assert_eq!(bench.settle(), ["create data-db-1 claim", "create pod db-1"]);
}

#[test]
fn a_claim_on_its_way_out_fails_the_creation_of_its_pod() {
    let mut bench = with_set(1, |set| set.volume_claim_templates = vec![claim("data")]);
    let mut old = claim("data-db-0");
    old.meta.namespace = "default".into();
    old.meta.deletion = Some(SimTime::ZERO);
    bench.store.create(old, SimTime::ZERO, &bench.streams).expect("a free name");
    let step = bench.step();
    assert!(
        step.contains(
            "Warning FailedCreate StatefulSet/default/db: Create Pod db-0 in StatefulSet db failed error: pvc data-db-0 is being deleted"
        ),
        "{step}"
    );
}

#[test]
fn names_that_are_no_members_are_let_go() {
    let rows = [("db-0", Some(("db", 0))), ("db-x-12", Some(("db-x", 12))), ("db", None), ("db-", None), ("db-1a", None), ("db-+1", None)];
    for (name, expected) in rows {
        assert_eq!(parent_and_ordinal(name), expected, "{name}");
    }
    let mut bench = with_set(1, |_| {});
    let owner = OwnerReference { kind: "StatefulSet".into(), name: "db".into(), uid: bench.set().meta.uid, controller: true };
    let mut stranger = pod("other-7").build();
    stranger.meta.owners = vec![owner];
    bench.store.create_pod(stranger, SimTime::ZERO, &bench.streams).expect("a free name");
    assert_eq!(bench.settle(), ["disown other-7", "create pod db-0"]);
}
