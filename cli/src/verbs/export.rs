//! `wavetank export`: a finished run in the forms that other programs open.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use api::SimDuration;
use reports::{Run, export};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::results::Results;

/// Export a finished run for other programs: Prometheus and Grafana, Perfetto, notebooks.
#[derive(clap::Args)]
pub(crate) struct Export {
    /// The results directory, such as out/black-friday-40x or out/black-friday-40x/seed-3.
    run: Option<PathBuf>,
    /// The form.
    #[arg(long, value_enum, value_name = "FORM")]
    to: Form,
    /// Where to write it; `-` is stdout, the default.
    #[arg(short, long, value_name = "FILE", default_value = "-", hide_default_value = true)]
    output: PathBuf,
    /// The seed of the run; the first one by default.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How often metrics are looked at, as by a scraper.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = resolution)]
    resolution: SimDuration,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Metrics under the names of kube-state-metrics, kubelet and kube-scheduler, with simulated timestamps.
    #[value(name = "openmetrics")]
    OpenMetrics,
    /// A timeline for ui.perfetto.dev: nodes, pods in their lanes, decisions, counters.
    Perfetto,
    /// The metrics of `openmetrics` as a table: a sample a line.
    Csv,
    /// The metrics of `openmetrics` as a table in columns.
    #[cfg(feature = "parquet")]
    Parquet,
    /// What happened as a table: Events, faults, marks, steps, decisions of autoscalers.
    EventsCsv,
}

/// A scraper looks at most every millisecond: that is how fine its time stamps are.
fn resolution(text: &str) -> Result<SimDuration, String> {
    let span: SimDuration = text.parse().map_err(|error| format!("{error}"))?;
    let whole = span.as_nanos().is_multiple_of(1_000_000) && !span.is_zero();
    if whole { Ok(span) } else { Err(format!("`{text}` is not a whole number of milliseconds above zero; write it as `15s` or `500ms`")) }
}

impl Export {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let results = Results::open(self.run.as_deref(), self.seed)?;
        if self.output.as_os_str() == "-" {
            return match self.write(&results, &mut BufWriter::new(io::stdout())) {
                Err(CliError::Machine(error)) if is_closed_pipe(&error) => Ok(Exit::Success),
                other => other.map(|()| Exit::Success),
            };
        }
        let file = File::create(&self.output).map_err(|error| CliError::file("write", &self.output, error))?;
        self.write(&results, &mut BufWriter::new(file))?;
        io.say(&format!("wrote {}", self.output.display()));
        Ok(Exit::Success)
    }

    fn write(&self, results: &Results, out: &mut (dyn Write + Send)) -> Result<(), CliError> {
        let trace = results.trace(results.job()?)?;
        let run = Run::new(&trace);
        match self.to {
            Form::OpenMetrics => export::openmetrics(&run, self.resolution, out)?,
            Form::Perfetto => export::perfetto(&run, out)?,
            Form::Csv => export::series_csv(&run, self.resolution, out)?,
            #[cfg(feature = "parquet")]
            Form::Parquet => export::series_parquet(&run, self.resolution, &mut *out)?,
            Form::EventsCsv => export::events_csv(&run, out)?,
        }
        Ok(out.flush()?)
    }
}

/// A closed pipe is the reader's choice, not an error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
