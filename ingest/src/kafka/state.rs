//! What one member of the group holds: its partitions, the buffer, and the way to the lake.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Handle;

use super::context::Context;
use super::decoder::{Decoder, Desk};
use super::flight::{Landed, Writer};
use super::mirror::Mirror;
use super::options::KafkaOptions;
use super::same;
use crate::error::IngestError;
use crate::faults::{self, Point};
use crate::observability as names;
use crate::pipeline::{Committer, Counts, Flushed, Range, Record};

/// Flushes whose rows are held at once: one is read, one is encoded. Of one that is committed only
/// the files are left.
const FLUSHES: usize = 2;

/// What is buffered when nothing is left to read is worth a flush at this part of a full one.
const REST: usize = 16;

/// How long a question to the brokers may take.
pub const BROKER_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause before a question is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Why a topic that is long enough is not the one that was read.
const ANOTHER_RECORD: &str =
    "Another record is where the lake's last event came from: the topic was created anew";

pub struct State {
    options: KafkaOptions,
    runtime: Handle,
    cluster: String,
    writer: Writer,
    decoder: Decoder,
    /// The partitions that are read, and up to where.
    positions: BTreeMap<i32, i64>,
    halted: BTreeSet<i32>,
    /// Records and bytes of payload that were read since the last flush.
    records: usize,
    bytes: usize,
    /// Payload bytes at which the buffer is full beside the windows of the partitions held.
    flush_bytes: usize,
    oldest: Option<Instant>,
    /// What ends the pipeline; set inside callbacks, which cannot return it.
    pub failure: Option<IngestError>,
    /// What was committed so far.
    pub counts: Counts,
}

impl State {
    pub fn new(
        options: KafkaOptions,
        runtime: Handle,
        cluster: String,
        committer: Committer,
    ) -> Result<Self, IngestError> {
        let mirror = Mirror::new(&options)?;
        let writer = Writer::new(runtime.clone(), mirror, committer);
        Ok(Self {
            decoder: Decoder::new(&options),
            options,
            runtime,
            cluster,
            writer,
            positions: BTreeMap::new(),
            halted: BTreeSet::new(),
            records: 0,
            bytes: 0,
            flush_bytes: 0,
            oldest: None,
            failure: None,
            counts: Counts::default(),
        })
    }

    pub fn topic(&self) -> &str {
        &self.options.topic
    }

    pub fn numbers(&self) -> Vec<i32> {
        self.positions.keys().copied().collect()
    }

    pub fn position(&self, partition: i32) -> Option<i64> {
        self.positions.get(&partition).copied()
    }

    pub fn fail(&mut self, what: &str, remedy: &str, source: KafkaError) {
        let (what, remedy) = (what.to_owned(), remedy.to_owned());
        self.failure = Some(IngestError::Kafka { what, remedy, source });
    }

    /// Takes partitions where the lake's transactions stand. Those are halted instead of which the
    /// topic is not the one that the lake has read from.
    pub fn start(
        &mut self,
        consumer: &BaseConsumer<Context>,
        numbers: &[i32],
    ) -> Result<(), IngestError> {
        self.land(consumer)?;
        let (mut sources, mut watermarks) = (Vec::new(), Vec::new());
        for &number in numbers {
            let (low, high) = self.watermarks(consumer, number)?;
            sources.push((self.options.app_id(&self.cluster, number), low));
            watermarks.push((low, high));
        }
        let committer = self.writer.free()?;
        let held = self.positions.len() + numbers.len();
        self.flush_bytes = committer.flush_bytes(held, FLUSHES, &self.options.pipeline)?;
        let partitions = self.runtime.block_on(async {
            committer.refresh().await?;
            committer.start_all(&sources).await
        })?;
        for ((&number, partition), (low, high)) in numbers.iter().zip(partitions).zip(watermarks) {
            let reason = partition.base.and_then(|position| changed(position, low, high));
            self.halted.remove(&number);
            self.positions.insert(number, partition.next);
            self.decoder.desk()?.partitions.insert(number, partition);
            if let Some(reason) = reason {
                self.halt(number, (low, high), reason)?;
            }
        }
        Ok(())
    }

    /// Halts those of the partitions just started whose topic holds other records than those that
    /// the lake has read, although it is long enough.
    pub fn halt_what_differs(
        &mut self,
        consumer: &BaseConsumer<Context>,
        started: &[i32],
    ) -> Result<(), IngestError> {
        let desk = self.decoder.desk()?;
        let last = started
            .iter()
            .filter_map(|number| Some((*number, desk.partitions.get(number)?.last?)))
            .collect();
        drop(desk);
        for number in same::differing(&self.options, last)? {
            let watermarks = self.watermarks(consumer, number)?;
            self.halt(number, watermarks, ANOTHER_RECORD)?;
        }
        Ok(())
    }

    fn halt(
        &mut self,
        number: i32,
        (low, high): (i64, i64),
        reason: &'static str,
    ) -> Result<(), IngestError> {
        self.decoder.desk()?.partitions.remove(&number);
        let Some(position) = self.positions.remove(&number) else { return Ok(()) };
        let app_id = self.options.app_id(&self.cluster, number);
        let error = IngestError::TopicChanged { app_id, position, low, high, reason };
        tracing::error!(%error, "partition halted");
        self.halted.insert(number);
        Ok(())
    }

    /// The first offset of a partition and one past its last. Asked again for a while: the broker
    /// may be going away while another takes over, and partitions that were added just now may be
    /// known to the member that leads the group and not to us.
    fn watermarks(
        &self,
        consumer: &BaseConsumer<Context>,
        number: i32,
    ) -> Result<(i64, i64), IngestError> {
        let topic = &self.options.topic;
        let until = Instant::now() + BROKER_TIMEOUT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match consumer.fetch_watermarks(topic, number, left) {
                Ok(found) => return Ok(found),
                Err(error) if left > ASK_AGAIN => {
                    tracing::info!(%error, number, "asking for the offsets again");
                    std::thread::sleep(ASK_AGAIN);
                    // Whatever the answer, it is the question that makes the client look around.
                    let _ = consumer.fetch_metadata(Some(topic), left);
                }
                Err(source) => {
                    return Err(IngestError::Kafka {
                        what: format!("the offsets of {topic}/{number} could not be asked"),
                        remedy: "check that the brokers are up".to_owned(),
                        source,
                    });
                }
            }
        }
    }

    /// Whether every partition that the group gave us is halted.
    pub fn all_halted(&self) -> bool {
        self.positions.is_empty() && !self.halted.is_empty()
    }

    /// Gives partitions up, of which nothing is buffered any more; which of them were being read.
    pub fn release(&mut self, numbers: &[i32]) -> BTreeSet<i32> {
        for number in numbers {
            self.halted.remove(number);
        }
        let held: BTreeSet<i32> =
            numbers.iter().copied().filter(|n| self.positions.remove(n).is_some()).collect();
        match self.decoder.desk() {
            Ok(mut desk) => desk.partitions.retain(|number, _| !held.contains(number)),
            Err(error) => self.failure = Some(error),
        }
        let left = self.positions.len();
        if let Ok(committer) = self.writer.free()
            && let Ok(bytes) = committer.flush_bytes(left, FLUSHES, &self.options.pipeline)
        {
            self.flush_bytes = bytes;
        }
        held
    }

    pub fn push(&mut self, message: &BorrowedMessage<'_>) -> Result<(), IngestError> {
        let headers: Vec<(&str, &[u8])> = message
            .headers()
            .map(|h| h.iter().map(|h| (h.key, h.value.unwrap_or_default())).collect())
            .unwrap_or_default();
        let record = Record {
            sequence: message.offset(),
            timestamp: message.timestamp().to_millis().unwrap_or_default().saturating_mul(1_000),
            payload: message.payload(),
            headers: &headers,
            unreadable: None,
        };
        self.take_up(message.partition(), &record)
    }

    fn take_up(&mut self, number: i32, record: &Record<'_>) -> Result<(), IngestError> {
        let Some(position) = self.positions.get_mut(&number) else { return Ok(()) };
        if record.sequence < *position {
            return Ok(());
        }
        *position = record.sequence + 1;
        self.records += 1;
        self.bytes += record.payload.map_or(0, <[u8]>::len);
        self.oldest.get_or_insert_with(Instant::now);
        self.decoder.push(number, record)
    }

    /// Whether no more may be read before something was taken out.
    pub fn is_full(&self) -> bool {
        self.records >= self.options.pipeline.flush_rows || self.bytes >= self.flush_bytes
    }

    /// Lets the writer have what it is time for: a full buffer waits until there is room, an old one
    /// until nothing else is under way. So does the rest of a backlog, once we have `caught_up` with the
    /// topic.
    pub fn keep_up(
        &mut self,
        consumer: &BaseConsumer<Context>,
        caught_up: bool,
    ) -> Result<(), IngestError> {
        if let Some(landed) = self.writer.look()? {
            self.settle(consumer, &landed)?;
        }
        while self.is_full() && !self.writer.has_room() {
            self.step(consumer)?;
        }
        let interval = self.options.pipeline.flush_interval;
        let is_old = || self.oldest.is_some_and(|oldest| oldest.elapsed() >= interval);
        let is_rest = caught_up && self.bytes >= self.flush_bytes / REST;
        if self.is_full() || (!self.writer.is_busy() && (is_rest || is_old())) {
            self.depart()?;
        }
        Ok(())
    }

    pub fn drop_buffer(&mut self) {
        self.decoder.forget();
        self.emptied();
        metrics::counter!(names::LOST_BUFFERS).increment(1);
    }

    /// Makes everything buffered durable, or, when another member was faster, starts the partitions
    /// again from the lake.
    pub fn flush(&mut self, consumer: &BaseConsumer<Context>) -> Result<(), IngestError> {
        self.land(consumer)?;
        self.depart()?;
        self.land(consumer)
    }

    fn emptied(&mut self) {
        (self.records, self.bytes, self.oldest) = (0, 0, None);
    }

    /// Hands what is buffered to the writer, which has room.
    fn depart(&mut self) -> Result<(), IngestError> {
        let taken = {
            let mut desk = self.decoder.desk()?;
            let Desk { partitions, buffer, .. } = &mut *desk;
            (!buffer.is_empty()).then(|| buffer.take(partitions.values_mut()))
        };
        self.emptied();
        let Some(taken) = taken else { return Ok(()) };
        faults::pass(Point::BeforeFlush);
        self.writer.start(taken)
    }

    /// Waits until the committer is free.
    fn land(&mut self, consumer: &BaseConsumer<Context>) -> Result<(), IngestError> {
        while self.writer.is_busy() {
            self.step(consumer)?;
        }
        Ok(())
    }

    fn step(&mut self, consumer: &BaseConsumer<Context>) -> Result<(), IngestError> {
        match self.writer.wait()? {
            Some(landed) => self.settle(consumer, &landed),
            None => Ok(()),
        }
    }

    /// Takes note of what became of a flush. Was it lost, so is what was read behind it, and the
    /// partitions start again from the lake.
    fn settle(
        &mut self,
        consumer: &BaseConsumer<Context>,
        landed: &Landed,
    ) -> Result<(), IngestError> {
        if landed.outcome == Flushed::Lost {
            self.writer.forget()?;
            return self.start_over(consumer);
        }
        self.committed(&landed.counts);
        faults::pass(Point::BeforeOffsets);
        self.tell_group(consumer, &landed.advances);
        faults::pass(Point::AfterOffsets);
        Ok(())
    }

    /// Drops what is buffered and lets the flushes under way come to their end, whichever it is: the
    /// partitions are not ours any more, or we stop.
    pub fn abandon(&mut self) -> Result<(), IngestError> {
        self.drop_buffer();
        while self.writer.is_busy() {
            let Some(landed) = self.writer.wait()? else { continue };
            if landed.outcome == Flushed::Lost {
                self.writer.forget()?;
            } else {
                self.committed(&landed.counts);
            }
        }
        Ok(())
    }

    fn committed(&mut self, counts: &Counts) {
        crate::observability::count(counts, "kafka");
        self.counts.add(counts);
    }

    /// The group's offsets serve lag monitoring only, so a failure is worth a warning, no more.
    fn tell_group(&self, consumer: &BaseConsumer<Context>, advances: &[Range]) {
        let mut offsets = TopicPartitionList::new();
        for &number in self.positions.keys() {
            let app_id = self.options.app_id(&self.cluster, number);
            let own = advances.iter().find(|advance| advance.app_id == app_id);
            let Some(Range { next, .. }) = own else { continue };
            let added =
                offsets.add_partition_offset(&self.options.topic, number, Offset::Offset(*next));
            if let Err(error) = added {
                tracing::warn!(%error, number, "offset not told to the group");
            }
        }
        if let Err(error) = consumer.commit(&offsets, CommitMode::Async) {
            tracing::warn!(%error, "offsets not told to the group");
        }
    }

    fn start_over(&mut self, consumer: &BaseConsumer<Context>) -> Result<(), IngestError> {
        self.drop_buffer();
        let numbers = self.numbers();
        self.positions.clear();
        self.decoder.desk()?.partitions.clear();
        self.start(consumer, &numbers)?;
        for number in numbers {
            let Some(next) = self.position(number) else { continue };
            consumer
                .seek(&self.options.topic, number, Offset::Offset(next), BROKER_TIMEOUT)
                .map_err(|source| IngestError::Kafka {
                    what: format!("{}/{number} could not be read again", self.options.topic),
                    remedy: "start the process again".to_owned(),
                    source,
                })?;
        }
        Ok(())
    }
}

/// Why a topic cannot be the one that was read up to `position`.
fn changed(position: i64, low: i64, high: i64) -> Option<&'static str> {
    if position > high {
        Some("The topic ends before that: it was created anew or truncated")
    } else if position < low {
        Some("The records between were deleted before they were read: retention is too short")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
