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

/// The least memory that must be left to buffer what is read.
const BUFFER_BYTES: usize = 16 << 20;

/// A sequence's place in its window, identity and content of an accepted event.
type Found = (u32, u128, u32);

impl Committer {
    /// Payload bytes that a flush may have beside the windows of so many partitions, when `flushes`
    /// are held at once.
    ///
    /// # Errors
    /// [`IngestError::WindowTooLarge`], which names the width that fits.
    pub fn flush_bytes(
        &self,
        partitions: usize,
        flushes: usize,
        options: &PipelineOptions,
    ) -> Result<usize, IngestError> {
        let each = self.window_width() as usize * BYTES_PER_IDENTITY;
        let needed = each.saturating_mul(partitions);
        let limit = options.shared_bytes().saturating_sub(BUFFER_BYTES);
        if needed > limit {
            let fits = limit / partitions.max(1) / BYTES_PER_IDENTITY;
            return Err(IngestError::WindowTooLarge { partitions, needed, limit, fits });
        }
        Ok(options.flush_bytes_within(options.shared_bytes() - needed, flushes))
    }

    /// A partition as the lake knows it; one without a transaction starts at `first`.
    ///
    /// # Errors
    /// A lake that cannot be read.
    pub async fn start(&mut self, app_id: &str, first: i64) -> Result<Partition, IngestError> {
        let mut started = self.start_all(&[(app_id.to_owned(), first)]).await?;
        Ok(started.remove(0))
    }

    /// Partitions as the lake knows them, each by its app id and where it starts without a
    /// transaction; in the same order. The files of the lake are read once for all of them.
    ///
    /// # Errors
    /// A lake that cannot be read.
    pub async fn start_all(
        &mut self,
        sources: &[(String, i64)],
    ) -> Result<Vec<Partition>, IngestError> {
        let width = self.window_width();
        let start = |(app_id, first): &(String, i64)| {
            let base = self.next(app_id);
            Partition {
                app_id: Arc::from(app_id.as_str()),
                base,
                next: base.unwrap_or(*first),
                window: Window::new(width),
                last: None,
            }
        };
        let mut partitions: Vec<Partition> = sources.iter().map(start).collect();
        let read = partitions.iter_mut().zip(sources);
        let mut read: Vec<&mut Partition> = read
            .filter(|(partition, (_, first))| partition.base.is_some_and(|base| base > *first))
            .map(|(partition, _)| partition)
            .collect();
        if !read.is_empty() {
            self.rebuild_windows(&mut read).await?;
        }
        Ok(partitions)
    }

    /// Takes a partition whose sequences are ours to give past everything that any table knows of
    /// it, after a flush of which it is not known how far it got. Its sender was told so and will
    /// send again, under other sequences, and what was seen must not pass for accepted.
    pub fn go_on(&self, partition: &mut Partition) {
        partition.base = self.next(&partition.app_id);
        partition.next = self.furthest(&partition.app_id).max(partition.next);
        partition.window = Window::new(self.window_width());
    }

    async fn rebuild_windows(
        &mut self,
        partitions: &mut [&mut Partition],
    ) -> Result<(), IngestError> {
        let width = i64::from(self.window_width());
        let table = self.events().table().clone();
        let snapshot = table.snapshot().await?;
        let mut found: Vec<(Arc<str>, i64, Vec<Found>)> = partitions
            .iter()
            .map(|partition| (partition.app_id.clone(), partition.next - width, Vec::new()))
            .collect();
        for file in &snapshot.files {
            let ranges = file.sequences();
            let holds = |(app_id, oldest): (&str, i64)| {
                ranges.is_empty() || ranges.iter().any(|r| r.app_id == app_id && r.last >= oldest)
            };
            if found.iter().any(|(app_id, oldest, _)| holds((app_id, *oldest))) {
                for rows in read_batches(&table, file, &COLUMNS).await? {
                    collect(&rows, &mut found);
                }
            }
        }
        for (partition, (_, oldest, mut found)) in partitions.iter_mut().zip(found) {
            found.sort_unstable_by_key(|&(place, ..)| place);
            let last = found.last();
            partition.last = last.map(|&(place, id, _)| (oldest + i64::from(place), id));
            for (place, identity, content) in found {
                partition.window.observe(oldest + i64::from(place), identity, content);
            }
        }
        Ok(())
    }
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

/// Adds the rows of the partitions, each with the oldest sequence that its window still holds.
fn collect(rows: &RecordBatch, found: &mut [(Arc<str>, i64, Vec<Found>)]) {
    let [client, source, id, session, kind, occurred_at, data, sequence, partition] =
        COLUMNS.map(|name| rows.column_by_name(name).expect("the projection asked for it"));
    let [clients, sources, ids, sessions, types, data, partitions] =
        [client, source, id, session, kind, data, partition].map(|c| c.as_string::<i32>());
    let times = occurred_at.as_primitive::<TimestampMicrosecondType>();
    let sequences = sequence.as_primitive::<Int64Type>();
    for row in 0..rows.num_rows() {
        let (app_id, sequence) = (partitions.value(row), sequences.value(row));
        let own = found.iter_mut().find(|(own, ..)| **own == *app_id);
        let Some((_, oldest, found)) = own else { continue };
        let Ok(place) = u32::try_from(sequence - *oldest) else { continue };
        let data = data.is_valid(row).then(|| data.value(row));
        let content =
            content_hash_of(sessions.value(row), types.value(row), times.value(row), data);
        let identity = identity(clients.value(row), sources.value(row), ids.value(row));
        found.push((place, identity, content));
    }
}
