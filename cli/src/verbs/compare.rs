//! `wavetank compare`: the same seeds under every policy, and what the differences are worth.

use std::collections::BTreeMap;

use api::Str;
use reports::Measures;
use reports::compare::{self, Comparison, Margin, Options, Subject, Wanted};
use reports::metrics;
use scenarios::{Compared, Comparison as ComparisonFile};

use crate::error::CliError;
use crate::exit::Exit;
use crate::files;
use crate::io::Io;
use crate::jobs::decisions;
use crate::jobs::store::Store;
use crate::jobs::{Judging, Kind, Manifest};
use crate::verbs::work::{Asked, Draft, WorkArgs};

/// Run a scenario under several policies or variations, and say what the differences are worth.
///
/// All get the same seeds: the same arrivals, failures and service times. A policy is a built-in name, with options if
/// you like (`default:NodeResourcesFit.weight=5`), or a KubeSchedulerConfiguration file; a variation is any change of
/// the scenario.
#[derive(clap::Args)]
pub(crate) struct Compare {
    /// A shipped scenario by name, or a file: a scenario, or a `kind: Comparison` that says what flags would.
    scenario: String,
    /// A change of the scenario under a name of yours (may be repeated, also for one name).
    #[arg(long = "variant", value_name = "NAME:PATH=VALUE")]
    variants: Vec<String>,
    /// What the others are measured against, by name.
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// Compare these metrics instead of the scenario's expectations and the usual ones: `latency.p99`,
    /// `pods.pending.max`, `availability(service=cart)`.
    #[arg(long = "metric", value_name = "METRIC")]
    metrics: Vec<String>,
    /// A difference of a metric that does not matter: `latency.p99=5ms`, `cost.total=2%`.
    #[arg(long = "margin", value_name = "METRIC=VALUE")]
    margins: Vec<String>,
    /// The chance of any false "better" or "worse" in the whole table.
    #[arg(long, value_name = "P", help = "The chance of any false \"better\" or \"worse\" in the whole table; 0.05 by default")]
    alpha: Option<f64>,
    #[command(flatten)]
    work: WorkArgs,
}

/// `--alpha` unless told.
const ALPHA: f64 = 0.05;

impl Compare {
    pub(crate) fn run(mut self, io: &Io) -> Result<Exit, CliError> {
        let mut drafts = match files::comparison(&self.scenario, io)? {
            Some(file) => self.take(file),
            None => Vec::new(),
        };
        if drafts.is_empty() || !(self.work.policies.is_empty() && self.variants.is_empty()) {
            drafts = self.drafts()?;
        }
        different_names(&drafts)?;
        let reference = self.reference(&drafts)?;
        let judging = Judging { metrics: self.metrics.clone(), margins: self.margins.clone(), alpha: self.alpha.unwrap_or(ALPHA) };
        check(&judging)?;
        let asked = Asked { reference, ..Asked::of(Kind::Comparison, &self.scenario, judging) };
        self.work.carry_out(&drafts, asked, io)
    }

    /// Takes what a file says where no flag does, and gives what it compares.
    fn take(&mut self, file: ComparisonFile) -> Vec<Draft> {
        self.scenario = file.scenario;
        self.reference = self.reference.take().or(file.reference);
        self.alpha = self.alpha.or(file.alpha);
        if self.metrics.is_empty() {
            self.metrics = file.metrics;
        }
        // Of two margins of one metric the later holds.
        self.margins.splice(..0, file.margins);
        self.work.own_seeds = file.seeds;
        let draft = |compared: Compared| {
            let of_policy = compared.policy.as_deref().map(short_name);
            let name = compared.name.or(of_policy).unwrap_or_else(|| compared.set.join(" "));
            Draft { name, policy: compared.policy, set: compared.set, ..Draft::default() }
        };
        file.subjects.into_iter().map(draft).collect()
    }

    fn drafts(&self) -> Result<Vec<Draft>, CliError> {
        let mut drafts: Vec<Draft> = Vec::new();
        for policy in &self.work.policies {
            // The same policy twice is a null comparison, and wanted as such.
            let same = drafts.iter().filter(|draft| draft.policy.as_ref() == Some(policy)).count();
            let name = if same == 0 { short_name(policy) } else { format!("{}#{}", short_name(policy), same + 1) };
            drafts.push(Draft { name, policy: Some(policy.clone()), ..Draft::default() });
        }
        let base = self.work.policies.first().cloned();
        if self.work.policies.is_empty() && !self.variants.is_empty() {
            drafts.push(Draft { name: "as-is".into(), ..Draft::default() });
        }
        for variant in &self.variants {
            let Some((name, change)) = variant.split_once(':').filter(|(name, change)| !name.is_empty() && change.contains('=')) else {
                return Err(CliError::usage(
                    format!("`--variant {variant}` is no variation"),
                    "write it as `--variant NAME:PATH=VALUE`, such as `--variant slow-boot:spec.cluster.nodePools[0].provisioning=5m`",
                ));
            };
            match drafts.iter_mut().find(|draft| draft.name == name && !draft.set.is_empty()) {
                Some(draft) => draft.set.push(change.to_owned()),
                None => {
                    drafts.push(Draft { name: name.to_owned(), policy: base.clone(), set: vec![change.to_owned()], ..Draft::default() })
                }
            }
        }
        if drafts.len() < 2 {
            return Err(CliError::usage(
                "there is nothing to compare with",
                "name two policies or more: `-p default -p bin-pack` (`wavetank list policies` shows those built in), or `--variant NAME:PATH=VALUE`",
            ));
        }
        Ok(drafts)
    }

    fn reference(&self, drafts: &[Draft]) -> Result<String, CliError> {
        let names = || drafts.iter().map(|draft| draft.name.as_str());
        match &self.reference {
            None => Ok(drafts[0].name.clone()),
            Some(name) if names().any(|known| known == name) => Ok(name.clone()),
            Some(name) => Err(CliError::Asked {
                exit: Exit::Usage,
                message: format!("`--reference {name}`: there is no such policy here"),
                help: Some(format!("there are {}", names().collect::<Vec<_>>().join(", "))),
            }),
        }
    }
}

fn different_names(drafts: &[Draft]) -> Result<(), CliError> {
    match drafts.iter().enumerate().find_map(|(index, draft)| drafts[..index].iter().find(|other| other.name == draft.name)) {
        Some(twice) => Err(CliError::usage(format!("two of them are called `{}`", twice.name), "give each a name of its own")),
        None => Ok(()),
    }
}

/// A policy file is called after its name without folders and ending.
fn short_name(policy: &str) -> String {
    let path = std::path::Path::new(policy);
    match path.file_stem() {
        Some(stem) if path.exists() => stem.to_string_lossy().into_owned(),
        _ => policy.to_owned(),
    }
}

/// Judges what is in a store.
pub(crate) fn judge(store: &Store, manifest: &Manifest) -> Result<Comparison, CliError> {
    let runs = store.by_point(manifest);
    let wanted = wanted(&manifest.judging, &runs)?;
    let subjects: Vec<Subject> =
        manifest.points.iter().zip(runs).map(|(point, runs)| Subject { name: point.name.as_str().into(), runs }).collect();
    let options = Options { alpha: manifest.judging.alpha, reference: manifest.reference_place(), wanted };
    Ok(Comparison { decisions: decisions::kept(store, manifest), ..compare::compare(&subjects, &options) })
}

/// Says what is wrong with metrics and margins before anything is run.
fn check(judging: &Judging) -> Result<(), CliError> {
    if !(judging.alpha > 0.0 && judging.alpha < 1.0) {
        return Err(CliError::Asked {
            exit: Exit::Usage,
            message: format!("`--alpha {}` is no probability", judging.alpha),
            help: Some("write it as `--alpha 0.05`".into()),
        });
    }
    judging.metrics.iter().try_for_each(|text| wanted_metric(text).map(|_| ()))?;
    judging.margins.iter().try_for_each(|text| margin(text).map(|_| ()))
}

fn wanted(judging: &Judging, runs: &[Vec<Measures>]) -> Result<Vec<Wanted>, CliError> {
    let mut wanted = if judging.metrics.is_empty() {
        let all: Vec<Measures> = runs.iter().flatten().cloned().collect();
        compare::wanted(&all)
    } else {
        judging.metrics.iter().map(|text| wanted_metric(text)).collect::<Result<_, _>>()?
    };
    for text in &judging.margins {
        let (metric, margin) = margin(text)?;
        wanted.iter_mut().filter(|row| *row.metric == *metric).for_each(|row| row.margin = margin);
    }
    Ok(wanted)
}

/// `METRIC[.STAT][(KEY=VALUE, …)][.STAT]`.
pub(crate) fn asked_metric(text: &str) -> Result<(&'static metrics::MetricInfo, String, BTreeMap<Str, Str>), CliError> {
    let (head, rest) = text.split_once('(').unwrap_or((text, ""));
    let (filters, tail) = rest.rsplit_once(')').unwrap_or((rest, ""));
    let name = format!("{head}{tail}");
    let stat_of = |info: &'static metrics::MetricInfo| {
        let stat = name.strip_prefix(info.name)?.strip_prefix('.').or((name == info.name).then_some(""))?;
        (stat.is_empty() || info.stats_of_run().contains(&stat)).then_some((info, stat))
    };
    let Some((info, stat)) = metrics::registry().iter().find_map(stat_of) else {
        let near = manifests::did_you_mean(&name, metrics::registry().iter().map(|info| info.name))
            .map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        return Err(CliError::usage(format!("there is no metric `{name}`"), format!("{near}`wavetank list metrics` shows them")));
    };
    let mut filter: BTreeMap<Str, Str> = BTreeMap::new();
    for pair in filters.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(CliError::usage(format!("`{text}`: `{pair}` is no filter"), format!("write it as `{}(service=cart)`", info.name)));
        };
        filter.insert(key.trim().into(), value.trim().into());
    }
    Ok((info, stat.to_owned(), filter))
}

/// A row of a comparison.
fn wanted_metric(text: &str) -> Result<Wanted, CliError> {
    let (info, stat, filter) = asked_metric(text)?;
    // A job keeps each metric as a whole and by service or cause; anything finer is an expectation of the scenario.
    if let Some(key) = filter.keys().find(|key| !["service", "fault", "mark"].contains(&&***key)) {
        return Err(CliError::usage(
            format!("`{text}`: comparisons cannot filter by `{key}`"),
            "filter by service, fault or mark; or ask for it in the scenario's expectations, which are compared too",
        ));
    }
    Ok(Wanted::of(info, &stat, filter))
}

/// `METRIC=VALUE`, where the value is a share of the reference (`2%`) or in the metric's unit (`5ms`; for shares `0.1pp`).
pub(crate) fn margin(text: &str) -> Result<(String, Margin), CliError> {
    let usage = |message: String| {
        CliError::usage(
            message,
            "write it as `--margin latency.p99=5ms`, `--margin cost.total=2%` or, for shares, `--margin availability=0.1pp`",
        )
    };
    let Some((name, value)) = text.split_once('=') else { return Err(usage(format!("`--margin {text}` has no `=`"))) };
    let Some(info) = metrics::metric(name) else { return Err(usage(format!("`--margin {text}`: there is no metric `{name}`"))) };
    let margin = Margin::parse(value, info.unit);
    let margin = margin.ok_or_else(|| usage(format!("`--margin {text}`: `{value}` is not an amount of {}", info.unit.as_str())))?;
    Ok((name.to_owned(), margin))
}
