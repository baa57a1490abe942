//! The command line: the only room that knows all names, opens files, prints, and sets the exit code.
//!
//! One file per verb under `verbs/`. Results go to stdout, talk to stderr. Whatever can change a result is
//! in the scenario or in a flag and is recorded; the environment may set presentation only.
//!
//! Not here: what anything means. Verbs read as pipelines over the other rooms.

mod config;
mod error;
mod exit;
mod experiment;
mod extenders;
mod files;
mod io;
mod jobs;
mod outputs;
mod pages;
mod progress;
mod rerun;
mod results;
mod sarif;
mod verbs;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Profile;
use crate::exit::Exit;
use crate::io::{Color, Io, ProgressStyle};

/// Puts a Kubernetes cluster through its worst day before the day comes.
///
/// Give it real manifests and a scenario; it plays hours of cluster life in seconds, the same way every
/// time, and says what broke, how long recovery took and what it cost.
#[derive(Parser)]
#[command(name = "wavetank", version, propagate_version = true, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    /// Run as if started in this directory.
    #[arg(short = 'C', long = "directory", global = true, help_heading = GLOBAL, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// When to use colour: auto (by default), always or never.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, value_name = "WHEN", hide_possible_values = true)]
    color: Option<Color>,
    /// How to show progress on stderr: auto (by default), plain or never.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, value_name = "HOW", hide_possible_values = true)]
    progress: Option<ProgressStyle>,
    /// Say nothing on stderr but errors.
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    quiet: bool,
    /// Outputs as `[profile.NAME]` of wavetank.toml says, found here or above.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "NAME", conflicts_with = "no_config")]
    profile: Option<String>,
    /// Do not read wavetank.toml.
    #[arg(long, global = true, help_heading = GLOBAL)]
    no_config: bool,
    #[command(subcommand)]
    verb: Verb,
}

/// Flags of every verb stand behind the verb's own.
const GLOBAL: &str = "Global options";

const AFTER_HELP: &str = "\
First run:   wavetank run black-friday-40x
Exit codes:  0 ok · 1 unexpected · 2 usage · 3 invalid input · 4 expectations failed
             5 worse than the baseline · 6 difference found · 7 nothing selected
             8 stopped by a limit · 130 interrupted   (`wavetank explain exit-codes` says more)";

#[derive(Subcommand)]
enum Verb {
    Run(verbs::run::Run),
    Check(verbs::check::Check),
    Baseline(verbs::baseline::Baseline),
    Compare(verbs::compare::Compare),
    Sweep(verbs::sweep::Sweep),
    Search(verbs::search::Search),
    Merge(verbs::merge::Merge),
    Diff(verbs::diff::Diff),
    Schedule(verbs::schedule::Schedule),
    Validate(verbs::validate::Validate),
    Init(verbs::init::Init),
    Import(verbs::import::Import),
    List(verbs::list::List),
    Get(verbs::get::Get),
    #[command(visible_alias = "describe")]
    Why(verbs::why::Why),
    Replay(verbs::replay::Replay),
    Report(verbs::report::Report),
    Export(verbs::export::Export),
    Explain(verbs::explain::Explain),
    Schema(verbs::schema::Schema),
    Completion(verbs::completion::Completion),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let plain = Io::new(cli.color, cli.progress, cli.quiet, Profile::default());
    if let Some(directory) = &cli.directory
        && let Err(error) = std::env::set_current_dir(directory)
    {
        plain.complain(&format!("error: cannot go to `{}`: {error}", directory.display()));
        return Exit::Usage.into();
    }
    let profile = if cli.no_config { Ok(Profile::default()) } else { Profile::find(cli.profile.as_deref()) };
    let io = match profile {
        Ok(profile) => Io::new(cli.color, cli.progress, cli.quiet, profile),
        Err(error) => return error.report(&plain).into(),
    };
    let done = match cli.verb {
        Verb::Run(verb) => verb.run(&io),
        Verb::Check(verb) => verb.run(&io),
        Verb::Baseline(verb) => verb.run(&io),
        Verb::Compare(verb) => verb.run(&io),
        Verb::Sweep(verb) => verb.run(&io),
        Verb::Search(verb) => verb.run(&io),
        Verb::Merge(verb) => verb.run(&io),
        Verb::Diff(verb) => verb.run(&io),
        Verb::Schedule(verb) => verb.run(&io),
        Verb::Validate(verb) => verb.run(&io),
        Verb::Init(verb) => verb.run(&io),
        Verb::Import(verb) => verb.run(&io),
        Verb::List(verb) => verb.run(&io),
        Verb::Get(verb) => verb.run(&io),
        Verb::Why(verb) => verb.run(&io),
        Verb::Replay(verb) => verb.run(&io),
        Verb::Report(verb) => verb.run(&io),
        Verb::Export(verb) => verb.run(&io),
        Verb::Explain(verb) => verb.run(&io),
        Verb::Schema(verb) => verb.run(&io),
        Verb::Completion(verb) => verb.run(&io, &mut <Cli as clap::CommandFactory>::command()),
    };
    done.unwrap_or_else(|error| error.report(&io)).into()
}
