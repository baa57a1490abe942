//! The fields that a type of the Kubernetes API has, asked of the reader itself.
//!
//! A value with one field that no type has is read where the question is; what the reader says of it (an unknown
//! field among these known ones, a wrong type) is the answer. So the types of k8s-openapi need no second description.

use api::Kind;
use k8s_openapi::api::{
    apps::v1 as apps, autoscaling, batch::v1 as batch, core::v1 as core, networking::v1 as networking, policy::v1 as policy,
    scheduling::v1 as scheduling, storage::v1 as storage,
};
use serde_json::{Value, json};

use crate::source::Pointer;
use crate::typed::{Mistake, What, read_value};

/// What is below a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// A mapping with these fields.
    Fields(&'static [&'static str]),
    /// A mapping with keys of the user.
    Map,
    /// A value, in words: `a string`.
    Value(String),
}

/// What is at a path of a kind, and whether it is a list of that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) shape: Shape,
    pub(super) is_list: bool,
}

impl Place {
    /// Its type in words.
    pub(super) fn words(&self) -> String {
        let one = match &self.shape {
            Shape::Fields(_) => "object",
            Shape::Map => "map",
            Shape::Value(words) => match words.as_str() {
                "true or false" => "boolean",
                words => words.trim_start_matches("an ").trim_start_matches("a "),
            },
        };
        if self.is_list { format!("list of {one}") } else { one.to_owned() }
    }
}

/// A field that no type has.
const PROBE: &str = "?";

/// What is at `path` of objects of this kind. The path must exist.
pub(super) fn place(kind: Kind, api_version: &str, path: &[&str]) -> Option<Place> {
    let mut lists = vec![false; path.len() + 1];
    // Each round finds out that one more step of the path is a list.
    for _ in 0..=path.len() {
        let (value, at) = question(path, &lists);
        let mistakes = mistakes(kind, api_version, &value)?;
        let list = mistakes.iter().find_map(|mistake| match &mistake.what {
            What::WrongType { expected, .. } if expected == "a list" => Some(depth(&mistake.at)),
            _ => None,
        });
        if let Some(depth) = list.filter(|depth| lists.get(*depth) == Some(&false)) {
            lists[depth] = true;
            continue;
        }
        let is_list = lists.last() == Some(&true);
        let shape = mistakes.into_iter().find_map(|mistake| answer(mistake, &at)).unwrap_or(Shape::Map);
        return Some(Place { shape, is_list });
    }
    None
}

/// The value that asks, and where in it the question is.
fn question(path: &[&str], lists: &[bool]) -> (Value, Pointer) {
    let mut value = json!({ PROBE: null });
    let mut at = Pointer::root();
    for (depth, is_list) in lists.iter().enumerate() {
        if let Some(key) = depth.checked_sub(1).and_then(|before| path.get(before)) {
            at = at.key(key);
        }
        if *is_list {
            at = at.index(0);
        }
    }
    for (depth, is_list) in lists.iter().enumerate().rev() {
        if *is_list {
            value = json!([value]);
        }
        if let Some(key) = depth.checked_sub(1).and_then(|before| path.get(before)) {
            value = json!({ *key: value });
        }
    }
    (value, at)
}

fn answer(mistake: Mistake, asked: &Pointer) -> Option<Shape> {
    match mistake.what {
        What::UnknownField { known, .. } if mistake.at == asked.key(PROBE) => Some(Shape::Fields(known)),
        What::WrongType { expected, .. } if mistake.at == *asked => Some(Shape::Value(expected)),
        What::Other(_) if mistake.at == *asked => Some(Shape::Value("a string".to_owned())),
        _ => None,
    }
}

/// How many fields lead to a place.
fn depth(at: &Pointer) -> usize {
    at.segments().filter(|segment| segment != "0").count()
}

fn mistakes(kind: Kind, api_version: &str, value: &Value) -> Option<Vec<Mistake>> {
    Some(match kind {
        Kind::Namespace => read_value::<core::Namespace>(value).1,
        Kind::Node => read_value::<core::Node>(value).1,
        Kind::Pod => read_value::<core::Pod>(value).1,
        Kind::Deployment => read_value::<apps::Deployment>(value).1,
        Kind::ReplicaSet => read_value::<apps::ReplicaSet>(value).1,
        Kind::StatefulSet => read_value::<apps::StatefulSet>(value).1,
        Kind::DaemonSet => read_value::<apps::DaemonSet>(value).1,
        Kind::Job => read_value::<batch::Job>(value).1,
        Kind::CronJob => read_value::<batch::CronJob>(value).1,
        Kind::ReplicationController => read_value::<core::ReplicationController>(value).1,
        Kind::Service => read_value::<core::Service>(value).1,
        Kind::HorizontalPodAutoscaler if api_version == "autoscaling/v1" => read_value::<autoscaling::v1::HorizontalPodAutoscaler>(value).1,
        Kind::HorizontalPodAutoscaler => read_value::<autoscaling::v2::HorizontalPodAutoscaler>(value).1,
        Kind::PodDisruptionBudget => read_value::<policy::PodDisruptionBudget>(value).1,
        Kind::PriorityClass => read_value::<scheduling::PriorityClass>(value).1,
        Kind::PersistentVolume => read_value::<core::PersistentVolume>(value).1,
        Kind::PersistentVolumeClaim => read_value::<core::PersistentVolumeClaim>(value).1,
        Kind::StorageClass => read_value::<storage::StorageClass>(value).1,
        Kind::CSINode => read_value::<storage::CSINode>(value).1,
        Kind::CSIDriver => read_value::<storage::CSIDriver>(value).1,
        Kind::CSIStorageCapacity => read_value::<storage::CSIStorageCapacity>(value).1,
        Kind::ResourceQuota => read_value::<core::ResourceQuota>(value).1,
        Kind::LimitRange => read_value::<core::LimitRange>(value).1,
        Kind::NetworkPolicy => read_value::<networking::NetworkPolicy>(value).1,
        Kind::VerticalPodAutoscaler => read_value::<crate::convert::vertical::RawAutoscaler>(value).1,
        Kind::EndpointSlice | Kind::ControllerRevision | Kind::VolumeAttachment => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{State, fields, root_type, sections};
    use super::*;
    use crate::kinds::KINDS;

    #[test]
    fn the_reader_tells_the_shape_of_any_place() {
        let words = |path: &[&str]| place(Kind::Deployment, "apps/v1", path).expect("a place").words();
        assert_eq!(words(&["spec", "replicas"]), "integer");
        assert_eq!(words(&["spec", "template", "spec", "containers"]), "list of object");
        assert_eq!(words(&["spec", "template", "spec", "containers", "command"]), "list of string");
        assert_eq!(words(&["spec", "template", "spec", "nodeSelector"]), "map");
        assert_eq!(words(&["spec", "strategy", "rollingUpdate", "maxSurge"]), "integer or a string");
    }

    /// Compares the section of a type with the API type at `path`, and goes on below.
    fn compare(
        kind: Kind,
        version: &str,
        name: &'static str,
        path: &mut Vec<&'static str>,
        seen: &mut BTreeSet<&'static str>,
        wrong: &mut Vec<String>,
    ) {
        let here = format!("{kind}.{} ({name})", path.join("."));
        let Some(Place { shape: Shape::Fields(known), .. }) = place(kind, version, path) else {
            wrong.push(format!("{here} has no fields"));
            return;
        };
        let Some(section) = sections().get(name) else {
            wrong.push(format!("{here} has no section"));
            return;
        };
        let (known, told) = (known.iter().copied().collect::<BTreeSet<_>>(), section.keys().copied().collect::<BTreeSet<_>>());
        if known != told {
            let missing: Vec<_> = known.difference(&told).collect();
            let extra: Vec<_> = told.difference(&known).collect();
            wrong.push(format!("{here} lacks {missing:?} and invents {extra:?}"));
            return;
        }
        if !seen.insert(name) {
            return;
        }
        for (field, row) in section {
            path.push(field);
            if let Some(below) = row.below {
                compare(kind, version, below, path, seen, wrong);
            } else if row.rows[0].state == State::Simulated
                && matches!(place(kind, version, path), Some(Place { shape: Shape::Fields(_), .. }))
            {
                wrong.push(format!("{here}.{field} is simulated and does not say what of it"));
            }
            path.pop();
        }
    }

    #[test]
    fn every_field_of_every_kind_that_is_read_has_a_state_and_no_other() {
        let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
        for row in KINDS {
            let Some(kind) = row.kind else { continue };
            for version in row.versions {
                compare(kind, version, root_type(row.name, version), &mut Vec::new(), &mut seen, &mut wrong);
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let unused: Vec<_> = fields::TYPES.iter().map(|section| section.name).filter(|name| !seen.contains(name)).collect();
        assert!(unused.is_empty(), "sections of no kind: {unused:?}");
        assert_eq!(fields::TYPES.len(), sections().len(), "a type has two sections");
    }

    #[test]
    fn whatever_is_not_simulated_says_how_and_nothing_else_does() {
        for section in fields::TYPES {
            for row in section.rows {
                assert_eq!(row.how.is_empty(), row.state == State::Simulated, "{}: {}", section.name, row.fields);
            }
            for (name, field) in &sections()[section.name] {
                let whole = field.rows.iter().filter(|row| matches!(row.values, super::super::Values::All)).count();
                assert_eq!(whole, 1, "{}.{name} has one state and exceptions from it", section.name);
            }
        }
    }
}
