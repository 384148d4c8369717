//! SQL for many callers at once: a deadline, a row limit and a place in the queue for each.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use onramp_compute::Engine;
use onramp_lake::Lake;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{SqlError, run};
use crate::access::Caller;

/// What one statement may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest that an answer may take, the wait for its turn included.
    pub deadline: Duration,
    /// The most rows of an answer.
    pub max_rows: usize,
    /// The longest statement, in bytes.
    pub max_statement_bytes: usize,
    /// Statements that run at once; as many again may wait.
    pub max_concurrent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            max_rows: 100_000,
            max_statement_bytes: 256 << 10,
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
    lake: Lake,
    engine: Engine,
    limits: Limits,
    running: Arc<Semaphore>,
    present: Arc<Semaphore>,
    workers: tokio::runtime::Handle,
}

impl Service {
    /// A service whose statements share `engine`'s memory and run on `workers`: a runtime of their
    /// own, so that statements which keep it busy leave other requests alone.
    pub fn new(
        lake: Lake,
        engine: Engine,
        limits: Limits,
        workers: tokio::runtime::Handle,
    ) -> Self {
        let running = Arc::new(Semaphore::new(limits.max_concurrent));
        let present = Arc::new(Semaphore::new(limits.max_concurrent * 2));
        Self { lake, engine, limits, running, present, workers }
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// All rows of a caller's statement. Dropping the future ends the statement.
    ///
    /// # Errors
    /// As [`run`]; a statement that is too long, takes too long, or has too many rows; too many
    /// statements at once.
    pub async fn answer(&self, caller: Caller, statement: String) -> Result<Answer, SqlError> {
        let limits = self.limits;
        if statement.len() > limits.max_statement_bytes {
            return Err(SqlError::TooLong {
                bytes: statement.len(),
                most: limits.max_statement_bytes,
            });
        }
        let Ok(_present) = self.present.try_acquire() else {
            return Err(SqlError::Busy { most: limits.max_concurrent });
        };
        let (lake, engine) = (self.lake.clone(), self.engine.clone());
        let running = Arc::clone(&self.running);
        // Dropped with this future, it ends its task.
        let mut answering = JoinSet::new();
        let answer = async move {
            let _running = running.acquire_owned().await;
            collect(&lake, &engine, &caller, &statement, limits.max_rows).await
        };
        answering.spawn_on(answer, &self.workers);
        let seconds = limits.deadline.as_secs();
        match tokio::time::timeout(limits.deadline, answering.join_next()).await {
            Err(_) | Ok(None) => Err(SqlError::Deadline { seconds }),
            Ok(Some(Ok(answer))) => answer,
            Ok(Some(Err(ended))) => Err(SqlError::Worker(ended.to_string())),
        }
    }
}

async fn collect(
    lake: &Lake,
    engine: &Engine,
    caller: &Caller,
    statement: &str,
    most: usize,
) -> Result<Answer, SqlError> {
    let mut rows = run(lake, engine, caller, statement).await?;
    let (schema, mut batches, mut count) = (rows.schema(), Vec::new(), 0);
    while let Some(batch) = rows.try_next().await.map_err(SqlError::Statement)? {
        count += batch.num_rows();
        if count > most {
            return Err(SqlError::TooManyRows { most });
        }
        batches.push(batch);
    }
    Ok(Answer { schema, batches })
}
