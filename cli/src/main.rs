//! The command line: the only room that knows all names, opens files, prints, and sets the exit code.
//!
//! One file per verb under `verbs/`. Results go to stdout, talk to stderr. Whatever can change a result is
//! in the scenario or in a flag and is recorded; the environment may set presentation only.
//!
//! Not here: what anything means. Verbs read as pipelines over the other rooms.

mod error;
mod exit;
mod experiment;
mod extenders;
mod files;
mod io;
mod jobs;
mod progress;
mod rerun;
mod results;
mod verbs;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    #[arg(short = 'C', long = "directory", global = true, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", hide_possible_values = true)]
    color: Color,
    /// How to show progress on stderr: auto, plain or never.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "HOW", hide_possible_values = true)]
    progress: ProgressStyle,
    /// Say nothing on stderr but errors.
    #[arg(short, long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    verb: Verb,
}

const AFTER_HELP: &str = "\
First run:   wavetank run black-friday-40x
Exit codes:  0 ok · 1 unexpected · 2 usage · 3 invalid input · 4 expectations failed
             6 difference found · 7 nothing selected · 8 stopped by a limit
             130 interrupted       (`wavetank explain exit-codes` says more)";

#[derive(Subcommand)]
enum Verb {
    Run(verbs::run::Run),
    Compare(verbs::compare::Compare),
    Sweep(verbs::sweep::Sweep),
    Search(verbs::search::Search),
    Merge(verbs::merge::Merge),
    Schedule(verbs::schedule::Schedule),
    Validate(verbs::validate::Validate),
    Init(verbs::init::Init),
    List(verbs::list::List),
    Get(verbs::get::Get),
    Why(verbs::why::Why),
    Replay(verbs::replay::Replay),
    Report(verbs::report::Report),
    Explain(verbs::explain::Explain),
    Completion(verbs::completion::Completion),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let io = Io::new(cli.color, cli.progress, cli.quiet);
    if let Some(directory) = &cli.directory
        && let Err(error) = std::env::set_current_dir(directory)
    {
        io.complain(&format!("error: cannot go to `{}`: {error}", directory.display()));
        return Exit::Usage.into();
    }
    let done = match cli.verb {
        Verb::Run(verb) => verb.run(&io),
        Verb::Compare(verb) => verb.run(&io),
        Verb::Sweep(verb) => verb.run(&io),
        Verb::Search(verb) => verb.run(&io),
        Verb::Merge(verb) => verb.run(&io),
        Verb::Schedule(verb) => verb.run(&io),
        Verb::Validate(verb) => verb.run(&io),
        Verb::Init(verb) => verb.run(&io),
        Verb::List(verb) => verb.run(&io),
        Verb::Get(verb) => verb.run(&io),
        Verb::Why(verb) => verb.run(&io),
        Verb::Replay(verb) => verb.run(&io),
        Verb::Report(verb) => verb.run(&io),
        Verb::Explain(verb) => verb.run(&io),
        Verb::Completion(verb) => verb.run(&io, &mut <Cli as clap::CommandFactory>::command()),
    };
    done.unwrap_or_else(|error| error.report(&io)).into()
}
