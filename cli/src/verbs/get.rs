//! `wavetank get`: what kubectl would have shown at an instant of a finished run.

use std::path::PathBuf;

use api::{SimDuration, SimTime};
use reports::Run;
use reports::inspect::{self, Columns};
use reports::render::Table;
use trace::Trace;

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::results::{Results, SCHEMA_VERSION};

/// Show the objects of a finished run as kubectl would have shown them at some time.
#[derive(clap::Args)]
pub(crate) struct Get {
    /// What: pods, nodes, nodepools, events, deployments, replicasets, statefulsets, daemonsets, jobs, hpa, vpa or
    /// services; also KIND/NAME, or several with commas between; `all` is what kubectl means by it.
    kind: String,
    /// The one object of this name; of events, those about it.
    name: Option<String>,
    /// Of this namespace only; of all by default.
    #[arg(short, long, value_name = "NAME", conflicts_with = "all_namespaces")]
    namespace: Option<String>,
    /// With a column for the namespace even if there is but one.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    moment: Moment,
    /// table; wide (more columns); json (one document).
    #[arg(short, long, default_value = "table", value_parser = ["table", "wide", "json"])]
    output: String,
}

/// Which run, and when.
#[derive(clap::Args)]
pub(crate) struct Moment {
    /// The results directory, such as out/black-friday-40x or out/black-friday-40x/seed-3.
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// The seed of the run; the first one by default.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Simulated time, such as 90s, 2m or 1h30m; the end of the run by default.
    #[arg(long, value_name = "TIME")]
    at: Option<SimDuration>,
}

impl Moment {
    /// The results, the trace, and the instant.
    pub(crate) fn open(&self) -> Result<(Results, Trace, SimTime), CliError> {
        let results = Results::open(self.run.as_deref(), self.seed)?;
        let trace = results.trace(results.job()?)?;
        let end = SimTime::ZERO + trace.header.duration;
        let at = self.at.map_or(end, |at| SimTime::ZERO + at);
        if at > end {
            return Err(CliError::asked(format!("{at} is after the end of the run at {end}"), "choose an earlier time with `--at`"));
        }
        Ok((results, trace, at))
    }
}

/// Nothing of that name, or no such kind.
pub(crate) fn not_found(error: &inspect::InspectError) -> CliError {
    CliError::Asked { exit: Exit::Nothing, message: error.to_string(), help: None }
}

impl Get {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let (_, trace, at) = self.moment.open()?;
        let (kind, name) = match (self.kind.split_once('/'), &self.name) {
            (Some((kind, name)), None) => (kind, Some(name)),
            (_, name) => (&*self.kind, name.as_deref()),
        };
        if name.is_none() && (kind == "all" || kind.contains(',')) {
            return self.several(&trace, at, io);
        }
        let json = self.output == "json";
        let columns = Columns { wide: json || self.output == "wide", namespace: json || self.all_namespaces };
        let table =
            inspect::get(&Run::new(&trace), kind, name, self.namespace.as_deref(), at, columns).map_err(|error| not_found(&error))?;
        if json {
            io.answer(&document(&trace, kind, at, &table))?;
        } else if table.rows.is_empty() {
            let place = self.namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
            io.say(&format!("no {kind}{place} at {at}"));
        } else {
            io.answer(&(table.lines("", 3).join("\n") + "\n"))?;
        }
        Ok(Exit::Success)
    }
}

/// What `kubectl get all` shows, as far as it is known here.
const ALL: &str = "pods,services,daemonsets,deployments,replicasets,statefulsets,horizontalpodautoscalers,jobs";

impl Get {
    /// Several kinds, a table each; names have their kind in front, so that they can be given to `why` as they are.
    fn several(&self, trace: &Trace, at: SimTime, io: &Io) -> Result<Exit, CliError> {
        if self.output == "json" {
            return Err(CliError::usage("`-o json` is one document of one kind", "ask for each kind by itself"));
        }
        let run = Run::new(trace);
        let columns = Columns { wide: self.output == "wide", namespace: self.all_namespaces };
        let kinds = if self.kind == "all" { ALL } else { &self.kind };
        let mut tables = Vec::new();
        for kind in kinds.split(',').map(str::trim).filter(|kind| !kind.is_empty()) {
            let mut table = inspect::get(&run, kind, None, self.namespace.as_deref(), at, columns).map_err(|error| not_found(&error))?;
            let name = table.columns.iter().position(|column| column == "NAME");
            let singular = kind.strip_suffix('s').unwrap_or(kind);
            table.rows.iter_mut().for_each(|row| name.into_iter().for_each(|name| row[name] = format!("{singular}/{}", row[name])));
            if !table.rows.is_empty() {
                tables.push(table.lines("", 3).join("\n") + "\n");
            }
        }
        if tables.is_empty() {
            io.say(&format!("no {kinds} at {at}"));
        }
        io.answer(&tables.join("\n"))?;
        Ok(Exit::Success)
    }
}

/// A table for programs: an item per row, its fields named after the headings (`LAST SEEN` is `lastSeen`).
fn document(trace: &Trace, kind: &str, at: SimTime, table: &Table) -> String {
    let keys: Vec<String> = table.columns.iter().map(|heading| camel_case(heading)).collect();
    let item = |row: &Vec<String>| -> serde_json::Value {
        keys.iter().zip(row).map(|(key, cell)| (key.clone(), cell.as_str().into())).collect::<serde_json::Map<_, _>>().into()
    };
    let document = serde_json::json!({
        "schemaVersion": SCHEMA_VERSION,
        "scenario": trace.header.scenario,
        "policy": trace.header.policy,
        "seed": trace.header.seed,
        "atSeconds": at.as_nanos() as f64 / 1e9,
        "kind": kind,
        "items": table.rows.iter().map(item).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn camel_case(heading: &str) -> String {
    let mut words = heading.split(['-', ' ']).map(str::to_ascii_lowercase);
    let first = words.next().unwrap_or_default();
    let capital = |word: String| word.get(..1).map(str::to_ascii_uppercase).unwrap_or_default() + word.get(1..).unwrap_or_default();
    words.map(capital).fold(first, |all, word| all + &word)
}
