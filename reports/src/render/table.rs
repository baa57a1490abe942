//! A table in kubectl's style: aligned by spaces, no borders.

use std::fmt;

use serde::Serialize;

/// Rows under headings.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Table {
    /// Headings.
    pub columns: Vec<String>,
    /// Rows, each as long as the headings.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|column| (*column).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The lines, each beginning with `indent`, columns three spaces apart, nothing trailing.
    #[must_use]
    pub fn lines(&self, indent: &str, gap: usize) -> Vec<String> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.chain(self.columns.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let headed = !self.columns.iter().all(String::is_empty);
        let all = headed.then_some(&self.columns).into_iter().chain(&self.rows);
        all.map(|row| {
            let mut line = indent.to_owned();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width + gap - cell.chars().count()));
            }
            line.truncate(line.trim_end().len());
            line
        })
        .collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines("", 3).iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
