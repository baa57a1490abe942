//! Which plugins run at which extension point of a profile, in which order and with which weight.

use std::collections::BTreeMap;

use port::PluginPoints;

use super::Settings;
use super::reader::Reader;
use crate::framework::Profile;
use crate::plugins::{IN_TREE, in_tree};

/// The extension points of a configuration that decide what runs here.
const POINTS: [&str; 5] = ["preEnqueue", "queueSort", "filter", "postFilter", "score"];
/// Points whose plugins run along with another point's, or not at all (binding is the engine's).
const OTHER_POINTS: [&str; 9] =
    ["preFilter", "preScore", "reserve", "permit", "preBind", "bind", "postBind", "placementGenerate", "placementScore"];

#[derive(Clone)]
struct Entry {
    name: String,
    weight: i64,
}

#[derive(Default)]
struct PluginSet {
    enabled: Vec<Entry>,
    disabled: Vec<String>,
}

impl PluginSet {
    fn disables(&self, name: &str) -> bool {
        self.disabled.iter().any(|disabled| disabled == name)
    }
}

/// All plugins of a profile, made once each, when first asked for.
struct Workshop<'a> {
    config: BTreeMap<String, Reader<'a>>,
    absent: Reader<'a>,
    settings: &'a Settings,
    out_of_tree: &'a [PluginPoints],
    made: BTreeMap<String, PluginPoints>,
}

impl Workshop<'_> {
    fn plugin(&mut self, name: &str) -> Option<PluginPoints> {
        if let Some(made) = self.made.get(name) {
            return Some(made.clone());
        }
        let plugin = match self.out_of_tree.iter().find(|plugin| plugin.name == name) {
            Some(plugin) => plugin.clone(),
            None => in_tree(name)?.make?(self.config.get(name).unwrap_or(&self.absent), self.settings),
        };
        self.made.insert(name.to_owned(), plugin.clone());
        Some(plugin)
    }
}

pub(super) fn fill(profile: &mut Profile, reader: &Reader<'_>, settings: &Settings, out_of_tree: &[PluginPoints]) {
    let plugins = reader.get("plugins");
    let mut known = vec!["multiPoint"];
    known.extend(POINTS);
    known.extend(OTHER_POINTS);
    plugins.fields(&known);
    for point in OTHER_POINTS {
        let set = read_set(&plugins.get(point), out_of_tree);
        if !set.enabled.is_empty() || !set.disabled.is_empty() {
            plugins.get(point).notice(match point {
                "preFilter" => "PreFilter of a plugin runs when its Filter does",
                "preScore" => "PreScore of a plugin runs when its Score does",
                _ => "this extension point is not simulated",
            });
        }
    }
    let multi_point = merged(read_set(&plugins.get("multiPoint"), out_of_tree));
    let absent = reader.get("(no arguments)");
    let config = plugin_config(reader, out_of_tree);
    let mut workshop = Workshop { config, absent, settings, out_of_tree, made: BTreeMap::new() };
    for point in POINTS {
        let set = read_set(&plugins.get(point), out_of_tree);
        for entry in expand(&multi_point, &set, |name| workshop.plugin(name).is_some_and(|plugin| takes_part(&plugin, point))) {
            let Some(plugin) = workshop.plugin(&entry.name) else { continue };
            if !takes_part(&plugin, point) {
                plugins.get(point).error(format!("{} takes no part in {point}", entry.name));
            }
            add(profile, point, &plugin, weight(&entry.name, &set, &multi_point));
        }
        if point == "queueSort" && set.enabled.len() > 1 {
            plugins.get(point).error("only one QueueSort plugin can be enabled");
        }
    }
    // Arguments of plugins that are not enabled are checked all the same.
    for name in workshop.config.keys().cloned().collect::<Vec<_>>() {
        workshop.plugin(&name);
    }
    profile.plugins = workshop.made.into_values().collect();
}

fn read_set(reader: &Reader<'_>, out_of_tree: &[PluginPoints]) -> PluginSet {
    reader.fields(&["enabled", "disabled"]);
    let mut set = PluginSet::default();
    for item in reader.get("enabled").list() {
        item.fields(&["name", "weight"]);
        let name = item.get("name").text("");
        if !check_name(&item, name, out_of_tree) {
            continue;
        }
        if set.enabled.iter().any(|entry| entry.name == name) {
            item.error(format!("{name} is enabled twice"));
        }
        set.enabled.push(Entry { name: name.to_owned(), weight: item.get("weight").integer(0, 0..=i64::from(i32::MAX)) });
    }
    for item in reader.get("disabled").list() {
        item.fields(&["name", "weight"]);
        let name = item.get("name").text("");
        if name != "*" && in_tree(name).is_none() && out_of_tree.iter().all(|plugin| plugin.name != name) {
            // Upstream takes any name here; nearly always it is a misspelling.
            item.error(unknown(name, out_of_tree));
        }
        set.disabled.push(name.to_owned());
    }
    set
}

/// Whether something can be made of an enabled plugin; says so if not.
fn check_name(item: &Reader<'_>, name: &str, out_of_tree: &[PluginPoints]) -> bool {
    if out_of_tree.iter().any(|plugin| plugin.name == name) {
        return true;
    }
    match in_tree(name) {
        None => {
            item.error(unknown(name, out_of_tree));
            false
        }
        Some(known) => {
            if known.make.is_none() {
                item.notice(&format!("{name} is not simulated"));
            }
            known.make.is_some()
        }
    }
}

fn unknown(name: &str, out_of_tree: &[PluginPoints]) -> String {
    let names = IN_TREE.iter().map(|known| known.name).chain(out_of_tree.iter().map(|plugin| plugin.name));
    format!("no plugin is called {name:?}; known: {}", names.collect::<Vec<_>>().join(", "))
}

/// The default multiPoint set with the custom one merged in.
fn merged(custom: PluginSet) -> PluginSet {
    let mut enabled: Vec<Entry> = Vec::new();
    if !custom.disables("*") {
        for known in IN_TREE {
            let Some(weight) = known.default_weight.filter(|_| !custom.disables(known.name)) else { continue };
            let replacement = custom.enabled.iter().find(|entry| entry.name == known.name).cloned();
            enabled.push(replacement.unwrap_or_else(|| Entry { name: known.name.to_owned(), weight }));
        }
    }
    for entry in custom.enabled {
        if enabled.iter().all(|other| other.name != entry.name) {
            enabled.push(entry);
        }
    }
    PluginSet { enabled, disabled: custom.disabled }
}

/// What runs at one point: entries of the point that are in multiPoint too, then the rest of multiPoint, then
/// the rest of the point.
fn expand(multi_point: &PluginSet, set: &PluginSet, mut takes_part: impl FnMut(&str) -> bool) -> Vec<Entry> {
    let mut overriding: Vec<Entry> = Vec::new();
    let mut from_multi_point: Vec<Entry> = Vec::new();
    if !set.disables("*") {
        for entry in &multi_point.enabled {
            if set.disables(&entry.name) || !takes_part(&entry.name) {
                continue;
            }
            if set.enabled.iter().all(|own| own.name != entry.name) {
                from_multi_point.push(entry.clone());
            } else {
                overriding.push(entry.clone());
            }
        }
    }
    let overrides = |entry: &Entry| overriding.iter().any(|other| other.name == entry.name);
    let (first, last): (Vec<Entry>, Vec<Entry>) = set.enabled.iter().cloned().partition(overrides);
    first.into_iter().chain(from_multi_point).chain(last).collect()
}

/// The weight of the point, else of multiPoint, else 1.
fn weight(name: &str, set: &PluginSet, multi_point: &PluginSet) -> i64 {
    let entries = set.enabled.iter().chain(&multi_point.enabled);
    entries.filter(|entry| entry.name == name && entry.weight > 0).map(|entry| entry.weight).next().unwrap_or(1)
}

fn takes_part(plugin: &PluginPoints, point: &str) -> bool {
    match point {
        "preEnqueue" => plugin.pre_enqueue.is_some(),
        "queueSort" => plugin.queue_sort.is_some(),
        "filter" => plugin.filter.is_some(),
        "postFilter" => plugin.post_filter.is_some(),
        _ => plugin.score.is_some(),
    }
}

fn add(profile: &mut Profile, point: &str, plugin: &PluginPoints, weight: i64) {
    match point {
        "preEnqueue" => profile.pre_enqueue.extend(plugin.pre_enqueue.clone()),
        "queueSort" => profile.queue_sort = plugin.queue_sort.clone(),
        "filter" => profile.filters.extend(plugin.filter.clone()),
        "postFilter" => profile.post_filters.extend(plugin.post_filter.clone()),
        _ => profile.scores.extend(plugin.score.clone().map(|score| (score, weight))),
    }
}

/// Arguments by plugin.
fn plugin_config<'a>(reader: &Reader<'a>, out_of_tree: &[PluginPoints]) -> BTreeMap<String, Reader<'a>> {
    let mut config = BTreeMap::new();
    for item in reader.get("pluginConfig").list() {
        item.fields(&["name", "args"]);
        let name = item.get("name").text("");
        if out_of_tree.iter().any(|plugin| plugin.name == name) {
            item.notice("arguments of out-of-tree plugins are given when they are made");
            continue;
        }
        match in_tree(name) {
            None => item.error(unknown(name, out_of_tree)),
            Some(known) if known.make.is_none() => item.notice(&format!("{name} is not simulated")),
            Some(_) if config.insert(name.to_owned(), item.get("args")).is_some() => item.error(format!("{name} is configured twice")),
            Some(_) => {}
        }
    }
    config
}
