//! `metrics.csv`: tidy long form, one number per line.

use crate::Measures;

/// The first line.
pub const CSV_HEADER: [&str; 7] = ["job", "policy", "seed", "metric", "stat", "where", "value"];

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
