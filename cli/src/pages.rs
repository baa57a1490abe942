//! Pages on their way to a file: how large one may be, and the command that each says makes it again.
//!
//! Invariant: what is said about a work comes from its manifest alone, so a page made by merging parts is the one that
//! a single machine would have made.

use reports::render;

use crate::error::CliError;
use crate::jobs::{AboutPoint, Kind, Manifest};
use crate::results;

/// A page, unless it is too large for a browser.
pub(crate) fn fitting(page: String) -> Result<String, CliError> {
    let bytes = page.len();
    if bytes <= render::PAGE_LIMIT_BYTES {
        return Ok(page);
    }
    Err(CliError::asked(
        format!(
            "the page would have {} MB; {} MB are the most that a browser takes well",
            bytes.div_ceil(1_000_000),
            render::PAGE_LIMIT_BYTES / 1_000_000
        ),
        "the other results are written; leave the page out with `--no-report`, or take fewer seeds, policies or points",
    ))
}

/// The command that does a work again.
pub(crate) fn command(manifest: &Manifest) -> String {
    let common = common_set(&manifest.points);
    let mut words = vec!["wavetank".to_owned(), manifest.kind.as_str().to_owned(), manifest.source.clone()];
    let mut flag = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    match manifest.kind {
        Kind::Comparison => {
            for point in &manifest.points {
                if point.set.len() > common.len() {
                    point.set[common.len()..].iter().for_each(|change| flag("--variant", &format!("{}:{change}", point.name)));
                } else if !point.policy_source.is_empty() {
                    flag("-p", &point.policy_source);
                }
            }
            if manifest.points.first().is_some_and(|point| point.name != manifest.reference) {
                flag("--reference", &manifest.reference);
            }
            manifest.judging.metrics.iter().for_each(|metric| flag("--metric", metric));
            manifest.judging.margins.iter().for_each(|margin| flag("--margin", margin));
            if manifest.judging.alpha != 0.05 {
                flag("--alpha", &manifest.judging.alpha.to_string());
            }
        }
        Kind::Sweep => {
            let mut policies: Vec<&str> = Vec::new();
            for point in manifest.points.iter().filter(|point| !point.policy_source.is_empty()) {
                if !policies.contains(&point.policy_source.as_str()) {
                    policies.push(&point.policy_source);
                }
            }
            policies.into_iter().for_each(|policy| flag("-p", policy));
            manifest.asked.iter().for_each(|parameter| flag("--param", parameter));
            if let Some(points) = manifest.lhs {
                flag("--lhs", &points.to_string());
            }
        }
        Kind::Search => {
            if let Some(first) = manifest.points.first().filter(|point| !point.policy_source.is_empty()) {
                flag("-p", &first.policy_source);
            }
            if let Some(searched) = &manifest.search {
                flag("--param", &format!("{}={}..{}", searched.parameter, searched.low, searched.high));
                flag("--tolerance", &searched.tolerance.to_string());
            }
        }
    }
    common.iter().for_each(|change| flag("--set", change));
    if let Some(until) = &manifest.until {
        flag("--until", until);
    }
    if let Some(range) = range(&manifest.seeds()) {
        flag("--seeds", &range);
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// The command that does a run again.
pub(crate) fn run_command(manifest: &results::Manifest) -> String {
    let mut words = vec!["wavetank".to_owned(), "run".to_owned(), manifest.source.clone()];
    let mut flag = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    if let Some(policy) = &manifest.policy_override {
        flag("-p", policy);
    }
    manifest.set.iter().for_each(|change| flag("--set", change));
    if let Some(until) = &manifest.until {
        flag("--until", until);
    }
    if let Some(most) = manifest.max_events {
        flag("--max-events", &most.to_string());
    }
    if let Some(range) = range(&manifest.jobs.iter().map(|job| job.seed).collect::<Vec<_>>()) {
        flag("--seeds", &range);
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// `A..B` of ascending seeds, if none is left out between them.
fn range(seeds: &[u64]) -> Option<String> {
    let (first, last) = (seeds.first()?, seeds.last()?);
    (last.checked_sub(*first)? + 1 == seeds.len() as u64).then(|| format!("{first}..{last}"))
}

/// Changes that all points begin with: those of the whole work.
fn common_set(points: &[AboutPoint]) -> &[String] {
    let Some(first) = points.first() else { return &[] };
    let own = |point: &AboutPoint| point.set.len().saturating_sub(point.parameters.len());
    let most = points.iter().map(own).min().unwrap_or(0);
    let same = |index: &usize| points.iter().all(|point| point.set[*index] == first.set[*index]);
    &first.set[..(0..most).take_while(same).count()]
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_through_a_shell_as_they_are() {
        for (word, written) in [("a=1,2", "a=1,2"), ("pools[0].count=3", "'pools[0].count=3'"), ("it's", "'it'\\''s'"), ("", "''")] {
            assert_eq!(quoted(word), written);
        }
    }

    #[test]
    fn a_page_beyond_the_limit_is_refused_with_what_to_do() {
        assert!(fitting("x".repeat(1000)).is_ok());
        let Err(CliError::Asked { message, help: Some(help), .. }) = fitting("x".repeat(render::PAGE_LIMIT_BYTES + 1)) else {
            panic!("it was taken");
        };
        assert!(message.contains("11 MB") && help.contains("--no-report"), "{message} {help}");
    }
}
