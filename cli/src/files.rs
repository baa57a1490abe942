//! Names and paths into scenarios and policies: what is shipped, what is on disk, what other rooms know.
//!
//! Not here: what a scenario means (`scenarios`), and what a policy decides (`schedulers`).

use std::path::Path;

use manifests::{Problems, SourceFile};
use port::Scheduler;
use reports::metrics::{self, Unit};
use scenarios::{Disk, Known, KnownMetric, KnownUnit, Scenario, library};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;

/// How a scenario is loaded.
#[derive(Clone, Copy, Default)]
pub(crate) struct LoadOptions<'a> {
    /// `PATH=VALUE`.
    pub(crate) set: &'a [String],
    /// Another length of the run.
    pub(crate) until: Option<&'a str>,
    pub(crate) strict: bool,
    /// Rules not to warn of.
    pub(crate) allow: &'a [String],
}

/// A shipped scenario.
pub(crate) struct Shipped {
    pub(crate) name: String,
    pub(crate) description: String,
}

/// All shipped scenarios, with the line that their files open with.
pub(crate) fn shipped() -> Vec<Shipped> {
    library::names()
        .map(|name| {
            let text = library::get(name).unwrap_or_default();
            let description = text.lines().find_map(|line| line.trim().strip_prefix("description: ")).unwrap_or_default();
            Shipped { name: name.to_owned(), description: description.trim_matches('"').to_owned() }
        })
        .collect()
}

/// Whether a scenario of this name is shipped.
pub(crate) fn is_shipped(name: &str) -> bool {
    library::get(name).is_some()
}

/// The text of a shipped scenario.
pub(crate) fn shipped_text(name: &str) -> Result<&'static str, CliError> {
    library::get(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> CliError {
    let near = manifests::did_you_mean(name, library::names()).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    let what = if name.ends_with(".yaml") || name.contains('/') { "there is no file" } else { "there is no shipped scenario and no file" };
    CliError::Asked {
        exit: Exit::Nothing,
        message: format!("{what} `{name}`"),
        help: Some(format!("{near}`wavetank list scenarios` shows what is shipped; anything else is a path")),
    }
}

/// Loads a scenario by name or path, tells of warnings, and stops at errors.
pub(crate) fn load(name: &str, options: &LoadOptions<'_>, io: &Io) -> Result<Scenario, CliError> {
    let mut problems = Problems::default();
    options.allow.iter().for_each(|code| problems.allow(code));
    let scenario = check(name, options, &mut problems)?;
    match scenario {
        Some(scenario) if !problems.has_errors() => {
            if !problems.is_empty() {
                io.say(&manifests::render(&problems, io.color_on_stderr()));
            }
            Ok(scenario)
        }
        _ => Err(CliError::Invalid(problems)),
    }
}

/// Loads a scenario by name or path; everything wrong with it goes into `problems`.
pub(crate) fn check(name: &str, options: &LoadOptions<'_>, problems: &mut Problems) -> Result<Option<Scenario>, CliError> {
    let path = Path::new(name);
    let (source, base_dir) = match library::get(name) {
        Some(text) => (SourceFile::new(&format!("{name}.yaml"), text), None),
        None if path.is_file() => {
            let text = std::fs::read(path).map_err(|error| CliError::file("read", path, error))?;
            let text = String::from_utf8(text)
                .map_err(|_| CliError::asked(format!("`{name}` is not UTF-8 text"), "scenarios are YAML or JSON"))?;
            (SourceFile::new(name, &text), path.parent().map(|folder| folder.to_string_lossy().into_owned()))
        }
        None => return Err(unknown(name)),
    };
    let disk = Disk::default();
    let mut set = Vec::new();
    for change in options.set {
        let (path, value) = change.split_once('=').ok_or_else(|| CliError::Asked {
            exit: Exit::Usage,
            message: format!("`--set {change}` has no `=`"),
            help: Some("write it as `--set spec.duration=30m`".into()),
        })?;
        set.push((path.to_owned(), value.to_owned()));
    }
    if let Some(until) = options.until {
        set.push(("spec.duration".to_owned(), until.to_owned()));
    }
    let options = scenarios::Options { set, base_dir, known: known(), files: &disk, strict: options.strict };
    Ok(scenarios::load(&source, &options, problems))
}

/// What only this room can tell the scenarios about the others.
fn known() -> Known {
    let metric = |info: &metrics::MetricInfo| KnownMetric {
        name: info.name.to_owned(),
        unit: match info.unit {
            Unit::Seconds => KnownUnit::Seconds,
            Unit::Ratio => KnownUnit::Ratio,
            Unit::PerSecond => KnownUnit::PerSecond,
            Unit::Factor | Unit::Count | Unit::Money => KnownUnit::Number,
        },
        filters: info.filters.iter().map(|filter| (*filter).to_owned()).collect(),
        stats: info.stats.iter().map(|stat| (*stat).to_owned()).collect(),
    };
    Known {
        policies: schedulers::names().iter().map(|name| (*name).to_owned()).collect(),
        metrics: metrics::registry().iter().map(metric).collect(),
    }
}

/// A scheduling policy, to be made once per run.
#[derive(Clone)]
pub(crate) enum Policy {
    /// Built in.
    Builtin(String),
    /// A KubeSchedulerConfiguration.
    Config { name: String, value: serde_json::Value },
}

impl Policy {
    /// The policy that a flag names: a built-in one, or a KubeSchedulerConfiguration file.
    pub(crate) fn named(name: &str, io: &Io) -> Result<Self, CliError> {
        if schedulers::names().contains(&name) {
            return Ok(Self::Builtin(name.to_owned()));
        }
        let path = Path::new(name);
        if !path.is_file() {
            let known = schedulers::names().join(", ");
            let help = format!("built in are {known}; anything else is the path of a KubeSchedulerConfiguration");
            return Err(CliError::asked(format!("there is no policy `{name}`"), help));
        }
        let text = std::fs::read_to_string(path).map_err(|error| CliError::file("read", path, error))?;
        Self::configured(name, &text, io)
    }

    /// The policy a scenario asks for.
    pub(crate) fn of(scenario: &Scenario, io: &Io) -> Result<Self, CliError> {
        match &scenario.policy_config {
            Some(config) => Self::configured(&config.name, &config.text, io),
            None => Self::named(&scenario.policy, io),
        }
    }

    fn configured(name: &str, text: &str, io: &Io) -> Result<Self, CliError> {
        let value = config_value(name, text)?;
        // What it contains names it, so that two files of one name do not pass for one policy.
        let stem = Path::new(name).file_stem().map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned());
        let name = format!("{stem}@{:08x}", engine::random::entity(&value.to_string()) as u32);
        let (_, notices) = schedulers::from_config(&value).map_err(|error| policy_error(&name, &error))?;
        for notice in notices {
            io.say(&format!("warning: policy {stem}: {}: {}", notice.path, notice.why));
        }
        Ok(Self::Config { name, value })
    }

    /// Its name in reports.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Builtin(name) | Self::Config { name, .. } => name,
        }
    }

    /// A fresh one.
    pub(crate) fn make(&self) -> Result<Box<dyn Scheduler>, CliError> {
        match self {
            Self::Builtin(name) => schedulers::policy(name),
            Self::Config { value, .. } => schedulers::from_config(value).map(|(policy, _)| policy),
        }
        .map_err(|error| policy_error(self.name(), &error))
    }
}

/// A configuration file's only document.
pub(crate) fn config_value(name: &str, text: &str) -> Result<serde_json::Value, CliError> {
    let mut problems = Problems::default();
    let documents = manifests::documents(&SourceFile::new(name, text), &mut problems);
    if problems.has_errors() {
        return Err(CliError::Invalid(problems));
    }
    documents
        .first()
        .map(|document| document.value.clone())
        .ok_or_else(|| CliError::asked(format!("`{name}` is empty"), "give a KubeSchedulerConfiguration"))
}

fn policy_error(name: &str, error: &schedulers::PolicyError) -> CliError {
    CliError::asked(format!("policy `{name}`: {error}"), "`wavetank list policies` shows those built in")
}
