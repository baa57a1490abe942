//! `wavetank import`: a scenario of a recorded workload.

use std::path::{Path, PathBuf};

use scenarios::ImportOptions;

use crate::error::CliError;
use crate::exit::Exit;
use crate::files;
use crate::io::Io;
use crate::verbs::init;

/// Make a scenario of a recorded workload: pods that come when they came and stay as long as they stayed.
///
/// Two CSV files, columns by name. Pods: creation_time (or submit_time, arrival), and deletion_time with scheduled_time (or
/// end_time with start_time), or duration; cpu_milli or cpu; memory_mib or memory; num_gpu, gpu_milli, gpu_spec. Nodes:
/// cpu_milli or cpu, memory_mib or memory, gpu, model, count. Alibaba's GPU trace of 2023 (`openb`) can be taken as it is.
#[derive(clap::Args)]
pub(crate) struct Import {
    /// The pods.
    #[arg(value_name = "PODS.csv")]
    pods: String,
    /// The nodes.
    #[arg(long, value_name = "NODES.csv")]
    nodes: String,
    /// The scenario's name; the file will be NAME.yaml here.
    #[arg(long, default_value = "recorded")]
    name: String,
    /// Leave out so many of the first pods.
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: usize,
    /// Take so many pods.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// So many recorded seconds pass in a simulated one: arrivals and durations alike.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    speed: f64,
    /// Count GPUs in thousandths, so that pods may share one.
    #[arg(long)]
    gpu_shares: bool,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

impl Import {
    pub(crate) fn run(self, io: &Io) -> Result<Exit, CliError> {
        let name = init::scenario_name(&self.name)?;
        let path = PathBuf::from(format!("{}.yaml", self.name.trim_end_matches(".yaml")));
        let (pods, nodes) = (read(&self.pods)?, read(&self.nodes)?);
        let options =
            ImportOptions { name: name.to_owned(), skip: self.skip, limit: self.limit, speed: self.speed, gpu_shares: self.gpu_shares };
        let import = scenarios::import((&self.pods, &pods), (&self.nodes, &nodes), &options)
            .map_err(|words| CliError::asked(words, "`wavetank import --help` says which columns are known"))?;
        import.said.iter().for_each(|words| io.say(words));
        init::write(&path, &import.text, self.force, io)
    }
}

fn read(name: &str) -> Result<String, CliError> {
    if !Path::new(name).is_file() {
        return Err(CliError::asked(format!("there is no file `{name}`"), "give the CSV files of pods and nodes"));
    }
    files::read_text(name)
}
