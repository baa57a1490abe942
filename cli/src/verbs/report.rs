//! `wavetank report`: the page, the text or the numbers again, from traces alone.

use std::fs;
use std::path::{Path, PathBuf};

use reports::{Measures, Run, judge, render};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::jobs::store::Store;
use crate::pages;
use crate::results::{Results, is_work};
use crate::verbs::findings::Findings;

/// Make the report of finished runs again, from what they left: of a run, a comparison, a sweep or a search.
#[derive(clap::Args)]
pub(crate) struct Report {
    /// The results directory, such as out/black-friday-40x or out/compare-black-friday-40x.
    run: Option<PathBuf>,
    /// The seed that the page draws; the worst by default. Its page is DIR/report-seed-N.html. DIR/seed-N says it, too.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The form: html (a page), text, json or csv.
    #[arg(short = 'f', long, default_value = "html", value_parser = ["html", "text", "json", "csv"])]
    format: String,
    /// Where to write it, `-` for stdout: the default, but of a page DIR/report.html.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Report {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        if let Some(place) = self.run.as_ref().filter(|place| is_work(place)) {
            return self.of_work(place, io);
        }
        let results = Results::open(self.run.as_deref(), self.seed)?;
        let seed = results.named_seed().map(|_| results.job()).transpose()?.map(|job| job.seed);
        let traces = results.traces()?;
        let measures: Vec<Measures> = traces.iter().map(|trace| Measures::of(&Run::new(trace))).collect();
        let verdict = judge(&measures);
        let text = match self.format.as_str() {
            "html" => {
                let reproduce = pages::run_command(&results.manifest);
                let resolved = fs::read_to_string(results.place.join("scenario.yaml")).ok();
                let options = render::PageOptions { reproduce: Some(&reproduce), scenario: resolved.as_deref(), seed };
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
        let page = results.place.join(seed.map_or_else(|| "report.html".to_owned(), |seed| format!("report-seed-{seed}.html")));
        self.put(page, &text, io)
    }

    /// What `compare`, `sweep`, `search` or `merge` found, from the measures of their jobs.
    fn of_work(&self, place: &Path, io: &Io) -> Result<Exit, CliError> {
        let (store, manifest) = Store::existing(place)?;
        let found = Findings::of(&store, &manifest)?;
        let options = render::TextOptions { colour: io.color_on_stdout(), utf8: Io::utf8(), ..Default::default() };
        let text = match self.format.as_str() {
            "html" => pages::fitting(found.page(&manifest))?,
            "text" => found.text(&options),
            "json" => found.document(),
            _ => found.csv(&store)?,
        };
        self.put(place.join("report.html"), &text, io)
    }

    /// Writes it where it was asked for.
    fn put(&self, page: PathBuf, text: &str, io: &Io) -> Result<Exit, CliError> {
        match self.output.clone().or_else(|| (self.format == "html").then_some(page)) {
            Some(path) if path.as_os_str() != "-" => {
                fs::write(&path, text).map_err(|error| CliError::file("write", &path, error))?;
                io.say(&format!("wrote {}", path.display()));
            }
            _ => io.answer(text)?,
        }
        Ok(Exit::Success)
    }
}
