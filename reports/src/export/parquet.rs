//! The table of metrics as Parquet, for tools that read columns; only with feature `parquet`.
//!
//! Format: github.com/apache/parquet-format. Columns are those of the CSV; text is dictionary-coded, pages are
//! compressed with snappy.
//!
//! Invariant: equal runs give equal bytes: the writer names no time, and its dictionaries are in order of appearance.
//!
//! Not here: Arrow.

use std::io::{self, Write};
use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;
use api::SimDuration;

use super::csv::samples;
use crate::fold::Run;

const SCHEMA: &str = "message samples {
    REQUIRED BINARY policy (UTF8);
    REQUIRED INT64 seed (INTEGER(64, false));
    REQUIRED DOUBLE at_seconds;
    REQUIRED BINARY metric (UTF8);
    REQUIRED BINARY labels (UTF8);
    REQUIRED DOUBLE value;
}";

/// Rows that are held in memory and written together.
const GROUP: usize = 1 << 18;

/// Columns of rows that are not written yet. Equal text is kept once.
#[derive(Default)]
struct Rows {
    at_seconds: Vec<f64>,
    metric: Vec<ByteArray>,
    labels: Vec<ByteArray>,
    value: Vec<f64>,
}

/// Text at the end of a column.
fn push(column: &mut Vec<ByteArray>, text: &str) {
    let same = column.last().filter(|last| last.data() == text.as_bytes()).cloned();
    column.push(same.unwrap_or_else(|| ByteArray::from(text)));
}

fn column<T: DataType>(group: &mut SerializedRowGroupWriter<'_, impl Write + Send>, values: &[T::T]) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else { return Err(ParquetError::General("a column too many".into())) };
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}

impl Rows {
    fn write(&mut self, run: &Run<'_>, writer: &mut SerializedFileWriter<impl Write + Send>) -> io::Result<()> {
        let rows = std::mem::take(self);
        let count = rows.value.len();
        let mut group = writer.next_row_group()?;
        column::<ByteArrayType>(&mut group, &vec![ByteArray::from(&*run.header.policy); count])?;
        column::<Int64Type>(&mut group, &vec![run.header.seed.cast_signed(); count])?;
        column::<DoubleType>(&mut group, &rows.at_seconds)?;
        column::<ByteArrayType>(&mut group, &rows.metric)?;
        column::<ByteArrayType>(&mut group, &rows.labels)?;
        column::<DoubleType>(&mut group, &rows.value)?;
        group.close()?;
        Ok(())
    }
}

/// Writes every metric every `resolution`, a sample a row.
///
/// # Errors
/// Those of the writer.
pub fn series_parquet(run: &Run<'_>, resolution: SimDuration, out: impl Write + Send) -> io::Result<()> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties: WriterPropertiesPtr = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(out, schema, properties)?;
    let mut rows = Rows::default();
    samples(run, resolution, &mut |at, metric, labels, value| {
        rows.at_seconds.push(at.as_secs_f64());
        push(&mut rows.metric, metric);
        push(&mut rows.labels, labels);
        rows.value.push(value);
        if rows.value.len() == GROUP { rows.write(run, &mut writer) } else { Ok(()) }
    })?;
    if !rows.value.is_empty() {
        rows.write(run, &mut writer)?;
    }
    writer.close()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::series_csv;
    use crate::testing;
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
    use ::parquet::record::RowAccessor as _;

    #[test]
    fn what_is_read_back_is_the_table_of_the_csv() {
        let trace = testing::node_failure(1);
        let (run, resolution) = (Run::new(&trace), SimDuration::from_secs(15));
        let written = || {
            let mut bytes = Vec::new();
            series_parquet(&run, resolution, &mut bytes).unwrap();
            bytes
        };
        let bytes = written();
        assert!(bytes == written(), "equal runs give equal bytes");
        let mut table = Vec::new();
        series_csv(&run, resolution, &mut table).unwrap();
        let mut lines = ::csv::Reader::from_reader(&table[..]);
        let mut expected = lines.records();
        let (csv_bytes, parquet_bytes) = (table.len(), bytes.len());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        for row in reader.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let told = [
                row.get_string(0).unwrap().clone(),
                row.get_ulong(1).unwrap().to_string(),
                row.get_double(2).unwrap().to_string(),
                row.get_string(3).unwrap().clone(),
                row.get_string(4).unwrap().clone(),
                row.get_double(5).unwrap().to_string(),
            ];
            let line = expected.next().expect("as many rows").unwrap();
            assert_eq!(told.iter().map(String::as_str).collect::<Vec<_>>(), line.iter().collect::<Vec<_>>());
        }
        assert!(expected.next().is_none(), "as many rows");
        assert!(parquet_bytes * 10 < csv_bytes, "{parquet_bytes} bytes instead of {csv_bytes}");
    }
}
