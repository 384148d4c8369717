//! Read-only SQL: what may run, over which views.

mod service;

#[cfg(test)]
mod tests;

pub use service::{Answer, Limits, Service};

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SQLOptions, SessionContext, col, lit};
use onramp_compute::scan::LakeTable;
use onramp_compute::{ComputeError, Engine};
use onramp_lake::{Lake, LakeError};
use onramp_schemas::tables::{self, Table};
use thiserror::Error;

use crate::access::{Caller, Scope};

/// The rows of an answer, as they are computed.
pub use datafusion::execution::SendableRecordBatchStream as Rows;

/// Why a statement was not answered.
#[derive(Debug, Error)]
pub enum SqlError {
    /// The lake could not be read.
    #[error("the lake could not be read")]
    Lake(#[from] LakeError),
    /// The statement is not SQL that runs here.
    #[error(
        "the statement cannot run; it must be one SELECT, EXPLAIN, SHOW or DESCRIBE over {}",
        names()
    )]
    Statement(#[source] DataFusionError),
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
    /// No answer in time.
    #[error(
        "the statement took more than {seconds} s; narrow it by event_date or session_key, or aggregate earlier"
    )]
    Deadline {
        /// The limit.
        seconds: u64,
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

/// Tables by the names that statements use.
fn names() -> String {
    tables::ALL.map(|table| table.name).join(", ")
}

/// Runs one read-only statement over what `caller` sees of the lake as it stands now; rows come as they
/// are computed.
///
/// # Errors
/// A statement that is not SQL, names what is not there, or would write; a lake that cannot be read.
pub async fn run(
    lake: &Lake,
    engine: &Engine,
    caller: &Caller,
    statement: &str,
) -> Result<Rows, SqlError> {
    let context = session(lake, engine, &caller.scope).await?;
    let answer = async {
        let plan = context.state().create_logical_plan(statement).await?;
        read_only().verify_plan(&plan)?;
        context.execute_logical_plan(plan).await?.execute_stream().await
    };
    answer.await.map_err(SqlError::Statement)
}

/// Nothing that defines, changes, or sets: the plan itself is judged, not the statement's words.
fn read_only() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

/// Whether a plan is one that runs.
///
/// # Errors
/// It defines, changes, or sets something.
pub(crate) fn verify(plan: &LogicalPlan) -> Result<(), SqlError> {
    read_only().verify_plan(plan).map_err(SqlError::Statement)
}

/// A session of its own with the views that statements see, each pinned to the version of now.
pub(crate) async fn session(
    lake: &Lake,
    engine: &Engine,
    scope: &Scope,
) -> Result<SessionContext, SqlError> {
    let context = engine.session(lake);
    let refused = SqlError::Statement;
    for table in tables::ALL {
        let provider = pinned(lake, table).await?;
        context.register_table(table.name, provider).map_err(refused)?;
    }
    let letters = tables::DEAD_LETTERS.name;
    let all = context.deregister_table(letters).map_err(refused)?;
    if let Some(all) = all {
        // A letter whose record was accepted after all is void; only sequences that have a letter
        // are looked up, so that the join stays as small as the letters are few.
        let place = ["source_partition", "sequence"];
        let events = context.table(tables::EVENTS.name).await.map_err(refused)?;
        let accepted = events.select_columns(&place).map_err(refused)?;
        let valid = context
            .read_table(all)
            .and_then(|all| all.join(accepted, JoinType::LeftAnti, &place, &place, None))
            .map_err(refused)?;
        context.register_table(letters, valid.into_view()).map_err(refused)?;
    }
    if let Scope::Clients(clients) = scope {
        for table in tables::ALL {
            let Some(whole) = context.deregister_table(table.name).map_err(refused)? else {
                continue;
            };
            // Rows of a table that names no client are nobody's in particular: such a caller sees none.
            let seen = match whole.schema().field_with_name("client_id") {
                Ok(_) => col("client_id").in_list(clients.iter().map(lit).collect(), false),
                Err(_) => lit(false),
            };
            let view = context.read_table(whole).and_then(|whole| whole.filter(seen));
            let view = view.map_err(refused)?.into_view();
            context.register_table(table.name, view).map_err(refused)?;
        }
    }
    Ok(context)
}

async fn pinned(lake: &Lake, table: &'static Table) -> Result<Arc<LakeTable>, SqlError> {
    let snapshot = match lake.open_table(table).await? {
        Some(table) => Some(table.snapshot().await?),
        None => None,
    };
    Ok(Arc::new(LakeTable::new(lake, table, snapshot.as_ref())))
}
