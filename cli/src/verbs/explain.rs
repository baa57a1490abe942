//! `wavetank explain`: a field of the format, a kind or field of Kubernetes, a rule's code, a metric, or the exit codes.

use reports::metrics;

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;

/// Explain a field (spec.traffic), a kind or field of manifests (Pod.spec.readinessGates), a rule (WT0411), a metric
/// (recovery.total) or exit-codes.
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
        } else {
            scenarios::explain(what)
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
