//! A chart as a picture that needs no script: for print, and where scripts are off. Drawn by plotters.
//!
//! Invariants: colour is never alone: lines differ in their dashes too. No fonts are read; the browser has them.

use api::SimTime;
use plotters::prelude::*;

use super::chart::{Chart, Scale};
use crate::series::min_max;

const WIDTH: u32 = 900;
const HEIGHT: u32 = 220;
/// Points per line: a picture is not more than this many pixels wide.
const POINTS: usize = 240;

/// Okabe and Ito's palette; the same order as in the style sheet.
const PALETTE: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(204, 121, 167),
    RGBColor(240, 228, 66),
    RGBColor(90, 90, 90),
];

/// The picture; empty when it cannot be drawn.
pub(super) fn picture(chart: &Chart, end: SimTime) -> String {
    let mut svg = String::new();
    if draw(&mut svg, chart, end.as_secs_f64().max(1.0)).is_err() {
        return String::new();
    }
    // It scales with the page instead of having a size of its own.
    let named = format!("viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\" ", super::encode::escape(&chart.title));
    let sized = format!("width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" ");
    let mut svg = svg.replace(&sized, &named);
    // Plotters draws dashes as single strokes; the format has a word for them. A chart's lines differ in colour.
    for series in chart.series.iter().filter(|series| series.dash > 0) {
        let RGBColor(red, green, blue) = PALETTE[series.color];
        let stroke = format!("stroke=\"#{red:02X}{green:02X}{blue:02X}\" ");
        svg = svg.replace(&stroke, &format!("{stroke}stroke-dasharray=\"{}\" ", DASHES[series.dash % DASHES.len()]));
    }
    svg
}

/// The same as in the script.
const DASHES: [&str; 4] = ["", "7 4", "2 3", "9 3 2 3"];

type Failure = Box<dyn std::error::Error>;

fn draw(svg: &mut String, chart: &Chart, seconds: f64) -> Result<(), Failure> {
    let values = stacked(chart);
    let known = || values.iter().flatten().flatten().copied();
    let top = known().fold(0.0, f64::max);
    let area = SVGBackend::with_string(svg, (WIDTH, HEIGHT)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut builder = ChartBuilder::on(&area);
    builder.margin(8).margin_right(120).x_label_area_size(24).y_label_area_size(56);
    let time = |x: &f64| clock(*x);
    if chart.log {
        let low = known().filter(|value| *value > 0.0).fold(f64::MAX, f64::min).min(top).max(1e-6);
        let mut frame = builder.build_cartesian_2d(0.0..seconds, (low..top.max(low * 10.0)).log_scale())?;
        frame
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_labels(8)
            .y_labels(5)
            .x_label_formatter(&time)
            .y_label_formatter(&|y| label(chart.scale, *y))
            .draw()?;
        for (series, y) in chart.series.iter().zip(&values) {
            let color = PALETTE[series.color];
            frame.draw_series(pieces(&chart.x, y, series.step).into_iter().map(|piece| PathElement::new(piece, color.stroke_width(2))))?;
        }
    } else {
        let mut frame = builder.build_cartesian_2d(0.0..seconds, 0.0..(top * 1.05).max(1e-9))?;
        frame
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_labels(8)
            .y_labels(5)
            .x_label_formatter(&time)
            .y_label_formatter(&|y| label(chart.scale, *y))
            .draw()?;
        for (series, y) in chart.series.iter().zip(&values) {
            let color = PALETTE[series.color];
            frame.draw_series(pieces(&chart.x, y, series.step).into_iter().map(|piece| PathElement::new(piece, color.stroke_width(2))))?;
        }
    }
    for (index, series) in chart.series.iter().enumerate() {
        let (x, y) = (WIDTH as i32 - 112, 16 + 18 * index as i32);
        area.draw(&PathElement::new(vec![(x, y + 6), (x + 16, y + 6)], PALETTE[series.color].stroke_width(3)))?;
        area.draw(&Text::new(series.label, (x + 22, y), ("sans-serif", 12)))?;
    }
    area.present()?;
    Ok(())
}

/// Values as drawn: stacked lines on top of those before them.
fn stacked(chart: &Chart) -> Vec<Vec<Option<f64>>> {
    let mut below = vec![0.0; chart.x.len()];
    let mut all = Vec::new();
    for series in &chart.series {
        let values = series.y.iter().enumerate().map(|(index, value)| {
            let value = (*value)?;
            if series.stack {
                below[index] += value;
            }
            Some(if series.stack { below[index] } else { value })
        });
        all.push(values.collect());
    }
    all
}

/// The line in pieces between its gaps, thinned.
fn pieces(x: &[f64], y: &[Option<f64>], step: bool) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    for index in min_max(y, POINTS) {
        let (Some(piece), at) = (pieces.last_mut(), x[index]) else { continue };
        match y[index] {
            Some(value) => {
                let before = piece.last().map(|(_, value)| *value).filter(|before| step && *before != value);
                piece.extend(before.map(|before| (at, before)));
                piece.push((at, value));
            }
            None => pieces.push(Vec::new()),
        }
    }
    pieces.retain(|piece| piece.len() > 1);
    pieces
}

fn clock(seconds: f64) -> String {
    let whole = (seconds + 0.5) as u64;
    if whole >= 3600 {
        format!("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
    } else {
        format!("{}:{:02}", whole / 60, whole % 60)
    }
}

/// A value on an axis or in a table.
pub(super) fn label(scale: Scale, value: f64) -> String {
    let short = |value: f64| match value.abs() {
        v if v >= 1e6 => format!("{:.1} M", value / 1e6),
        v if v >= 1e4 => format!("{:.1} k", value / 1e3),
        v if v >= 100.0 || value == value.trunc() => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    };
    match scale {
        Scale::Count => short(value),
        Scale::PerSecond => format!("{}/s", short(value)),
        Scale::Seconds => crate::metrics::seconds(value),
        Scale::Cores => format!("{} cores", short(value)),
        Scale::Gibibytes => format!("{} GiB", short(value)),
        Scale::Money => format!("{value:.2}"),
    }
}
