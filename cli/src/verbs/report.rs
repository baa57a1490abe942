//! `wavetank report`: the page, the text or the numbers again, from traces alone.

use std::fs;
use std::path::PathBuf;

use reports::{Measures, Run, judge, render};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::pages;
use crate::results::Results;

/// Make the report of a finished run again, from its traces alone.
#[derive(clap::Args)]
pub(crate) struct Report {
    /// The results directory, such as out/black-friday-40x.
    run: Option<PathBuf>,
    /// The form: html (a page), text, json or csv.
    #[arg(short = 'f', long, default_value = "html", value_parser = ["html", "text", "json", "csv"])]
    format: String,
    /// Where to write it; stdout by default, and for a page DIR/report.html.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Report {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let results = Results::open(self.run.as_deref(), None)?;
        let traces = results.traces()?;
        let measures: Vec<Measures> = traces.iter().map(|trace| Measures::of(&Run::new(trace))).collect();
        let verdict = judge(&measures);
        let text = match self.format.as_str() {
            "html" => {
                let reproduce = pages::run_command(&results.manifest);
                let resolved = fs::read_to_string(results.place.join("scenario.yaml")).ok();
                let options = render::PageOptions { reproduce: Some(&reproduce), scenario: resolved.as_deref() };
                pages::fitting(render::page(&traces, &measures, &verdict, &options))?
            }
            "text" => render::text(
                &measures,
                &verdict,
                &render::TextOptions { colour: io.color_on_stdout(), utf8: Io::utf8(), ..Default::default() },
            ),
            "json" => render::document(&measures, &verdict),
            _ => render::metrics_csv(results.manifest.jobs.iter().map(|job| job.id.as_str()).zip(&measures)),
        };
        let place = self.output.or_else(|| (self.format == "html").then(|| results.place.join("report.html")));
        match place {
            Some(path) => {
                fs::write(&path, text).map_err(|error| CliError::file("write", &path, error))?;
                io.say(&format!("wrote {}", path.display()));
            }
            None => io.answer(&text)?,
        }
        Ok(Exit::Success)
    }
}
