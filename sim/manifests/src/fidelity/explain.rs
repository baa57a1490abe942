//! `wavetank explain KIND.field.path`: whether a kind or field is simulated, in the manner of `kubectl explain`.

use std::fmt::Write as _;

use api::Kind;

use super::schema::{Place, Shape, place};
use super::{Row, Section, State, fields, root_type, sections};
use crate::kinds::{KINDS, KindRow};
use crate::nearest::did_you_mean;

/// kubectl's short names of the kinds that are read.
const SHORT_NAMES: &[(&str, Kind)] = &[
    ("cj", Kind::CronJob),
    ("deploy", Kind::Deployment),
    ("ds", Kind::DaemonSet),
    ("hpa", Kind::HorizontalPodAutoscaler),
    ("limits", Kind::LimitRange),
    ("netpol", Kind::NetworkPolicy),
    ("no", Kind::Node),
    ("ns", Kind::Namespace),
    ("pc", Kind::PriorityClass),
    ("pdb", Kind::PodDisruptionBudget),
    ("po", Kind::Pod),
    ("pv", Kind::PersistentVolume),
    ("pvc", Kind::PersistentVolumeClaim),
    ("quota", Kind::ResourceQuota),
    ("rc", Kind::ReplicationController),
    ("rs", Kind::ReplicaSet),
    ("sc", Kind::StorageClass),
    ("sts", Kind::StatefulSet),
    ("svc", Kind::Service),
    ("vpa", Kind::VerticalPodAutoscaler),
];

/// What is simulated of `Kind` or `Kind.field.path` (`deployment.spec.strategy`); kinds may be written as for kubectl.
/// `None` when the first word is neither a kind nor, by its capital letter, meant to be one.
///
/// # Errors
/// A sentence, when there is no such kind or field.
pub fn explain_object(what: &str) -> Option<Result<String, String>> {
    let path = plain(what);
    let (word, path) = path.split_first()?;
    match kind_called(word) {
        Some(row) => Some(page(row, path)),
        None if word.starts_with(|letter: char| letter.is_ascii_uppercase()) && *word != "Scenario" => {
            let near = did_you_mean(word, KINDS.iter().map(|row| row.name));
            let help = near.map_or_else(|| "; docs/fidelity.md lists them".to_owned(), |near| format!("; did you mean `{near}`?"));
            Some(Err(format!("`{word}` is no kind of Kubernetes 1.36 that is known here{help}")))
        }
        None => None,
    }
}

/// The words of a path, without the places in lists.
fn plain(what: &str) -> Vec<&str> {
    let words = what.split(['.', '/']).map(|word| word.split('[').next().unwrap_or(""));
    words.filter(|word| !word.is_empty() && *word != "*" && !word.bytes().all(|b| b.is_ascii_digit())).collect()
}

fn kind_called(word: &str) -> Option<&'static KindRow> {
    let word = word.to_lowercase();
    let is_called = |row: &&KindRow| {
        let name = row.name.to_lowercase();
        let plural = match name.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None if name.ends_with(['s', 'x']) => format!("{name}es"),
            None => format!("{name}s"),
        };
        word == name || word == plural
    };
    let short = SHORT_NAMES.iter().find(|(short, _)| *short == word).map(|(_, kind)| kind.as_str());
    KINDS.iter().find(|row| short.map_or_else(|| is_called(row), |name| row.name == name))
}

fn page(row: &KindRow, path: &[&str]) -> Result<String, String> {
    let (Some(kind), Some(_)) = (row.kind, row.versions.first()) else { return unread(row, path) };
    // A field that only an older version has is found there.
    let pages = row.versions.iter().map(|version| page_of(row, kind, version, path));
    let mut refusal = None;
    for page in pages {
        match page {
            Ok(page) => return Ok(page),
            Err(message) => refusal = refusal.or(Some(message)),
        }
    }
    Err(refusal.unwrap_or_default())
}

/// A kind that is carried without being read.
fn unread(row: &KindRow, path: &[&str]) -> Result<String, String> {
    if path.is_empty() {
        let (what, said) = match row.state {
            State::Accepted => ("What a real cluster does with it: ", "a warning"),
            _ => ("", "a note"),
        };
        return Ok(format!(
            "KIND:     {}\nSTATE:    {} (WT0402)\n\nDESCRIPTION:\n  {what}{}.\n  Objects of this kind are carried along unread, and named once in {said}.\n",
            row.name,
            row.state.as_str(),
            row.how
        ));
    }
    Err(format!("{} objects are carried along unread, so that none of their fields matters: {}", row.name, row.how))
}

fn page_of(kind_row: &KindRow, kind: Kind, version: &str, path: &[&str]) -> Result<String, String> {
    let mut section = sections().get(root_type(kind_row.name, version));
    let mut rows: Option<&[&Row]> = None;
    for (depth, word) in path.iter().enumerate() {
        let before = &path[..depth];
        let Some(Place { shape: Shape::Fields(known), .. }) = place(kind, version, before) else {
            return match place(kind, version, before) {
                Some(Place { shape: Shape::Map, .. }) => Err(format!("the keys of `{}` are the user's own", before.join("."))),
                _ => Err(format!("`{}` has no fields", before.join("."))),
            };
        };
        if !known.contains(word) {
            return Err(no_such_field(kind_row.name, before, word, known));
        }
        let field = section.and_then(|section| section.get(word));
        rows = field.map(|field| field.rows.as_slice()).or(rows); // below a field without a section its state holds
        section = field.and_then(|field| field.below).and_then(|below| sections().get(below));
    }
    let mut text = format!("KIND:     {}\nVERSION:  {version}\n", kind_row.name);
    let here = place(kind, version, path);
    if !path.is_empty() {
        let words = here.as_ref().map(Place::words).unwrap_or_default();
        let _ = writeln!(text, "\nFIELD:    {}  <{words}>", path.join("."));
    }
    state(&mut text, kind_row, rows);
    if let Some(Place { shape: Shape::Fields(known), .. }) = here {
        text.push_str("\nFIELDS:\n");
        for name in known {
            let below = [path, &[*name]].concat();
            line(&mut text, name, place(kind, version, &below).as_ref(), section, rows);
        }
    }
    if path == ["metadata", "annotations"] {
        for (_, key, how) in fields::ANNOTATIONS.iter().filter(|known| known.0 == kind_row.name) {
            let _ = write!(text, "\nKEY:      {key}\nSTATE:    accepted (WT0411)\n  {how}\n");
        }
    }
    Ok(text)
}

fn no_such_field(kind: &str, before: &[&str], word: &str, known: &[&str]) -> String {
    let place = if before.is_empty() { kind.to_owned() } else { format!("`{}` of {kind}", before.join(".")) };
    match did_you_mean(word, known.iter().copied()) {
        Some(near) => format!("{place} has no field `{word}`; did you mean `{near}`?"),
        None => format!("{place} has no field `{word}`; it has {}", known.join(", ")),
    }
}

/// The state of what was asked for: of the field, or of the kind.
fn state(text: &mut String, kind: &KindRow, rows: Option<&[&Row]>) {
    let Some(rows) = rows else {
        let code = if kind.state == State::Accepted { " (WT0401)" } else { "" };
        let _ = writeln!(text, "STATE:    {}{code}", kind.state.as_str());
        if !kind.how.is_empty() {
            let _ = writeln!(text, "  {}", kind.how);
        }
        return;
    };
    for row in rows {
        let code = if row.state == State::Accepted { " (WT0411)" } else { "" };
        let _ = writeln!(text, "STATE:    {}{code}", row.state_words());
        if !row.how.is_empty() {
            let _ = writeln!(text, "  {}", row.how);
        }
    }
}

/// A field below, with its state where that is not simulated.
fn line(text: &mut String, name: &str, place: Option<&Place>, section: Option<&Section>, around: Option<&[&Row]>) {
    let words = place.map(Place::words).unwrap_or_default();
    let _ = write!(text, "  {name}  <{words}>");
    let own = section.and_then(|section| section.get(name)).map(|field| field.rows.as_slice());
    let inherited = around.filter(|_| section.is_none());
    match own.or(inherited) {
        Some(rows) => {
            let states: Vec<String> = rows.iter().map(|row| row.state_words()).collect();
            let _ = writeln!(text, "  {}", states.join("; "));
            for row in own.unwrap_or_default().iter().filter(|row| !row.how.is_empty()) {
                let _ = writeln!(text, "      {}", row.how);
            }
        }
        None => text.push('\n'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(what: &str) -> String {
        explain_object(what).expect("a kind").expect("a page")
    }

    #[test]
    fn a_field_says_its_state_and_those_below_it() {
        insta::assert_snapshot!("service", explained("Service.spec"));
        insta::assert_snapshot!("post-start", explained("deploy.spec.template.spec.containers[0].lifecycle.postStart"));
        insta::assert_snapshot!("metric-name", explained("hpa.spec.metrics[*].resource.name"));
    }

    #[test]
    fn kinds_answer_to_the_names_kubectl_knows() {
        for name in ["networkpolicy", "NetworkPolicies", "NetworkPolicy"] {
            assert!(explained(name).contains("STATE:    simulated"), "{name}");
        }
        assert!(explained("sts").starts_with("KIND:     StatefulSet\nVERSION:  apps/v1\nSTATE:    simulated\n"));
        assert!(explained("hpa.spec.targetCPUUtilizationPercentage").contains("VERSION:  autoscaling/v1"));
        assert!(explained("Service.metadata.annotations").contains("service.kubernetes.io/topology-mode"));
    }

    #[test]
    fn wrong_names_are_answered_with_near_ones() {
        let refused = |what: &str| explain_object(what).expect("an answer").unwrap_err();
        assert_eq!(refused("Deploymint"), "`Deploymint` is no kind of Kubernetes 1.36 that is known here; did you mean `Deployment`?");
        assert_eq!(refused("Pod.spec.tolerationz"), "`spec` of Pod has no field `tolerationz`; did you mean `tolerations`?");
        assert_eq!(refused("Pod.specs"), "Pod has no field `specs`; did you mean `spec`?");
        assert_eq!(refused("Pod.spec.nodeName.x"), "`spec.nodeName` has no fields");
        assert_eq!(refused("Pod.metadata.labels.app"), "the keys of `metadata.labels` are the user's own");
        assert!(refused("Ingress.spec").contains("carried along unread"));
        assert!(explain_object("spec.traffic").is_none() && explain_object("Scenario.spec").is_none() && explain_object("").is_none());
    }
}
