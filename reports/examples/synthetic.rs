//! Writes the page and the text of the synthetic traces into a folder, to be looked at.

use std::path::PathBuf;

use wavetank_reports::render::{PageOptions, TextOptions, page, text};
use wavetank_reports::{Measures, judge, testing};

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".to_owned()));
    for (name, make) in [("black-friday", testing::black_friday as fn(u64) -> trace::Trace), ("node-failure", testing::node_failure)] {
        let runs: Vec<Measures> = (1..=5).map(|seed| Measures::of_trace(&make(seed))).collect();
        let verdict = judge(&runs);
        let options = TextOptions { colour: false, utf8: true, wall: Some("6.1 s"), report: Some("out/report.html") };
        let drawn = make(verdict.worst_seed.unwrap_or(1));
        std::fs::write(folder.join(format!("{name}.html")), page(&[drawn], &runs, &verdict, &PageOptions::default()))?;
        std::fs::write(folder.join(format!("{name}.txt")), text(&runs, &verdict, &options))?;
    }
    Ok(())
}
