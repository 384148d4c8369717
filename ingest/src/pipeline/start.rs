//! Where a partition starts: at the lake's transaction, with its duplicate window rebuilt from the
//! files that hold the last W sequences.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use onramp_lake::{DataFile, Table};
use onramp_schemas::event::identity;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use super::buffer::content_hash_of;
use super::committer::Committer;
use super::partition::Partition;
use super::window::{BYTES_PER_IDENTITY, Window};
use crate::error::IngestError;
use crate::options::PipelineOptions;

/// Columns that an identity, its content and its place are made of.
const COLUMNS: [&str; 9] = [
    "client_id",
    "source",
    "id",
    "session_id",
    "event_type",
    "occurred_at",
    "data",
    "sequence",
    "source_partition",
];

impl Committer {
    /// Refuses to read so many partitions that their windows cannot fit the memory for them.
    ///
    /// # Errors
    /// [`IngestError::WindowTooLarge`], which names the width that fits.
    pub fn check_window(
        &self,
        partitions: usize,
        options: &PipelineOptions,
    ) -> Result<(), IngestError> {
        let each = self.window_width() as usize * BYTES_PER_IDENTITY;
        let (needed, limit) = (each.saturating_mul(partitions), options.window_memory_bytes);
        if needed <= limit {
            return Ok(());
        }
        let fits = limit / partitions.max(1) / BYTES_PER_IDENTITY;
        Err(IngestError::WindowTooLarge { partitions, needed, limit, fits })
    }

    /// A partition as the lake knows it; one without a transaction starts at `first`.
    ///
    /// # Errors
    /// A lake that cannot be read.
    pub async fn start(&mut self, app_id: &str, first: i64) -> Result<Partition, IngestError> {
        let base = self.next(app_id);
        let mut partition = Partition {
            app_id: Arc::from(app_id),
            base,
            next: base.unwrap_or(first),
            duplicates_held: self.duplicates_next(app_id),
            window: Window::new(self.window_width()),
            last: None,
        };
        if base.is_some_and(|base| base > first) {
            self.rebuild_window(&mut partition).await?;
        }
        Ok(partition)
    }

    /// Takes a partition whose sequences are ours to give past everything that any table knows of
    /// it, after a flush of which it is not known how far it got. Its sender was told so and will
    /// send again, under other sequences, and what was seen must not pass for accepted.
    pub fn go_on(&self, partition: &mut Partition) {
        partition.base = self.next(&partition.app_id);
        partition.next = self.furthest(&partition.app_id).max(partition.next);
        partition.duplicates_held = None;
        partition.window = Window::new(self.window_width());
    }

    async fn rebuild_window(&mut self, partition: &mut Partition) -> Result<(), IngestError> {
        let app_id = partition.app_id.clone();
        let oldest = partition.next - i64::from(self.window_width());
        let table = self.events().table().clone();
        let snapshot = table.snapshot().await?;
        let mut found: Vec<(i64, u128, u32)> = Vec::new();
        for file in snapshot.files.iter().filter(|file| holds(file, &app_id, oldest)) {
            for rows in read_batches(&table, file, &COLUMNS).await? {
                collect(&rows, &app_id, oldest, &mut found);
            }
        }
        found.sort_unstable_by_key(|&(sequence, ..)| sequence);
        partition.last = found.last().map(|&(sequence, identity, _)| (sequence, identity));
        for (sequence, identity, content) in found {
            partition.window.observe(sequence, identity, content);
        }
        Ok(())
    }
}

/// Whether a file may hold sequences of `app_id` from `oldest` on, by its tag.
fn holds(file: &DataFile, app_id: &str, oldest: i64) -> bool {
    let ranges = file.sequences();
    ranges.is_empty() || ranges.iter().any(|r| r.app_id == app_id && r.last >= oldest)
}

/// Some columns of a data file, a batch at a time.
pub(super) async fn read_batches(
    table: &Table,
    file: &DataFile,
    columns: &[&str],
) -> Result<impl Iterator<Item = RecordBatch>, IngestError> {
    let failed = |source| IngestError::DataFile { path: file.path.clone(), source };
    let fetch = async || table.store().get(&Path::from(file.path.as_str())).await?.bytes().await;
    let bytes = fetch().await.map_err(|error| failed(ParquetError::External(error.into())))?;
    // Another program that wrote a file anew may have noted other Arrow types in it, views of texts for
    // example; the Parquet types are the same in every file.
    let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder =
        ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, plain).map_err(failed)?;
    let columns = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let batches: Result<Vec<_>, _> =
        builder.with_projection(columns).build().map_err(failed)?.collect();
    Ok(batches?.into_iter())
}

/// Adds (sequence, identity, content) of the partition's rows.
fn collect(rows: &RecordBatch, app_id: &str, oldest: i64, found: &mut Vec<(i64, u128, u32)>) {
    let [client, source, id, session, kind, occurred_at, data, sequence, partition] =
        COLUMNS.map(|name| rows.column_by_name(name).expect("the projection asked for it"));
    let [clients, sources, ids, sessions, types, data, partitions] =
        [client, source, id, session, kind, data, partition].map(|c| c.as_string::<i32>());
    let times = occurred_at.as_primitive::<TimestampMicrosecondType>();
    let sequences = sequence.as_primitive::<Int64Type>();
    for row in 0..rows.num_rows() {
        let sequence = sequences.value(row);
        if sequence < oldest || partitions.value(row) != app_id {
            continue;
        }
        let data = data.is_valid(row).then(|| data.value(row));
        let content =
            content_hash_of(sessions.value(row), types.value(row), times.value(row), data);
        let identity = identity(clients.value(row), sources.value(row), ids.value(row));
        found.push((sequence, identity, content));
    }
}
