//! The shipped scenarios: each is sound as it stands, and says of itself what it shows.

extern crate wavetank_scenarios as scenarios;

mod common;

use common::{disk, load};

#[test]
#[expect(clippy::print_stdout, reason = "a test that could not be made says so")]
fn every_shipped_scenario_loads_without_a_word() {
    for shipped in scenarios::library::all() {
        let path = format!("scenarios/library/{}.yaml", shipped.name);
        let (scenario, said) = load(&path, shipped.text, &disk(), &[]);
        if said.contains("file not found") && said.contains("shared/traces") {
            println!("{}: its recorded load is not here", shipped.name);
            continue;
        }
        assert_eq!(said, "", "{}", shipped.name);
        let scenario = scenario.unwrap();
        assert_eq!(scenario.name, shipped.name);
        assert!(!scenario.description.is_empty() && !scenario.questions.is_empty(), "{}", shipped.name);
        assert!(shipped.text.starts_with("# ") && shipped.text.contains("# Change:"), "{}", shipped.name);
    }
}

#[test]
fn every_file_of_the_library_is_shipped() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/library")).unwrap();
    let mut names: Vec<String> =
        files.flatten().filter_map(|file| file.file_name().to_str()?.strip_suffix(".yaml").map(str::to_owned)).collect();
    names.sort();
    let mut shipped: Vec<&str> = scenarios::library::names().collect();
    shipped.sort_unstable();
    assert_eq!(names, shipped);
    assert!(scenarios::library::get("no-such").is_none());
}

#[test]
fn settings_lead_the_shipped_scenarios_elsewhere() {
    let text = scenarios::library::get("black-friday-40x").unwrap();
    let change =
        [("cluster.nodePools[name=general].count.initial", "12"), ("traffic.sources[name=shoppers].rate.peak", "600/s"), ("seeds", "[7]")];
    let (scenario, said) = load("black-friday-40x.yaml", text, &disk(), &change);
    let scenario = scenario.unwrap_or_else(|| panic!("{said}"));
    assert_eq!((scenario.world.node_pools[0].initial, scenario.seeds), (12, vec![7]));
    assert!(scenario.world.traffic.sources[0].rate.iter().all(|point| point.per_second <= 600.0));
    let (unchanged, _) = load("black-friday-40x.yaml", text, &disk(), &[("seeds", "[7]")]);
    assert_ne!(unchanged.unwrap().digest, scenario.digest);
}
