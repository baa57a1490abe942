//! A scenario for manifests that somebody has: a first one that runs, with every guess marked as such.
//!
//! Invariants: what is written is a valid scenario if the manifests are valid; every number that no manifest says has a
//! comment that says so.
//!
//! Not here: how things are guessed ([`guess`]).

mod guess;

use std::fmt::Write as _;

use api::ObjectKey;
use manifests::{Budget, Objects, Problems, SourceFile};

use crate::catalog::Catalog;
use crate::files::{FileSource, several};
use crate::owned;
use guess::{CALLED_MILLIS, CONCURRENCY, ENTRY_MILLIS, Machine, Server};

/// A scenario in the making.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The file.
    pub text: String,
    /// What was found and guessed, in a few sentences.
    pub said: Vec<String>,
}

/// More sources than this are noise.
const MOST_ENTRIES: usize = 3;

/// The scenario called `name` for the manifests at `path`: a file, a pattern or a directory. What is wrong with them goes
/// into `problems`; `None` when they bring no pods.
///
/// # Errors
/// In words, when there is nothing at `path` or it cannot be read.
pub fn draft(name: &str, path: &str, files: &dyn FileSource, problems: &mut Problems) -> Result<Option<Draft>, String> {
    let found = several(files, path);
    let found = if found.is_empty() && !path.contains('*') { vec![path.to_owned()] } else { found };
    let mut documents = Vec::new();
    for path in &found {
        let text = files.read(path).map_err(|words| format!("`{path}` cannot be read: {words}"))?;
        let text = text.ok_or_else(|| format!("there is no file `{path}`"))?;
        documents.extend(manifests::documents_within(&SourceFile::new(path, &text), Budget::MANIFESTS, problems));
    }
    if found.is_empty() {
        return Err(format!("no file matches `{path}`"));
    }
    let mut objects = manifests::read_documents(&documents, &manifests::Options::default(), problems);
    owned::make_anew(&mut objects);
    let catalog = Catalog::new([&objects], Vec::new());
    if catalog.workloads.is_empty() {
        return Ok(None);
    }
    let mut entries = guess::entries(&catalog, &objects);
    entries.truncate(MOST_ENTRIES);
    let servers = guess::servers(&catalog, &objects, &entries);
    let machine = guess::machine(&catalog, &objects);
    let base = rounded(guess::capacity(&catalog, &servers, &entries) / 3.0);
    let writer = Writer { catalog: &catalog, objects: &objects, entries: &entries, servers: &servers, machine, base };
    Ok(Some(Draft { text: writer.file(name, path), said: writer.said() }))
}

/// One or two digits that are easy to read; at least 1.
fn rounded(rate: f64) -> f64 {
    let mut unit = 1.0;
    while rate / unit >= 100.0 {
        unit *= 10.0;
    }
    if rate.is_finite() { ((rate / unit).floor() * unit).max(1.0) } else { 10.0 }
}

struct Writer<'w> {
    catalog: &'w Catalog<'w>,
    objects: &'w Objects,
    entries: &'w [ObjectKey],
    servers: &'w [Server<'w, 'w>],
    machine: Machine,
    /// Requests per second on an ordinary day.
    base: f64,
}

/// As a scenario names it: without namespace `default`.
fn short(key: &ObjectKey) -> String {
    if &*key.namespace == "default" { key.name.to_string() } else { key.to_string() }
}

/// A JSON string is a YAML string, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Writer<'_> {
    fn file(&self, name: &str, path: &str) -> String {
        let mut text = format!(
            "# A first scenario for the manifests in {path}, made by `wavetank init --from`.\n\
             #\n\
             # What the manifests do not say is guessed and marked so: put your own numbers there. `wavetank explain spec.behaviors`\n\
             # says what a field means, `wavetank validate` checks the file, `wavetank run` plays it.\n\
             apiVersion: wavetank.dev/v1\nkind: Scenario\nmetadata: {{name: {name}}}\nspec:\n  duration: 20m\n  warmup: 2m\n  \
             seeds: {{from: 1, count: 3}}\n"
        );
        self.cluster(&mut text);
        let _ = writeln!(text, "  manifests:\n    - path: {}", quoted(path));
        self.behaviors(&mut text);
        self.traffic(&mut text);
        text.push_str("  faults:\n    - {name: power-loss, at: 14m, kind: NodeChaos, action: node-poweroff, mode: one, duration: 3m}\n");
        if !self.entries.is_empty() {
            text.push_str("  marks:\n    - {name: spike, at: 5m}\n");
        }
        self.expectations(&mut text);
        text
    }

    fn cluster(&self, text: &mut String) {
        if !self.objects.nodes.is_empty() {
            text.push_str("  # The manifests bring their nodes: no pool is needed.\n");
            return;
        }
        let Machine { cpu, memory_gib, initial, most } = self.machine;
        let (labels, resources) = guess::demands(self.catalog);
        let more: String = resources.iter().map(|(name, amount)| format!(", {}: \"{amount}\"", quoted(name))).collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => {
                let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{}: {}", quoted(key), quoted(value))).collect();
                format!(", labels: {{{}}}", pairs.join(", "))
            }
        };
        let _ = write!(
            text,
            "  cluster:\n    zones: [a, b, c]\n    nodePools:\n      - name: general\n        # Guessed: room for all pods with a third to \
             spare. The cluster autoscaler works between min and max.\n        \
             count: {{min: {min}, max: {most}, initial: {initial}}}\n        spreadOver: zones\n        \
             template: {{capacity: {{cpu: \"{cpu}\", memory: {memory_gib}Gi, pods: \"110\"{more}}}{labels}}}\n        \
             provisioning: {{distribution: lognormal, median: 75s, p95: 140s}}   # guessed: from an order to a node\n",
            min = initial.min(3),
        );
    }

    fn behaviors(&self, text: &mut String) {
        if self.servers.is_empty() {
            return;
        }
        text.push_str(
            "  # Guessed: what a request costs, how long pods take to start, and (from addresses in environment, arguments and\n  \
             # ConfigMaps) who calls whom on every request.\n  behaviors:\n",
        );
        for server in self.servers {
            let workload = server.workload;
            let kind = workload.kind.as_str().to_ascii_lowercase();
            let millis = if server.is_entry { ENTRY_MILLIS } else { CALLED_MILLIS };
            let queue = CONCURRENCY * 2;
            let _ = write!(
                text,
                "    - workload: {kind}/{}\n      startup: {{imagePull: {{median: 4s, p95: 9s}}, ready: {{median: 3s, p95: 6s}}}}\n",
                short(&workload.key),
            );
            if server.calls.is_empty() {
                let _ = writeln!(
                    text,
                    "      service: {{cpuPerRequest: {{mean: {millis}ms, cv: 1}}, concurrency: {CONCURRENCY}, queueLimit: {queue}}}"
                );
                continue;
            }
            let _ = write!(
                text,
                "      service:\n        cpuPerRequest: {{mean: {millis}ms, cv: 1}}\n        concurrency: {CONCURRENCY}\n        \
                 queueLimit: {queue}\n        calls:\n"
            );
            for call in &server.calls {
                let _ = writeln!(text, "          - {{to: {}, timeout: 1s}}", short(call));
            }
        }
    }

    fn traffic(&self, text: &mut String) {
        if self.entries.is_empty() {
            return;
        }
        let (base, peak) = (self.base, self.base * 10.0);
        let others: Vec<String> = self
            .catalog
            .services
            .iter()
            .map(|service| service.meta.key())
            .filter(|key| !self.entries.contains(key) && !self.catalog.behind(key).is_empty())
            .map(|key| short(&key))
            .collect();
        let others = match &others[..] {
            [] => String::new(),
            _ => format!("\n  # Where they come in is a guess, too; other Services with pods are {}.", others.join(", ")),
        };
        let _ = write!(
            text,
            "  # Guessed: an ordinary day takes a third of the cpu that pods request, and the spike is ten times as \
             much.{others}\n  traffic:\n    sources:\n"
        );
        for entry in self.entries {
            let who = if self.entries.len() == 1 { "users".to_owned() } else { format!("users-of-{}", entry.name) };
            let _ = write!(
                text,
                "      - name: {who}\n        to: {}\n        \
                 rate: {{shape: spike, base: {base}/s, peak: {peak}/s, at: 5m, rampUp: 2m, hold: 4m, rampDown: 2m}}\n        timeout: 2s\n",
                short(entry)
            );
        }
    }

    fn expectations(&self, text: &mut String) {
        text.push_str("  expectations:\n");
        for entry in self.entries {
            let service = short(entry);
            let _ = write!(
                text,
                "    - {{metric: availability, where: {{service: {service}}}, window: 1m, stat: min, op: \">=\", value: 99%}}\n    \
                 - {{metric: latency.p99, where: {{service: {service}}}, op: \"<=\", value: 1s}}\n"
            );
        }
        if !self.entries.is_empty() {
            text.push_str("    - {metric: recovery.total, where: {mark: spike}, op: \"<=\", value: 6m}\n");
        }
        text.push_str(
            "    - {metric: recovery.total, where: {fault: power-loss}, op: \"<=\", value: 7m}\n    \
             - {metric: pods.pending, stat: last, op: \"==\", value: 0, severity: warning}\n",
        );
    }

    fn said(&self) -> Vec<String> {
        let count = |count: usize, noun: &str| if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") };
        let Machine { cpu, memory_gib, initial, most } = self.machine;
        let mut said =
            vec![format!("{} and {}", count(self.catalog.workloads.len(), "workload"), count(self.catalog.services.len(), "Service"))];
        if self.objects.nodes.is_empty() {
            said.push(format!("guessed: {initial} nodes of {cpu} cpus and {memory_gib} GiB, up to {most}"));
        }
        if self.entries.is_empty() {
            said.push("no Service has pods behind it: the scenario has no traffic".to_owned());
            return said;
        }
        let names: Vec<String> = self.entries.iter().map(short).collect();
        let calls: usize = self.servers.iter().map(|server| server.calls.len()).sum();
        said.push(format!("guessed: users come in at {}, {}/s and {}/s in the spike", names.join(", "), self.base, self.base * 10.0));
        said.push(format!("guessed: {} between services, from addresses that pods are given", count(calls, "call")));
        said
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Files that are nowhere but here.
    struct Files(BTreeMap<&'static str, String>);

    impl FileSource for Files {
        fn read(&self, path: &str) -> Result<Option<String>, String> {
            Ok(self.0.get(path).cloned())
        }
        fn matching(&self, pattern: &str) -> Vec<String> {
            let folder = pattern.trim_end_matches('*');
            self.0.keys().filter(|path| path.starts_with(folder)).map(|path| (*path).to_owned()).collect()
        }
    }

    fn service(name: &str, more: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]{more}}}\n---\n"
        )
    }

    fn deployment(name: &str, container: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: {{app: \
             {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec: {{containers: [{{name: a, image: x, resources: \
             {{requests: {{cpu: 500m, memory: 256Mi}}, limits: {{cpu: 1}}}}{container}}}]}}\n---\n"
        )
    }

    fn drafted(files: &[(&'static str, String)]) -> (Option<Draft>, Problems) {
        let mut problems = Problems::default();
        let files = Files(files.iter().cloned().collect());
        (draft("mine", "deploy", &files, &mut problems).unwrap_or_default(), problems)
    }

    /// Lines of the draft that begin so, without what stands before.
    fn lines<'d>(draft: &'d Draft, begins: &str) -> Vec<&'d str> {
        draft.text.lines().filter_map(|line| line.trim_start().strip_prefix(begins)).collect()
    }

    #[test]
    fn who_calls_whom_is_read_from_addresses_and_never_in_a_circle() {
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {orders: \"http://orders/v1\"}\n---\n";
        let web = deployment("web", ", env: [{name: CART_ADDR, value: \"cart:80\"}], envFrom: [{configMapRef: {name: settings}}]");
        let cart = deployment("cart", ", args: [\"--orders=orders.default.svc:80\"]");
        let orders = deployment("orders", ", env: [{name: CART_HOST, value: cart}, {name: COLOR, value: web}]");
        let services: String = ["web", "cart", "orders"].iter().map(|name| service(name, "")).collect();
        let (draft, problems) = drafted(&[("deploy/a.yaml", map.to_owned() + &web + &cart), ("deploy/b.yml", orders + &services)]);
        assert!(!problems.has_errors());
        let draft = draft.expect("pods are there");
        assert_eq!(lines(&draft, "to: "), ["web"], "{}", draft.text);
        assert_eq!(
            lines(&draft, "- {to: "),
            ["cart, timeout: 1s}", "orders, timeout: 1s}", "orders, timeout: 1s}"],
            "web calls both, cart calls orders, and orders not back: {}",
            draft.text
        );
    }

    #[test]
    fn users_come_in_where_an_ingress_leads_or_the_type_says_so() {
        let pods: String = ["a", "b", "c"].iter().map(|name| deployment(name, "")).collect();
        let ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec: {rules: [{http: {paths: [{path: /, \
                       pathType: Prefix, backend: {service: {name: c, port: {number: 80}}}}]}}]}\n---\n";
        let plain: String = ["a", "b", "c"].iter().map(|name| service(name, "")).collect();
        let typed = service("a", "") + &service("b", ", type: LoadBalancer") + &service("c", "");
        for (manifests, entry) in [(plain.clone() + ingress, "c"), (typed.clone() + ingress, "c"), (typed, "b"), (plain, "a")] {
            let (draft, _) = drafted(&[("deploy/all.yaml", pods.clone() + &manifests)]);
            assert_eq!(lines(&draft.expect("pods are there"), "to: "), [entry]);
        }
    }

    #[test]
    fn nodes_have_room_for_the_largest_pod_and_are_no_crowd() {
        let machine = |replicas: u32, cpu: &str| {
            let text = deployment("big", "")
                .replace("replicas: 2", &format!("replicas: {replicas}"))
                .replace("500m", cpu)
                .replace("cpu: 1}", "cpu: 60}");
            let (draft, _) = drafted(&[("deploy/a.yaml", text)]);
            let said = draft.expect("pods are there").said.join("; ");
            said.split("; ").find_map(|words| words.strip_prefix("guessed: ")).unwrap_or_default().to_owned()
        };
        assert_eq!(machine(2, "500m"), "3 nodes of 4 cpus and 16 GiB, up to 6");
        assert_eq!(machine(1, "6"), "3 nodes of 16 cpus and 64 GiB, up to 6");
        assert_eq!(machine(200, "500m"), "10 nodes of 16 cpus and 64 GiB, up to 20");
        assert_eq!(machine(1, "50"), "3 nodes of 96 cpus and 384 GiB, up to 6");
    }

    #[test]
    fn without_pods_there_is_nothing_to_begin_with() {
        let (draft, problems) = drafted(&[("deploy/a.yaml", service("web", ""))]);
        assert!(draft.is_none() && !problems.has_errors());
    }
}
