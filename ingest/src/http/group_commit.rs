//! Without Kafka the collector appends to the lake itself: whatever arrives while one commit is
//! under way makes up the next.

use std::sync::Arc;
use std::time::Duration;

use onramp_lake::Lake;
use onramp_schemas::clock::Clock;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::payload::Payload;
use crate::error::IngestError;
use crate::health::Health;
use crate::observability;
use crate::options::PipelineOptions;
use crate::pipeline::{Buffer, Committer, Flushed, Partition, Record, Verdict};

/// Requests that may wait for a commit; more are refused with 503.
const QUEUE: usize = 1_024;

/// How long a commit waits for company.
const LINGER: Duration = Duration::from_millis(5);

/// How often a lake that failed is looked at again.
const RETRY: Duration = Duration::from_secs(1);

/// What became of one event of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// `accepted`, `duplicate`, `rejected`, or with Kafka `queued`.
    pub status: &'static str,
    /// The rejection's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What is wrong with the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Answer {
    /// An answer without more to say.
    pub fn plain(status: &'static str) -> Self {
        Self { status, code: None, message: None }
    }
}

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Accepted | Verdict::Task => Self::plain("accepted"),
            Verdict::Duplicate => Self::plain("duplicate"),
            Verdict::Rejected(rejection) => Self {
                status: "rejected",
                code: Some(rejection.code.as_str()),
                message: Some(rejection.message),
            },
        }
    }
}

struct Waiting {
    events: Vec<Payload>,
    answer: oneshot::Sender<Vec<Answer>>,
}

/// The handle by which requests reach the committing task.
#[derive(Clone)]
pub struct GroupCommit {
    queue: mpsc::Sender<Waiting>,
}

/// Why a request was not made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// Too many wait already.
    Full,
    /// The task has ended or could not commit.
    Failed,
}

impl GroupCommit {
    /// Opens the lake and starts the committing task; it ends after `shutdown`, when everything
    /// that waited is durable. `instance` names this collector in the lake; every start is a source
    /// partition of its own, because the sequences are ours to give and two processes that gave the
    /// same ones to different events could not be told apart.
    ///
    /// # Errors
    /// A lake that cannot be opened.
    pub async fn start(
        lake: &Lake,
        instance: &str,
        mut options: PipelineOptions,
        clock: Arc<dyn Clock>,
        health: Health,
        shutdown: CancellationToken,
    ) -> Result<(Self, tokio::task::JoinHandle<Result<(), IngestError>>), IngestError> {
        let mut committer = Committer::open(lake).await?;
        options.flush_bytes = committer.flush_bytes(1, 1, &options)?;
        let app_id = format!("http/{instance}-{:016x}", rand::random::<u64>());
        let partition = committer.start(&app_id, 0).await?;
        let (queue, waiting) = mpsc::channel(QUEUE);
        health.ready();
        let task = Task { health: health.clone(), committer, partition, options, clock };
        let running = tokio::spawn(async move {
            let ended = task.run(waiting, shutdown).await;
            health.not_ready("stopped");
            ended
        });
        Ok((Self { queue }, running))
    }

    /// Hands over the events of a request; returns once all of them are durable.
    ///
    /// # Errors
    /// [`NotTaken`]: nothing of the request is promised, and the caller should send it again.
    pub async fn append(&self, events: Vec<Payload>) -> Result<Vec<Answer>, NotTaken> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Waiting { events, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => NotTaken::Full,
            mpsc::error::TrySendError::Closed(_) => NotTaken::Failed,
        })?;
        answered.await.map_err(|_| NotTaken::Failed)
    }
}

struct Task {
    health: Health,
    committer: Committer,
    partition: Partition,
    options: PipelineOptions,
    clock: Arc<dyn Clock>,
}

impl Task {
    async fn run(
        mut self,
        mut waiting: mpsc::Receiver<Waiting>,
        shutdown: CancellationToken,
    ) -> Result<(), IngestError> {
        loop {
            let first = tokio::select! {
                biased;
                first = waiting.recv() => first,
                () = shutdown.cancelled() => {
                    waiting.close();
                    waiting.recv().await
                }
            };
            let Some(first) = first else { return Ok(()) };
            if waiting.is_empty() && !shutdown.is_cancelled() {
                tokio::time::sleep(LINGER).await;
            }
            let mut group = vec![first];
            let mut events = group[0].events.len();
            let mut bytes: usize = group[0].events.iter().map(|e| e.bytes.len()).sum();
            while events < self.options.flush_rows && bytes < self.options.flush_bytes {
                let Ok(next) = waiting.try_recv() else { break };
                events += next.events.len();
                bytes += next.events.iter().map(|e| e.bytes.len()).sum::<usize>();
                group.push(next);
            }
            match self.commit(&group).await {
                Ok(answers) => {
                    for (waiting, answer) in group.into_iter().zip(answers) {
                        // A client that hung up needs no answer.
                        let _ = waiting.answer.send(answer);
                    }
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "commit failed");
                    drop(group);
                    self.recover(&mut waiting, &shutdown).await?;
                }
            }
        }
    }

    /// Waits until the lake can be read again, and goes on behind whatever it holds by then. Who
    /// waits meanwhile is sent away to try again.
    async fn recover(
        &mut self,
        waiting: &mut mpsc::Receiver<Waiting>,
        shutdown: &CancellationToken,
    ) -> Result<(), IngestError> {
        self.health.not_ready("the lake cannot be written");
        while let Err(error) = self.committer.refresh().await {
            while waiting.try_recv().is_ok() {}
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = shutdown.cancelled() => return Err(error),
            }
        }
        self.committer.go_on(&mut self.partition);
        self.health.ready();
        Ok(())
    }

    async fn commit(&mut self, group: &[Waiting]) -> Result<Vec<Vec<Answer>>, IngestError> {
        let now = self.clock.now();
        let mut buffer = Buffer::new();
        let mut answers = Vec::with_capacity(group.len());
        for waiting in group {
            let verdicts = waiting.events.iter().map(|event| {
                let headers: Vec<(&str, &[u8])> =
                    event.headers.iter().map(|(n, v)| (n.as_str(), v.as_ref())).collect();
                let record = Record {
                    sequence: self.partition.next,
                    timestamp: now,
                    payload: Some(&event.bytes),
                    headers: &headers,
                    unreadable: None,
                };
                buffer.push(&self.options, &mut self.partition, &record).into()
            });
            answers.push(verdicts.collect());
        }
        if buffer.is_empty() {
            return Ok(answers);
        }
        let flush = buffer.take([&mut self.partition]).build()?;
        if self.committer.commit(&flush).await? == Flushed::Lost {
            return Err(IngestError::Contended { app_id: self.partition.app_id.to_string() });
        }
        observability::count(&flush.counts, "http");
        Ok(answers)
    }
}
