//! `wavetank.toml`: how a project wants its results shown, and where it wants them, profile by profile.
//!
//! ```toml
//! [profile.ci]                      # wavetank --profile ci …
//! out = "target/wavetank"           # paths begin where this file is
//! junit = "target/junit.xml"
//! summary = "github"
//! annotations = "github"
//! baseline = "baselines/main.json"
//! ```
//!
//! Found by walking up from the working directory. `[profile.default]` holds for every command, and what the profile
//! asked for does not say.
//!
//! Invariant: nothing here can change a result. What can, is in the scenario or in a flag, and is recorded.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::{Color, ProgressStyle};

/// The name of the file.
const FILE: &str = "wavetank.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    profile: BTreeMap<String, Profile>,
}

/// What one profile says. Flags win.
#[derive(Clone, Default, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// Where results of `run` go.
    pub(crate) out: Option<PathBuf>,
    /// `--junit`.
    pub(crate) junit: Option<PathBuf>,
    /// `--summary`: a path, or `github`.
    pub(crate) summary: Option<PathBuf>,
    /// `--annotations`.
    pub(crate) annotations: Option<Annotations>,
    /// `--baseline` of `check`, and the file of `baseline`.
    pub(crate) baseline: Option<PathBuf>,
    pub(crate) color: Option<Color>,
    pub(crate) progress: Option<ProgressStyle>,
}

/// Who reads annotations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Annotations {
    /// GitHub Actions.
    Github,
}

/// The word that stands for GitHub's own place instead of a path.
pub(crate) const GITHUB: &str = "github";

impl Profile {
    /// The profile of this name, or the default one, of the file that is found from here upwards.
    pub(crate) fn find(name: Option<&str>) -> Result<Self, CliError> {
        let here = std::env::current_dir()?;
        let found = here.ancestors().map(|folder| folder.join(FILE)).find(|path| path.is_file());
        let (Some(path), wanted) = (found, name) else {
            return match name {
                None => Ok(Self::default()),
                Some(name) => Err(no_profile(name, &format!("there is no `{FILE}` here or above"))),
            };
        };
        let text = fs::read_to_string(&path).map_err(|error| CliError::file("read", &path, error))?;
        let file: File = toml::from_str(&text).map_err(|error| {
            let message = format!("`{}`: {}", path.display(), error.to_string().trim_end());
            CliError::asked(message, "mend it, or leave it out with `--no-config`")
        })?;
        Self::of(&file, wanted, path.parent().unwrap_or(&here))
            .map_err(|known| no_profile(name.unwrap_or_default(), &format!("`{}` has {known}", path.display())))
    }

    /// One profile over the default one; or the names there are.
    fn of(file: &File, name: Option<&str>, folder: &Path) -> Result<Self, String> {
        let base = file.profile.get("default").cloned().unwrap_or_default();
        let own = match name {
            None => Self::default(),
            Some(name) => file.profile.get(name).cloned().ok_or_else(|| {
                let names: Vec<&str> = file.profile.keys().map(String::as_str).collect();
                if names.is_empty() { "no profiles".to_owned() } else { names.join(", ") }
            })?,
        };
        let place = |path: PathBuf| if path.as_os_str() == GITHUB { path } else { folder.join(path) };
        Ok(Self {
            out: own.out.or(base.out).map(|path| folder.join(path)),
            junit: own.junit.or(base.junit).map(|path| folder.join(path)),
            summary: own.summary.or(base.summary).map(place),
            annotations: own.annotations.or(base.annotations),
            baseline: own.baseline.or(base.baseline).map(|path| folder.join(path)),
            color: own.color.or(base.color),
            progress: own.progress.or(base.progress),
        })
    }
}

fn no_profile(name: &str, known: &str) -> CliError {
    CliError::Asked {
        exit: Exit::Usage,
        message: format!("`--profile {name}`: there is no such profile"),
        help: Some(format!("{known}; write one as `[profile.{name}]` with `junit = \"out/junit.xml\"`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_stands_over_the_default_one_and_its_paths_begin_at_the_file() {
        let text = "[profile.default]\nout = 'a'\nsummary = 'github'\n[profile.ci]\nout = '/b'\njunit = 'j.xml'\nannotations = 'github'\n";
        let file: File = toml::from_str(text).unwrap();
        let profile = |name| Profile::of(&file, name, Path::new("/project")).unwrap();
        let (default, ci) = (profile(None), profile(Some("ci")));
        assert_eq!((default.out.as_deref(), default.junit), (Some(Path::new("/project/a")), None));
        assert_eq!((ci.out.as_deref(), ci.junit.as_deref()), (Some(Path::new("/b")), Some(Path::new("/project/j.xml"))));
        assert_eq!((ci.summary.as_deref(), ci.annotations), (Some(Path::new(GITHUB)), Some(Annotations::Github)));
        assert_eq!(Profile::of(&file, Some("cd"), Path::new("/")).unwrap_err(), "ci, default");
        for wrong in ["[profile.ci]\nseeds = 3\n", "[profiles]\n", "[profile.ci]\nannotations = 'gitlab'\n"] {
            assert!(toml::from_str::<File>(wrong).is_err(), "{wrong}");
        }
    }
}
