//! From a flushed buffer to the lake: dead letters and duplicates first, then the events.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use onramp_lake::{Advance, Appender, DEDUP_WINDOW, Lake, Outcome, SequenceRange};
use onramp_schemas::tables;

use super::buffer::Flush;
use super::rows::DuplicateRows;
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

    /// The next sequence of a source partition, as `duplicates` says.
    pub(super) fn duplicates_next(&self, app_id: &str) -> Option<i64> {
        self.duplicates.txn(app_id)
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

    /// Makes a flush durable. The order is the guarantee: a rejection stands in `dead_letters`
    /// before `events` says that its range is done, and what a restart finds there is not repeated.
    pub async fn commit(&mut self, flush: &Flush) -> Result<Flushed, IngestError> {
        let began = Instant::now();
        if self.commit_beside(flush).await? == Flushed::Lost {
            return Ok(Flushed::Lost);
        }
        faults::pass(Point::AfterDeadLetters);
        let ranges: Vec<SequenceRange> = flush
            .advances
            .iter()
            .map(|a| SequenceRange {
                app_id: a.app_id.clone(),
                first: a.base.unwrap_or(a.first),
                last: a.next - 1,
            })
            .collect();
        let files = match &flush.events {
            Some(events) => {
                let (rows, order) = (events.rows.clone(), events.order.clone());
                self.events.write_in_order(rows, order, &ranges).await?
            }
            None => Vec::new(),
        };
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
        for (appender, rows) in [
            (&mut self.dead_letters, &flush.dead_letters),
            (&mut self.duplicates, &flush.duplicates),
        ] {
            for part in rows {
                if append_beside(appender, part).await? == Flushed::Lost {
                    return Ok(Flushed::Lost);
                }
            }
        }
        Ok(Flushed::Committed { version: self.events.version() })
    }
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

/// Appends what the table does not hold yet, judged by its own transaction.
async fn append_beside(appender: &mut Appender, part: &Beside) -> Result<Flushed, IngestError> {
    let base = appender.txn(&part.app_id);
    let held = part.sequences.partition_point(|row| base.is_some_and(|base| row.end <= base));
    let Some(next) = part.sequences.get(held) else {
        return Ok(Flushed::Committed { version: appender.version() });
    };
    let (mut first, mut rows) = (next.start, part.rows.slice(held, part.rows.num_rows() - held));
    // Another writer, which never came to `events`, may have ended in the middle of a run.
    if let Some(base) = base.filter(|base| *base > first) {
        (first, rows) = (base, DuplicateRows::begin_at(&rows, base)?);
    }
    let range = SequenceRange { app_id: part.app_id.to_string(), first, last: part.next - 1 };
    let files = appender.write(rows, &[range]).await?;
    let advance = Advance { app_id: part.app_id.to_string(), base, next: part.next };
    Ok(match appender.commit(files, vec![advance]).await? {
        Outcome::Committed { version } => Flushed::Committed { version },
        Outcome::Lost { .. } => Flushed::Lost,
    })
}
