//! What must hold.

use std::collections::BTreeMap;

use api::{SimDuration, Str};
use manifests::{Diagnostic, Pointer};
use serde_json::Value;
use trace::Question;

use crate::catalog::Catalog;
use crate::cx::{Cx, rate, share, with_help};
use crate::format::{AmountText, Expectation, NameText};
use crate::{KnownMetric, KnownUnit};

/// The expectations at `path`.
pub(crate) fn expectations(cx: &mut Cx<'_>, catalog: &Catalog<'_>, path: &Pointer) -> Vec<(Question, Pointer)> {
    cx.items(path).into_iter().filter_map(|item| Some((expectation(cx, catalog, &item)?, item))).collect()
}

fn expectation(cx: &mut Cx<'_>, catalog: &Catalog<'_>, path: &Pointer) -> Option<Question> {
    let fields: Expectation = cx.read(path)?;
    let metric = metric(cx, &fields.metric, &path.key("metric"));
    let filter = filter(cx, catalog, metric.as_ref(), &path.key("where"));
    let window = window(cx, &fields, path);
    let over = fields.over.as_deref().unwrap_or("worst");
    let overs: &[(&str, ())] = &[("worst", ()), ("mean", ()), ("median", ()), ("p95", ()), ("seeds", ())];
    let over_known = cx.word(over, overs, &path.key("over"));
    let stat = stat(cx, &fields, metric.as_ref(), over, path);
    let ops: &[(&str, ())] = &[(">=", ()), (">", ()), ("<=", ()), ("<", ()), ("==", ()), ("!=", ())];
    let op = cx.word(&fields.op, ops, &path.key("op"));
    let severity = fields.severity.as_deref().unwrap_or("error");
    let severities: &[(&str, ())] = &[("error", ()), ("warning", ()), ("info", ())];
    let severity_known = cx.word(severity, severities, &path.key("severity"));
    let value = value(cx, &fields.value, metric.as_ref(), &path.key("value"));
    (metric.is_some() && over_known.is_some() && op.is_some() && severity_known.is_some()).then_some(())?;
    Some(Question {
        name: fields.name.as_deref().unwrap_or(&fields.metric).into(),
        metric: fields.metric.as_str().into(),
        filter,
        window: window?,
        stat: stat?.into(),
        over: over.into(),
        op: fields.op.as_str().into(),
        value: value?,
        value_text: fields.value.text.as_str().into(),
        severity: severity.into(),
    })
}

fn metric(cx: &mut Cx<'_>, name: &str, path: &Pointer) -> Option<KnownMetric> {
    let known = &cx.options.known.metrics;
    if let Some(metric) = known.iter().find(|metric| metric.name == name) {
        return Some(metric.clone());
    }
    let names: Vec<&str> = known.iter().map(|metric| metric.name.as_str()).collect();
    let diagnostic = Diagnostic::error("WT0207", format!("unknown metric `{name}` in an expectation"))
        .label("no such metric")
        .note(format!("`wavetank list metrics` shows all {}; `wavetank explain WT0207` for the rule", known.len()));
    let near = manifests::did_you_mean(name, names).map(|near| format!("did you mean `{near}`?"));
    cx.push(with_help(diagnostic, near), path);
    None
}

fn filter(cx: &mut Cx<'_>, catalog: &Catalog<'_>, metric: Option<&KnownMetric>, path: &Pointer) -> BTreeMap<Str, Str> {
    let mut filter = BTreeMap::new();
    let keys: Vec<String> = match cx.value(path) {
        None | Some(Value::Null) => return filter,
        Some(Value::Object(entries)) => entries.keys().cloned().collect(),
        Some(_) => {
            cx.error("WT0105", "wrong type", "expected a mapping such as {service: checkout}", path);
            return filter;
        }
    };
    for key in keys {
        let at = path.key(&key);
        if let Some(metric) = metric.filter(|metric| !metric.filters.contains(&key)) {
            let known: Vec<&str> = metric.filters.iter().map(String::as_str).collect();
            let diagnostic =
                Diagnostic::error("WT0106", format!("`{}` takes no `{key}`", metric.name)).label("not a filter of this metric");
            let diagnostic = with_help(diagnostic, manifests::suggestion(&key, &known));
            cx.problems.push(diagnostic.at(&cx.document, &at, manifests::Part::Key));
            continue;
        }
        let Some(name) = cx.read::<NameText>(&at) else { continue };
        refers(cx, catalog, &key, &name.text, &at);
        filter.insert(key.as_str().into(), name.text.as_str().into());
    }
    range(cx, &filter, path);
    filter
}

/// Whether what a filter names exists.
fn refers(cx: &mut Cx<'_>, catalog: &Catalog<'_>, key: &str, name: &str, at: &Pointer) {
    let spec = Pointer::root().key("spec");
    match key {
        "service" => drop(catalog.service(cx, name, at)),
        "workload" => catalog.workload(cx, name, at),
        "fault" => one_of(cx, "fault", name, &cx.names(&spec.key("faults")), at),
        "mark" => one_of(cx, "mark", name, &cx.names(&spec.key("marks")), at),
        "pool" => one_of(cx, "node pool", name, &cx.names(&spec.key("cluster").key("nodePools")), at),
        "node" => catalog.node(cx, name, at),
        "from" | "to" => {
            let scalar = crate::format::DurationText::new(name, name.parse().ok());
            if let Some(span) = cx.duration(&scalar, at)
                && span > cx.duration
            {
                cx.too_late("WT0109", format!("`{key}` lies behind the end of the run"), at);
            }
        }
        _ => {}
    }
}

fn one_of(cx: &mut Cx<'_>, what: &str, name: &str, known: &[String], at: &Pointer) {
    if !known.iter().any(|known| known == name) {
        cx.no_such(what, name, known, at);
    }
}

fn range(cx: &mut Cx<'_>, filter: &BTreeMap<Str, Str>, path: &Pointer) {
    let time = |key: &str| filter.get(key).and_then(|text| text.parse::<SimDuration>().ok());
    if let (Some(from), Some(to)) = (time("from"), time("to"))
        && from >= to
    {
        cx.error("WT0109", "nothing lies between `from` and `to`", format!("expected more than {from}"), &path.key("to"));
    }
}

fn window(cx: &mut Cx<'_>, fields: &Expectation, path: &Pointer) -> Option<SimDuration> {
    let Some(scalar) = &fields.window else { return Some(SimDuration::ZERO) };
    let at = path.key("window");
    let window = cx.duration(scalar, &at)?;
    if window > cx.duration {
        cx.too_late("WT0109", format!("a window of {window} is longer than the run"), &at);
    }
    Some(window)
}

fn stat(cx: &mut Cx<'_>, fields: &Expectation, metric: Option<&KnownMetric>, over: &str, path: &Pointer) -> Option<String> {
    let Some(stat) = &fields.stat else { return Some(String::new()) };
    let at = path.key("stat");
    const OVER_SEEDS: &[&str] = &["min", "max", "mean", "median", "p50", "p95", "p99"];
    let known: Vec<&str> = match metric {
        _ if over == "seeds" => OVER_SEEDS.to_vec(),
        Some(metric) => metric.stats.iter().map(String::as_str).collect(),
        None => return Some(stat.clone()),
    };
    if known.contains(&stat.as_str()) {
        return Some(stat.clone());
    }
    let label = if known.is_empty() { "this metric is one number" } else { "not a statistic of this metric" };
    let diagnostic = Diagnostic::error("WT0108", format!("unknown value `{stat}`")).label(label);
    cx.push(with_help(diagnostic, manifests::suggestion(stat, &known)), &at);
    None
}

/// The bound, in the metric's own unit.
fn value(cx: &mut Cx<'_>, text: &AmountText, metric: Option<&KnownMetric>, path: &Pointer) -> Option<f64> {
    // Of an unknown metric nothing more is said.
    let metric = metric?;
    let number = text.number.or_else(|| text.text.parse().ok()).filter(|number: &f64| number.is_finite());
    let (found, expected) = match metric.unit {
        KnownUnit::Seconds => {
            let written = text.text.parse::<SimDuration>().ok().map(SimDuration::as_secs_f64);
            (written.or(number), "a duration such as `180s`")
        }
        KnownUnit::Ratio => {
            let written = share(&text.text);
            (written.or(number.filter(|number| *number <= 1.0)), "a percentage such as `99.5%`, or a share from 0 to 1")
        }
        KnownUnit::PerSecond => (rate(&text.text), "a rate such as `300/s`"),
        KnownUnit::Number => (number, "a number"),
    };
    if found.is_none() {
        cx.error("WT0118", format!("`{}` is not a value of {}", text.text, metric.name), format!("expected {expected}"), path);
    }
    found
}
