//! `wavetank validate`: everything wrong with files, without running them.

use std::collections::BTreeMap;
use std::sync::Arc;

use manifests::{Budget, Document, Problems, SourceFile};
use reports::render;

use crate::error::CliError;
use crate::exit::Exit;
use crate::files::{self, LoadOptions};
use crate::io::Io;
use crate::sarif::{self, Checked};

/// Check scenarios or plain Kubernetes manifests: every problem at once, nothing is run.
#[derive(clap::Args)]
pub(crate) struct Validate {
    /// Files, `-` for stdin (`kustomize build . | wavetank validate -`), shipped scenarios by name, or directories of
    /// scenarios or manifests.
    #[arg(required = true)]
    files: Vec<String>,
    /// Change a value of a scenario first: a dotted path, `=`, and YAML (may be repeated).
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Refuse what is only accepted and not simulated.
    #[arg(long)]
    strict: bool,
    /// Do not warn of these rules (WT0411, …).
    #[arg(long, value_name = "CODE")]
    allow: Vec<String>,
    /// text; json (one document on stdout); sarif (2.1.0, for code scanning); github (annotations of a pull request).
    #[arg(long, default_value = "text", value_parser = ["text", "json", "sarif", "github"])]
    format: String,
    /// Print the scenario with every default filled in.
    #[arg(long)]
    print_defaults: bool,
}

impl Validate {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let mut worst = Exit::Success;
        let mut all = Vec::new();
        let files = files::expand(&self.files, true)?;
        let mut together = self.manifests(&files)?;
        for file in files {
            let mut problems = files::problems_but(&self.allow)?;
            let checked = match together.remove(&file) {
                Some(found) => {
                    problems = found;
                    Ok(None)
                }
                None => self.check(&file, &mut problems),
            };
            let (resolved, unread) = match checked {
                Ok(resolved) => (resolved, None),
                // One file that cannot be read does not keep the others from being checked.
                Err(error) => {
                    worst = worst.or(error.report(io));
                    (None, Some(error.message()))
                }
            };
            if problems.has_errors() {
                worst = worst.or(Exit::Invalid);
            }
            if self.format == "text" && unread.is_none() {
                self.tell(&file, &problems, resolved, io)?;
            }
            all.push(Checked { file, problems, unread });
        }
        match self.format.as_str() {
            "json" => io.answer(&document(&all))?,
            "sarif" => io.answer(&format!("{:#}\n", sarif::sarif(&all)))?,
            "github" => io.answer(&render::github_annotations(&sarif::annotations(&all)))?,
            _ => {}
        }
        Ok(worst)
    }

    /// What is wrong with each file of manifests, when there are several: they are of one cluster, so that what one names
    /// (a priority class, say) may be in another.
    fn manifests(&self, files: &[String]) -> Result<BTreeMap<String, Problems>, CliError> {
        let mut found = BTreeMap::new();
        let mut documents = Vec::new();
        for file in files.iter().filter(|file| !files::is_shipped(file)) {
            // What cannot be read is told when its turn comes.
            let Ok(text) = files::read_text(file) else { continue };
            let mut own = files::problems_but(&self.allow)?;
            let read = manifests::documents_within(&SourceFile::new(file, &text), Budget::MANIFESTS, &mut own);
            if are_objects(&read) {
                documents.extend(read);
                found.insert(file.clone(), own);
            }
        }
        let Some(last) = found.keys().next_back().cloned().filter(|_| found.len() > 1) else { return Ok(BTreeMap::new()) };
        let mut whole = files::problems_but(&self.allow)?;
        manifests::read_documents(&documents, &manifests::Options { strict: self.strict, ..Default::default() }, &mut whole);
        for problem in whole.sorted() {
            // What is about all of them is told with the last.
            let file = problem.primary.as_ref().map(|at| at.file.name.to_string()).filter(|name| found.contains_key(name));
            if let Some(own) = found.get_mut(&file.unwrap_or_else(|| last.clone())) {
                own.push(problem.clone());
            }
        }
        Ok(found)
    }

    /// Says what was found in a file, or that nothing was.
    fn tell(&self, file: &str, problems: &Problems, resolved: Option<String>, io: &Io) -> Result<(), CliError> {
        if !problems.is_empty() {
            io.complain(&manifests::render(problems, io.color_on_stderr()));
        }
        match resolved {
            Some(text) if self.print_defaults => io.answer(&text)?,
            _ if !problems.has_errors() => io.answer(&format!("{file}: valid\n"))?,
            _ => {}
        }
        Ok(())
    }

    /// Checks one file; gives a scenario back with its defaults.
    fn check(&self, file: &str, problems: &mut Problems) -> Result<Option<String>, CliError> {
        if files::is_shipped(file) {
            return self.check_scenario(file, None, problems);
        }
        let text = if file == files::STDIN { files::read_stdin()? } else { files::read_text(file)? };
        let source = SourceFile::new(file, &text);
        if scenarios::is_comparison(&text) {
            if let Some(comparison) = files::check_comparison(file, &text, problems) {
                self.check_scenario(&comparison.scenario, None, problems)?;
            }
            return Ok(None);
        }
        if !are_objects(&manifests::documents_within(&source, Budget::MANIFESTS, &mut Problems::default())) {
            return self.check_scenario(file, Some(text), problems);
        }
        let documents = manifests::documents_within(&source, Budget::MANIFESTS, problems);
        let options = manifests::Options { strict: self.strict, ..Default::default() };
        manifests::read_documents(&documents, &options, problems);
        Ok(None)
    }

    fn check_scenario(&self, file: &str, text: Option<String>, problems: &mut Problems) -> Result<Option<String>, CliError> {
        let options = LoadOptions { set: &self.set, strict: self.strict, ..Default::default() };
        let scenario = files::check(file, text, &options, problems)?;
        Ok(scenario.map(|scenario| scenarios::resolved_yaml(&scenario)))
    }
}

fn document(all: &[Checked]) -> String {
    let file = |checked: &Checked| {
        let valid = checked.unread.is_none() && !checked.problems.has_errors();
        let report = checked.unread.is_none().then(|| manifests::to_json(&checked.problems));
        serde_json::json!({ "file": checked.file, "valid": valid, "report": report })
    };
    format!("{:#}\n", serde_json::json!({ "schemaVersion": 1, "files": all.iter().map(file).collect::<Vec<_>>() }))
}

/// Whether a file holds Kubernetes objects instead of a scenario: its first apiVersion says.
fn are_objects(documents: &[Arc<Document>]) -> bool {
    let version = |document: &Arc<Document>| document.value.get("apiVersion").and_then(|version| version.as_str()).map(str::to_owned);
    documents.iter().find_map(version).is_some_and(|version| !version.starts_with("wavetank.dev/"))
}
