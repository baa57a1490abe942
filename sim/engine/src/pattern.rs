//! Regular expressions, as far as names of node groups need them: literals, `.`, `[a-z]`, `[^…]`, `\d`, `\w`,
//! `\s`, `\.`, groups `(…)` and `(?:…)`, `|`, `^`, `$`, and `*`, `+`, `?`.
//!
//! Invariants: a pattern matches anywhere in a text unless it is anchored, as Go's `FindStringIndex` does. Whether
//! it matches is asked by following all possibilities at once, so no pattern takes exponential time.
//!
//! Deliberately not here: `{n,m}`, back-references, flags, captures, Unicode classes. They are errors.

/// A pattern that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    steps: Vec<Step>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    /// One character of these ranges, or (true) none of them.
    One(Vec<(char, char)>, bool),
    Start,
    End,
    /// Goes on at both places.
    Either(usize, usize),
    Jump(usize),
    Match,
}

#[derive(Debug)]
enum Part {
    Empty,
    One(Vec<(char, char)>, bool),
    Start,
    End,
    All(Vec<Part>),
    Any(Vec<Part>),
    /// At least this often (0 or 1), and more than once or not.
    Repeat(Box<Part>, bool, bool),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// What is not a regular expression, or not one of those understood here, in words.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text.chars().collect(), at: 0 };
        let part = reader.alternatives()?;
        if reader.at < reader.rest.len() {
            return Err("`)` without `(`".to_owned());
        }
        let mut steps = Vec::new();
        emit(&part, &mut steps);
        steps.push(Step::Match);
        Ok(Self { steps })
    }

    /// Whether it matches somewhere in `text`.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let mut now = vec![false; self.steps.len()];
        for at in 0..=text.len() {
            self.follow(0, at, text.len(), &mut now);
            if now.last() == Some(&true) {
                return true;
            }
            let Some(letter) = text.get(at) else { return false };
            let mut next = vec![false; self.steps.len()];
            for (place, step) in self.steps.iter().enumerate().filter(|(place, _)| now[*place]) {
                if let Step::One(ranges, negated) = step
                    && ranges.iter().any(|(from, to)| (from..=to).contains(&letter)) != *negated
                {
                    self.follow(place + 1, at + 1, text.len(), &mut next);
                }
            }
            now = next;
            if now.last() == Some(&true) {
                return true;
            }
        }
        false
    }

    fn follow(&self, place: usize, at: usize, end: usize, reached: &mut [bool]) {
        let mut todo = vec![place];
        while let Some(place) = todo.pop() {
            if std::mem::replace(&mut reached[place], true) {
                continue;
            }
            match &self.steps[place] {
                Step::Either(one, other) => todo.extend([*one, *other]),
                Step::Jump(to) => todo.push(*to),
                Step::Start if at == 0 => todo.push(place + 1),
                Step::End if at == end => todo.push(place + 1),
                _ => {}
            }
        }
    }
}

fn emit(part: &Part, steps: &mut Vec<Step>) {
    match part {
        Part::Empty => {}
        Part::One(ranges, negated) => steps.push(Step::One(ranges.clone(), *negated)),
        Part::Start => steps.push(Step::Start),
        Part::End => steps.push(Step::End),
        Part::All(parts) => parts.iter().for_each(|part| emit(part, steps)),
        Part::Any(parts) => {
            let mut ends = Vec::new();
            for (number, part) in parts.iter().enumerate() {
                let fork = steps.len();
                steps.push(Step::Jump(fork + 1));
                emit(part, steps);
                if number + 1 < parts.len() {
                    ends.push(steps.len());
                    steps.push(Step::Match); // Becomes a jump to the end.
                    steps[fork] = Step::Either(fork + 1, steps.len());
                }
            }
            for end in ends {
                steps[end] = Step::Jump(steps.len());
            }
        }
        Part::Repeat(part, at_least_once, often) => {
            let start = steps.len();
            if !at_least_once {
                steps.push(Step::Match); // Becomes a fork around the part.
            }
            let inner = steps.len();
            emit(part, steps);
            if *often {
                steps.push(Step::Either(inner, steps.len() + 1));
            }
            if !at_least_once {
                steps[start] = Step::Either(inner, steps.len());
            }
        }
    }
}

struct Reader {
    rest: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let letter = self.peek();
        self.at += usize::from(letter.is_some());
        letter
    }

    fn alternatives(&mut self) -> Result<Part, String> {
        let mut parts = vec![self.sequence()?];
        while self.peek() == Some('|') {
            self.at += 1;
            parts.push(self.sequence()?);
        }
        Ok(Part::Any(parts))
    }

    fn sequence(&mut self) -> Result<Part, String> {
        let mut parts = Vec::new();
        while let Some(letter) = self.peek().filter(|letter| !"|)".contains(*letter)) {
            self.at += 1;
            let part = self.atom(letter)?;
            parts.push(self.repeated(part));
        }
        Ok(if parts.is_empty() { Part::Empty } else { Part::All(parts) })
    }

    fn repeated(&mut self, part: Part) -> Part {
        let (at_least_once, often) = match self.peek() {
            Some('*') => (false, true),
            Some('+') => (true, true),
            Some('?') => (false, false),
            _ => return part,
        };
        self.at += 1;
        if self.peek() == Some('?') {
            self.at += 1; // Whether it matches is the same when it is lazy.
        }
        Part::Repeat(Box::new(part), at_least_once, often)
    }

    fn atom(&mut self, letter: char) -> Result<Part, String> {
        Ok(match letter {
            '.' => Part::One(vec![('\n', '\n')], true),
            '^' => Part::Start,
            '$' => Part::End,
            '(' => self.group()?,
            '[' => self.class()?,
            '\\' => {
                let (ranges, negated) = self.escape()?;
                Part::One(ranges, negated)
            }
            '*' | '+' | '?' => return Err(format!("nothing to repeat before `{letter}`")),
            '{' => return Err("`{` is not understood here".to_owned()),
            plain => Part::One(vec![(plain, plain)], false),
        })
    }

    fn group(&mut self) -> Result<Part, String> {
        if self.peek() == Some('?') {
            self.at += 1;
            if self.take() != Some(':') {
                return Err("`(?` is understood as `(?:` only".to_owned());
            }
        }
        let part = self.alternatives()?;
        if self.take() == Some(')') { Ok(part) } else { Err("`(` without `)`".to_owned()) }
    }

    fn escape(&mut self) -> Result<(Vec<(char, char)>, bool), String> {
        let word = || vec![('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')];
        let space = || vec![(' ', ' '), ('\t', '\t'), ('\n', '\n'), ('\r', '\r')];
        match self.take() {
            Some('d') => Ok((vec![('0', '9')], false)),
            Some('D') => Ok((vec![('0', '9')], true)),
            Some('w') => Ok((word(), false)),
            Some('W') => Ok((word(), true)),
            Some('s') => Ok((space(), false)),
            Some('S') => Ok((space(), true)),
            Some(letter) if !letter.is_ascii_alphanumeric() => Ok((vec![(letter, letter)], false)),
            Some(letter) => Err(format!("`\\{letter}` is not understood here")),
            None => Err("`\\` at the end".to_owned()),
        }
    }

    fn class(&mut self) -> Result<Part, String> {
        let negated = self.peek() == Some('^');
        self.at += usize::from(negated);
        let mut ranges = Vec::new();
        loop {
            let letter = self.take().ok_or("`[` without `]`")?;
            if letter == ']' && !ranges.is_empty() {
                return Ok(Part::One(ranges, negated));
            }
            if letter == '\\' {
                let (own, inverse) = self.escape()?;
                if inverse {
                    return Err("a class within a class is not understood here".to_owned());
                }
                ranges.extend(own);
                continue;
            }
            let is_range = self.peek() == Some('-') && self.rest.get(self.at + 1).is_some_and(|end| *end != ']');
            let end = if is_range {
                self.at += 1;
                self.take().unwrap_or(letter)
            } else {
                letter
            };
            if end < letter {
                return Err(format!("the range `{letter}-{end}` is upside down"));
            }
            ranges.push((letter, end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, text, matches) in [
            (".*", "", true),
            ("spot", "eu-spot-1", true),
            ("^spot", "eu-spot-1", false),
            ("spot$", "eu-spot", true),
            ("^(spot|cheap)-[a-c]+$", "cheap-abc", true),
            ("^(spot|cheap)-[a-c]+$", "cheap-abd", false),
            ("a.c", "abc", true),
            ("a\\.c", "abc", false),
            ("a?b", "b", true),
            ("^a?b$", "aab", false),
            ("(?:x|y)*z", "xyxyz", true),
            ("^[^-]+-\\d\\d$", "pool-42", true),
            ("^[^-]+-\\d\\d$", "pool-4", false),
            ("", "anything", true),
            ("a||b", "", true),
            ("^(a*)*$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false),
            ("[a-]x", "-x", true),
        ] {
            assert_eq!(Pattern::new(pattern).map(|pattern| pattern.is_in(text)), Ok(matches), "{pattern} in {text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for pattern in ["(", "a)", "[a", "*a", "a{2}", "\\b", "(?i)a", "[z-a]", "a\\"] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
    }
}
