//! What a work of many runs found, in every form: a document, a table, numbers, a page.
//!
//! Judged from stored measures alone, so it can be told again at any time.

use reports::compare::Comparison;
use reports::render;
use reports::search::Search;
use reports::sweep::{Sweep, SweepRow};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::jobs::store::Store;
use crate::jobs::{Kind, Manifest};
use crate::pages;
use crate::verbs::{compare, search, sweep};

/// What was found.
pub(crate) enum Findings {
    Comparison(Box<Comparison>),
    Sweep(Box<Sweep>),
    /// With the values that were tried.
    Search(Box<Search>, Box<Sweep>),
}

/// How the answer is given.
pub(crate) struct Answer<'a> {
    pub(crate) output: &'a str,
    pub(crate) wall: Option<&'a str>,
    /// Write the page too.
    pub(crate) page: bool,
}

impl Findings {
    /// Judges what is in a store.
    pub(crate) fn of(store: &Store, manifest: &Manifest) -> Result<Self, CliError> {
        Ok(match manifest.kind {
            Kind::Comparison => Self::Comparison(Box::new(compare::judge(store, manifest)?)),
            Kind::Sweep => Self::Sweep(Box::new(sweep::judge(store, manifest))),
            Kind::Search => {
                let found = search::judge(store, manifest)?;
                let mut tried = sweep::judge(store, manifest);
                let number = |row: &SweepRow| row.parameters.get(&found.searched.parameter).map_or(0.0, |value| search::number(value));
                tried.rows.sort_by(|a, b| number(a).total_cmp(&number(b)));
                Self::Search(Box::new(found), Box::new(tried))
            }
        })
    }

    /// The file that keeps the document.
    const fn file(&self) -> &'static str {
        match self {
            Self::Comparison(_) => "comparison.json",
            Self::Sweep(_) => "sweep.json",
            Self::Search(..) => "search.json",
        }
    }

    pub(crate) fn document(&self) -> String {
        match self {
            Self::Comparison(comparison) => render::findings(comparison),
            Self::Sweep(sweep) => render::findings(sweep),
            Self::Search(search, _) => render::findings(search),
        }
    }

    pub(crate) fn text(&self, options: &render::TextOptions<'_>) -> String {
        match self {
            Self::Comparison(comparison) => render::comparison_text(comparison, options),
            Self::Sweep(sweep) => render::sweep_text(sweep, options),
            Self::Search(search, _) => render::search_text(search, options),
        }
    }

    pub(crate) fn csv(&self, store: &Store) -> Result<String, CliError> {
        match self {
            Self::Comparison(comparison) => Ok(render::comparison_csv(comparison)),
            Self::Sweep(_) | Self::Search(..) => store.read("metrics.csv"),
        }
    }

    pub(crate) fn page(&self, manifest: &Manifest) -> String {
        let again = pages::command(manifest);
        match self {
            Self::Comparison(comparison) => render::comparison_page(comparison, &again),
            Self::Sweep(sweep) => render::sweep_page(sweep, &again),
            Self::Search(search, tried) => render::search_page(search, tried, &again),
        }
    }
}

/// Judges a work that is whole, writes what follows from it, and answers.
pub(crate) fn conclude(store: &Store, manifest: &Manifest, answer: &Answer<'_>, io: &Io) -> Result<Exit, CliError> {
    let found = Findings::of(store, manifest)?;
    store.finish(manifest, &[(found.file(), found.document())])?;
    let report = if answer.page { Some(store.page(found.page(manifest))?) } else { None };
    match answer.output {
        "json" => io.answer(&found.document())?,
        "csv" => io.answer(&found.csv(store)?)?,
        _ => {
            let options =
                render::TextOptions { colour: io.color_on_stdout(), utf8: Io::utf8(), wall: answer.wall, report: report.as_deref() };
            io.answer(&found.text(&options))?;
        }
    }
    Ok(Exit::Success)
}
