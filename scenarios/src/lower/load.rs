//! Columns of CSV files: recorded load, measured durations.

use api::{SimDuration, SimTime};
use engine::spec::RatePoint;
use manifests::{Diagnostic, Location, Pointer, SourceFile};

use crate::cx::{Cx, with_help};

/// The rates recorded in `file`: a step at each row, nothing after the last row's own length.
pub(crate) fn rates(cx: &mut Cx<'_>, file: &SourceFile, column: Option<&str>, scale: f64, at: &Pointer) -> Option<Vec<RatePoint>> {
    let levels = levels(cx, file, column, at)?;
    let mut points: Vec<RatePoint> =
        levels.iter().map(|(at, rate)| RatePoint { at: *at, per_second: rate * scale, linear: false }).collect();
    let last = points.last()?.at;
    let before = points.len().checked_sub(2).map_or(last, |index| points[index].at);
    let step = last.since(before).max(SimDuration::from_secs(u64::from(points.len() == 1)));
    points.push(RatePoint { at: last + step, per_second: 0.0, linear: false });
    Some(points)
}

/// The numbers recorded in `file`, with their times since the first row; never empty.
pub(crate) fn levels(cx: &mut Cx<'_>, file: &SourceFile, column: Option<&str>, at: &Pointer) -> Option<Vec<(SimTime, f64)>> {
    let table = Table::read(cx, file, at)?;
    let column = table.column(cx, column, 1, at)?;
    let mut levels: Vec<(SimTime, f64)> = Vec::with_capacity(table.rows.len());
    for (line, row) in &table.rows {
        let seconds = table.number(cx, *line, row, 0)?;
        let level = table.number(cx, *line, row, column)?;
        let time = SimTime::ZERO + SimDuration::from_secs_f64(seconds);
        if levels.last().is_some_and(|(last, _)| *last >= time) {
            table.wrong(cx, *line, "the time does not go up");
            return None;
        }
        levels.push((time, level));
    }
    let first = levels.first()?.0;
    for (at, _) in &mut levels {
        *at = SimTime::ZERO + at.since(first);
    }
    Some(levels)
}

/// The durations recorded in `file`: texts with units, or seconds.
pub(crate) fn durations(cx: &mut Cx<'_>, file: &SourceFile, column: Option<&str>, at: &Pointer) -> Option<Vec<SimDuration>> {
    let table = Table::read(cx, file, at)?;
    let column = table.column(cx, column, table.names.len().saturating_sub(1), at)?;
    let mut found = Vec::with_capacity(table.rows.len());
    for (line, row) in &table.rows {
        let cell = row.get(column).map_or("", String::as_str);
        found.push(match cell.parse() {
            Ok(duration) => duration,
            Err(_) => SimDuration::from_secs_f64(table.number(cx, *line, row, column)?),
        });
    }
    Some(found)
}

/// A CSV with a header.
struct Table<'f> {
    file: &'f SourceFile,
    names: Vec<String>,
    /// Line and cells.
    rows: Vec<(u32, Vec<String>)>,
}

impl<'f> Table<'f> {
    fn read(cx: &mut Cx<'_>, file: &'f SourceFile, at: &Pointer) -> Option<Self> {
        cx.included.insert(file.name.to_string(), file.text.to_string());
        let mut reader =
            csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).comment(Some(b'#')).from_reader(file.text.as_bytes());
        let names: Vec<String> = reader.headers().map(|names| names.iter().map(str::to_owned).collect()).unwrap_or_default();
        let mut table = Self { file, names, rows: Vec::new() };
        for record in reader.records() {
            match record {
                Ok(record) => {
                    let line = record.position().map_or(1, |place| place.line() as u32);
                    table.rows.push((line, record.iter().map(str::to_owned).collect()));
                }
                Err(error) => {
                    let line = error.position().map_or(1, |place| place.line() as u32);
                    table.wrong(cx, line, &error.to_string());
                    return None;
                }
            }
        }
        if table.rows.is_empty() {
            cx.error("WT0118", format!("`{}` holds no rows", file.name), "expected a header and one row per step", at);
            return None;
        }
        Some(table)
    }

    fn column(&self, cx: &mut Cx<'_>, name: Option<&str>, usual: usize, at: &Pointer) -> Option<usize> {
        let known: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let found = match name {
            Some(name) => known.iter().position(|known| *known == name),
            None => Some(usual).filter(|usual| *usual < known.len()),
        };
        if found.is_none() {
            let name = name.unwrap_or("(the second)");
            let path = if at.last().as_deref() == Some("path") { at.parent().key("column") } else { at.clone() };
            let diagnostic = Diagnostic::error("WT0205", format!("`{}` has no column `{name}`", self.file.name)).label("no such column");
            cx.push(with_help(diagnostic, manifests::suggestion(name, &known)), &path);
        }
        found
    }

    fn number(&self, cx: &mut Cx<'_>, line: u32, row: &[String], column: usize) -> Option<f64> {
        let cell = row.get(column).map_or("", String::as_str);
        let number = cell.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        if number.is_none() {
            let name = self.names.get(column).map_or("", String::as_str);
            self.wrong(cx, line, &format!("`{cell}` in column `{name}` is not a number of at least 0"));
        }
        number
    }

    fn wrong(&self, cx: &mut Cx<'_>, line: u32, words: &str) {
        let place = Location::new(self.file, line, 1, self.file.line(line).chars().count().max(1) as u32);
        cx.problems.push(Diagnostic::error("WT0118", "invalid value in a CSV").at_place(place).label(words));
    }
}
