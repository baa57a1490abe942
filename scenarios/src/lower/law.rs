//! Distributions.

use api::SimDuration;
use engine::random::Distribution;
use manifests::{Diagnostic, Pointer};
use serde_json::Value;

use crate::cx::Cx;
use crate::format::{DurationText, Law};

/// What a bare duration means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bare {
    /// It is always that.
    Constant,
    /// It is the mean of an exponential distribution.
    Mean,
}

const NAMES: &[(&str, Form)] = &[
    ("constant", Form::Constant),
    ("exponential", Form::Exponential),
    ("lognormal", Form::Lognormal),
    ("uniform", Form::Uniform),
    ("weibull", Form::Weibull),
    ("empirical", Form::Empirical),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Constant,
    Exponential,
    Lognormal,
    MeanCv,
    Uniform,
    Weibull,
    Empirical,
}

/// The distribution at `path`.
pub(crate) fn law(cx: &mut Cx<'_>, path: &Pointer, bare: Bare) -> Option<Distribution> {
    if !cx.value(path).is_some_and(Value::is_object) {
        let scalar: DurationText = cx.read(path)?;
        let span = cx.duration(&scalar, path)?;
        return Some(match bare {
            Bare::Mean if !span.is_zero() => Distribution::Exponential { mean: span },
            Bare::Mean | Bare::Constant => Distribution::Constant(span),
        });
    }
    let fields: Law = cx.read(path)?;
    if fields.cached_per_node == Some(false) {
        cx.not_simulated(&path.key("cachedPerNode"), "a node keeps the images it pulled");
    }
    let form = form(cx, &fields, path)?;
    Reader { cx, path }.read(form, &fields)
}

fn form(cx: &mut Cx<'_>, fields: &Law, path: &Pointer) -> Option<Form> {
    if let Some(name) = &fields.distribution {
        let form = cx.word(name, NAMES, &path.key("distribution"))?;
        let by_mean = form == Form::Lognormal && fields.median.is_none() && fields.mean.is_some();
        return Some(if by_mean { Form::MeanCv } else { form });
    }
    let implied = [
        (fields.median.is_some(), Form::Lognormal),
        (fields.mean.is_some(), Form::MeanCv),
        (fields.min.is_some() || fields.max.is_some(), Form::Uniform),
        (fields.scale.is_some() || fields.shape.is_some(), Form::Weibull),
        (fields.values.is_some() || fields.path.is_some(), Form::Empirical),
        (fields.value.is_some(), Form::Constant),
    ];
    let found = implied.iter().find(|(holds, _)| *holds).map(|(_, form)| *form);
    if found.is_none() {
        let diagnostic = Diagnostic::error("WT0107", "a distribution without its values").label("no distribution is named");
        cx.push(diagnostic.help("such as {distribution: lognormal, median: 8s, p95: 25s}, {mean: 5ms, cv: 1}, or a bare duration"), path);
    }
    found
}

struct Reader<'c, 'a> {
    cx: &'c mut Cx<'a>,
    path: &'c Pointer,
}

impl Reader<'_, '_> {
    fn read(mut self, form: Form, fields: &Law) -> Option<Distribution> {
        match form {
            Form::Constant => Some(Distribution::Constant(self.span("value", fields.value.as_ref())?)),
            Form::Exponential => {
                let mean = self.span("mean", fields.mean.as_ref())?;
                Some(if mean.is_zero() { Distribution::Constant(mean) } else { Distribution::Exponential { mean } })
            }
            Form::Lognormal => self.lognormal(fields),
            Form::MeanCv => {
                let mean = self.span("mean", fields.mean.as_ref())?;
                let cv = self.cx.within(fields.cv.unwrap_or(1.0), 0.0, "a coefficient of variation", &self.path.key("cv"))?;
                Some(Distribution::mean_cv(mean, cv))
            }
            Form::Uniform => {
                let (min, max) = (self.span("min", fields.min.as_ref())?, self.span("max", fields.max.as_ref())?);
                self.ordered(min, max, "max", "is less than min")?;
                Some(Distribution::Uniform { min, max })
            }
            Form::Weibull => {
                let scale = self.span("scale", fields.scale.as_ref())?;
                let shape = self.required("shape", fields.shape)?;
                let shape = self.cx.within(shape, 0.01, "a shape", &self.path.key("shape"))?;
                Some(Distribution::Weibull { scale, shape })
            }
            Form::Empirical => self.empirical(fields),
        }
    }

    fn lognormal(&mut self, fields: &Law) -> Option<Distribution> {
        let median = self.span("median", fields.median.as_ref())?;
        let (name, quantile) = match (&fields.p95, &fields.p99) {
            (Some(p95), None) => ("p95", p95),
            (None, Some(p99)) => ("p99", p99),
            (Some(_), Some(_)) => {
                self.cx.error(
                    "WT0117",
                    "p95 and p99 exclude each other",
                    "two points, median and one of these, fix a lognormal",
                    &self.path.key("p99"),
                );
                return None;
            }
            (None, None) => {
                self.required::<()>("p95", None);
                return None;
            }
        };
        let quantile = self.span(name, Some(quantile))?;
        if median.is_zero() {
            self.cx.error("WT0109", "a lognormal with median 0", "expected more than 0s", &self.path.key("median"));
            return None;
        }
        self.ordered(median, quantile, name, "is less than the median")?;
        if quantile == median {
            return Some(Distribution::Constant(median));
        }
        Some(if name == "p95" {
            Distribution::lognormal_median_p95(median, quantile)
        } else {
            Distribution::lognormal_median_p99(median, quantile)
        })
    }

    fn empirical(&mut self, fields: &Law) -> Option<Distribution> {
        let mut values = Vec::new();
        for (index, value) in fields.values.iter().flatten().enumerate() {
            values.push(self.cx.duration(value, &self.path.key("values").index(index))?);
        }
        if let Some(file) = &fields.path {
            let at = self.path.key("path");
            let file = self.cx.file(file, &at)?;
            values = super::load::durations(self.cx, &file, fields.column.as_deref(), &at)?;
        }
        if values.is_empty() {
            self.required::<()>("values", None);
            return None;
        }
        values.sort_unstable();
        Some(Distribution::Empirical(values))
    }

    fn ordered(&mut self, low: SimDuration, high: SimDuration, name: &str, words: &str) -> Option<()> {
        if low <= high {
            return Some(());
        }
        self.cx.error("WT0109", format!("`{name}` {words}"), format!("expected at least {low}"), &self.path.key(name));
        None
    }
    fn span(&mut self, name: &str, scalar: Option<&DurationText>) -> Option<SimDuration> {
        let scalar = self.required(name, scalar)?;
        self.cx.duration(scalar, &self.path.key(name))
    }
    fn required<T>(&mut self, name: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            let message = format!("required field `{name}` is missing");
            self.cx.error("WT0107", message, format!("`{name}` belongs here"), self.path);
        }
        value
    }
}
