//! SQL for many callers at once: memory, time, rows and a place in the queue for each.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use futures::TryStreamExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{Rows, Source, SqlError, Turn, session};
use crate::access::Caller;

/// What one statement may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest that an answer may take, the wait for its turn included.
    pub deadline: Duration,
    /// The most rows of an answer.
    pub max_rows: usize,
    /// The most bytes of an answer that is given as a whole.
    pub max_answer_bytes: usize,
    /// The longest statement, in bytes.
    pub max_statement_bytes: usize,
    /// The most bytes that a statement's sorts, joins and aggregates hold; then they spill or fail.
    pub memory_limit_bytes: usize,
    /// Statements that run at once; as many again may wait.
    pub max_concurrent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            max_rows: 100_000,
            max_answer_bytes: 64 << 20,
            max_statement_bytes: 256 << 10,
            memory_limit_bytes: 128 << 20,
            max_concurrent: 4,
        }
    }
}

/// All rows of an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Their columns, also where there is no row.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

/// Answers statements over one lake.
#[derive(Debug)]
pub struct Service {
    source: Source,
    limits: Limits,
    pub(super) running: Arc<Semaphore>,
    pub(super) present: Arc<Semaphore>,
    workers: tokio::runtime::Handle,
}

impl Service {
    /// A service whose statements share the engine's memory and run on `workers`: a runtime of their
    /// own, so that statements which keep it busy leave other requests alone.
    pub fn new(source: Source, limits: Limits, workers: tokio::runtime::Handle) -> Self {
        let running = Arc::new(Semaphore::new(limits.max_concurrent));
        let present = Arc::new(Semaphore::new(limits.max_concurrent * 2));
        Self { source, limits, running, present, workers }
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// All rows of a caller's statement. Dropping the future ends the statement.
    ///
    /// # Errors
    /// A statement that is too long or may not run, too many at once, too many rows or bytes, no answer
    /// in time.
    pub async fn answer(&self, caller: Caller, statement: String) -> Result<Answer, SqlError> {
        let mut rows = self.rows(caller, statement).await?;
        let most = self.limits.max_answer_bytes;
        let (schema, mut batches, mut bytes) = (rows.schema(), Vec::new(), 0);
        while let Some(batch) = rows.try_next().await? {
            for column in batch.columns() {
                bytes += column.to_data().get_slice_memory_size().map_err(DataFusionError::from)?;
            }
            if bytes > most {
                return Err(SqlError::TooLarge { most });
            }
            batches.push(batch);
        }
        Ok(Answer { schema, batches })
    }

    /// The rows of an answer, computed on the workers.
    async fn rows(&self, caller: Caller, statement: String) -> Result<Rows, SqlError> {
        let Limits { deadline, max_rows, max_concurrent, max_statement_bytes, .. } = self.limits;
        let (bytes, most) = (statement.len(), max_statement_bytes);
        if bytes > most {
            return Err(SqlError::TooLong { bytes, most });
        }
        let busy = |_| SqlError::Busy { most: max_concurrent };
        let present = Arc::clone(&self.present).try_acquire_owned().map_err(busy)?;
        let ends = Instant::now() + deadline;
        let (source, memory) = (self.source.clone(), self.limits.memory_limit_bytes);
        let running = Arc::clone(&self.running);
        // Dropped with this future, it ends its task.
        let mut work = JoinSet::new();
        let begin = async move {
            let running = running.acquire_owned().await.map_err(|closed| worker(&closed))?;
            let session = session(&source, &caller.scope, Some(memory))?;
            let turn = Turn {
                until: Some((ends, deadline)),
                most_rows: Some(max_rows),
                places: vec![present, running],
            };
            let plan = session.plan(&statement).await?;
            session.rows(plan, turn).await
        };
        work.spawn_on(begin, &self.workers);
        match timeout_at(ends, work.join_next()).await {
            Ok(Some(Ok(rows))) => rows,
            Ok(Some(Err(ended))) => Err(worker(&ended)),
            Ok(None) | Err(_) => Err(SqlError::Deadline { given: deadline }),
        }
    }
}

fn worker(ended: &dyn std::error::Error) -> SqlError {
    SqlError::Worker(ended.to_string())
}
