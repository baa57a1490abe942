//! `wavetank export`: a finished run in the forms that other programs open.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use api::SimDuration;
use reports::export::Benchmarked;
use reports::metrics::Better;
use reports::{Run, export};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::results::Results;
use crate::verbs::check::stored;

/// Export a finished run for other programs: Prometheus and Grafana, Perfetto, notebooks.
#[derive(clap::Args)]
pub(crate) struct Export {
    /// The results directory, such as out/black-friday-40x or out/black-friday-40x/seed-3; for histories of benchmarks
    /// also a directory of them.
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
    /// Means over seeds for github-action-benchmark, those that are better when smaller (`customSmallerIsBetter`).
    GhBench,
    /// Those that are better when bigger (`customBiggerIsBetter`).
    GhBenchBigger,
    /// Means over seeds in Bencher's metric format.
    Bencher,
}

/// A scraper looks at most every millisecond: that is how fine its time stamps are.
fn resolution(text: &str) -> Result<SimDuration, String> {
    let span: SimDuration = text.parse().map_err(|error| format!("{error}"))?;
    let whole = span.as_nanos().is_multiple_of(1_000_000) && !span.is_zero();
    if whole { Ok(span) } else { Err(format!("`{text}` is not a whole number of milliseconds above zero; write it as `15s` or `500ms`")) }
}

impl Export {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        if let Some(text) = self.benchmarks(io)? {
            if self.output.as_os_str() == "-" {
                io.answer(&text)?;
            } else {
                std::fs::write(&self.output, text).map_err(|error| CliError::file("write", &self.output, error))?;
                io.say(&format!("wrote {}", self.output.display()));
            }
            return Ok(Exit::Success);
        }
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

    /// The forms that are made of what all seeds measured, of one scenario or of a directory of them.
    fn benchmarks(&self, io: &Io) -> Result<Option<String>, CliError> {
        let of: fn(&[Benchmarked]) -> String = match self.to {
            Form::GhBench => |all| export::gh_bench(all, Better::Lower),
            Form::GhBenchBigger => |all| export::gh_bench(all, Better::Higher),
            Form::Bencher => export::bencher,
            _ => return Ok(None),
        };
        let all: Vec<Benchmarked> = stored(self.run.as_slice(), io)?.iter().map(|stored| stored.benchmarked(self.seed)).collect();
        Ok(Some(of(&all)))
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
            Form::GhBench | Form::GhBenchBigger | Form::Bencher => {}
        }
        Ok(out.flush()?)
    }
}

/// A closed pipe is the reader's choice, not an error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
