//! Where a path stands in a JSON text, by one pass over its bytes.
//!
//! Dumps of clusters are JSON of many megabytes, mostly on one line; a tree of spans would cost a minute there. The
//! text is known to be well-formed.

use std::ops::Range;

use crate::locate::Part;

/// The bytes of what `path` leads to; of its deepest part that exists, when it does not exist as a whole.
pub(crate) fn find(text: &str, path: &[String], part: Part) -> Range<usize> {
    let mut scan = Scan { text: text.as_bytes(), at: 0 };
    scan.space();
    let mut best = scan.at..scan.at + 1;
    for (depth, segment) in path.iter().enumerate() {
        let Some(key) = scan.enter(segment) else { return best };
        let is_container = matches!(scan.peek(), Some(b'{' | b'['));
        let is_last = depth + 1 == path.len();
        best = match key {
            Some(key) if is_container || (is_last && part == Part::Key) => key,
            _ if is_container => scan.at..scan.at + 1,
            _ => {
                let mut ahead = scan;
                ahead.skip_value();
                scan.at..ahead.at
            }
        };
    }
    best
}

#[derive(Clone, Copy)]
struct Scan<'t> {
    text: &'t [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Goes to the value of `segment` in the container here. Gives the bytes of its key, if the container has keys;
    /// nothing when there is no such value.
    fn enter(&mut self, segment: &str) -> Option<Option<Range<usize>>> {
        match self.peek()? {
            b'{' => self.enter_entry(segment).map(Some),
            b'[' => self.enter_item(segment.parse().ok()?).map(|()| None),
            _ => None,
        }
    }

    fn enter_entry(&mut self, wanted: &str) -> Option<Range<usize>> {
        loop {
            self.at += 1; // `{` or `,`
            self.space();
            if self.peek()? != b'"' {
                return None;
            }
            let key = self.at;
            self.skip_string();
            let key = key..self.at;
            self.space();
            self.at += 1; // `:`
            self.space();
            let name: Option<String> = self.text.get(key.clone()).and_then(|bytes| serde_json::from_slice(bytes).ok());
            if name.as_deref() == Some(wanted) {
                return Some(key);
            }
            self.skip_value();
            self.space();
            if self.peek()? != b',' {
                return None;
            }
        }
    }

    fn enter_item(&mut self, wanted: usize) -> Option<()> {
        self.at += 1; // `[`
        self.space();
        for _ in 0..wanted {
            self.skip_value();
            self.space();
            if self.peek()? != b',' {
                return None;
            }
            self.at += 1;
            self.space();
        }
        (self.peek()? != b']').then_some(())
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
            }
        }
    }

    fn skip_value(&mut self) {
        let mut depth = 0u32;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.skip_string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth == 0 => return,
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' if depth == 0 => return,
                _ if depth == 0 => {
                    while self.peek().is_some_and(|byte| !b" \t\r\n,]}".contains(&byte)) {
                        self.at += 1;
                    }
                }
                _ => self.at += 1,
            }
            if depth == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_among_strings_escapes_and_nesting() {
        let text = r#" {"a": {"x\"}": [1, {"b": "}{"}, true]}, "last": -1.5e3 , "empty": {}}"#;
        let found = |path: &[&str], part| {
            let path: Vec<String> = path.iter().map(|&segment| segment.to_owned()).collect();
            &text[find(text, &path, part)]
        };
        for (path, part, expected) in [
            (&["a", "x\"}", "1", "b"][..], Part::Value, r#""}{""#),
            (&["a", "x\"}", "1", "b"], Part::Key, r#""b""#),
            (&["a", "x\"}", "2"], Part::Value, "true"),
            (&["a", "x\"}", "1"], Part::Value, "{"),
            (&["a", "x\"}", "9"], Part::Value, r#""x\"}""#),
            (&["a"], Part::Value, r#""a""#),
            (&["last"], Part::Value, "-1.5e3"),
            (&["empty", "no"], Part::Value, r#""empty""#),
            (&["nowhere"], Part::Key, "{"),
            (&[], Part::Value, "{"),
        ] {
            assert_eq!(found(path, part), expected, "{path:?}");
        }
    }
}
