//! What was read and is not durable yet: the rows of three tables and the ranges that they cover.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::error::ArrowError;
use onramp_lake::SequenceRange;
use onramp_schemas::event::{self, Event};
use onramp_schemas::rejection::{Rejection, RejectionCode};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::committer::Beside;
use super::partition::{Partition, Record};
use super::rows::{DeadLetter, DeadLetterRows, DuplicateRows, EventRows, SortedRows};
use super::window::Seen;
use crate::options::PipelineOptions;

/// Records that are best decoded before the first of them is looked up: enough for their waits to overlap,
/// few enough to stay in the nearest memory.
pub const TOGETHER: usize = 32;

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events accepted.
    pub accepted: u64,
    /// Resends dropped.
    pub duplicates: u64,
    /// Rejections by code.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Failed background tasks, kept as dead letters of kind `task`.
    pub tasks: u64,
    /// Payload bytes read.
    pub bytes: u64,
}

impl Counts {
    /// Adds another count to this one.
    pub fn add(&mut self, other: &Counts) {
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.tasks += other.tasks;
        self.bytes += other.bytes;
        for (code, count) in &other.rejected {
            *self.rejected.entry(code).or_default() += count;
        }
    }

    /// All rejections.
    pub fn rejections(&self) -> u64 {
        self.rejected.values().sum()
    }
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It will be a row of `events`.
    Accepted,
    /// It repeats an accepted event.
    Duplicate,
    /// It will be a dead letter.
    Rejected(Rejection),
    /// A failed task: it will be a dead letter of kind `task`.
    Task,
}

/// The range of one source partition that a flush covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The source partition.
    pub app_id: String,
    /// The lake's transaction when the range began; none: it has none.
    pub base: Option<i64>,
    /// The first sequence read.
    pub first: i64,
    /// One past the last sequence.
    pub next: i64,
}

/// Rows ready to be committed, all of them or none.
#[derive(Debug)]
pub struct Flush {
    /// Rows of `events` and the order in which they are written.
    pub events: Option<SortedRows>,
    /// Rows of `dead_letters`, a batch a partition.
    pub dead_letters: Vec<Beside>,
    /// Rows of `duplicates`, a batch a partition.
    pub duplicates: Vec<Beside>,
    /// The ranges covered.
    pub advances: Vec<Range>,
    /// What is in it.
    pub counts: Counts,
}

impl Flush {
    /// The sequences that its files may hold.
    pub fn ranges(&self) -> Vec<SequenceRange> {
        let range = |a: &Range| SequenceRange {
            app_id: a.app_id.clone(),
            first: a.base.unwrap_or(a.first),
            last: a.next - 1,
        };
        self.advances.iter().map(range).collect()
    }
}

/// What was taken out of a buffer, to be built into a [`Flush`] by another thread.
pub struct Taken {
    events: EventRows,
    /// By partition, with the end of its range.
    beside: Vec<(Arc<str>, i64, BesideRows)>,
    advances: Vec<Range>,
    counts: Counts,
}

impl Taken {
    /// Builds and sorts the rows.
    ///
    /// # Errors
    /// Rows that cannot be built, which only a defect can cause.
    pub fn build(self) -> Result<Flush, ArrowError> {
        let mut flush = Flush {
            events: self.events.finish()?,
            dead_letters: Vec::new(),
            duplicates: Vec::new(),
            advances: self.advances,
            counts: self.counts,
        };
        for (app_id, next, mut beside) in self.beside {
            if let Some((sequences, rows)) = beside.dead_letters.finish()? {
                flush.dead_letters.push(Beside { app_id: app_id.clone(), next, sequences, rows });
            }
            if let Some((sequences, rows)) = beside.duplicates.finish()? {
                flush.duplicates.push(Beside { app_id, next, sequences, rows });
            }
        }
        Ok(flush)
    }
}

/// What a record says, before its partition is asked whether it said it before.
struct Decoded<'a> {
    event: Result<Event<'a>, Rejection>,
    /// That of a valid event.
    identity: u128,
}

impl<'a> Decoded<'a> {
    fn new(options: &PipelineOptions, record: &Record<'a>) -> Self {
        let payload = record.payload.unwrap_or_default();
        let context = options.context(record.timestamp);
        let event = match &record.unreadable {
            Some(unreadable) => Err(unreadable.rejection.clone()),
            None if event::is_binary(record.headers) => {
                event::decode_binary(record.headers, payload, &context)
            }
            None => event::decode(payload, &context),
        };
        let mut decoded = Self { event, identity: 0 };
        if let Ok(event) = &mut decoded.event {
            if let (Some(pseudonyms), Some(user)) = (&options.pseudonyms, &event.user_id) {
                event.user_id = Some(pseudonyms.of(&event.client_id, user).into());
            }
            decoded.identity = event::identity(&event.client_id, &event.source, &event.id);
        }
        decoded
    }
}

/// Rows of one partition for the tables beside `events`.
#[derive(Default)]
struct BesideRows {
    first: Option<i64>,
    dead_letters: DeadLetterRows,
    duplicates: DuplicateRows,
}

/// Collects rows until they are worth a flush.
pub struct Buffer {
    events: EventRows,
    beside: Vec<(Arc<str>, BesideRows)>,
    counts: Counts,
    records: usize,
}

/// The rows of a partition beside `events`. The same partition mostly comes with the same pointer.
fn rows_of<'a>(
    beside: &'a mut Vec<(Arc<str>, BesideRows)>,
    app_id: &Arc<str>,
) -> &'a mut BesideRows {
    let place = beside
        .iter()
        .position(|(own, _)| Arc::ptr_eq(own, app_id))
        .or_else(|| beside.iter().position(|(own, _)| own == app_id));
    let place = place.unwrap_or_else(|| {
        beside.push((app_id.clone(), BesideRows::default()));
        beside.len() - 1
    });
    &mut beside[place].1
}

impl Default for Buffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Buffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self {
            events: EventRows::default(),
            beside: Vec::new(),
            counts: Counts::default(),
            records: 0,
        }
    }

    /// Whether nothing was read since the last flush.
    pub fn is_empty(&self) -> bool {
        self.beside.is_empty()
    }

    /// Covers what was read of a partition though it held no record: blank lines.
    pub fn cover(&mut self, partition: &Partition) {
        rows_of(&mut self.beside, &partition.app_id);
    }

    /// Whether it has grown to so many records, or to so many bytes of payload.
    pub fn is_full(&self, records: usize, bytes: usize) -> bool {
        self.records >= records || self.counts.bytes >= bytes as u64
    }

    /// Takes one record: decodes, validates, de-duplicates, and keeps its row.
    pub fn push(
        &mut self,
        options: &PipelineOptions,
        partition: &mut Partition,
        record: &Record<'_>,
    ) -> Verdict {
        self.keep(partition, record, &Decoded::new(options, record))
    }

    /// [`Self::push`] of a few records, each with the number of its partition; those of others than
    /// `partitions` are left out. `tell` hears what became of each. All are decoded first: where their
    /// identities stand in the windows, which is somewhere in many megabytes, is then looked up in one
    /// go, and the waits for memory overlap.
    pub fn push_together(
        &mut self,
        options: &PipelineOptions,
        partitions: &mut BTreeMap<i32, Partition>,
        records: &[(i32, Record<'_>)],
        mut tell: impl FnMut(&Partition, &Verdict),
    ) {
        let decoded: Vec<Decoded<'_>> =
            records.iter().map(|(_, record)| Decoded::new(options, record)).collect();
        for ((number, _), decoded) in records.iter().zip(&decoded) {
            if let Some(partition) = partitions.get(number) {
                partition.window.expect(decoded.identity);
            }
        }
        for ((number, record), decoded) in records.iter().zip(&decoded) {
            if let Some(partition) = partitions.get_mut(number) {
                let verdict = self.keep(partition, record, decoded);
                tell(partition, &verdict);
            }
        }
    }

    fn keep(
        &mut self,
        partition: &mut Partition,
        record: &Record<'_>,
        decoded: &Decoded<'_>,
    ) -> Verdict {
        self.records += 1;
        self.counts.bytes += record.payload.unwrap_or_default().len() as u64;
        partition.next = record.sequence + 1;
        let beside = rows_of(&mut self.beside, &partition.app_id);
        beside.first.get_or_insert(record.sequence);
        match &decoded.event {
            Ok(event) if event.task.is_some() => {
                beside.dead_letters.push(&DeadLetter::task(partition, record, event));
                self.counts.tasks += 1;
                Verdict::Task
            }
            Ok(event) => self.accept(partition, record, event, decoded.identity),
            Err(rejection) => {
                beside.dead_letters.push(&DeadLetter::rejected(partition, record, rejection));
                *self.counts.rejected.entry(rejection.code.as_str()).or_default() += 1;
                Verdict::Rejected(rejection.clone())
            }
        }
    }

    fn accept(
        &mut self,
        partition: &mut Partition,
        record: &Record<'_>,
        event: &Event<'_>,
        identity: u128,
    ) -> Verdict {
        let content = content_hash(event);
        match partition.window.observe(record.sequence, identity, content) {
            Seen::First => {
                self.events.push(event, &partition.app_id, record);
                self.counts.accepted += 1;
                Verdict::Accepted
            }
            Seen::Again { content_differs } => {
                let beside = rows_of(&mut self.beside, &partition.app_id);
                beside.duplicates.push(partition, record, content_differs);
                self.counts.duplicates += 1;
                Verdict::Duplicate
            }
        }
    }

    /// Takes out everything that was collected; `partitions` are all that were pushed to. They go on
    /// from where they are: what is taken next is to be committed after this, or not at all.
    pub fn take<'a>(&mut self, partitions: impl IntoIterator<Item = &'a mut Partition>) -> Taken {
        let room = Self { events: self.events.renewed(), ..Self::new() };
        let Self { events, beside: mut rows, counts, .. } = std::mem::replace(self, room);
        let (mut beside, mut advances) = (Vec::new(), Vec::new());
        for partition in partitions {
            let own = rows.iter().position(|(app_id, _)| *app_id == partition.app_id);
            let Some((_, rows)) = own.map(|own| rows.swap_remove(own)) else { continue };
            advances.push(Range {
                app_id: partition.app_id.to_string(),
                base: partition.base.replace(partition.next),
                first: rows.first.unwrap_or(partition.next),
                next: partition.next,
            });
            beside.push((partition.app_id.clone(), partition.next, rows));
        }
        Taken { events, beside, advances, counts }
    }
}

/// Tells whether two copies of one identity say the same: a hash of what a fold may read of them.
pub fn content_hash(event: &Event<'_>) -> u32 {
    content_hash_of(&event.session_id, &event.event_type, event.occurred_at, event.data.as_deref())
}

/// [`content_hash`] of the stored columns of an event.
pub fn content_hash_of(
    session_id: &str,
    event_type: &str,
    occurred_at: i64,
    data: Option<&str>,
) -> u32 {
    // Chained by the seed: whole short texts are hashed several times as fast as a stream of them.
    let texts = [session_id, event_type, data.unwrap_or_default()];
    texts
        .iter()
        .fold(occurred_at.cast_unsigned(), |seed, text| xxh3_64_with_seed(text.as_bytes(), seed))
        as u32
}

/// The rejection of a record that is longer than the limit.
pub fn too_large(bytes: u64, limit: usize) -> Rejection {
    Rejection {
        code: RejectionCode::TooLarge,
        message: format!("the record has {bytes} bytes, at most {limit} are taken"),
    }
}
