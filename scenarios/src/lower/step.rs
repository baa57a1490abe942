//! What an operator does, and moments with a name.

use std::sync::Arc;

use api::{Kind, Labels, ObjectKey, Propagation, ResourceList, ResourceName};
use engine::spec::{Mark, PodResize, Step, StepAction};
use manifests::{Diagnostic, Origin, Pointer};
use serde_json::Value;

use super::cluster::taint_of;
use super::selector::{parse_workload, selector};
use crate::catalog::{engine_objects, origins};
use crate::cx::Cx;
use crate::format::{self, LabelStep, Resize, RolloutUndo, SetImage, TaintStep};

const PROPAGATIONS: &[(&str, Propagation)] =
    &[("background", Propagation::Background), ("foreground", Propagation::Foreground), ("orphan", Propagation::Orphan)];

/// The objects that steps apply, read before anything refers to them.
#[derive(Default)]
pub(crate) struct Applied {
    steps: Vec<(Pointer, manifests::Objects)>,
}

impl Applied {
    /// Reads what the steps at `path` apply. Priority classes of `base` hold for them too.
    pub(crate) fn read(cx: &mut Cx<'_>, base: &[Origin], options: &manifests::Options, path: &Pointer) -> Self {
        let classes: Vec<Origin> =
            base.iter().filter(|origin| origin.value().get("kind").is_some_and(|kind| kind == "PriorityClass")).cloned().collect();
        let mut steps = Vec::new();
        for item in cx.items(path) {
            let at = item.key("apply");
            if cx.value(&at).is_none() {
                continue;
            }
            let places = if cx.value(&at).is_some_and(Value::is_array) { cx.items(&at) } else { vec![at] };
            let own: Vec<Origin> = places.iter().flat_map(|place| origins(cx, place)).collect();
            let all: Vec<Origin> = classes.iter().chain(&own).cloned().collect();
            let mut objects = manifests::read(&all, options, cx.problems);
            objects.priority_classes.retain(|class| own.iter().any(|origin| same_place(origin, &class.origin)));
            steps.push((item, objects));
        }
        Self { steps }
    }
    /// All that is applied.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &manifests::Objects> {
        self.steps.iter().map(|(_, objects)| objects)
    }
    fn of(&self, step: &Pointer) -> Option<&manifests::Objects> {
        self.steps.iter().find(|(path, _)| path == step).map(|(_, objects)| objects)
    }
}

fn same_place(outer: &Origin, inner: &Origin) -> bool {
    Arc::ptr_eq(&outer.document, &inner.document) && inner.path.strip_prefix(&outer.path).is_some()
}

/// The steps at `path`, each with its place.
pub(crate) fn steps(cx: &mut Cx<'_>, applied: &Applied, path: &Pointer) -> Vec<(Step, Pointer)> {
    cx.items(path).into_iter().filter_map(|item| Some((step(cx, applied, &item)?, item))).collect()
}

fn step(cx: &mut Cx<'_>, applied: &Applied, path: &Pointer) -> Option<Step> {
    let fields: format::Step = cx.read(path)?;
    let at = cx.moment(&path.key("at"));
    let entries = cx.value(path).and_then(Value::as_object);
    let actions: Vec<String> = entries
        .into_iter()
        .flatten()
        .map(|(key, _)| key.clone())
        .filter(|key| !["name", "at", "cascade"].contains(&key.as_str()))
        .collect();
    let [action] = &actions[..] else {
        let (label, code) =
            if actions.is_empty() { ("what is done?", "WT0107") } else { ("one action each: make two steps of it", "WT0117") };
        let diagnostic = Diagnostic::error(code, "a step has one action").label(label);
        cx.push(diagnostic.help("one of apply, delete, scale, setImage, resize, rolloutUndo, rolloutRestart, rolloutPause, rolloutResume, suspend, resume, cordon, uncordon, drain, taint, label"), path);
        return None;
    };
    let (done, words) = Reader { cx, applied, path, fields: &fields, action }.read()?;
    Some(Step { name: fields.name.as_deref().unwrap_or(&words).into(), at: at?, action: done })
}

struct Reader<'c, 'a> {
    cx: &'c mut Cx<'a>,
    applied: &'c Applied,
    path: &'c Pointer,
    fields: &'c format::Step,
    action: &'c str,
}

impl Reader<'_, '_> {
    /// `kubectl delete --cascade`.
    fn cascade(&mut self) -> Option<Propagation> {
        let at = self.path.key("cascade");
        let Some(cascade) = &self.fields.cascade else { return Some(Propagation::Background) };
        if self.action != "delete" {
            self.cx.error("WT0117", "`cascade` belongs to `delete`", "nothing is deleted in this step", &at);
            return None;
        }
        self.cx.word(cascade, PROPAGATIONS, &at)
    }

    /// The action, and what it is called.
    fn read(mut self) -> Option<(StepAction, String)> {
        let at = self.path.key(self.action);
        let fields = self.fields;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let propagation = self.cascade()?;
        Some(match self.action {
            "apply" => {
                let objects = engine_objects(self.applied.of(self.path)?);
                (StepAction::Apply(Arc::new(objects)), "apply".to_owned())
            }
            "delete" => {
                let (kind, key) = self.object(&text(&fields.delete), &at)?;
                (StepAction::Delete(kind, key.clone(), propagation), format!("delete {kind} {key}"))
            }
            "scale" => {
                let scale = fields.scale.as_ref()?;
                let (kind, key) = self.object(&scale.workload, &at.key("workload"))?;
                if !(0..=100_000).contains(&scale.replicas) {
                    self.cx.error("WT0109", format!("{} replicas", scale.replicas), "expected 0 to 100000", &at.key("replicas"));
                    return None;
                }
                (StepAction::Scale(kind, key.clone(), scale.replicas), format!("scale {key} to {}", scale.replicas))
            }
            "setImage" => self.set_image(&at)?,
            "resize" => self.resize(&at)?,
            "rolloutUndo" => self.undo(&at)?,
            "rolloutRestart" => {
                let (kind, key) = self.object(&text(&fields.rollout_restart), &at)?;
                (StepAction::RolloutRestart(kind, key.clone()), format!("rollout restart {key}"))
            }
            "rolloutPause" => {
                let (kind, key) = self.object(&text(&fields.rollout_pause), &at)?;
                (StepAction::RolloutPause(kind, key.clone(), true), format!("rollout pause {key}"))
            }
            "rolloutResume" => {
                let (kind, key) = self.object(&text(&fields.rollout_resume), &at)?;
                (StepAction::RolloutPause(kind, key.clone(), false), format!("rollout resume {key}"))
            }
            "suspend" => {
                let (kind, key) = self.suspendable(&text(&fields.suspend), &at)?;
                (StepAction::Suspend(kind, key.clone(), true), format!("suspend {kind} {key}"))
            }
            "resume" => {
                let (kind, key) = self.suspendable(&text(&fields.resume), &at)?;
                (StepAction::Suspend(kind, key.clone(), false), format!("resume {kind} {key}"))
            }
            "cordon" => (StepAction::Cordon(text(&fields.cordon).as_str().into(), true), format!("cordon {}", text(&fields.cordon))),
            "uncordon" => {
                (StepAction::Cordon(text(&fields.uncordon).as_str().into(), false), format!("uncordon {}", text(&fields.uncordon)))
            }
            "drain" => (StepAction::Drain(text(&fields.drain).as_str().into()), format!("drain {}", text(&fields.drain))),
            "taint" => {
                let step: TaintStep = self.cx.read(&at)?;
                let (written, puts) = step.taint.strip_suffix('-').map_or((step.taint.as_str(), true), |written| (written, false));
                let taint = taint_of(self.cx, written, &at.key("taint"))?;
                (StepAction::Taint(step.node.as_str().into(), taint, puts), format!("taint {} {}", step.node, step.taint))
            }
            "label" => self.label(&at)?,
            _ => return None,
        })
    }

    /// `kubectl label`, of a node or of pods.
    fn label(&mut self, at: &Pointer) -> Option<(StepAction, String)> {
        let fields: LabelStep = self.cx.read(at)?;
        let labels: Labels = fields.labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
        match (&fields.node, &fields.pods) {
            (Some(node), None) if fields.first.is_none() => {
                Some((StepAction::LabelNode(node.as_str().into(), labels), format!("label node {node}")))
            }
            (None, Some(_)) => {
                let (pods, _) = selector(self.cx, &at.key("pods"))?;
                Some((StepAction::LabelPods(pods, fields.first, labels), "label pods".to_owned()))
            }
            (Some(_), None) => {
                self.cx.error("WT0117", "`first` belongs to `pods`", "a node is one", &at.key("first"));
                None
            }
            (Some(_), Some(_)) => {
                self.cx.error("WT0117", "`node` and `pods` exclude each other", "make two steps of it", &at.key("pods"));
                None
            }
            (None, None) => {
                self.cx.error("WT0107", "required field `node` or `pods` is missing", "what gets the labels?", at);
                None
            }
        }
    }

    fn object(&mut self, text: &str, at: &Pointer) -> Option<(Kind, ObjectKey)> {
        parse_workload(self.cx, text, at)
    }

    fn suspendable(&mut self, text: &str, at: &Pointer) -> Option<(Kind, ObjectKey)> {
        let (kind, key) = self.object(text, at)?;
        if !matches!(kind, Kind::Job | Kind::CronJob) {
            self.cx.error("WT0108", format!("a {kind} cannot be suspended"), "expected a job or a cronjob", at);
            return None;
        }
        Some((kind, key))
    }

    fn set_image(&mut self, at: &Pointer) -> Option<(StepAction, String)> {
        let fields: SetImage = self.cx.read(at)?;
        let (kind, key) = self.object(&fields.workload, &at.key("workload"))?;
        let images: Vec<(api::Str, api::Str)> = match (&fields.image, &fields.containers) {
            (Some(image), None) => vec![(fields.container.as_deref().unwrap_or("*").into(), image.as_str().into())],
            (None, Some(all)) if !all.is_empty() => {
                all.iter().map(|(container, image)| (container.as_str().into(), image.as_str().into())).collect()
            }
            (Some(_), Some(_)) => {
                self.cx.error("WT0117", "`image` and `containers` exclude each other", "keep one of the two", &at.key("containers"));
                return None;
            }
            _ => {
                self.cx.error("WT0107", "required field `image` is missing", "which image?", at);
                return None;
            }
        };
        let words = images.iter().map(|(_, image)| image.to_string()).collect::<Vec<_>>().join(", ");
        Some((StepAction::SetImage(kind, key.clone(), images), format!("set image of {key} to {words}")))
    }

    fn resize(&mut self, at: &Pointer) -> Option<(StepAction, String)> {
        let fields: Resize = self.cx.read(at)?;
        let (kind, key) = self.object(&fields.workload, &at.key("workload"))?;
        let mut lists = [ResourceList::new(), ResourceList::new()];
        for ((field, given), list) in [("requests", &fields.requests), ("limits", &fields.limits)].into_iter().zip(&mut lists) {
            for (name, text) in given.iter().flatten() {
                let (resource, at) = (ResourceName::new(name), at.key(field).key(name));
                if !matches!(resource, ResourceName::Cpu | ResourceName::Memory) {
                    self.cx.error("WT0108", format!("`{name}` of a running pod cannot be changed"), "only cpu and memory can", &at);
                } else if let Some(amount) = self.cx.quantity(&resource, text, &at) {
                    list.insert(resource, amount);
                }
            }
        }
        let [requests, limits] = lists;
        if requests.is_empty() && limits.is_empty() {
            self.cx.error("WT0107", "a resize to nothing", "`requests`, `limits` or both belong here", at);
            return None;
        }
        let resize = PodResize { container: fields.container.as_deref().map(Into::into), requests, limits };
        Some((StepAction::Resize(kind, key.clone(), resize), format!("resize {kind} {key}")))
    }

    fn undo(&mut self, at: &Pointer) -> Option<(StepAction, String)> {
        let (workload, place, revision) = match self.cx.text(at).map(str::to_owned) {
            Some(text) => (text, at.clone(), None),
            None => {
                let fields: RolloutUndo = self.cx.read(at)?;
                (fields.workload, at.key("workload"), fields.to_revision)
            }
        };
        let (kind, key) = self.object(&workload, &place)?;
        Some((StepAction::RolloutUndo(kind, key.clone(), revision), format!("rollout undo {key}")))
    }
}

/// The marks at `path`, each with its place.
pub(crate) fn marks(cx: &mut Cx<'_>, path: &Pointer) -> Vec<(Mark, Pointer)> {
    let mut found = Vec::new();
    for item in cx.items(path) {
        let Some(fields) = cx.read::<format::Mark>(&item) else { continue };
        if let Some(at) = cx.moment(&item.key("at")) {
            found.push((Mark { name: fields.name.as_str().into(), at }, item));
        }
    }
    found
}
