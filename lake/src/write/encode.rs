//! Encoding rows as one Parquet file, and what the log will say of it.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use onramp_schemas::tables;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::partition::Partition;
use super::{Encoded, SOURCE_COLUMNS, file_schema, stats};
use crate::error::LakeError;
use crate::file::SequenceRange;

const ROW_GROUP_ROWS: usize = 131_072;
/// Session ids are dictionary-encoded up to here; the folding reads them once per distinct value.
const DICTIONARY_BYTES: usize = 4 << 20;
const ZSTD_LEVEL: i32 = 3;
/// Columns in which no value comes twice.
const NO_DICTIONARY: [&str; 2] = ["id", "data"];

/// Turns the rows of one partition into the bytes of one Parquet file.
pub(super) struct Encoder {
    def: &'static tables::Table,
    partition: Partition,
    path: String,
    writer: ArrowWriter<Vec<u8>>,
    taken: usize,
    sequences: BTreeMap<String, (i64, i64)>,
}

impl Encoder {
    pub(super) fn new(
        def: &'static tables::Table,
        partition: Partition,
    ) -> Result<Self, LakeError> {
        let path = format!("{}part-{}.zstd.parquet", partition.folder(), uuid::Uuid::new_v4());
        let writer = ArrowWriter::try_new(Vec::new(), file_schema(def), Some(properties(def)))
            .map_err(|source| LakeError::Parquet { action: "write", table: def.name, source })?;
        Ok(Self { def, partition, path, writer, taken: 0, sequences: BTreeMap::new() })
    }

    pub(super) fn partition(&self) -> &Partition {
        &self.partition
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Adds rows that have the columns of the file.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), LakeError> {
        self.note_sequences(rows);
        self.writer.write(rows).map_err(|source| self.fault(source))
    }

    /// Encoded bytes that wait to be taken.
    pub(super) fn buffered(&self) -> usize {
        self.writer.inner().len()
    }

    /// Bytes of the file so far; a row group counts once it is complete.
    pub(super) fn bytes(&self) -> usize {
        self.taken + self.buffered()
    }

    /// Takes what is encoded so far; the writer counts its offsets by itself.
    pub(super) fn take(&mut self) -> Bytes {
        let bytes = std::mem::take(self.writer.inner_mut());
        self.taken += bytes.len();
        Bytes::from(bytes)
    }

    /// Completes the file. Its bytes are those that were not taken before.
    pub(super) fn finish(mut self, sequences: &[SequenceRange]) -> Result<Encoded, LakeError> {
        let metadata = self.writer.finish().map_err(|source| self.fault(source))?;
        let bytes = std::mem::take(self.writer.inner_mut());
        let own: Vec<SequenceRange> = self
            .sequences
            .into_iter()
            .map(|(app_id, (first, last))| SequenceRange { app_id, first, last })
            .collect();
        Ok(Encoded {
            size: (self.taken + bytes.len()) as i64,
            stats: stats::json(self.def, &metadata).to_string(),
            path: self.path,
            bytes: Bytes::from(bytes),
            partition_values: self
                .partition
                .0
                .into_iter()
                .map(|(column, value)| (column.to_owned(), value))
                .collect(),
            sequences: if own.is_empty() { sequences.to_vec() } else { own },
        })
    }

    /// Widens the ranges of the source partitions by those of these rows.
    fn note_sequences(&mut self, rows: &RecordBatch) {
        let (Some(sources), Some(sequences)) = (
            rows.column_by_name(SOURCE_COLUMNS.0).and_then(|column| column.as_string_opt::<i32>()),
            rows.column_by_name(SOURCE_COLUMNS.1)
                .and_then(|column| column.as_primitive_opt::<Int64Type>()),
        ) else {
            return;
        };
        let mut known: Option<(&str, i64, i64)> = None;
        let mut runs: Vec<(&str, i64, i64)> = Vec::new();
        for row in
            (0..rows.num_rows()).filter(|row| sources.is_valid(*row) && sequences.is_valid(*row))
        {
            let (source, sequence) = (sources.value(row), sequences.value(row));
            match &mut known {
                Some((current, first, last)) if *current == source => {
                    (*first, *last) = ((*first).min(sequence), (*last).max(sequence));
                }
                _ => runs.extend(known.replace((source, sequence, sequence))),
            }
        }
        runs.extend(known);
        for (source, first, last) in runs {
            if let Some(range) = self.sequences.get_mut(source) {
                *range = (range.0.min(first), range.1.max(last));
            } else {
                self.sequences.insert(source.to_owned(), (first, last));
            }
        }
    }

    fn fault(&self, source: parquet::errors::ParquetError) -> LakeError {
        LakeError::Parquet { action: "write", table: self.def.name, source }
    }
}

fn properties(def: &tables::Table) -> WriterProperties {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default();
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        // Element and entry names of lists and maps as Delta's readers expect them.
        .set_coerce_types(true)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for column in NO_DICTIONARY {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(column), false);
    }
    for column in def.stats {
        builder = builder
            .set_column_statistics_enabled(ColumnPath::from(*column), EnabledStatistics::Page);
    }
    builder.build()
}
