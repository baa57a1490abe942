//! The rules that diagnostics name, with an explanation each. Data only; `wavetank explain WT0104` prints it.

/// One rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// `WT` and four digits: 01 syntax and types, 02 references, 03 faults, 04 fidelity, 05 feasibility.
    pub code: &'static str,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// What it means and what to do, in a paragraph.
    pub explanation: &'static str,
}

/// All rules, by code.
#[must_use]
pub const fn rules() -> &'static [Rule] {
    RULES
}

/// The rule called `code`.
#[must_use]
pub fn rule(code: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.code.eq_ignore_ascii_case(code))
}

const fn rule_of(code: &'static str, title: &'static str, explanation: &'static str) -> Rule {
    Rule { code, title, explanation }
}

const RULES: &[Rule] = &[
    rule_of(
        "WT0101",
        "the text cannot be read",
        "The file is not well-formed YAML or JSON at the place shown. Usual causes are tabs in the indentation, a missing quote or bracket, and template syntax (`{{ … }}`) that was never rendered. Files are read as YAML 1.2 with merge keys; only `true` and `false` are booleans. Other documents of the same file are still read.",
    ),
    rule_of(
        "WT0102",
        "duplicate key",
        "A mapping holds the same key twice. YAML leaves open which one counts, and readers disagree, so it is refused. Keep one of the two.",
    ),
    rule_of(
        "WT0103",
        "too large or too deep",
        "The document exceeds the budget that protects against bombs: 4 MiB and 250,000 nodes for scenario files, more for manifests, and 64 levels of nesting. Every use of an alias counts as the nodes it stands for.",
    ),
    rule_of(
        "WT0104",
        "not a quantity",
        "A resource amount is a decimal number with an optional suffix: n u m (small), k M G T P E (powers of 1000), Ki Mi Gi Ti Pi Ei (powers of 1024), or an exponent such as 1e3. `500m` of cpu is half a cpu; `512Mi` is memory. `m` on memory means thousandths of a byte and is nearly always a slip.",
    ),
    rule_of(
        "WT0105",
        "wrong type",
        "The field holds a value of another type than its API type declares, for example a number where a string belongs. Numbers and true/false in string fields need quotes.",
    ),
    rule_of(
        "WT0106",
        "unknown field",
        "A scenario file has a field that the format does not know. Scenario files are read strictly, because a misspelt setting that is silently ignored makes a result wrong.",
    ),
    rule_of(
        "WT0107",
        "required field missing",
        "The object lacks a field without which the API server (or the scenario format) would not accept it.",
    ),
    rule_of("WT0108", "unknown value", "The field takes one of a few words, and this is none of them. Words are case-sensitive."),
    rule_of(
        "WT0109",
        "value out of range",
        "The number lies outside what the API server (or the scenario format) accepts, for example negative replicas.",
    ),
    rule_of(
        "WT0110",
        "not a valid name or label",
        "Names of objects are DNS names: lower-case letters, digits, `-` and, for most kinds, `.`, beginning and ending with a letter or digit. Label keys are an optional DNS prefix with `/` and up to 63 characters of letters, digits, `-`, `_`, `.`; label values the same up to 63 characters, or empty.",
    ),
    rule_of(
        "WT0111",
        "not a duration",
        "A duration is one or more numbers with units, as Go writes them: `90s`, `1h30m`, `1.5s`, `300ms`.",
    ),
    rule_of(
        "WT0112",
        "not a count or a percentage",
        "The field takes a whole number of pods or a percentage of them with the sign, such as `25%`.",
    ),
    rule_of(
        "WT0113",
        "not a Kubernetes object",
        "A manifest is a mapping with `apiVersion`, `kind` and `metadata`. Files for other tools (kustomization.yaml, Helm values and templates, compose files) are not manifests: render them first and give the result.",
    ),
    rule_of(
        "WT0114",
        "API version is no longer served",
        "Kubernetes 1.36 does not serve this version of the kind; a real API server answers `no matches for kind`. Move the object to the version shown; `kubectl convert` does it.",
    ),
    rule_of(
        "WT0115",
        "request exceeds limit",
        "A container asks for more of a resource than its limit lets it use. The API server refuses that.",
    ),
    rule_of(
        "WT0116",
        "name used twice",
        "Two items that are told apart by name have the same one: containers or volumes of a pod, or two objects of one kind in one namespace.",
    ),
    rule_of(
        "WT0117",
        "fields exclude each other",
        "At most (or exactly) one of the fields shown may be set, because each would answer the same question in its own way.",
    ),
    rule_of(
        "WT0118",
        "invalid value",
        "The value has the right type but does not say anything the API server (or the scenario format) accepts.",
    ),
    rule_of(
        "WT0119",
        "cannot set this",
        "`--set path=value` names a path that the scenario does not have, or a value that is not YAML. Paths are dotted (`spec.duration`); items of lists are chosen by index (`[0]`) or by a field (`[name=general]`). `spec.` may be left out.",
    ),
    rule_of(
        "WT0201",
        "selector does not match the template",
        "A workload finds its pods by `spec.selector`. The labels of its pod template must satisfy it, or it would make pods for ever without seeing them; the API server refuses that.",
    ),
    rule_of(
        "WT0202",
        "no such PriorityClass",
        "A pod names a priority class that no manifest defines. The API server would refuse the pod. Add the PriorityClass; `system-cluster-critical` and `system-node-critical` are built in.",
    ),
    rule_of(
        "WT0203",
        "reference to nothing",
        "An object refers to another one by name that is not among the manifests, for example an autoscaler to its Deployment.",
    ),
    rule_of("WT0204", "no such volume", "A container mounts a volume that the pod does not list under `spec.volumes`."),
    rule_of(
        "WT0205",
        "no such object in the scenario",
        "A name in the scenario (a service, a workload, a fault, a mark, a node pool) refers to something that the scenario does not have.",
    ),
    rule_of(
        "WT0206",
        "no such policy",
        "The scheduling policy is neither built in nor a file. `wavetank list policies` shows the built-in ones.",
    ),
    rule_of("WT0207", "no such metric", "An expectation names a metric that does not exist. `wavetank list metrics` shows all."),
    rule_of(
        "WT0208",
        "file not found",
        "A scenario names a file, or a pattern of files, that is not there. Paths are relative to the scenario file.",
    ),
    rule_of(
        "WT0209",
        "name of a scenario part used twice",
        "Traffic sources, faults, marks and expectations are told apart by name in reports, so each name may be used once.",
    ),
    rule_of(
        "WT0210",
        "selector matches no pod",
        "A Service or a behavior selects pods by labels that no pod of the scenario has. Nobody would answer for the Service, and the behavior would have no effect. Compare the selector with the labels of the pod templates.",
    ),
    rule_of(
        "WT0211",
        "calls go in a circle",
        "A service calls another one that, directly or through others, calls it again, so that one request would cause requests without end. Services that call each other for different requests are two services here.",
    ),
    rule_of("WT0301", "no such fault", "The fault's kind or action is none that the simulator knows. `wavetank list faults` shows all."),
    rule_of("WT0302", "fault hits nothing", "The fault's selector matches no object of the scenario, so it would do nothing."),
    rule_of(
        "WT0303",
        "fault outside the run",
        "The fault begins after the end of the run, or lasts beyond it, so that recovery cannot be measured.",
    ),
    rule_of(
        "WT0310",
        "Chaos Mesh kind not supported",
        "The Chaos Mesh object is of a kind or action that cannot be translated. It is an error and not a warning, because a fault that silently does not happen makes the result worthless.",
    ),
    rule_of(
        "WT0401",
        "workload accepted, not simulated",
        "The object is read and checked, but its controller is not simulated: it makes no pods. ReplicationControllers still count where scheduling looks at them (default spreading). `# wavetank: allow WT0401` above the line, or `--allow WT0401`, hides the message.",
    ),
    rule_of(
        "WT0402",
        "objects carried, not simulated",
        "Objects of this kind have no effect on what is simulated. They are carried along, neither checked nor used, and named once per kind.",
    ),
    rule_of(
        "WT0403",
        "unknown field in a manifest",
        "The API type of Kubernetes 1.36 has no such field. An API server drops it with a warning (`kubectl apply --validate=strict` refuses it); usually it is a spelling mistake or wrong indentation, and what was meant is not in force.",
    ),
    rule_of(
        "WT0411",
        "field accepted, not simulated",
        "The field is valid, and a real cluster would act on it, but the simulator does not. The result may differ from reality where it matters. `# wavetank: allow WT0411` on the line or above it, or `--allow WT0411`, hides the message once you decided that it does not matter.",
    ),
    rule_of(
        "WT0501",
        "pod fits no node",
        "No node of the cluster, nor any node that a node pool could add, is large enough or has the labels and taints for the pod, even when empty. It would stay Pending for ever.",
    ),
    rule_of(
        "WT0502",
        "disruption budget can never be met",
        "A PodDisruptionBudget asks for as many (or more) healthy pods as its workload has, so that no drain can ever finish.",
    ),
    rule_of(
        "WT0503",
        "spike beyond capacity",
        "The offered load exceeds what the workload could serve with all the replicas and nodes it may get. A run will show overload; the message says it before.",
    ),
    rule_of(
        "WT0504",
        "autoscaler cannot compute a utilization",
        "A HorizontalPodAutoscaler aims at a percentage of what pods request, and a container of its target requests nothing of that resource. A real one reports FailedGetResourceMetric and never scales. Add a request, or aim at an averageValue.",
    ),
    rule_of(
        "WT0505",
        "nobody serves the metric of an autoscaler",
        "A HorizontalPodAutoscaler of type Pods, Object or External names a metric that the scenario's `metrics` do not give, so that it will report FailedGetPodsMetric, FailedGetObjectMetric or FailedGetExternalMetric, as in a cluster whose adapter does not know it.",
    ),
    rule_of(
        "WT0506",
        "a vertical autoscaler knows nothing",
        "A VerticalPodAutoscaler learns from what containers use, and no behavior says what the pods of its target use: neither `memoryOverTime` nor a `service` that is asked. It will recommend nothing.",
    ),
    rule_of(
        "WT0507",
        "requests counted together near a tipping point",
        "What a Service is offered, alone or with all attempts of everyone, is within 5 % of what its pods can serve. There chance decides between collapse and recovery, and requests counted together (`traffic.engine: cohort`) have no chance in them. Take `engine: exact` for the verdict, or a load further from the threshold.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_sorted_unique_and_explained() {
        assert!(RULES.windows(2).all(|pair| pair[0].code < pair[1].code));
        for rule in RULES {
            assert!(rule.explanation.len() > 60 && rule.explanation.ends_with('.'), "{}", rule.code);
        }
        assert_eq!(rule("wt0104").map(|rule| rule.title), Some("not a quantity"));
    }

    #[test]
    fn every_code_in_this_crate_has_a_rule() {
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let files = |folder: std::path::PathBuf| std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        for path in files(source.clone()).chain(files(source.join("convert"))) {
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            for (at, _) in text.match_indices("\"WT0") {
                let code = &text[at + 1..at + 7];
                if !code[2..].bytes().all(|b| b.is_ascii_digit()) {
                    continue;
                }
                assert!(rule(code).is_some(), "{code} in {}", path.display());
            }
        }
    }
}
