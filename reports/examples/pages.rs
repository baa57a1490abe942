//! Makes the page and the text of runs again from their traces alone: `pages OUT FOLDER…`, where each folder is
//! what `wavetank run --out` wrote for one scenario.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use trace::Trace;
use wavetank_reports::render::{PageOptions, TextOptions, page, text};
use wavetank_reports::{Measures, judge};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let out = arguments.next().unwrap_or_else(|| ".".into());
    arguments.try_for_each(|folder| write_one(&out, &folder))
}

fn write_one(out: &Path, folder: &Path) -> io::Result<()> {
    let paths = std::fs::read_dir(folder.join("traces"))?.map(|entry| entry.map(|entry| entry.path()));
    let traces = paths.map(|path| read(&path?)).collect::<io::Result<Vec<Trace>>>()?;
    let runs: Vec<Measures> = traces.iter().map(Measures::of_trace).collect();
    let verdict = judge(&runs);
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let report = format!("{name}.html");
    let options = TextOptions { utf8: true, report: Some(&report), ..TextOptions::default() };
    std::fs::write(out.join(&report), page(&traces, &runs, &verdict, &PageOptions::default()))?;
    std::fs::write(out.join(format!("{name}.txt")), text(&runs, &verdict, &options))
}

fn read(path: &Path) -> io::Result<Trace> {
    Trace::read(BufReader::new(GzDecoder::new(File::open(path)?))).map_err(|error| io::Error::other(format!("{error:?}")))
}
