//! What stops a command: the user's input, the machine, or a bug. Each knows its exit code.

use std::path::{Path, PathBuf};

use manifests::Problems;

use crate::exit::Exit;
use crate::io::Io;

/// Why a command stopped.
pub(crate) enum CliError {
    /// Something is wrong with the user's files; all of it is in here.
    Invalid(Problems),
    /// Something is wrong with what was asked, in one sentence, with what to do.
    Asked { exit: Exit, message: String, help: Option<String> },
    /// The machine.
    Machine(anyhow::Error),
}

impl CliError {
    /// Wrong input that is no file's fault: an unknown name, a missing directory.
    pub(crate) fn asked(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Asked { exit: Exit::Invalid, message: message.into(), help: Some(help.into()) }
    }

    /// A wrong word on the command line.
    pub(crate) fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Asked { exit: Exit::Usage, message: message.into(), help: Some(help.into()) }
    }

    /// A file or directory that the machine would not give.
    pub(crate) fn file(what: &str, path: &Path, error: std::io::Error) -> Self {
        let path: PathBuf = path.to_owned();
        Self::Machine(anyhow::Error::new(error).context(format!("cannot {what} `{}`", path.display())))
    }

    /// What is wrong, without what to do.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Invalid(problems) => manifests::summary(problems),
            Self::Asked { message, .. } => message.clone(),
            Self::Machine(error) => format!("{error:#}"),
        }
    }

    /// Tells the user and says how to exit.
    pub(crate) fn report(&self, io: &Io) -> Exit {
        match self {
            Self::Invalid(problems) => {
                io.complain(&manifests::render(problems, io.color_on_stderr()));
                Exit::Invalid
            }
            Self::Asked { exit, message, help } => {
                io.complain(&format!("error: {message}"));
                if let Some(help) = help {
                    io.complain(&format!("help: {help}"));
                }
                *exit
            }
            Self::Machine(error) => {
                io.complain(&format!("error: {error:#}"));
                Exit::Unexpected
            }
        }
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::Machine(error.into())
    }
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        Self::Machine(error)
    }
}
