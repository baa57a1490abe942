//! `wavetank schedule`: what kube-scheduler would decide, without a cluster and without time.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use manifests::{Budget, Origin, Problems, SourceFile};
use reports::inspect;
use reports::render::{self, ExplanationOptions, Table};
use schedulers::harness::{self, Explained, Input, Options};
use serde_json::Value;

use crate::error::CliError;
use crate::exit::Exit;
use crate::files;
use crate::io::Io;

/// Place pods on a cluster as kube-scheduler 1.36 would, and say why.
#[derive(clap::Args)]
pub(crate) struct Schedule {
    /// The cluster: nodes, bound pods and whatever else matters, as `kubectl get -o yaml` or -o json prints them.
    #[arg(long, value_name = "FILE")]
    cluster: PathBuf,
    /// The pods to place, in order.
    #[arg(long, value_name = "FILE")]
    pods: PathBuf,
    /// A KubeSchedulerConfiguration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the queue is stepped through: preemption, queueOrder, output, sampling, featureGates.
    #[arg(long, value_name = "FILE")]
    options: Option<PathBuf>,
    /// Which of several best nodes is taken: name (the first by name), upstream (as kube-scheduler's heap has it), random.
    #[arg(long, default_value = "name", value_parser = schedulers::TieBreak::NAMES)]
    tie_break: String,
    /// The seed of `--tie-break random`.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// table; wide (scores of the best nodes, or what keeps the pod from the nearest ones); json (one document).
    #[arg(short, long, default_value = "table", value_parser = ["table", "wide", "json"])]
    output: String,
    /// With -o wide: every node, instead of the best and the nearest ones.
    #[arg(long)]
    all: bool,
}

impl Schedule {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let input = self.input(io)?;
        let wrong = |error: schedulers::PolicyError| CliError::asked(error.to_string(), "mend the configuration");
        let text = match self.output.as_str() {
            "json" => serde_json::to_string_pretty(&harness::schedule(input).map_err(wrong)?).map_err(anyhow::Error::new)? + "\n",
            "wide" => {
                let (document, explained) = harness::explain(input).map_err(wrong)?;
                let options = ExplanationOptions { all: self.all, ..Default::default() };
                let why = explained.iter().map(|explained| explanation(explained, options));
                table(&document, true) + &why.collect::<String>()
            }
            _ => table(&harness::schedule(input).map_err(wrong)?, false),
        };
        io.answer(&text)?;
        Ok(Exit::Success)
    }

    fn input(&self, io: &Io) -> Result<Input, CliError> {
        let mut problems = Problems::default();
        let mut origins = Vec::new();
        // Priority classes of the cluster hold for the pods, so both are read as one.
        for path in [&self.cluster, &self.pods] {
            let source = SourceFile::new(&path.to_string_lossy(), &read(path)?);
            origins.extend(manifests::documents_within(&source, Budget::MANIFESTS, &mut problems).iter().map(Origin::whole));
        }
        if self.cluster == self.pods {
            return Err(CliError::asked("--cluster and --pods name one file", "put the pods to place in a file of their own"));
        }
        let reading = manifests::Options { fidelity: false, origin_seconds: Some(0), ..Default::default() };
        let objects = manifests::read(&origins, &reading, &mut problems);
        if problems.has_errors() {
            return Err(CliError::Invalid(problems));
        }
        if !problems.is_empty() {
            io.say(&manifests::render(&problems, io.color_on_stderr()));
        }
        let options = self.options.as_ref().map_or(Ok(Value::Null), |path| value(path))?;
        let options =
            Options::from_value(&options).map_err(|error| CliError::asked(error.to_string(), "mend the file given with --options"))?;
        let asked = self.pods.to_string_lossy();
        let (queue, pods): (Vec<_>, Vec<_>) = objects.pods.iter().partition(|pod| *pod.origin.document.source.name == *asked);
        Ok(Input {
            nodes: objects.nodes.iter().map(|node| node.object.clone()).collect(),
            pods: pods.into_iter().map(|pod| pod.object.clone()).collect(),
            queue: queue.into_iter().map(|pod| pod.object.clone()).collect(),
            objects: objects.cluster_objects(),
            config: self.config.as_ref().map_or(Ok(Value::Null), |path| value(path))?,
            options,
            surroundings: files::surroundings(&self.tie_break, self.seed),
        })
    }
}

/// A file's text; compressed ones are opened.
fn read(path: &Path) -> Result<String, CliError> {
    let fail = |error| CliError::file("read", path, error);
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(fail)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut opened = Vec::new();
        MultiGzDecoder::new(&bytes[..]).read_to_end(&mut opened).map_err(fail)?;
        bytes = opened;
    }
    String::from_utf8(bytes).map_err(|_| CliError::asked(format!("`{}` is not UTF-8 text", path.display()), "give YAML or JSON"))
}

fn value(path: &Path) -> Result<Value, CliError> {
    files::config_value(&path.to_string_lossy(), &read(path)?)
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

/// A line per attempt; `reasons` follow elsewhere, or stand in the last column.
fn table(document: &Value, reasons_follow: bool) -> String {
    let attempts = document["attempts"].as_array().map_or(&[][..], Vec::as_slice);
    let columns = ["POD", "RESULT", "NODE", "WHY"];
    let mut table = Table::new(if reasons_follow { &columns[..3] } else { &columns });
    for attempt in attempts {
        let node = match text(attempt, "chosen") {
            "" => attempt["preemption"]["nominatedNode"].as_str().unwrap_or("-"),
            node => node,
        };
        let mut row = vec![text(attempt, "pod").to_owned(), text(attempt, "result").to_owned(), node.to_owned()];
        row.extend((!reasons_follow).then(|| why(attempt)));
        table.push(row);
    }
    table.lines("", 3).join("\n") + "\n"
}

/// Why an attempt came to what it came to.
fn explanation(explained: &Explained, options: ExplanationOptions) -> String {
    let Explained { pod, attempt, explanation } = explained;
    let attempt = if *attempt == 1 { String::new() } else { format!(" (attempt {attempt})") };
    let head = format!("\n{pod}{attempt}: {}\n", render::conclusion(explanation));
    head + &render::explanation(explanation, options).iter().map(|line| format!("{line}\n")).collect::<String>()
}

/// The reason in a few words.
fn why(attempt: &Value) -> String {
    let message = inspect::filters_said(text(attempt, "message"));
    if !message.is_empty() {
        return message.trim_end_matches('.').to_owned();
    }
    let chosen = text(attempt, "chosen");
    let total = attempt["feasible"][chosen]["total"].as_i64().or_else(|| attempt["total"].as_i64());
    let feasible = attempt["feasible"].as_object().map_or(0, serde_json::Map::len);
    match total {
        Some(total) if feasible > 1 => format!("score {total}, best of {feasible} nodes"),
        Some(_) if feasible == 1 => "the only node that will do".to_owned(),
        Some(total) => format!("score {total}"),
        None => attempt["gate"]["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
    }
}
