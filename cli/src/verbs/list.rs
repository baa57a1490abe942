//! `wavetank list`: what there is to choose from.

use reports::metrics;
use reports::render::Table;

use crate::error::CliError;
use crate::exit::Exit;
use crate::files;
use crate::io::Io;
use crate::results::SCHEMA_VERSION;

/// List scenarios, templates, policies, metrics, faults or rules.
#[derive(clap::Args)]
pub(crate) struct List {
    /// What to list.
    #[arg(value_enum)]
    what: What,
    /// table; name (one name a line); json (one document).
    #[arg(short, long, default_value = "table", value_parser = ["table", "name", "json"])]
    output: String,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum What {
    /// Scenarios built into the program.
    Scenarios,
    /// Templates for `wavetank init`.
    Templates,
    /// Scheduling policies.
    Policies,
    /// Metrics for expectations.
    Metrics,
    /// Faults a scenario may name.
    Faults,
    /// Rules behind errors and warnings.
    Rules,
}

impl List {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let rows: Vec<(String, String)> = match self.what {
            What::Scenarios | What::Templates => files::shipped().into_iter().map(|shipped| (shipped.name, shipped.description)).collect(),
            What::Policies => schedulers::builtin().iter().map(|policy| (policy.name.to_owned(), policy.description.to_owned())).collect(),
            What::Metrics => metrics::registry().iter().map(|info| (info.name.to_owned(), first_sentence(info.what).to_owned())).collect(),
            What::Faults => scenarios::faults().iter().map(|(action, about)| ((*action).to_owned(), (*about).to_owned())).collect(),
            What::Rules => manifests::rules().iter().map(|rule| (rule.code.to_owned(), rule.title.to_owned())).collect(),
        };
        let text = if self.output == "name" {
            rows.iter().map(|(name, _)| format!("{name}\n")).collect()
        } else if self.output == "json" {
            let item = |(name, about): &(String, String)| serde_json::json!({ "name": name, "about": about });
            format!("{:#}\n", serde_json::json!({ "schemaVersion": SCHEMA_VERSION, "items": rows.iter().map(item).collect::<Vec<_>>() }))
        } else {
            let mut table = Table::new(&["NAME", "WHAT IT IS"]);
            rows.into_iter().for_each(|(name, about)| table.push(vec![name, about]));
            table.lines("", 3).join("\n") + "\n"
        };
        io.answer(&text)?;
        Ok(Exit::Success)
    }
}

/// What fits a line; `wavetank explain METRIC` has the rest.
fn first_sentence(text: &str) -> &str {
    text.find(". ").map_or(text, |end| &text[..=end])
}
