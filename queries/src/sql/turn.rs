//! A statement's turn: when it ends, and what it holds until all of its work has ended.
//!
//! Work that is dropped ends where it gives way, and some never does: a join goes on for as long as it
//! finds no row, a cross join for as long as there are rows. So every operator asks between batches
//! whether it may go on, and the condition of a join asks each time it is looked at ([`watch`]).

mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{Rows, SqlError};

/// Batches that are ready before anybody takes them.
const READY: usize = 2;

/// What a statement may take. By default all that there is.
#[derive(Debug, Default)]
pub struct Turn {
    /// When it must be done, and the time that it was given.
    pub until: Option<(Instant, Duration)>,
    /// The most rows.
    pub most_rows: Option<usize>,
    /// What others wait for: given back when the last of the work has ended.
    pub places: Vec<OwnedSemaphorePermit>,
}

/// A turn, as the work sees it.
#[derive(Debug)]
struct Term {
    turn: Turn,
    is_over: AtomicBool,
}

impl Term {
    /// Whether work may go on.
    ///
    /// # Errors
    /// The time is over, or nobody waits for the rows.
    fn ask(&self) -> Result<()> {
        if self.is_over.load(Ordering::Relaxed) {
            return Err(DataFusionError::Execution("nobody waits for the rows".to_owned()));
        }
        match self.turn.until {
            Some((until, given)) if Instant::now() >= until => {
                Err(SqlError::Deadline { given }.into())
            }
            _ => Ok(()),
        }
    }
}

/// Rows on their way, and the work that makes them, which ends with them.
struct Handed {
    batches: mpsc::Receiver<Result<RecordBatch>>,
    working: JoinSet<()>,
    rows: usize,
    term: Arc<Term>,
}

impl Drop for Handed {
    fn drop(&mut self) {
        self.term.is_over.store(true, Ordering::Relaxed);
    }
}

impl Handed {
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        let next = self.batches.recv();
        let batch = match self.term.turn.until {
            None => next.await,
            Some((until, given)) => match timeout_at(until, next).await {
                Ok(batch) => batch,
                Err(_) => return Err(SqlError::Deadline { given }.into()),
            },
        };
        let Some(batch) = batch.transpose()? else {
            // The channel closes at the end of the rows, and where the work came to an end.
            return match self.working.join_next().await {
                None | Some(Ok(())) => Ok(None),
                Some(Err(error)) => Err(SqlError::Worker(error.to_string()).into()),
            };
        };
        self.rows += batch.num_rows();
        match self.term.turn.most_rows {
            Some(most) if self.rows > most => Err(SqlError::TooManyRows { most }.into()),
            _ => Ok(Some((batch, self))),
        }
    }
}

/// Runs a plan on a task of its own, a little ahead of who takes the rows; dropping them ends it.
///
/// # Errors
/// A plan that cannot start.
pub(super) fn take(
    turn: Turn,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
) -> Result<Rows> {
    let term = Arc::new(Term { turn, is_over: AtomicBool::new(false) });
    let mut rows = execute_stream(watch::watched(plan, &term)?, context)?;
    let schema = rows.schema();
    let (out, batches) = mpsc::channel(READY);
    let mut working = JoinSet::new();
    working.spawn(async move {
        while let Some(batch) = rows.next().await {
            let last = batch.is_err();
            if out.send(batch).await.is_err() || last {
                return;
            }
        }
    });
    let handed = Handed { batches, working, rows: 0, term };
    let rows = stream::try_unfold(handed, Handed::next);
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}
