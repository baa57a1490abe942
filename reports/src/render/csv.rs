//! `metrics.csv`: tidy long form, one number per line.

use std::collections::{BTreeMap, BTreeSet};

use crate::Measures;

/// The first line.
const CSV_HEADER: [&str; 7] = ["job", "policy", "seed", "metric", "stat", "where", "value"];

/// All numbers of all runs; `jobs` gives each run's job id beside it.
#[must_use]
pub fn metrics_csv<'a>(jobs: impl IntoIterator<Item = (&'a str, &'a Measures)>) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let mut result = writer.write_record(CSV_HEADER);
    for (job, measures) in jobs {
        let seed = measures.seed.to_string();
        for value in &measures.values {
            let filter: Vec<String> = value.filter.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let (filter, number) = (filter.join(";"), value.value.to_string());
            result =
                result.and_then(|()| writer.write_record([job, &measures.policy, &seed, &value.metric, &value.stat, &filter, &number]));
        }
    }
    // Writing to memory cannot fail; if it did, half a file would be worse than none.
    let bytes = result.ok().and_then(|()| writer.into_inner().ok()).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// Where the runs of a comparison or a sweep stand.
#[derive(Clone, Copy, Debug)]
pub struct CsvPoint<'a> {
    /// Job id.
    pub job: &'a str,
    /// Name of the point.
    pub point: &'a str,
    /// What a sweep varies, by path.
    pub parameters: &'a BTreeMap<String, String>,
}

/// All numbers of all points, with a column per parameter.
#[must_use]
pub fn points_csv<'a>(runs: impl Iterator<Item = (&'a CsvPoint<'a>, &'a Measures)> + Clone) -> String {
    let parameters: BTreeSet<&str> = runs.clone().flat_map(|(point, _)| point.parameters.keys()).map(String::as_str).collect();
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let head = ["job", "point", "policy"].into_iter().chain(parameters.iter().copied()).chain(["seed", "metric", "stat", "where", "value"]);
    let mut result = writer.write_record(head);
    for (point, measures) in runs {
        let seed = measures.seed.to_string();
        for value in &measures.values {
            let filter: Vec<String> = value.filter.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let (filter, number) = (filter.join(";"), value.value.to_string());
            let varied = parameters.iter().map(|path| point.parameters.get(*path).map_or("", String::as_str));
            let row = [point.job, point.point, &measures.policy].into_iter().chain(varied);
            let row = row.chain([seed.as_str(), &value.metric, &value.stat, &filter, &number]);
            result = result.and_then(|()| writer.write_record(row));
        }
    }
    let bytes = result.ok().and_then(|()| writer.into_inner().ok()).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}
