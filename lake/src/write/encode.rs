//! Encoding rows as one Parquet file, and what the log will say of it.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use bytes::Bytes;
use onramp_schemas::tables;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::compute_leaves;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::partition::{Partition, Picked};
use super::sequences::Sequences;
use super::{EncodedFile, file_schema, stats};
use crate::error::LakeError;
use crate::file::SequenceRange;

const ROW_GROUP_ROWS: usize = 131_072;
/// Session ids are dictionary-encoded up to here; the folding reads them once per distinct value.
const DICTIONARY_BYTES: usize = 4 << 20;
/// What is written once and read until it is rewritten: the least time, since compaction packs it closer soon.
const FLUSH_ZSTD_LEVEL: i32 = 1;
const REWRITE_ZSTD_LEVEL: i32 = 3;
/// Columns in which no value comes twice, or few do.
const NO_DICTIONARY: [&str; 3] = ["id", "data", "causation_id"];
/// Columns of `events` that a flush compresses: ids and free text. The others are numbers or come from a short list, and
/// are small once they are a dictionary; to set a compressor up for each of forty columns takes longer than to compress.
const COMPRESSED_IN_FLUSHES: [&str; 10] = [
    "id",
    "session_id",
    "user_id",
    "correlation_id",
    "causation_id",
    "extensions",
    "referrer",
    "checkpoint_id",
    "message",
    "data",
];

/// Numbers of `events` that are nearly all different: a dictionary of them would be as long as they are, and takes longer
/// to make than all the rest of a file. Packed as differences they have half of their bits left.
const PACKED_OF_EVENTS: [&str; 3] = ["occurred_at", "received_at", "sequence"];
/// Instants that every report reads of `sessions`. Packed as differences they take the bits that they
/// need; of these bits nothing is left to compress, and unpacking is many times faster.
const PACKED_OF_SESSIONS: [&str; 7] = [
    "started_at",
    "stage_at.list.element",
    "first_event_at",
    "last_event_at",
    "last_seen_at",
    "interrupted_at",
    "errors.list.element.occurred_at",
];
/// Columns of few values that every report reads of `sessions`: their dictionaries make them small.
const FEW_VALUES: [&str; 8] = [
    "furthest_stage",
    "reached",
    "reached_in_horizon",
    "excluded",
    "given_up",
    "loss_reason",
    "errors.list.element.code",
    "events",
];

/// Turns the rows of one partition, batch by batch, into the bytes of one Parquet file.
pub(super) struct Encoder {
    def: &'static tables::Table,
    partition: Partition,
    path: String,
    writer: ArrowWriter<Vec<u8>>,
    taken: usize,
    sequences: Sequences,
}

impl Encoder {
    pub(super) fn new(
        def: &'static tables::Table,
        partition: Partition,
    ) -> Result<Self, LakeError> {
        let path = path(&partition);
        let writer = writer(def, REWRITE_ZSTD_LEVEL).map_err(|source| fault(def, source))?;
        Ok(Self { def, partition, path, writer, taken: 0, sequences: Sequences::default() })
    }

    pub(super) fn partition(&self) -> &Partition {
        &self.partition
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Adds rows that have the columns of the file.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), LakeError> {
        if let Some(columns) = Sequences::columns(rows) {
            let noted = self.sequences.note(columns);
            noted.map_err(|source| LakeError::Arrow { table: self.def.name, source })?;
        }
        self.writer.write(rows).map_err(|source| fault(self.def, source))
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
    pub(super) fn finish(mut self, given: &[SequenceRange]) -> Result<EncodedFile, LakeError> {
        let metadata = self.writer.finish().map_err(|source| fault(self.def, source))?;
        let bytes = std::mem::take(self.writer.inner_mut());
        Ok(EncodedFile {
            size: (self.taken + bytes.len()) as i64,
            stats: stats::json(self.def, &metadata).to_string(),
            path: self.path,
            bytes: Bytes::from(bytes),
            partition_values: self.partition.values(),
            sequences: self.sequences.finish().unwrap_or_else(|| given.to_vec()),
        })
    }
}

/// Encodes the picked rows of a batch as one file. One column after the other is brought into order and encoded, so that
/// no second copy of all rows is ever held.
pub(super) fn encode(
    def: &'static tables::Table,
    partition: Partition,
    rows: &RecordBatch,
    picked: &Picked,
    given: &[SequenceRange],
) -> Result<EncodedFile, LakeError> {
    let mut sequences = Sequences::default();
    let encoded = encode_columns(def, rows, picked, &mut sequences);
    let (bytes, metadata) = encoded.map_err(|source| fault(def, source))?;
    Ok(EncodedFile {
        size: bytes.len() as i64,
        stats: stats::json(def, &metadata).to_string(),
        path: path(&partition),
        bytes: Bytes::from(bytes),
        partition_values: partition.values(),
        sequences: sequences.finish().unwrap_or_else(|| given.to_vec()),
    })
}

fn encode_columns(
    def: &tables::Table,
    rows: &RecordBatch,
    picked: &Picked,
    sequences: &mut Sequences,
) -> Result<(Vec<u8>, ParquetMetaData), ParquetError> {
    let (mut file, factory) = writer(def, FLUSH_ZSTD_LEVEL)?.into_serialized_writer()?;
    let schema = file_schema(def);
    for (group, start) in (0..picked.len()).step_by(ROW_GROUP_ROWS).enumerate() {
        let part = start..picked.len().min(start + ROW_GROUP_ROWS);
        if let Some([source, sequence]) = Sequences::columns(rows) {
            let (source, sequence) = (picked.pick(source, &part)?, picked.pick(sequence, &part)?);
            sequences.note([&source, &sequence])?;
        }
        let mut writers = factory.create_column_writers(group)?.into_iter();
        let mut row_group = file.next_row_group()?;
        for field in schema.fields() {
            let column = rows
                .column_by_name(field.name())
                .ok_or_else(|| ArrowError::SchemaError(format!("no column {}", field.name())))?;
            for leaf in compute_leaves(field, &picked.pick(column, &part)?)? {
                let mut writer = writers.next().ok_or_else(|| {
                    ArrowError::SchemaError(format!("no writer for {}", field.name()))
                })?;
                writer.write(&leaf)?;
                writer.close()?.append_to_row_group(&mut row_group)?;
            }
        }
        row_group.close()?;
    }
    let metadata = file.finish()?;
    Ok((std::mem::take(file.inner_mut()), metadata))
}

fn path(partition: &Partition) -> String {
    format!("{}part-{}.zstd.parquet", partition.folder(), uuid::Uuid::new_v4())
}

fn fault(def: &tables::Table, source: ParquetError) -> LakeError {
    LakeError::Parquet { action: "write", table: def.name, source }
}

fn writer(def: &tables::Table, zstd_level: i32) -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    ArrowWriter::try_new(Vec::new(), file_schema(def), Some(properties(def, zstd_level)))
}

fn properties(def: &tables::Table, zstd_level: i32) -> WriterProperties {
    let level = ZstdLevel::try_new(zstd_level).unwrap_or_default();
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
    for column in def.columns.iter().filter(|column| column.kind == tables::Kind::Text) {
        // Bounds of ids and labels let nobody skip anything, and cost two comparisons a value.
        builder = builder
            .set_column_statistics_enabled(ColumnPath::from(column.name), EnabledStatistics::None);
    }
    if def.name == tables::EVENTS.name && zstd_level == FLUSH_ZSTD_LEVEL {
        let compressed = Compression::ZSTD(level);
        builder = builder.set_compression(Compression::UNCOMPRESSED);
        for column in COMPRESSED_IN_FLUSHES {
            builder = builder.set_column_compression(ColumnPath::from(column), compressed);
        }
    }
    let (packed, few_values): (&[&str], &[&str]) = match def.name {
        name if name == tables::EVENTS.name => (&PACKED_OF_EVENTS, &[]),
        name if name == tables::SESSIONS.name => (&PACKED_OF_SESSIONS, &FEW_VALUES),
        _ => (&[], &[]),
    };
    let path = |column: &str| ColumnPath::new(column.split('.').map(str::to_owned).collect());
    for column in packed.iter().chain(few_values) {
        builder = builder.set_column_compression(path(column), Compression::UNCOMPRESSED);
    }
    for column in packed {
        builder = builder
            .set_column_dictionary_enabled(path(column), false)
            .set_column_encoding(path(column), Encoding::DELTA_BINARY_PACKED);
    }
    for column in def.stats {
        builder = builder
            .set_column_statistics_enabled(ColumnPath::from(*column), EnabledStatistics::Page);
    }
    builder.build()
}
