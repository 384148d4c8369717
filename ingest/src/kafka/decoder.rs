//! The thread that decodes what the consumer's thread has polled, so that both are busy at once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::batch::Batch;
use super::options::KafkaOptions;
use crate::error::IngestError;
use crate::pipeline::{Buffer, Partition, Record, TOGETHER, Verdict};

/// Batches that are decoded or wait for it.
const UNDER_WAY: usize = 4;

/// Records over which the share of rejections is watched.
const WATCHED_RECORDS: usize = 10_000;

type Decoded = (Batch, Result<(), IngestError>);

/// Hands records to a thread of its own, in their order, and looks at what it made of them only while
/// it has nothing to do.
pub struct Decoder {
    desk: Arc<Mutex<Desk>>,
    /// What is not handed over yet.
    filling: Batch,
    spare: Vec<Batch>,
    under_way: usize,
    work: Sender<Batch>,
    done: Receiver<Decoded>,
}

/// What the thread works on.
pub struct Desk {
    options: KafkaOptions,
    /// The partitions that are read.
    pub partitions: BTreeMap<i32, Partition>,
    /// What was read of them and is not on its way to the lake.
    pub buffer: Buffer,
    /// Of the last records, which were rejected.
    rejections: VecDeque<bool>,
    rejected: usize,
}

impl Decoder {
    pub fn new(options: &KafkaOptions) -> Self {
        let desk = Arc::new(Mutex::new(Desk {
            options: options.clone(),
            partitions: BTreeMap::new(),
            buffer: Buffer::new(),
            rejections: VecDeque::new(),
            rejected: 0,
        }));
        let (work, batches) = channel::<Batch>();
        let (answers, done) = channel();
        let own = desk.clone();
        std::thread::spawn(move || {
            for mut batch in batches {
                let decoded = lock(&own).decode(&batch);
                batch.clear();
                if answers.send((batch, decoded)).is_err() {
                    break;
                }
            }
        });
        let (filling, spare) = (Batch::default(), Vec::new());
        Self { desk, filling, spare, under_way: 0, work, done }
    }

    /// Takes a record of a partition that is read.
    ///
    /// # Errors
    /// Those of earlier records: too many were rejected.
    pub fn push(&mut self, partition: i32, record: &Record<'_>) -> Result<(), IngestError> {
        self.filling.add(partition, record);
        if self.filling.is_full() { self.hand_over() } else { Ok(()) }
    }

    /// What the thread works on, once everything that was pushed is decoded.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn desk(&mut self) -> Result<MutexGuard<'_, Desk>, IngestError> {
        if !self.filling.is_empty() {
            self.hand_over()?;
        }
        while self.under_way > 0 {
            self.wait()?;
        }
        Ok(lock(&self.desk))
    }

    /// Forgets everything that was pushed since the last flush was taken, and what was wrong with it.
    pub fn forget(&mut self) {
        self.filling.clear();
        while self.under_way > 0 {
            // What it was about is dropped.
            let _ = self.wait();
        }
        lock(&self.desk).buffer = Buffer::new();
    }

    fn hand_over(&mut self) -> Result<(), IngestError> {
        while self.under_way >= UNDER_WAY {
            self.wait()?;
        }
        let empty = self.spare.pop().unwrap_or_default();
        let full = std::mem::replace(&mut self.filling, empty);
        self.work.send(full).map_err(|_| ended())?;
        self.under_way += 1;
        Ok(())
    }

    fn wait(&mut self) -> Result<(), IngestError> {
        self.under_way -= 1;
        let (batch, decoded) = self.done.recv().map_err(|_| ended())?;
        self.spare.push(batch);
        decoded
    }
}

/// It ends by itself only when it panics.
fn ended() -> IngestError {
    IngestError::Worker("the decoder has ended".to_owned())
}

/// A panic while the lock was held is told by [`ended`].
fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    fn decode(&mut self, batch: &Batch) -> Result<(), IngestError> {
        let headers = batch.headers();
        let records: Vec<(i32, Record<'_>)> = batch.records(&headers).collect();
        let Self { options, partitions, buffer, rejections, rejected } = self;
        for records in records.chunks(TOGETHER) {
            let mut failure = None;
            buffer.push_together(&options.pipeline, partitions, records, |partition, verdict| {
                *rejected += usize::from(matches!(verdict, Verdict::Rejected(_)));
                rejections.push_back(matches!(verdict, Verdict::Rejected(_)));
                if rejections.len() > WATCHED_RECORDS {
                    *rejected -= usize::from(rejections.pop_front().unwrap_or_default());
                }
                if failure.is_none() && rejections.len() == WATCHED_RECORDS {
                    failure = drained(options, *rejected, partition, verdict);
                }
            });
            failure.map_or(Ok(()), Err)?;
        }
        Ok(())
    }
}

/// What stops a pipeline that would drain a whole topic into dead letters.
fn drained(
    options: &KafkaOptions,
    rejected: usize,
    partition: &Partition,
    verdict: &Verdict,
) -> Option<IngestError> {
    let limit = options.max_rejected_ratio;
    let Verdict::Rejected(rejection) = verdict else { return None };
    (rejected as f64 > limit * WATCHED_RECORDS as f64).then(|| IngestError::TooManyRejections {
        app_id: partition.app_id.to_string(),
        rejected,
        seen: WATCHED_RECORDS,
        limit: limit * 100.0,
        code: rejection.code.as_str(),
        message: rejection.message.clone(),
        sequence: partition.base.unwrap_or_default() - 1,
    })
}
