//! `wavetank why`: the story of one object, up to an instant.

use api::SimTime;
use reports::render::ExplanationOptions;
use reports::{Run, inspect};
use trace::{Record, Trace};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::rerun;
use crate::results::SCHEMA_VERSION;
use crate::verbs::get::{Moment, not_found};

/// Explain why an object is as it is: pending, placed, evicted, restarted, scaled.
///
/// What the scheduler thought of every node is more than a trace holds: for a pod, the run is repeated up to its last
/// decisions, from the files it was made of.
#[derive(clap::Args)]
pub(crate) struct Why {
    /// The object: pod/NAME, node/NAME, nodepool/NAME, service/NAME, hpa/NAME or a workload (deployment/NAME, job/NAME,
    /// …); with its namespace when the name is not unique.
    object: String,
    /// Its name, when the kind stands alone: `why pod NAME`.
    name: Option<String>,
    #[command(flatten)]
    moment: Moment,
    /// Every node, instead of the best and the nearest ones.
    #[arg(long)]
    all: bool,
    /// text, or json (one document: the story, and every node of the decisions).
    #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
    output: String,
    /// Answer from the trace alone, without repeating the run.
    #[arg(long)]
    trace_only: bool,
}

impl Why {
    pub(crate) fn run(mut self, io: &Io) -> Result<Exit, CliError> {
        if let Some(name) = self.name.take() {
            self.object = format!("{}/{name}", self.object);
        }
        let (mut results, mut trace, at) = self.moment.open()?;
        let wanted = inspect::decisions(&Run::new(&trace), &self.object, at).map_err(|error| not_found(&error))?;
        if let Some(wanted) = wanted.filter(|_| !self.trace_only) {
            let job = results.job()?.clone();
            rerun::explain(&mut results, &job, &mut trace, &wanted, io)?;
        }
        let options = ExplanationOptions { all: self.all, ..Default::default() };
        let story = inspect::why(&Run::new(&trace), &self.object, at, options).map_err(|error| not_found(&error))?;
        io.answer(&if self.output == "json" { document(&trace, &self.object, at, &story) } else { story })?;
        Ok(Exit::Success)
    }
}

/// The story line by line, and the decisions that the trace explains.
fn document(trace: &Trace, object: &str, at: SimTime, story: &str) -> String {
    let decision = |(when, record): &(SimTime, Record)| match record {
        Record::Explanation { pod, attempt, explanation } => {
            let at_seconds = when.as_nanos() as f64 / 1e9;
            Some(serde_json::json!({ "pod": pod, "attempt": attempt, "atSeconds": at_seconds, "explanation": explanation }))
        }
        _ => None,
    };
    let document = serde_json::json!({
        "schemaVersion": SCHEMA_VERSION,
        "scenario": trace.header.scenario,
        "policy": trace.header.policy,
        "seed": trace.header.seed,
        "object": object,
        "atSeconds": at.as_nanos() as f64 / 1e9,
        "story": story.lines().collect::<Vec<_>>(),
        "decisions": trace.records.iter().filter_map(decision).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}
