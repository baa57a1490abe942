//! Files that a scenario names: where they are looked for, and how what is wrong in them is said.

extern crate wavetank_scenarios as scenarios;

mod common;

use std::collections::BTreeMap;

use common::{FINE, load};
use scenarios::FileSource;

/// Files in memory.
#[derive(Default)]
struct Memory(BTreeMap<&'static str, String>);

impl FileSource for Memory {
    fn read(&self, path: &str) -> Result<Option<String>, String> {
        Ok(self.0.get(path).cloned())
    }
    fn matching(&self, pattern: &str) -> Vec<String> {
        let (head, tail) = pattern.split_once('*').unwrap_or((pattern, ""));
        self.0.keys().filter(|path| path.starts_with(head) && path.ends_with(tail)).map(|path| (*path).to_owned()).collect()
    }
}

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: more}\nspec: {selector: {app: shop}, ports: [{port: 80}]}\n";

fn including(item: &str) -> String {
    FINE.replace("  manifests:\n", &format!("  manifests:\n    - {{path: {item}}}\n"))
}

#[test]
fn manifests_are_found_beside_the_scenario_by_name_and_by_pattern() {
    let files = Memory([("team/manifests/a.yaml", SERVICE.to_owned()), ("team/manifests/b.yaml", SERVICE.replace("more", "other"))].into());
    for (item, services) in [("manifests/a.yaml", 2), ("manifests/*.yaml", 3)] {
        let (scenario, said) = load("team/shop.yaml", &including(item), &files, &[]);
        let scenario = scenario.unwrap_or_else(|| panic!("{said}"));
        assert_eq!(scenario.world.objects.services.len(), services, "{item}");
    }
    // Without a place of its own a scenario looks in the working directory.
    let (scenario, said) = load("shop.yaml", &including("team/manifests/a.yaml"), &files, &[]);
    assert!(scenario.is_some(), "{said}");
}

#[test]
fn a_changed_file_is_another_scenario() {
    let digest = |service: &str| {
        let files = Memory([("more.yaml", service.to_owned())].into());
        load("shop.yaml", &including("more.yaml"), &files, &[]).0.unwrap().digest
    };
    assert_eq!(digest(SERVICE), digest(&format!("# a comment\n{SERVICE}")));
    assert_ne!(digest(SERVICE), digest(&SERVICE.replace("port: 80", "port: 81")));
}

#[test]
fn what_is_wrong_in_an_included_file_is_said_there_and_who_included_it() {
    let broken = SERVICE.replace("{app: shop}", "[app]");
    let files = Memory([("more.yaml", broken), ("rates.csv", "seconds,rps\n0,5\n1,many\n".to_owned())].into());
    let text = including("more.yaml").replace("rate: 50/s", "path: rates.csv");
    let (_, first) = load("shop.yaml", &text, &files, &[]);
    let (_, second) = load("shop.yaml", &text.replace("rates.csv", "rates.csv, column: rsp"), &files, &[]);
    let (_, third) = load("shop.yaml", &including("nowhere/*.yaml"), &files, &[]);
    insta::assert_snapshot!(format!("{first}\n{second}\n{third}"));
}

#[test]
fn recorded_load_is_a_step_per_row_and_ends_with_its_last() {
    let files = Memory([("rates.csv", "seconds,other,rps\n10,9,5\n12,9,0\n14,9,2.5\n".to_owned())].into());
    let text = FINE.replace("rate: 50/s", "path: rates.csv, column: rps, scale: 2, startTime: 1s");
    let (scenario, said) = load("shop.yaml", &text, &files, &[]);
    let source = &scenario.unwrap_or_else(|| panic!("{said}")).world.traffic.sources[0];
    let points: Vec<(u64, f64)> = source.rate.iter().map(|point| (point.at.as_secs(), point.per_second)).collect();
    assert_eq!(points, [(0, 0.0), (1, 10.0), (3, 0.0), (5, 5.0), (7, 0.0)]);
}

#[test]
fn a_dump_of_a_cluster_brings_its_nodes() {
    let node = r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1","labels":{"kubernetes.io/hostname":"n1"}},
        "status":{"capacity":{"cpu":"8","memory":"32Gi","pods":"110"},"allocatable":{"cpu":"8","memory":"32Gi","pods":"110"}}}]}"#;
    let files = Memory([("cluster.json", node.to_owned())].into());
    let text = FINE
        .replace("    zones: [a, b]\n", "    zones: [a, b]\n    import: cluster.json\n")
        .replace("{at: 3m, setImage", "{at: 4m, drain: n1}\n    - {at: 3m, setImage");
    let (scenario, said) = load("shop.yaml", &text, &files, &[]);
    let world = scenario.unwrap_or_else(|| panic!("{said}")).world;
    assert_eq!((world.objects.nodes.len(), world.steps.len()), (1, 2));
}

#[test]
fn a_policy_is_a_name_a_file_or_inline() {
    let config = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
    let files = Memory([("mine.yaml", config.to_owned())].into());
    let of = |policy: &str| {
        let (scenario, said) = load("shop.yaml", FINE, &files, &[("policy", policy)]);
        let scenario = scenario.unwrap_or_else(|| panic!("{said}"));
        (scenario.policy, scenario.policy_config.map(|config| config.text))
    };
    assert_eq!(of("bin-pack"), ("bin-pack".to_owned(), None));
    assert_eq!(of("mine.yaml"), ("mine".to_owned(), Some(config.to_owned())));
    let (name, text) = of("{apiVersion: kubescheduler.config.k8s.io/v1, kind: KubeSchedulerConfiguration}");
    assert!(name == "inline" && text.unwrap().contains("KubeSchedulerConfiguration"));
}
