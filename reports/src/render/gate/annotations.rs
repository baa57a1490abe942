//! Annotations: what is wrong, at its line, as GitHub shows it in a pull request.
//!
//! Invariant: at most ten of each level, the most that GitHub shows of one step; the last one counts those left out.

use super::{expectation, standing_text, what_came, worse};
use crate::gate::Tested;
use crate::verdict::Outcome;

/// How loud.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// What fails.
    Error,
    /// What should be looked at.
    Warning,
    /// Good to know.
    Notice,
}

impl Level {
    const fn command(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// One thing to be said at a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Annotation {
    /// How loud.
    pub level: Level,
    /// The file, if it is one of the project's.
    pub file: Option<String>,
    /// Line from 1; zero for none.
    pub line: u32,
    /// Column from 1; zero for none.
    pub column: u32,
    /// A few words.
    pub title: String,
    /// What is wrong.
    pub message: String,
}

/// The most of one level.
const MOST: usize = 10;

/// As workflow commands of GitHub Actions, one per line.
#[must_use]
pub fn github_annotations(annotations: &[Annotation]) -> String {
    let mut text = String::new();
    for level in [Level::Error, Level::Warning, Level::Notice] {
        let of_level: Vec<&Annotation> = annotations.iter().filter(|annotation| annotation.level == level).collect();
        let shown = if of_level.len() > MOST { MOST - 1 } else { of_level.len() };
        of_level[..shown].iter().for_each(|annotation| text.push_str(&command(annotation)));
        if shown < of_level.len() {
            let message = format!("and {} more; the log and the summary have all of them", of_level.len() - shown);
            text.push_str(&format!("::{} title=wavetank::{message}\n", level.command()));
        }
    }
    text
}

fn command(annotation: &Annotation) -> String {
    let mut properties = Vec::new();
    if let Some(file) = &annotation.file {
        properties.push(format!("file={}", property(file)));
        if annotation.line > 0 {
            properties.push(format!("line={}", annotation.line));
        }
        if annotation.column > 0 {
            properties.push(format!("col={}", annotation.column));
        }
    }
    properties.push(format!("title={}", property(&annotation.title)));
    format!("::{} {}::{}\n", annotation.level.command(), properties.join(","), data(&annotation.message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// What is to be said of scenarios: expectations that failed, metrics that are worse, runs that were stopped.
#[must_use]
pub fn tested_annotations(all: &[Tested]) -> Vec<Annotation> {
    all.iter().flat_map(of_one).collect()
}

fn of_one(tested: &Tested) -> Vec<Annotation> {
    let is_file = tested.lines.iter().any(|line| *line > 0);
    let at = |level: Level, line: u32, title: String, message: String| Annotation {
        level,
        file: is_file.then(|| tested.source.clone()),
        line,
        column: 0,
        title,
        message,
    };
    let mut said = Vec::new();
    for (seed, why) in &tested.stopped {
        said.push(at(Level::Error, 0, format!("{}: stopped early", tested.title()), format!("seed {seed} was stopped: {why}")));
    }
    for (index, judged) in tested.verdict.expectations.iter().enumerate() {
        let level = match (&*judged.severity, judged.outcome) {
            (_, Outcome::Pass) => continue,
            ("error", _) => Level::Error,
            ("warning", _) => Level::Warning,
            _ => Level::Notice,
        };
        let line = tested.lines.get(index).copied().unwrap_or(0);
        let what = if judged.outcome == Outcome::Fail { "expectation failed" } else { "expectation without data" };
        said.push(at(level, line, format!("{}: {what}", tested.title()), format!("{}: {}", expectation(judged), what_came(judged))));
    }
    for standing in worse(tested) {
        let line = tested.verdict.expectations.iter().position(|judged| judged.formula() == standing.row.title());
        let line = line.and_then(|index| tested.lines.get(index)).copied().unwrap_or(0);
        let title = format!("{}: worse than the baseline", tested.title());
        said.push(at(Level::Error, line, title, format!("{} is {}", standing.row.title(), standing_text(standing))));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_github_would_take_for_its_own_is_escaped_and_what_it_would_not_show_is_counted() {
        let annotation = Annotation {
            level: Level::Error,
            file: Some("scenarios/a,b:c.yaml".into()),
            line: 3,
            column: 7,
            title: "a: 100%".into(),
            message: "99% of\nall".into(),
        };
        let text = github_annotations(std::slice::from_ref(&annotation));
        assert_eq!(text, "::error file=scenarios/a%2Cb%3Ac.yaml,line=3,col=7,title=a%3A 100%25::99%25 of%0Aall\n");
        let many: Vec<Annotation> = (0..25).map(|_| annotation.clone()).collect();
        let text = github_annotations(&many);
        assert_eq!(text.lines().count(), 10);
        assert!(text.ends_with("::error title=wavetank::and 16 more; the log and the summary have all of them\n"), "{text}");
        assert_eq!(github_annotations(&many[..10]).lines().count(), 10);
    }
}
