//! Names and paths into scenarios and policies: what is shipped, what is on disk, what other rooms know.
//!
//! Not here: what a scenario means (`scenarios`), and what a policy decides (`schedulers`).

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use api::SimDuration;
use engine::random::{Purpose, Streams};
use manifests::{Part, Pointer, Problems, SourceFile};
use port::Scheduler;
use reports::metrics::{self, Unit};
use scenarios::{Comparison, Disk, FileSource, Known, KnownMetric, KnownUnit, Scenario, library};
use schedulers::{Lots, Surroundings, TieBreak};

use crate::error::CliError;
use crate::exit::Exit;
use crate::extenders;
use crate::io::Io;

/// How a scenario is loaded.
#[derive(Clone, Copy, Default)]
pub(crate) struct LoadOptions<'a> {
    /// `PATH=VALUE`.
    pub(crate) set: &'a [String],
    /// An earlier end of the run.
    pub(crate) until: Option<SimDuration>,
    pub(crate) strict: bool,
    /// Rules not to warn of.
    pub(crate) allow: &'a [String],
    /// Where the files that it names come from; the disk by default.
    pub(crate) files: Option<&'a dyn FileSource>,
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

/// The text of the shipped scenario that `init` begins with.
pub(crate) fn template(name: &str) -> Result<&'static str, CliError> {
    library::get(name).ok_or_else(|| {
        let near = manifests::did_you_mean(name, library::names()).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        CliError::Asked {
            exit: Exit::Nothing,
            message: format!("there is no template `{name}`"),
            help: Some(format!("{near}`wavetank list templates` shows them")),
        }
    })
}

fn unknown(name: &str) -> CliError {
    if Path::new(name).is_dir() {
        return CliError::asked(
            format!("`{name}` is a directory"),
            format!("name a file in it, such as `{}/NAME.yaml`", name.trim_end_matches('/')),
        );
    }
    let near = manifests::did_you_mean(name, library::names()).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    let what = if name.ends_with(".yaml") || name.contains('/') { "there is no file" } else { "there is no shipped scenario and no file" };
    CliError::Asked {
        exit: Exit::Nothing,
        message: format!("{what} `{name}`"),
        help: Some(format!("{near}`wavetank list scenarios` shows what is shipped; anything else is a path")),
    }
}

/// What words on a command line stand for: files, `-` and shipped scenarios as they are, of a directory every scenario in
/// it, by name. Other files there, such as manifests that scenarios bring, are passed over; where `manifests` are welcome
/// and no scenario is there, they are taken.
pub(crate) fn expand(words: &[String], manifests: bool) -> Result<Vec<String>, CliError> {
    let mut found = Vec::new();
    for word in words {
        let folder = Path::new(word);
        if is_shipped(word) || !folder.is_dir() {
            found.push(word.clone());
            continue;
        }
        let entries = std::fs::read_dir(folder).map_err(|error| CliError::file("read", folder, error))?;
        let mut inside: Vec<String> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known)))
            .map(|path| path.to_string_lossy().into_owned())
            .collect();
        inside.sort();
        let is_scenario = |path: &String| std::fs::read_to_string(path).is_ok_and(|text| is_scenario(&text));
        if !manifests || inside.iter().any(is_scenario) {
            inside.retain(is_scenario);
        } else {
            // Values of charts and other data are none; what cannot be read is for the check to say.
            inside.retain(|path| std::fs::read_to_string(path).map_or(true, |text| text.contains("apiVersion")));
        }
        if inside.is_empty() {
            return Err(CliError::Asked {
                exit: Exit::Nothing,
                message: format!("there is no scenario{} in the directory `{word}`", if manifests { " and no manifest" } else { "" }),
                help: Some("a scenario is a file that says `apiVersion: wavetank.dev/v1`; directories in it are not looked into".into()),
            });
        }
        found.extend(inside);
    }
    Ok(found)
}

/// Whether a text says that it is a scenario, whatever else is wrong with it.
fn is_scenario(text: &str) -> bool {
    text.lines().any(|line| line.contains("apiVersion") && line.contains("wavetank.dev/"))
}

/// Lines at which the expectations of a scenario stand in its file, where it has one and that can be read.
pub(crate) fn expectation_lines(source: &str, count: usize) -> Vec<u32> {
    let Some(text) = (!is_shipped(source)).then(|| std::fs::read_to_string(source).ok()).flatten() else { return Vec::new() };
    let documents = manifests::documents(&SourceFile::new(source, &text), &mut Problems::default());
    let Some(document) = documents.first() else { return Vec::new() };
    let list = Pointer::parse("/spec/expectations");
    (0..count).map(|index| manifests::locate(document, &list.index(index), Part::Value).line).collect()
}

/// A file's text, read once: it may be a pipe.
pub(crate) fn read_text(name: &str) -> Result<String, CliError> {
    let path = Path::new(name);
    if !path.exists() || path.is_dir() {
        return Err(unknown(name));
    }
    text_of(name, std::fs::read(path))
}

/// What standard input is called where it can be given for a file.
pub(crate) const STDIN: &str = "-";

/// The text of standard input.
pub(crate) fn read_stdin() -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().read_to_end(&mut bytes);
    text_of(STDIN, read.map(|_| bytes))
}

fn text_of(name: &str, bytes: std::io::Result<Vec<u8>>) -> Result<String, CliError> {
    let bytes = bytes.map_err(|error| CliError::file("read", Path::new(name), error))?;
    String::from_utf8(bytes).map_err(|_| CliError::asked(format!("`{name}` is not UTF-8 text"), "only YAML and JSON can be read"))
}

/// Problems of which those that `--allow` names are left out.
pub(crate) fn problems_but(allow: &[String]) -> Result<Problems, CliError> {
    let mut problems = Problems::default();
    for code in allow {
        let Some(rule) = manifests::rule(code) else {
            return Err(CliError::Asked {
                exit: Exit::Usage,
                message: format!("`--allow {code}`: there is no such rule"),
                help: Some("`wavetank list rules` shows them; write it as `--allow WT0411`".into()),
            });
        };
        problems.allow(rule.code);
    }
    Ok(problems)
}

/// Loads a scenario by name or path, tells of warnings, and stops at errors.
pub(crate) fn load(name: &str, options: &LoadOptions<'_>, io: &Io) -> Result<Scenario, CliError> {
    let mut problems = problems_but(options.allow)?;
    let mut scenario = check(name, None, options, &mut problems)?;
    if let (Some(scenario), Some(until)) = (&mut scenario, options.until) {
        end_at(scenario, until)?;
    }
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

/// Ends a scenario's runs before their time.
fn end_at(scenario: &mut Scenario, until: SimDuration) -> Result<(), CliError> {
    let (duration, warmup) = (scenario.world.duration, scenario.warmup);
    if until > duration {
        return Err(CliError::asked(
            format!("`--until {until}`: the run of `{}` ends at {duration}", scenario.name),
            format!("`--set spec.duration={until}` makes it longer"),
        ));
    }
    if until <= warmup || until.is_zero() {
        return Err(CliError::asked(
            format!("`--until {until}`: nothing is measured before the warm-up ends at {warmup}"),
            "choose a later time",
        ));
    }
    scenario.world.duration = until;
    Ok(())
}

/// Loads a scenario by name or path, or from a text that was read from there; everything wrong with it goes into
/// `problems`.
pub(crate) fn check(
    name: &str,
    text: Option<String>,
    options: &LoadOptions<'_>,
    problems: &mut Problems,
) -> Result<Option<Scenario>, CliError> {
    let (source, base_dir) = match (library::get(name), text) {
        (Some(text), _) => (SourceFile::new(&format!("{name}.yaml"), text), None),
        (None, text) => {
            let text = text.map_or_else(|| read_text(name), Ok)?;
            (SourceFile::new(name, &text), Path::new(name).parent().map(|folder| folder.to_string_lossy().into_owned()))
        }
    };
    let disk = Disk::default();
    let set = options.set.iter().map(|change| setting(change)).collect::<Result<_, _>>()?;
    let files: &dyn FileSource = options.files.unwrap_or(&disk);
    let options = scenarios::Options { set, base_dir, known: known(), files, strict: options.strict };
    Ok(scenarios::load(&source, &options, problems))
}

/// The comparison that a file holds; `None` when it holds something else, or is no file at all.
pub(crate) fn comparison(name: &str, io: &Io) -> Result<Option<Comparison>, CliError> {
    if is_shipped(name) || !Path::new(name).is_file() {
        return Ok(None);
    }
    let text = read_text(name)?;
    if !scenarios::is_comparison(&text) {
        return Ok(None);
    }
    let mut problems = Problems::default();
    match check_comparison(name, &text, &mut problems) {
        Some(comparison) => {
            if !problems.is_empty() {
                io.say(&manifests::render(&problems, io.color_on_stderr()));
            }
            Ok(Some(comparison))
        }
        None => Err(CliError::Invalid(problems)),
    }
}

/// Reads a comparison; everything wrong with it goes into `problems`.
pub(crate) fn check_comparison(name: &str, text: &str, problems: &mut Problems) -> Option<Comparison> {
    let base_dir = Path::new(name).parent().map(|folder| folder.to_string_lossy().into_owned());
    let options = scenarios::Options { set: Vec::new(), base_dir, known: known(), files: &Disk::default(), strict: false };
    scenarios::comparison(&SourceFile::new(name, text), &options, problems)
}

/// `PATH=VALUE`, at the first `=` that is not in brackets: `nodePools[name=general].count=5`.
fn setting(change: &str) -> Result<(String, String), CliError> {
    let mut depth = 0_i32;
    let equals = change.find(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        c == '=' && depth <= 0
    });
    let (path, value) =
        equals.or_else(|| change.find('=')).map(|at| (&change[..at], &change[at + 1..])).ok_or_else(|| CliError::Asked {
            exit: Exit::Usage,
            message: format!("`--set {change}` has no `=`"),
            help: Some("write it as `--set spec.duration=30m`".into()),
        })?;
    Ok((path.to_owned(), value.to_owned()))
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

/// A scenario and the policy it is run under.
pub(crate) struct Prepared {
    pub(crate) scenario: Scenario,
    pub(crate) policy: Policy,
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
        if let Some((base, options)) = name.split_once(':')
            && let Some(config) = schedulers::configuration(base)
        {
            return Self::with_options(base, config, options);
        }
        let path = Path::new(name);
        if !path.exists() || path.is_dir() {
            let known = schedulers::names().join(", ");
            let help = format!(
                "built in are {known}, also with options (`default:NodeResourcesFit.weight=5`); anything else is the path of a KubeSchedulerConfiguration"
            );
            return Err(CliError::asked(format!("there is no policy `{name}`"), help));
        }
        Self::configured(name, &read_text(name)?, io)
    }

    /// A built-in policy with options: fields of its KubeSchedulerConfiguration, weights and arguments of plugins.
    fn with_options(base: &str, mut config: serde_json::Value, options: &str) -> Result<Self, CliError> {
        let name = format!("{base}:{options}");
        let wrong = |message: String| {
            CliError::asked(
                message,
                "options are `percentageOfNodesToScore=50`, `PLUGIN.weight=5` (0 turns it off), `PLUGIN.args.NAME=VALUE`, separated by commas",
            )
        };
        for option in options.split(',') {
            let Some((key, value)) = option.split_once('=') else {
                return Err(wrong(format!("policy `{name}`: `{option}` is no option")));
            };
            let value = serde_json::from_str(value).unwrap_or_else(|_| serde_json::Value::from(value));
            schedulers::set_option(&mut config, key, value).map_err(|why| wrong(format!("policy `{name}`: `{option}`: {why}")))?;
        }
        schedulers::from_config_in(&config, &Surroundings::default()).map_err(|error| policy_error(&name, &error))?;
        Ok(Self::Config { name, value: config })
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
        let surroundings = Surroundings { connect: Some(extenders::connect()), ..Surroundings::default() };
        let (_, notices) = schedulers::from_config_in(&value, &surroundings).map_err(|error| policy_error(&name, &error))?;
        for notice in notices {
            io.say(&format!("warning: policy {stem}: {}: {}", notice.path, notice.why));
        }
        for url in schedulers::extenders_of(&value) {
            io.say(&format!("warning: policy {stem}: {}", extenders::note(&url)));
        }
        Ok(Self::Config { name, value })
    }

    /// Its name in reports.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Builtin(name) | Self::Config { name, .. } => name,
        }
    }

    /// URLs of the extenders that it asks.
    pub(crate) fn extenders(&self) -> Vec<String> {
        match self {
            Self::Builtin(_) => Vec::new(),
            Self::Config { value, .. } => schedulers::extenders_of(value),
        }
    }

    /// A fresh one for a run with this seed.
    pub(crate) fn make(&self, tie_break: &str, seed: u64) -> Result<Box<dyn Scheduler>, CliError> {
        let surroundings = surroundings(tie_break, seed);
        match self {
            Self::Builtin(name) => schedulers::policy_in(name, &surroundings),
            Self::Config { value, .. } => schedulers::from_config_in(value, &surroundings).map(|(policy, _)| policy),
        }
        .map_err(|error| policy_error(self.name(), &error))
    }
}

/// How ties are settled and extenders are reached. A pod's lots are its own: other pods' attempts do not move them.
pub(crate) fn surroundings(tie_break: &str, seed: u64) -> Surroundings {
    let streams = Streams::new(seed);
    let lots = || -> Lots { Arc::new(move |pod, below| streams.stream(Purpose::TieBreak, pod.0).below(below)) };
    Surroundings {
        tie_break: TieBreak::named(tie_break, lots).unwrap_or_default(),
        connect: Some(extenders::connect()),
        ..Surroundings::default()
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
