//! `wavetank explain`: whatever has a name here: a field of the format, a kind or field of Kubernetes, a rule's code, a
//! metric, a fault, a policy, a shipped scenario, or the exit codes.

use reports::metrics;

use crate::error::CliError;
use crate::exit::Exit;
use crate::files;
use crate::io::Io;

/// Explain a field (spec.traffic), a kind or field of manifests (Pod.spec.readinessGates), a rule (WT0411), a metric
/// (recovery.total), a fault (pod-kill), a policy, a shipped scenario or exit-codes.
#[derive(clap::Args)]
pub(crate) struct Explain {
    /// What to explain.
    #[arg(default_value = "spec")]
    what: String,
}

impl Explain {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let what = self.what.trim();
        let text = if what == "exit-codes" {
            Ok(Exit::table())
        } else if what.to_ascii_uppercase().starts_with("WT") {
            rule(what)
        } else if let Some(info) = metrics::metric(what) {
            Ok(metric(info))
        } else if let Some(object) = manifests::explain_object(what) {
            object
        } else if let Some(text) = named(what) {
            Ok(text)
        } else {
            // `traffic` for `spec.traffic`.
            scenarios::explain(what).or_else(|message| scenarios::explain(&format!("spec.{what}")).map_err(|_| message))
        };
        let text = text.map_err(|message| CliError::Asked {
            exit: Exit::Nothing,
            message,
            help: Some("fields of scenarios begin with `spec`, those of manifests with their kind; `wavetank list rules` and `wavetank list metrics` show the others".into()),
        })?;
        io.answer(&text)?;
        Ok(Exit::Success)
    }
}

/// What `wavetank list` has a line for.
fn named(what: &str) -> Option<String> {
    if let Some((fault, about)) = scenarios::faults().iter().find(|(fault, _)| *fault == what) {
        return Some(format!("{fault}  (an action of spec.faults)\n\n{about}\n"));
    }
    if let Some(policy) = schedulers::builtin().iter().find(|policy| policy.name == what) {
        return Some(format!(
            "{}  (a scheduling policy: `-p {0}`, or `policy: {0}` in a scenario)\n\n{}\n",
            policy.name, policy.description
        ));
    }
    let shipped = files::template(what).ok()?;
    let comment: Vec<&str> =
        shipped.lines().map_while(|line| line.strip_prefix('#')).map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    Some(format!("{what}  (a shipped scenario: `wavetank run {what}`)\n\n{}\n", comment.join("\n")))
}

fn rule(code: &str) -> Result<String, String> {
    let code = code.to_ascii_uppercase();
    let rule = manifests::rule(&code).ok_or_else(|| format!("there is no rule {code}"))?;
    Ok(format!("{}: {}\n\n{}\n", rule.code, rule.title, rule.explanation))
}

fn metric(info: &metrics::MetricInfo) -> String {
    let filters = if info.filters.is_empty() { "-".to_owned() } else { info.filters.join(", ") };
    let stats = if info.stats.is_empty() { "-".to_owned() } else { info.stats.join(", ") };
    format!("{}  ({})\n\n{}\n\nwhere: {filters}\nstat:  {stats}\n", info.name, info.unit.as_str(), info.what)
}
