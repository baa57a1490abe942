//! Where records go, and the file they come back from.
//!
//! The file is JSON lines: the header, then `{"t":nanoseconds,"record":"Kind",…}` per record, the last of
//! which is `End`. Compressed files carry no time stamp, so equal runs give equal bytes.

use std::io::{self, BufRead, BufReader, Lines, Read, Write};

use api::SimTime;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::record::Timed;
use crate::{Header, Record, SCHEMA_VERSION};

/// Listens to a run.
pub trait TraceSink {
    /// One fact at its time. Times never go back.
    fn record(&mut self, at: SimTime, record: &Record);
}

/// Keeps everything in memory.
#[derive(Default, Debug)]
pub struct MemorySink {
    /// What was recorded.
    pub records: Vec<(SimTime, Record)>,
}

impl TraceSink for MemorySink {
    fn record(&mut self, at: SimTime, record: &Record) {
        self.records.push((at, record.clone()));
    }
}

/// Tells two sinks.
pub struct Tee<'a>(pub &'a mut dyn TraceSink, pub &'a mut dyn TraceSink);

impl TraceSink for Tee<'_> {
    fn record(&mut self, at: SimTime, record: &Record) {
        self.0.record(at, record);
        self.1.record(at, record);
    }
}

#[derive(Serialize)]
struct LineOut<'a> {
    t: SimTime,
    #[serde(flatten)]
    record: &'a Record,
}

#[derive(Deserialize)]
struct LineIn {
    t: SimTime,
    #[serde(flatten)]
    record: Record,
}

/// Digests the uncompressed file, without a file.
pub struct Digest(JsonlWriter<io::Sink>);

impl Digest {
    /// Begins with the header.
    #[must_use]
    pub fn new(header: &Header) -> Self {
        Self(JsonlWriter::new(io::sink(), header))
    }
    /// The digest in hexadecimal.
    #[must_use]
    pub fn finish(self) -> String {
        self.0.finish().map_or_else(|error| error.to_string(), |(_, digest)| digest)
    }
}

impl TraceSink for Digest {
    fn record(&mut self, at: SimTime, record: &Record) {
        self.0.record(at, record);
    }
}

/// Writes the file, compressed, and digests its uncompressed bytes on the way.
pub struct JsonlWriter<W: Write> {
    out: GzEncoder<W>,
    hash: Sha256,
    line: Vec<u8>,
    error: Option<io::Error>,
}

impl<W: Write> JsonlWriter<W> {
    /// Begins with the header.
    pub fn new(out: W, header: &Header) -> Self {
        let mut writer = Self { out: GzEncoder::new(out, Compression::fast()), hash: Sha256::new(), line: Vec::new(), error: None };
        writer.write_line(header);
        writer
    }

    fn write_line(&mut self, value: &impl Serialize) {
        self.line.clear();
        let written = serde_json::to_writer(&mut self.line, value).map_err(io::Error::from);
        self.line.push(b'\n');
        self.hash.update(&self.line);
        if self.error.is_none() {
            self.error = written.and_then(|()| self.out.write_all(&self.line)).err();
        }
    }

    /// Ends the file and gives its digest in hexadecimal, or the first error met.
    ///
    /// # Errors
    /// When anything could not be written: the run has no valid trace then.
    pub fn finish(self) -> io::Result<(W, String)> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let digest = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((self.out.finish()?, digest))
    }
}

impl<W: Write> TraceSink for JsonlWriter<W> {
    fn record(&mut self, at: SimTime, record: &Record) {
        self.write_line(&LineOut { t: at, record });
    }
}

/// A whole trace.
#[derive(Clone, PartialEq, Debug)]
pub struct Trace {
    /// Its header.
    pub header: Header,
    /// Its records, in order.
    pub records: Vec<(SimTime, Record)>,
}

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file itself.
    #[error("cannot read the trace: {0}")]
    Io(#[from] io::Error),
    /// A line.
    #[error("line {line} of the trace: {source}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Another version.
    #[error("the trace has format version {found}; this program reads version {SCHEMA_VERSION}")]
    Version {
        /// What the file says.
        found: u32,
    },
    /// Cut short.
    #[error("the trace has no `End` record: the run did not finish")]
    Unfinished,
}

impl Trace {
    /// Reads a trace, compressed or plain.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(input: impl Read) -> Result<Self, ReadError> {
        let mut reader = Reader::new(input)?;
        let records = reader.by_ref().collect::<Result<_, _>>()?;
        Ok(Self { header: reader.header, records })
    }
}

/// Reads a trace record by record, compressed or plain.
///
/// Gives every record in order; after the last one, an error unless that was `End`.
pub struct Reader<R: Read> {
    /// The first line.
    pub header: Header,
    lines: Lines<Input<R>>,
    /// Lines read so far.
    line: usize,
    ended: bool,
    done: bool,
}

enum Input<R: Read> {
    Plain(BufReader<R>),
    Compressed(Box<BufReader<GzDecoder<BufReader<R>>>>),
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Compressed(input) => input.read(buffer),
        }
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Plain(input) => input.fill_buf(),
            Self::Compressed(input) => input.fill_buf(),
        }
    }
    fn consume(&mut self, amount: usize) {
        match self {
            Self::Plain(input) => input.consume(amount),
            Self::Compressed(input) => input.consume(amount),
        }
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When it cannot be read, or is of another version.
    pub fn new(input: R) -> Result<Self, ReadError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            schema_version: u32,
        }
        let mut input = BufReader::new(input);
        let compressed = input.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let input = if compressed { Input::Compressed(Box::new(BufReader::new(GzDecoder::new(input)))) } else { Input::Plain(input) };
        let mut lines = input.lines();
        let first = lines.next().ok_or(ReadError::Unfinished)??;
        let at_first = |source| ReadError::Line { line: 1, source };
        let version: Version = serde_json::from_str(&first).map_err(at_first)?;
        if version.schema_version != SCHEMA_VERSION {
            return Err(ReadError::Version { found: version.schema_version });
        }
        let header = serde_json::from_str(&first).map_err(at_first)?;
        Ok(Self { header, lines, line: 1, ended: false, done: false })
    }

    fn read(&mut self) -> Result<Option<Timed>, ReadError> {
        let Some(line) = self.lines.next() else {
            return if self.ended { Ok(None) } else { Err(ReadError::Unfinished) };
        };
        self.line += 1;
        let LineIn { t, record } = serde_json::from_str(&line?).map_err(|source| ReadError::Line { line: self.line, source })?;
        self.ended = matches!(record, Record::End { .. });
        Ok(Some((t, record)))
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Timed, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let read = self.read().transpose();
        self.done = !matches!(read, Some(Ok(_)));
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrafficCounts;
    use api::SimDuration;

    fn header() -> Header {
        Header {
            schema_version: SCHEMA_VERSION,
            wavetank_version: "0".into(),
            scenario: "s".into(),
            description: "".into(),
            scenario_digest: "".into(),
            policy: "default".into(),
            seed: 1,
            duration: SimDuration::from_secs(10),
            warmup: SimDuration::ZERO,
            start: "".into(),
            traffic_engine: "exact".into(),
            questions: vec![],
            notes: vec![],
        }
    }

    fn written() -> (Vec<u8>, String, Vec<(SimTime, Record)>) {
        let mut latency = crate::Histogram::default();
        latency.record(12_345_678);
        let counts = TrafficCounts { arrived: 3, succeeded: 1, in_flight: 2, ..TrafficCounts::default() };
        let window = SimDuration::from_secs(5);
        let records = vec![
            (
                SimTime::from_secs(5),
                Record::Traffic { flow: "f".into(), external: true, service: "default/s".into(), window, counts, latency },
            ),
            (
                SimTime::from_secs(6),
                Record::Event {
                    kind: "Normal".into(),
                    reason: "Scheduled".into(),
                    object: "Pod/a/b".into(),
                    message: "m".into(),
                    source: "x".into(),
                },
            ),
            (SimTime::from_secs(10), Record::End { events: 1, traffic_events: 2, reason: "horizon".into() }),
        ];
        let mut writer = JsonlWriter::new(Vec::new(), &header());
        records.iter().for_each(|(at, record)| writer.record(*at, record));
        let (bytes, digest) = writer.finish().unwrap();
        (bytes, digest, records)
    }

    #[test]
    fn what_is_written_is_read_back_and_twice_the_same() {
        let (bytes, digest, records) = written();
        let trace = Trace::read(&bytes[..]).unwrap();
        assert_eq!((trace.header, trace.records), (header(), records));
        assert_eq!((&bytes, &digest), (&written().0, &written().1));
    }

    #[test]
    fn a_cut_file_and_a_newer_version_are_refused() {
        let text = serde_json::to_string(&header()).unwrap();
        assert!(matches!(Trace::read(text.as_bytes()), Err(ReadError::Unfinished)));
        let newer = text.replace("\"schemaVersion\":1", "\"schemaVersion\":9");
        assert!(matches!(Trace::read(newer.as_bytes()), Err(ReadError::Version { found: 9 })));
    }
}
