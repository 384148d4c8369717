//! From a flushed buffer to the lake: dead letters and duplicates first, then the events.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use onramp_lake::{
    Advance, Appender, DEDUP_WINDOW, EncodedFile, Lake, Outcome, SequenceRange, Table,
};
use onramp_schemas::tables;

use super::buffer::Flush;
use super::rows::{DuplicateRows, SortedRows};
use super::window::Window;
use crate::error::IngestError;
use crate::faults::{self, Point};
use crate::observability as names;

/// Writes flushes into the three tables of ingest, each by compare-and-set.
pub struct Committer {
    events: Appender,
    dead_letters: Appender,
    duplicates: Appender,
    window_width: u32,
}

/// What became of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Everything is durable.
    Committed {
        /// Version of `events` that holds it.
        version: i64,
    },
    /// Another writer has moved one of the partitions: nothing of this flush is in `events`, and
    /// the partitions must be read again from where the lake stands.
    Lost,
}

impl Committer {
    /// Opens the three tables, creating what is missing.
    pub async fn open(lake: &Lake) -> Result<Self, IngestError> {
        let open = async |table| -> Result<Appender, IngestError> {
            Ok(Appender::open(lake.create(table).await?).await?)
        };
        let events = open(&tables::EVENTS).await?;
        let width = events.table().property(DEDUP_WINDOW).unwrap_or_default();
        let window_width = width
            .parse()
            .ok()
            .filter(|width| *width <= Window::MAX_WIDTH)
            .ok_or_else(|| IngestError::WindowProperty { found: width.to_owned() })?;
        Ok(Self {
            dead_letters: open(&tables::DEAD_LETTERS).await?,
            duplicates: open(&tables::DUPLICATES).await?,
            events,
            window_width,
        })
    }

    /// The next sequence of a source partition, as `events` says.
    pub fn next(&self, app_id: &str) -> Option<i64> {
        self.events.txn(app_id)
    }

    /// One past the last sequence of a source partition that any of the tables knows.
    pub(super) fn furthest(&self, app_id: &str) -> i64 {
        let tables = [&self.events, &self.dead_letters, &self.duplicates];
        tables.iter().filter_map(|table| table.txn(app_id)).max().unwrap_or_default()
    }

    /// Over how many sequences resends are recognised: a property of the lake, fixed when it was
    /// created.
    pub(super) fn window_width(&self) -> u32 {
        self.window_width
    }

    /// The table that holds the accepted events.
    pub fn events(&mut self) -> &mut Appender {
        &mut self.events
    }

    /// Reads what others committed since.
    ///
    /// # Errors
    /// A lake that cannot be read.
    pub async fn refresh(&mut self) -> Result<(), IngestError> {
        for table in [&mut self.events, &mut self.dead_letters, &mut self.duplicates] {
            table.refresh().await?;
        }
        Ok(())
    }

    /// Makes a flush durable.
    pub async fn commit(&mut self, flush: &Flush) -> Result<Flushed, IngestError> {
        let table = self.events.table().clone();
        let (events, ranges) = (flush.events.clone(), flush.ranges());
        let encode = tokio::task::spawn_blocking(move || encode(&table, events, &ranges));
        let files = encode.await.map_err(|error| IngestError::Worker(error.to_string()))??;
        self.commit_encoded(flush, files).await
    }

    /// [`Self::commit`] of a flush whose events were encoded before. The order is the guarantee: a
    /// rejection stands in `dead_letters` before `events` says that its range is done, and what a
    /// restart finds there is not repeated. Files count for nothing until they are committed, so
    /// those of all tables are put at once.
    pub async fn commit_encoded(
        &mut self,
        flush: &Flush,
        files: Vec<EncodedFile>,
    ) -> Result<Flushed, IngestError> {
        let began = Instant::now();
        let table = self.events.table().clone();
        // Both to their end even if one fails: a commit that is cut off would leave us not knowing.
        let (files, beside) = tokio::join!(table.put(files), self.commit_beside(flush));
        let files = files?;
        if beside? == Flushed::Lost {
            return Ok(Flushed::Lost);
        }
        faults::pass(Point::AfterDeadLetters);
        faults::pass(Point::AfterFiles);
        let advances = flush
            .advances
            .iter()
            .map(|a| Advance { app_id: a.app_id.clone(), base: a.base, next: a.next })
            .collect();
        let outcome = self.events.commit(files, advances).await?;
        faults::pass(Point::AfterCommit);
        metrics::histogram!(names::COMMIT_SECONDS).record(began.elapsed().as_secs_f64());
        Ok(match outcome {
            Outcome::Committed { version } => Flushed::Committed { version },
            Outcome::Lost { app_ids } => {
                tracing::warn!(partitions = ?app_ids, "buffer dropped, another writer was here");
                Flushed::Lost
            }
        })
    }
}

impl Committer {
    /// The first half of a commit: what stands beside `events`.
    pub(super) async fn commit_beside(&mut self, flush: &Flush) -> Result<Flushed, IngestError> {
        let (dead_letters, duplicates) = tokio::join!(
            append_beside(&mut self.dead_letters, &flush.dead_letters),
            append_beside(&mut self.duplicates, &flush.duplicates),
        );
        let (dead_letters, duplicates) = (dead_letters?, duplicates?);
        Ok(if dead_letters == Flushed::Lost { dead_letters } else { duplicates })
    }
}

/// The files of a flush's events: the part of a commit that needs the processor and not the lake.
///
/// # Errors
/// Rows that do not fit the table, which only a defect can cause.
pub fn encode(
    events: &Table,
    rows: Option<SortedRows>,
    ranges: &[SequenceRange],
) -> Result<Vec<EncodedFile>, IngestError> {
    let Some(SortedRows { rows, order }) = rows else { return Ok(Vec::new()) };
    Ok(events.encode(rows, Some(&order), ranges)?)
}

/// Rows of one partition for a table beside `events`.
#[derive(Clone, Debug)]
pub struct Beside {
    /// The source partition.
    pub app_id: Arc<str>,
    /// One past the last sequence that the flush covers.
    pub next: i64,
    /// The sequences that each row stands for, in their order.
    pub sequences: Vec<Range<i64>>,
    /// The rows, in the table's schema.
    pub rows: RecordBatch,
}

/// Appends in one commit what the table does not hold yet, judged by its own transactions.
async fn append_beside(appender: &mut Appender, parts: &[Beside]) -> Result<Flushed, IngestError> {
    let (mut rows, mut ranges, mut advances) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        let base = appender.txn(&part.app_id);
        let held = part.sequences.partition_point(|row| base.is_some_and(|base| row.end <= base));
        let Some(next) = part.sequences.get(held) else { continue };
        let (mut first, mut kept) =
            (next.start, part.rows.slice(held, part.sequences.len() - held));
        // Another writer, which never came to `events`, may have ended in the middle of a run.
        if let Some(base) = base.filter(|base| *base > first) {
            (first, kept) = (base, DuplicateRows::begin_at(&kept, base)?);
        }
        let app_id = part.app_id.to_string();
        rows.push(kept);
        ranges.push(SequenceRange { app_id: app_id.clone(), first, last: part.next - 1 });
        advances.push(Advance { app_id, base, next: part.next });
    }
    let Some(schema) = rows.first().map(RecordBatch::schema) else {
        return Ok(Flushed::Committed { version: appender.version() });
    };
    let files = appender.write(concat_batches(&schema, &rows)?, &ranges).await?;
    Ok(match appender.commit(files, advances).await? {
        Outcome::Committed { version } => Flushed::Committed { version },
        Outcome::Lost { .. } => Flushed::Lost,
    })
}
