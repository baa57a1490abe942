//! Which part of the work is done here: `--shard 3/16`, or what the surroundings say (`--shard auto`).
//!
//! Parts are counted from 1 on the command line; array indices of batch systems are counted as each of them does.

use super::{JobRef, Part};
use crate::error::CliError;

/// Reads `i/n` or `auto`; says on which variable `auto` went.
pub(crate) fn parse(text: &str, by_hash: bool, variable: &dyn Fn(&str) -> Option<String>) -> Result<(Part, String), CliError> {
    let (index, count, from) = if text == "auto" {
        automatic(variable)?
    } else {
        let (index, count) = fraction(text, "--shard")?;
        (index, count, String::new())
    };
    if index == 0 || index > count {
        let message = if from.is_empty() {
            format!("`--shard {text}`: there is no part {index} of {count}")
        } else {
            format!("{from}: there is no part {index} of {count}")
        };
        return Err(CliError::usage(message, "parts are counted from 1: `--shard 1/4` to `--shard 4/4`"));
    }
    Ok((Part { index, count, by_hash }, from))
}

fn fraction(text: &str, what: &str) -> Result<(usize, usize), CliError> {
    let parsed = text.split_once('/').and_then(|(index, count)| Some((index.trim().parse().ok()?, count.trim().parse().ok()?)));
    parsed.ok_or_else(|| CliError::usage(format!("`{what} {text}` is not a part"), "write it as `3/16` (the third of sixteen), or `auto`"))
}

/// Where batch systems say which part this is: the index, its first value, the count.
const SYSTEMS: &[(&str, First, &str)] = &[
    ("JOB_COMPLETION_INDEX", First::Zero, "WAVETANK_SHARDS"),
    ("SLURM_ARRAY_TASK_ID", First::In("SLURM_ARRAY_TASK_MIN"), "SLURM_ARRAY_TASK_COUNT"),
    ("AWS_BATCH_JOB_ARRAY_INDEX", First::Zero, "AWS_BATCH_JOB_ARRAY_SIZE"),
    ("BUILDKITE_PARALLEL_JOB", First::Zero, "BUILDKITE_PARALLEL_JOB_COUNT"),
    ("CIRCLE_NODE_INDEX", First::Zero, "CIRCLE_NODE_TOTAL"),
];

#[derive(Clone, Copy)]
enum First {
    Zero,
    In(&'static str),
}

fn automatic(variable: &dyn Fn(&str) -> Option<String>) -> Result<(usize, usize, String), CliError> {
    if let Some(text) = variable("WAVETANK_SHARD") {
        let (index, count) = fraction(&text, "WAVETANK_SHARD =")?;
        return Ok((index, count, format!("WAVETANK_SHARD={text}")));
    }
    for (name, first, count_name) in SYSTEMS {
        let Some(index) = variable(name) else { continue };
        let number = |name: &str, text: Option<String>| {
            let text = text.ok_or_else(|| {
                CliError::usage(format!("{name} is not set, though this runs as part {index} of an array"), "set it to the number of parts")
            })?;
            text.trim()
                .parse::<usize>()
                .map_err(|_| CliError::usage(format!("{name}={text} is not a number"), "give `--shard i/n` instead"))
        };
        let first = match first {
            First::Zero => 0,
            First::In(name) => variable(name).map_or(Ok(0), |text| number(name, Some(text)))?,
        };
        let (place, count) = (number(name, Some(index.clone()))?, number(count_name, variable(count_name))?);
        let place = place
            .checked_sub(first)
            .ok_or_else(|| CliError::usage(format!("{name}={index} is below its first value {first}"), "give `--shard i/n` instead"))?;
        return Ok((place + 1, count, format!("{name}={index}, {count} parts")));
    }
    let names: Vec<&str> = SYSTEMS.iter().map(|(name, ..)| *name).collect();
    Err(CliError::usage(
        "`--shard auto`: nothing here says which part this is",
        format!("set WAVETANK_SHARD=i/n, or run where one of {} is set", names.join(", ")),
    ))
}

/// The jobs of a part. By place: jobs sorted by id in turn, so that slow points are spread; by hash: a job stays in its
/// part when others come or go.
pub(crate) fn select(jobs: &[JobRef], part: Option<Part>) -> Vec<JobRef> {
    let mut unique: Vec<&JobRef> = jobs.iter().collect();
    unique.sort_by(|a, b| a.id.cmp(&b.id));
    unique.dedup_by(|a, b| a.id == b.id);
    let Some(part) = part else { return unique.into_iter().cloned().collect() };
    let mine = |place: usize, job: &JobRef| {
        let key = if part.by_hash { u64::from_str_radix(&job.id, 16).unwrap_or(0) } else { place as u64 };
        key % part.count as u64 == part.index as u64 - 1
    };
    unique.into_iter().enumerate().filter(|(place, job)| mine(*place, job)).map(|(_, job)| job.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(count: u64) -> Vec<JobRef> {
        (0..count)
            .map(|seed| JobRef { id: format!("{:012x}", seed.wrapping_mul(0x9e37_79b9_7f4a) & 0xffff_ffff_ffff), point: 0, seed })
            .collect()
    }

    #[test]
    fn parts_are_disjoint_and_together_everything() {
        for by_hash in [false, true] {
            for count in 1..=7 {
                let mut all: Vec<String> = Vec::new();
                for index in 1..=count {
                    all.extend(select(&jobs(64), Some(Part { index, count, by_hash })).into_iter().map(|job| job.id));
                }
                let mut expected: Vec<String> = jobs(64).into_iter().map(|job| job.id).collect();
                all.sort();
                expected.sort();
                assert_eq!(all, expected, "{count}");
            }
        }
        // By place, none has more than one job above another.
        let sizes: Vec<usize> = (1..=7).map(|index| select(&jobs(64), Some(Part { index, count: 7, by_hash: false })).len()).collect();
        assert!(sizes.iter().all(|size| [9, 10].contains(size)), "{sizes:?}");
    }

    #[test]
    fn batch_systems_are_understood() {
        let told = |pairs: &'static [(&'static str, &'static str)]| {
            let variable = move |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            parse("auto", false, &variable).map(|(part, _)| (part.index, part.count)).ok()
        };
        for (pairs, expected) in [
            (&[("WAVETANK_SHARD", "3/16"), ("JOB_COMPLETION_INDEX", "9")] as &[_], Some((3, 16))),
            (&[("JOB_COMPLETION_INDEX", "0"), ("WAVETANK_SHARDS", "8")], Some((1, 8))),
            (&[("SLURM_ARRAY_TASK_ID", "12"), ("SLURM_ARRAY_TASK_MIN", "10"), ("SLURM_ARRAY_TASK_COUNT", "4")], Some((3, 4))),
            (&[("AWS_BATCH_JOB_ARRAY_INDEX", "2"), ("AWS_BATCH_JOB_ARRAY_SIZE", "3")], Some((3, 3))),
            (&[("CIRCLE_NODE_INDEX", "1"), ("CIRCLE_NODE_TOTAL", "2")], Some((2, 2))),
            (&[("JOB_COMPLETION_INDEX", "8"), ("WAVETANK_SHARDS", "8")], None),
            (&[("JOB_COMPLETION_INDEX", "1")], None),
            (&[], None),
        ] {
            assert_eq!(told(pairs), expected, "{pairs:?}");
        }
        let none = |_: &str| None;
        for wrong in ["0/4", "5/4", "1", "a/b", "1/0", ""] {
            assert!(parse(wrong, false, &none).is_err(), "{wrong}");
        }
    }
}
