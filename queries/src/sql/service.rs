//! SQL for many callers at once: memory, time, rows and a place in the queue for each.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{Rows, Session, Source, SqlError, session, text};
use crate::access::{Caller, Scope};

/// Batches that are ready before anybody takes them.
const READY: usize = 2;

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

/// What is to run.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A statement.
    Text(String),
    /// A plan of the session's own.
    Plan(LogicalPlan),
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

    /// A session for a caller of this scope, within the memory of one statement.
    ///
    /// # Errors
    /// As [`session`].
    pub fn session(&self, scope: &Scope) -> Result<Session, SqlError> {
        session(&self.source, scope, Some(self.limits.memory_limit_bytes))
    }

    /// The rows of an answer, computed on the workers a little ahead of who takes them. Dropping them
    /// ends the work.
    ///
    /// # Errors
    /// A statement that is too long or may not run, too many at once, no first row in time. The rows
    /// themselves end in an error where there are too many, or they take too long.
    pub async fn rows(&self, session: Session, ask: Ask) -> Result<Rows, SqlError> {
        let Limits { deadline, max_rows, .. } = self.limits;
        self.check_length(&ask)?;
        let busy = |_| SqlError::Busy { most: self.limits.max_concurrent };
        let present = Arc::clone(&self.present).try_acquire_owned().map_err(busy)?;
        let overdue = move || SqlError::Deadline { seconds: deadline.as_secs() };
        let ends = Instant::now() + deadline;
        let running = Arc::clone(&self.running);
        let (told, schema) = oneshot::channel();
        let (out, batches) = mpsc::channel(READY);
        let mut working = JoinSet::new();
        let work = async move {
            // Until the work has really ended: work that does not let itself be ended keeps its place.
            let (_present, _running) = (present, running.acquire_owned().await);
            let answer = async {
                let plan = match ask {
                    Ask::Text(statement) => session.plan(&statement).await?,
                    Ask::Plan(plan) => plan,
                };
                session.rows(plan).await
            };
            let mut rows = match answer.await {
                Ok(rows) => rows,
                Err(error) => return drop(told.send(Err(error))),
            };
            if told.send(Ok(rows.schema())).is_err() {
                return;
            }
            while let Some(batch) = rows.next().await {
                let last = batch.is_err();
                if out.send(batch).await.is_err() || last {
                    return;
                }
            }
        };
        working.spawn_on(work, &self.workers);
        let schema = match timeout_at(ends, schema).await {
            Err(_) => return Err(overdue()),
            Ok(Err(_)) => return Err(ended(&mut working).await),
            Ok(Ok(schema)) => schema?,
        };
        let handed = Handed { batches, working, rows: 0 };
        let rows = stream::try_unfold(handed, move |mut handed| async move {
            let Ok(batch) = timeout_at(ends, handed.batches.recv()).await else {
                return Err(DataFusionError::from(overdue()));
            };
            let Some(batch) = batch.transpose()? else {
                // The channel closes at the end of the rows, and where the worker came to an end.
                return match handed.working.join_next().await {
                    None | Some(Ok(())) => Ok(None),
                    Some(Err(error)) => Err(SqlError::Worker(error.to_string()).into()),
                };
            };
            handed.rows += batch.num_rows();
            if handed.rows > max_rows {
                return Err(SqlError::TooManyRows { most: max_rows }.into());
            }
            Ok(Some((batch, handed)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    /// All rows of a caller's statement. Dropping the future ends the statement.
    ///
    /// # Errors
    /// As [`Self::rows`], and an answer that is too large.
    pub async fn answer(&self, caller: Caller, statement: String) -> Result<Answer, SqlError> {
        let most = self.limits.max_answer_bytes;
        let session = self.session(&caller.scope)?;
        let mut rows = self.rows(session, Ask::Text(statement)).await?;
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

    fn check_length(&self, ask: &Ask) -> Result<(), SqlError> {
        let most = self.limits.max_statement_bytes.min(text::LONGEST);
        match ask {
            Ask::Text(text) if text.len() > most => {
                Err(SqlError::TooLong { bytes: text.len(), most })
            }
            _ => Ok(()),
        }
    }
}

/// Rows on their way, and the work that makes them: it ends with them.
struct Handed {
    batches: mpsc::Receiver<Result<RecordBatch, DataFusionError>>,
    working: JoinSet<()>,
    rows: usize,
}

/// How a task ended that did not say so.
async fn ended(working: &mut JoinSet<()>) -> SqlError {
    match working.join_next().await {
        Some(Err(error)) => SqlError::Worker(error.to_string()),
        _ => SqlError::Worker("it ended without an answer".to_owned()),
    }
}
