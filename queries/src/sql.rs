//! Read-only SQL: what may run, over which tables, within which bounds.
//!
//! A [`Session`] knows the tables that its caller sees and judges every plan before it runs: only what
//! reads passes ([`allow`]). The lake is opened when a plan reads it, so that planning costs nothing,
//! and stands still for the session ([`moment`]). [`Service`] answers many callers at once.

mod allow;
mod confine;
mod docs;
mod functions;
mod moment;
mod schema;
mod service;
mod session;
mod text;
mod through;
mod turn;
mod unnest;
mod views;

#[cfg(test)]
pub(crate) mod tests;

pub use docs::reference;
pub use schema::{Described, DescribedColumn};
pub use service::{Answer, Limits, Service};
pub use session::{Session, session};
pub use turn::Turn;

use std::sync::Arc;
use std::time::Duration;

use datafusion::error::DataFusionError;
use onramp_compute::{ComputeError, Engine};
use onramp_lake::{Lake, LakeError};
use onramp_schemas::funnel::Funnel;
use thiserror::Error;

use crate::access::Caller;

/// The rows of an answer, as they are computed.
pub use datafusion::execution::SendableRecordBatchStream as Rows;

/// What statements are asked of; cheap to clone.
#[derive(Clone, Debug)]
pub struct Source {
    /// The lake.
    pub lake: Lake,
    /// What reads it.
    pub engine: Engine,
    /// The funnels that sessions are seen by.
    pub funnels: Arc<[Funnel]>,
}

/// Why a statement was not answered.
#[derive(Debug, Error)]
pub enum SqlError {
    /// The lake could not be read.
    #[error("the lake could not be read")]
    Lake(#[from] LakeError),
    /// The statement is not SQL that runs here.
    #[error("the statement cannot run")]
    Statement(#[source] DataFusionError),
    /// The statement asks for what nobody is given.
    #[error("{0}")]
    Refused(String),
    /// No table has the name.
    #[error("there is no table {name:?}; {hint}")]
    NoTable {
        /// What was asked for.
        name: String,
        /// What was meant, or what there is.
        hint: String,
    },
    /// The engine failed while it answered.
    #[error("the statement failed")]
    Engine(#[from] ComputeError),
    /// More text than is read.
    #[error(
        "the statement has {bytes} bytes, at most {most} are read; load long lists as events or split it"
    )]
    TooLong {
        /// What was sent.
        bytes: usize,
        /// What is taken.
        most: usize,
    },
    /// More rows than are handed out.
    #[error(
        "the answer has more than {most} rows; add LIMIT or aggregate, or run `onramp sql` beside the lake"
    )]
    TooManyRows {
        /// What is handed out.
        most: usize,
    },
    /// More bytes than are handed out as a whole.
    #[error(
        "the answer has more than {} MiB; name the columns that are needed, add LIMIT or aggregate",
        most >> 20
    )]
    TooLarge {
        /// What is handed out.
        most: usize,
    },
    /// No answer in time.
    #[error(
        "the statement took more than {given:?}; narrow it by event_date or session_key, or aggregate earlier"
    )]
    Deadline {
        /// The limit.
        given: Duration,
    },
    /// As many statements as may wait are waiting.
    #[error("{most} statements are running and as many are waiting; try again in a moment")]
    Busy {
        /// Statements that run at once.
        most: usize,
    },
    /// The statement's task ended without an answer.
    #[error("the statement's task failed: {0}")]
    Worker(String),
}

impl SqlError {
    /// The same once more, where it is a refusal or a limit.
    fn again(&self) -> Option<Self> {
        Some(match self {
            Self::Refused(reason) => Self::Refused(reason.clone()),
            Self::Deadline { given } => Self::Deadline { given: *given },
            Self::TooManyRows { most } => Self::TooManyRows { most: *most },
            _ => return None,
        })
    }
}

impl From<DataFusionError> for SqlError {
    /// Unpacks what was carried through the engine as one of its errors.
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                Self::from(*inner)
            }
            // Several streams may wait for what failed.
            DataFusionError::Shared(ref shared) => match shared.find_root() {
                DataFusionError::External(root) => {
                    let own = root.downcast_ref::<SqlError>().and_then(SqlError::again);
                    own.unwrap_or(Self::Statement(error))
                }
                _ => Self::Statement(error),
            },
            DataFusionError::External(inner) => match inner.downcast::<SqlError>() {
                Ok(own) => *own,
                Err(inner) => match inner.downcast::<ComputeError>() {
                    Ok(compute) => Self::Engine(*compute),
                    Err(other) => Self::Statement(DataFusionError::External(other)),
                },
            },
            other => Self::Statement(other),
        }
    }
}

impl From<SqlError> for DataFusionError {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Statement(inner) => inner,
            other => DataFusionError::External(Box::new(other)),
        }
    }
}

/// Runs one read-only statement over what `caller` sees of the lake as it stands now; rows come as they
/// are computed.
///
/// # Errors
/// A statement that is not SQL, names what is not there, or does anything but read; a lake that cannot be
/// read.
pub async fn run(source: &Source, caller: &Caller, statement: &str) -> Result<Rows, SqlError> {
    let session = session(source, &caller.scope, None)?;
    let plan = session.plan(statement).await?;
    session.rows(plan, Turn::default()).await
}
