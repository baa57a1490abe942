//! What is accepted but not simulated, said once per pattern.

use api::Kind;
use serde_json::Value;

use crate::check::Cx;
use crate::diagnostic::{Diagnostic, Severity};
use crate::kinds::{FIELDS_NOT_SIMULATED, IDLE_WORKLOADS};
use crate::locate::Part;
use crate::source::Step;

/// The severity of what is not simulated.
pub(crate) const fn severity(strict: bool) -> Severity {
    if strict { Severity::Error } else { Severity::Warning }
}

/// Says which fields of the object, and whether the object itself, are not simulated.
pub(crate) fn check(cx: &mut Cx<'_>, kind: Kind, value: &Value) {
    if !cx.options.fidelity {
        return;
    }
    if IDLE_WORKLOADS.contains(&kind) {
        let message = format!("{kind} is accepted, not simulated");
        let diagnostic = Diagnostic::new(severity(cx.options.strict), "WT0401", message).label("its controller makes no pods here");
        cx.push(diagnostic.grouped(kind.as_str()), &Step::Root.key("kind"), Part::Value);
        return; // its pods never run, so that their fields do not matter
    }
    for (scope, pattern, why) in FIELDS_NOT_SIMULATED {
        let below = match (*scope, kind) {
            ("pod", Kind::Pod) => &["spec"][..],
            ("pod", Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job) => &["spec", "template", "spec"],
            ("pod", Kind::CronJob) => &["spec", "jobTemplate", "spec", "template", "spec"],
            (scope, _) if scope == kind.as_str() => &[],
            _ => continue,
        };
        let keys: Vec<&str> = below.iter().chain(*pattern).copied().collect();
        find(value, &keys, &Step::Root, &mut |at| {
            let message = "a field is accepted, not simulated";
            let diagnostic = Diagnostic::new(severity(cx.options.strict), "WT0411", message).label(*why);
            cx.push(diagnostic.grouped(pattern.join("/")), at, Part::Key);
        });
    }
}

/// Calls `found` for every non-null value that the pattern leads to.
fn find(value: &Value, keys: &[&str], at: &Step<'_>, found: &mut dyn FnMut(&Step<'_>)) {
    let Some((key, rest)) = keys.split_first() else {
        if !value.is_null() {
            found(at);
        }
        return;
    };
    if *key == "*" {
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            find(item, rest, &at.index(index), found);
        }
    } else if let Some(entry) = value.get(key) {
        find(entry, rest, &at.key(key), found);
    }
}
