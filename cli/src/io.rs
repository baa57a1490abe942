//! Where a command's words go: stdout is the answer, stderr everything else.

use std::io::{self, IsTerminal, Write};

use anstream::AutoStream;

use crate::config::Profile;

/// When to use colour.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Color {
    /// When the stream is a terminal (NO_COLOR, CLICOLOR_FORCE and TERM=dumb are heeded).
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// When to show progress.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProgressStyle {
    /// A bar when stderr is a terminal and CI is unset, otherwise a plain line every ten seconds.
    #[default]
    Auto,
    /// A plain line every ten seconds.
    Plain,
    /// Nothing.
    Never,
}

/// A variable of the environment that says which part of a work this is.
#[expect(clippy::disallowed_methods, reason = "batch systems tell a job's place this way; what a job gives does not depend on it")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A command's streams, and what the project's profile says of its other outputs.
pub(crate) struct Io {
    color: Color,
    progress: ProgressStyle,
    quiet: bool,
    pub(crate) profile: Profile,
}

impl Io {
    /// Flags win over the profile.
    pub(crate) fn new(color: Option<Color>, progress: Option<ProgressStyle>, quiet: bool, profile: Profile) -> Self {
        let color = color.or(profile.color).unwrap_or_default();
        let progress = progress.or(profile.progress).unwrap_or_default();
        Self { color, progress, quiet, profile }
    }

    /// The same streams, on which only errors are said.
    pub(crate) fn hushed(&self) -> Self {
        Self { quiet: true, profile: self.profile.clone(), ..*self }
    }

    /// Writes to stdout: the answer. A closed pipe is the reader's choice, not an error.
    pub(crate) fn answer(&self, text: &str) -> io::Result<()> {
        let out = io::stdout();
        let choice = self.choice(&out);
        let written = AutoStream::new(out.lock(), choice).write_all(text.as_bytes());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Writes a line to stderr, unless quiet.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.complain(text);
        }
    }

    /// Writes a line to stderr, quiet or not.
    pub(crate) fn complain(&self, text: &str) {
        let out = io::stderr();
        let choice = self.choice(&out);
        // There is nowhere left to report a failure to write here.
        let _ = writeln!(AutoStream::new(out.lock(), choice), "{}", text.trim_end());
    }

    /// Whether stdout gets colour.
    pub(crate) fn color_on_stdout(&self) -> bool {
        self.choice(&io::stdout()) != anstream::ColorChoice::Never
    }

    /// Whether stderr gets colour.
    pub(crate) fn color_on_stderr(&self) -> bool {
        self.choice(&io::stderr()) != anstream::ColorChoice::Never
    }

    /// Whether the terminal says it shows more than ASCII; without a word, it does.
    pub(crate) fn utf8() -> bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()));
        locale.is_none_or(|locale| locale.to_string_lossy().to_ascii_lowercase().replace('-', "").contains("utf8"))
    }

    /// Whether a bar, plain lines or nothing shows progress.
    pub(crate) fn progress_style(&self) -> ProgressStyle {
        match self.progress {
            _ if self.quiet => ProgressStyle::Never,
            ProgressStyle::Auto if io::stderr().is_terminal() && std::env::var_os("CI").is_none() => ProgressStyle::Auto,
            ProgressStyle::Auto => ProgressStyle::Plain,
            chosen => chosen,
        }
    }

    fn choice(&self, stream: &impl anstream::stream::RawStream) -> anstream::ColorChoice {
        match self.color {
            Color::Auto => AutoStream::choice(stream),
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
    }
}
