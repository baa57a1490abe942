//! `wavetank sweep`: one scenario at many points.

use reports::sweep::{SweepPoint, sweep};

use crate::error::CliError;
use crate::exit::Exit;
use crate::io::Io;
use crate::jobs::store::Store;
use crate::jobs::{Judging, Kind, Manifest, grid};
use crate::verbs::work::{Asked, Draft, WorkArgs};

/// Run a scenario at every point of a grid, a list or a latin hypercube, over any path of the file.
#[derive(clap::Args)]
pub(crate) struct Sweep {
    /// A shipped scenario by name, or a file.
    scenario: String,
    /// What varies (may be repeated; every combination is run): `PATH=1,2,5`, `PATH=10..50:10`, `PATH=1s..9s/5`.
    #[arg(long = "param", value_name = "PATH=VALUES", required = true)]
    parameters: Vec<String>,
    /// A latin hypercube of so many points instead of every combination; ranges need no steps then.
    #[arg(long, value_name = "N")]
    lhs: Option<usize>,
    #[command(flatten)]
    work: WorkArgs,
}

impl Sweep {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let drafts = self.drafts()?;
        let reference = drafts.first().map_or_else(String::new, |draft| draft.name.clone());
        let (parameters, lhs) = (self.parameters.clone(), self.lhs);
        let asked = Asked { reference, parameters, lhs, ..Asked::of(Kind::Sweep, &self.scenario, Judging::default()) };
        self.work.carry_out(&drafts, asked, io)
    }

    fn drafts(&self) -> Result<Vec<Draft>, CliError> {
        let parameters = self.parameters.iter().map(|text| grid::parse(text)).collect::<Result<Vec<_>, _>>()?;
        if let Some((path, _)) = parameters.iter().enumerate().find_map(|(at, one)| parameters[..at].iter().find(|other| other.0 == one.0))
        {
            let help = Some("give all its values in one `--param`".into());
            return Err(CliError::Asked { exit: Exit::Usage, message: format!("`--param {path}` is there twice"), help });
        }
        let policies: Vec<Option<String>> =
            if self.work.policies.is_empty() { vec![None] } else { self.work.policies.iter().cloned().map(Some).collect() };
        let mut drafts = Vec::new();
        for policy in &policies {
            for point in grid::points(&parameters, self.lhs)? {
                let set: Vec<String> = point.iter().map(|(path, value)| format!("{path}={value}")).collect();
                let under = policy.as_ref().filter(|_| policies.len() > 1).map(|policy| format!("{policy} "));
                drafts.push(Draft {
                    name: under.unwrap_or_default() + &set.join(" "),
                    policy: policy.clone(),
                    set,
                    parameters: point.into_iter().collect(),
                });
            }
        }
        Ok(drafts)
    }
}

/// Judges what is in a store.
pub(crate) fn judge(store: &Store, manifest: &Manifest) -> reports::sweep::Sweep {
    let points: Vec<SweepPoint> = manifest
        .points
        .iter()
        .zip(store.by_point(manifest))
        .map(|(about, runs)| SweepPoint { parameters: about.parameters.clone(), policy: about.policy.as_str().into(), runs })
        .collect();
    sweep(&points)
}
