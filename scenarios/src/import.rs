//! A recorded workload becomes a scenario: pods that come when they came and stay as long as they stayed, on machines
//! like those they had.
//!
//! Columns are known by their names, those of Alibaba's GPU trace of 2023 (`openb`) among them, so that most recordings
//! need no more than other headings. Times are seconds, from whenever on.
//!
//! Invariants: pods keep their order; what is left out or taken otherwise than recorded is said.
//!
//! Not here: how pods are scheduled. Where they were in the recording plays no part.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use api::Quantity;

/// What of a recording is taken, and how.
#[derive(Clone, PartialEq, Debug)]
pub struct ImportOptions {
    /// The scenario's name.
    pub name: String,
    /// So many of the first pods are left out.
    pub skip: usize,
    /// So many are taken.
    pub limit: Option<usize>,
    /// So many recorded seconds pass in a simulated one.
    pub speed: f64,
    /// GPUs are counted in thousandths, so that pods may share one.
    pub gpu_shares: bool,
}

/// A scenario made of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    /// The file.
    pub text: String,
    /// What was taken, and what was taken otherwise.
    pub said: Vec<String>,
}

/// The scenario for the pods and nodes of two CSV texts, called by their names in messages.
///
/// # Errors
/// In words, with file and line.
pub fn import(pods: (&str, &str), nodes: (&str, &str), options: &ImportOptions) -> Result<Import, String> {
    if !(options.speed.is_finite() && options.speed > 0.0) {
        return Err("a speed is a number above zero".to_owned());
    }
    let pools = pools(&Table::read(nodes.0, nodes.1)?)?;
    let mut all = jobs(&Table::read(pods.0, pods.1)?)?;
    let recorded = all.len();
    all.sort_by(|a, b| a.arrival.total_cmp(&b.arrival));
    let chosen = all.into_iter().skip(options.skip).take(options.limit.unwrap_or(usize::MAX));
    let (jobs, misfits): (Vec<Job>, Vec<Job>) = chosen.partition(|job| pools.iter().any(|pool| pool.holds(job)));
    if jobs.is_empty() {
        return Err(format!("`{}`: there are {recorded} pods, and none is left to take", pods.0));
    }
    let text = written(&jobs, &pools, (pods.0, nodes.0), options);
    let mut said = said(&jobs, recorded, &pools, options);
    if let Some(first) = misfits.first() {
        said.push(format!("pods that fit no node, even an empty one, and are left out: {} ({} first)", misfits.len(), first.name));
    }
    Ok(Import { text, said })
}

/// A CSV with headings.
struct Table {
    name: String,
    headings: Vec<String>,
    /// Line number and cells.
    rows: Vec<(u64, Vec<String>)>,
}

impl Table {
    fn read(name: &str, text: &str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}');
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(text.as_bytes());
        let words = |error: csv::Error| format!("`{name}`: {error}");
        let headings = reader.headers().map_err(words)?.iter().map(str::to_ascii_lowercase).collect();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(words)?;
            rows.push((record.position().map_or(0, csv::Position::line), record.iter().map(str::to_owned).collect()));
        }
        Ok(Self { name: name.to_owned(), headings, rows })
    }

    /// The first of these columns that is there.
    fn column(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.headings.iter().position(|heading| heading == name))
    }

    fn required(&self, names: &[&str]) -> Result<usize, String> {
        self.column(names)
            .ok_or_else(|| format!("`{}` has no column `{}`; it has {}", self.name, names.join("` or `"), self.headings.join(", ")))
    }

    /// The cell, unless it says that there is nothing.
    fn cell<'t>(&self, row: &'t (u64, Vec<String>), column: Option<usize>) -> Option<&'t str> {
        let cell = row.1.get(column?)?.as_str();
        (!cell.is_empty() && !cell.eq_ignore_ascii_case("nan") && !cell.eq_ignore_ascii_case("null")).then_some(cell)
    }

    fn number(&self, row: &(u64, Vec<String>), column: Option<usize>) -> Result<Option<f64>, String> {
        let Some(cell) = self.cell(row, column) else { return Ok(None) };
        let number = cell.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        number.map(Some).ok_or_else(|| self.wrong(row, column, cell, "a number that is not negative"))
    }

    /// An amount in a column of whole parts (thousandths of a cpu, MiB), or in one of quantities (`500m`, `4Gi`).
    fn amount(&self, row: &(u64, Vec<String>), parts: (Option<usize>, f64), quantities: Option<usize>) -> Result<Option<f64>, String> {
        if let Some(number) = self.number(row, parts.0)? {
            return Ok(Some(number * parts.1));
        }
        let Some(cell) = self.cell(row, quantities) else { return Ok(None) };
        let quantity = cell.parse::<Quantity>().map_err(|_| self.wrong(row, quantities, cell, "a quantity such as `500m` or `4Gi`"))?;
        Ok(Some(quantity.as_f64()))
    }

    fn wrong(&self, row: &(u64, Vec<String>), column: Option<usize>, cell: &str, expected: &str) -> String {
        let heading = column.and_then(|column| self.headings.get(column)).map_or("", String::as_str);
        format!("`{}`, line {}: `{cell}` in column `{heading}` is not {expected}", self.name, row.0)
    }
}

/// Machines of one kind.
#[derive(Clone, PartialEq, Debug)]
struct Pool {
    cpu_millis: u64,
    memory_mib: u64,
    gpus: u64,
    model: String,
    count: u64,
}

impl Pool {
    /// Whether an empty one of its nodes would do.
    fn holds(&self, job: &Job) -> bool {
        let memory_bytes = self.memory_mib as f64 * 1_048_576.0;
        job.cpu * 1000.0 <= self.cpu_millis as f64
            && job.memory_bytes <= memory_bytes
            && job.gpus <= self.gpus
            && (job.models.is_empty() || job.models.contains(&self.model))
    }

    /// `g2-8x` for eight of that model, `cpu-32` for 32 cpus without.
    fn name(&self, index: usize) -> String {
        let kind = if self.gpus > 0 { format!("{}-{}x", tame(&self.model), self.gpus) } else { format!("cpu-{}", self.cpu_millis / 1000) };
        format!("{}-{index}", kind.trim_matches('-'))
    }
}

fn pools(table: &Table) -> Result<Vec<Pool>, String> {
    let (cpu_milli, cpu) = (table.column(&["cpu_milli"]), table.column(&["cpu"]));
    if cpu_milli.is_none() && cpu.is_none() {
        table.required(&["cpu_milli", "cpu"])?;
    }
    let (memory_mib, memory) = (table.column(&["memory_mib"]), table.column(&["memory"]));
    let (gpu, model, count) = (table.column(&["gpu", "num_gpu", "gpus"]), table.column(&["model", "gpu_model"]), table.column(&["count"]));
    let mut found: Vec<Pool> = Vec::new();
    for row in &table.rows {
        let pool = Pool {
            cpu_millis: (table.amount(row, (cpu_milli, 0.001), cpu)?.unwrap_or(0.0) * 1000.0).round() as u64,
            memory_mib: (table.amount(row, (memory_mib, 1_048_576.0), memory)?.unwrap_or(0.0) / 1_048_576.0).round() as u64,
            gpus: table.number(row, gpu)?.unwrap_or(0.0) as u64,
            model: table.cell(row, model).unwrap_or_default().to_owned(),
            count: 0,
        };
        let count = table.number(row, count)?.unwrap_or(1.0) as u64;
        match found.iter_mut().find(|known| Pool { count: 0, ..(*known).clone() } == pool) {
            Some(known) => known.count += count,
            None => found.push(Pool { count, ..pool }),
        }
    }
    if found.is_empty() {
        return Err(format!("`{}` has no nodes", table.name));
    }
    found.sort_by_key(|pool| std::cmp::Reverse(pool.count));
    Ok(found)
}

/// One pod of the recording.
#[derive(Clone, Debug)]
struct Job {
    name: String,
    arrival: f64,
    /// How long it ran, or was there; `None` when it never ended.
    lasts: Option<f64>,
    /// It ran in the recording.
    ran: bool,
    cpu: f64,
    memory_bytes: f64,
    gpus: u64,
    gpu_milli: u64,
    models: Vec<String>,
}

fn jobs(table: &Table) -> Result<Vec<Job>, String> {
    let arrival = table.required(&["creation_time", "submit_time", "arrival"])?;
    let (cpu_milli, cpu) = (table.column(&["cpu_milli"]), table.column(&["cpu"]));
    if cpu_milli.is_none() && cpu.is_none() {
        table.required(&["cpu_milli", "cpu"])?;
    }
    let (memory_mib, memory) = (table.column(&["memory_mib"]), table.column(&["memory"]));
    let names = table.column(&["name", "pod", "job", "task"]);
    let (begin, end) = (table.column(&["scheduled_time", "start_time"]), table.column(&["deletion_time", "end_time"]));
    let duration = table.column(&["duration", "run_time"]);
    let (gpu, share, models) =
        (table.column(&["num_gpu", "gpu", "gpus"]), table.column(&["gpu_milli"]), table.column(&["gpu_spec", "gpu_model"]));
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut found = Vec::new();
    for (index, row) in table.rows.iter().enumerate() {
        let came = table.number(row, Some(arrival))?.ok_or_else(|| table.wrong(row, Some(arrival), "", "a time in seconds"))?;
        let (began, ended) = (table.number(row, begin)?, table.number(row, end)?);
        let lasts = match table.number(row, duration)? {
            Some(duration) => Some(duration),
            None => ended.map(|ended| (ended - began.unwrap_or(came)).max(0.0)),
        };
        let mut name = table.cell(row, names).map_or_else(|| format!("pod-{index}"), tame);
        if !taken.insert(name.clone()) {
            name = format!("{name}-{index}");
            taken.insert(name.clone());
        }
        found.push(Job {
            name,
            arrival: came,
            lasts,
            ran: begin.is_none() || began.is_some(),
            cpu: table.amount(row, (cpu_milli, 0.001), cpu)?.unwrap_or(0.0),
            memory_bytes: table.amount(row, (memory_mib, 1_048_576.0), memory)?.unwrap_or(0.0),
            gpus: table.number(row, gpu)?.unwrap_or(0.0) as u64,
            gpu_milli: table.number(row, share)?.map_or(1000, |milli| milli as u64),
            models: table.cell(row, models).map_or_else(Vec::new, |models| models.split('|').map(str::to_owned).collect()),
        });
    }
    Ok(found)
}

/// As a name in Kubernetes: lower case, digits and dashes, 50 of them at most.
fn tame(name: &str) -> String {
    let text: String = name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(50).collect();
    let text = text.trim_matches('-');
    if text.is_empty() { "pod".to_owned() } else { text.to_owned() }
}

/// Seconds as a duration, exact to the millisecond.
fn seconds(seconds: f64) -> String {
    let millis = (seconds * 1000.0).round() as u64;
    match millis % 1000 {
        0 => format!("{}s", millis / 1000),
        rest => format!("{}.{rest:03}s", millis / 1000),
    }
}

const GPU: &str = "nvidia.com/gpu";
const GPU_MILLI: &str = "nvidia.com/gpu-milli";

fn written(jobs: &[Job], pools: &[Pool], (pods_file, nodes_file): (&str, &str), options: &ImportOptions) -> String {
    let first = jobs.first().map_or(0.0, |job| job.arrival);
    let last = jobs.last().map_or(0.0, |job| job.arrival);
    // Most of those who came last should have a node before the end.
    let length = ((last - first) / options.speed * 1.05 + 600.0).ceil();
    let mut text = format!(
        "# Pods of {pods_file} ({}) on the nodes of {nodes_file}, made by `wavetank import`.\n\
         apiVersion: wavetank.dev/v1\nkind: Scenario\nmetadata: {{name: {}}}\nspec:\n  duration: {}\n  cluster:\n    nodePools:\n",
        jobs.len(),
        options.name,
        seconds(length),
    );
    for (index, pool) in pools.iter().enumerate() {
        let gpus = match (pool.gpus, options.gpu_shares) {
            (0, _) => String::new(),
            (gpus, false) => format!(", {GPU}: \"{gpus}\""),
            (gpus, true) => format!(", {GPU_MILLI}: \"{}\"", gpus * 1000),
        };
        let labels = if pool.model.is_empty() { String::new() } else { format!(", labels: {{gpu-model: {:?}}}", pool.model) };
        let _ = writeln!(
            text,
            "      - {{name: {}, count: {}, template: {{capacity: {{cpu: {}m, memory: {}Mi, pods: \"256\"{gpus}}}{labels}}}}}",
            pool.name(index),
            pool.count,
            pool.cpu_millis,
            pool.memory_mib,
        );
    }
    let lasting = |job: &Job| job.lasts.map(|lasts| seconds((lasts / options.speed).max(0.001)));
    let all: BTreeMap<String, usize> = jobs.iter().filter_map(lasting).map(|lasts| (lasts, 0)).collect();
    if !all.is_empty() {
        text.push_str("  behaviors:   # how long a pod runs once it has begun, by its label\n");
    }
    for lasts in all.keys() {
        let _ = writeln!(text, "    - {{selector: {{labelSelectors: {{lasts: {lasts}}}}}, completes: {lasts}}}");
    }
    text.push_str("  steps:\n");
    for job in jobs {
        let mut resources = format!("cpu: {}m, memory: {}", (job.cpu * 1000.0).ceil(), job.memory_bytes.ceil());
        let mut limits = String::new();
        if job.gpus > 0 {
            let amount = if options.gpu_shares { job.gpus * job.gpu_milli } else { job.gpus };
            let gpus = format!("{}: {amount}", if options.gpu_shares { GPU_MILLI } else { GPU });
            let _ = write!(resources, ", {gpus}");
            limits = format!(", limits: {{{gpus}}}");
        }
        let labels = lasting(job).map_or_else(String::new, |lasts| format!(", labels: {{lasts: {lasts}}}"));
        let affinity = if job.models.is_empty() {
            String::new()
        } else {
            let models: Vec<String> = job.models.iter().map(|model| format!("{model:?}")).collect();
            format!(
                "affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{{matchExpressions: \
                 [{{key: gpu-model, operator: In, values: [{}]}}]}}]}}}}}}, ",
                models.join(", ")
            )
        };
        let _ = writeln!(
            text,
            "    - {{at: {}, apply: {{apiVersion: v1, kind: Pod, metadata: {{name: {}{labels}}}, spec: {{restartPolicy: Never, \
             {affinity}containers: [{{name: main, image: job, resources: {{requests: {{{resources}}}{limits}}}}}]}}}}}}",
            seconds((job.arrival - first) / options.speed),
            job.name,
        );
    }
    text.push_str("  expectations:\n    - {metric: pods.unscheduled, stat: last, op: \"==\", value: 0, severity: info}\n");
    text
}

fn said(jobs: &[Job], recorded: usize, pools: &[Pool], options: &ImportOptions) -> Vec<String> {
    let nodes: u64 = pools.iter().map(|pool| pool.count).sum();
    let mut said = vec![format!("{} of {recorded} pods, {nodes} nodes of {} kinds", jobs.len(), pools.len())];
    let count = |wanted: &dyn Fn(&Job) -> bool| jobs.iter().filter(|job| wanted(job)).count();
    let mut tell = |count: usize, words: &str| {
        if count > 0 {
            said.push(format!("{words}: {count}"));
        }
    };
    let shared = count(&|job| job.gpus == 1 && job.gpu_milli < 1000);
    if options.gpu_shares {
        tell(shared, "pods that ask for a share of a GPU (summed over the node, whichever device they are on)");
    } else {
        tell(shared, "pods that asked for a share of a GPU and get a whole one (`--gpu-shares` counts in thousandths)");
    }
    tell(count(&|job| !job.ran), "pods that never ran in the recording, and run here as long as they waited then");
    tell(count(&|job| job.lasts.is_none()), "pods without an end in the recording, which run on");
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\na,32000,65536,0,\nb,96000,393216,8,G2\nc,96000,393216,8,G2\n";
    const PODS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time,deletion_time,scheduled_time\n\
                        Late_One,4000,8192,0,0,,1060,1120,1100\nearly,500,512,1,460,G2|V100,1000,1300.5,1000\nhuge,200000,1,0,0,,1001,1002,1001\nnever,1000,1024,1,1000,nan,1030,1040,\n";

    fn options() -> ImportOptions {
        ImportOptions { name: "mine".into(), skip: 0, limit: None, speed: 1.0, gpu_shares: false }
    }

    fn made(options: &ImportOptions) -> Import {
        import(("pods.csv", PODS), ("nodes.csv", NODES), options).expect("it can be read")
    }

    #[test]
    fn a_recording_becomes_pods_that_come_and_go_as_they_did() {
        let import = made(&options());
        insta::assert_snapshot!(format!("{}\n{}", import.said.join("\n"), import.text));
    }

    #[test]
    fn shares_speed_and_a_part_are_taken_when_asked_for() {
        let import = made(&ImportOptions { gpu_shares: true, speed: 2.0, skip: 2, limit: Some(1), ..options() });
        for part in ["Pods of pods.csv (1)", "nvidia.com/gpu-milli: \"8000\"", "name: never", "at: 0s", "completes: 5s", "gpu-milli: 1000"]
        {
            assert!(import.text.contains(part), "{part}: {}", import.text);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_file_and_line() {
        let pods = |text: &str| import(("pods.csv", text), ("nodes.csv", NODES), &options()).expect_err("it is wrong");
        for (text, part) in [
            ("name,cpu\na,1\n", "has no column `creation_time` or `submit_time` or `arrival`; it has name, cpu"),
            ("arrival\n1\n", "has no column `cpu_milli` or `cpu`"),
            ("arrival,cpu\nsoon,1\n", "line 2: `soon` in column `arrival` is not a number"),
            ("arrival,cpu\n1,1\n2,many\n", "line 3: `many` in column `cpu` is not a quantity"),
            ("arrival,cpu\n,1\n", "is not a time in seconds"),
            ("arrival,cpu\n-1,1\n", "`-1` in column `arrival`"),
            ("arrival,cpu\n1,1,1\n", "line: 2"),
            ("arrival,cpu\n", "there are 0 pods"),
        ] {
            let words = pods(text);
            assert!(words.contains("pods.csv") && words.contains(part), "{words}");
        }
        let nodes = import(("pods.csv", PODS), ("nodes.csv", "sn,gpu\n"), &options()).expect_err("it is wrong");
        assert!(nodes.contains("`nodes.csv` has no column `cpu_milli` or `cpu`"), "{nodes}");
        let speed = import(("pods.csv", PODS), ("nodes.csv", NODES), &ImportOptions { speed: 0.0, ..options() });
        assert!(speed.is_err());
    }

    #[test]
    fn quantities_and_durations_do_as_well() {
        let pods = "arrival,duration,cpu,memory\n0,90,500m,1Gi\n0,90,2,512Mi\n";
        let import = import(("p", pods), ("n", "cpu,memory,count\n8,32Gi,4\n"), &options()).expect("it can be read");
        for part in ["count: 4", "cpu: 8000m, memory: 32768Mi", "cpu: 500m, memory: 1073741824", "name: pod-1", "completes: 90s"] {
            assert!(import.text.contains(part), "{part}: {}", import.text);
        }
    }
}
