//! A session: a caller's tables, and the judgement of what is asked of them.

use std::sync::Arc;

use datafusion::catalog::SchemaProvider;
use datafusion::common::TableReference;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;

use super::moment::Moment;
use super::schema::{Described, LakeSchema};
use super::turn::{self, Turn};
use super::{Rows, Source, SqlError, allow, functions, text};
use crate::access::Scope;

/// What one caller may ask.
#[derive(Clone)]
pub struct Session {
    context: SessionContext,
    schema: Arc<LakeSchema>,
    confined: bool,
}

/// A session over what `scope` lets see. Its statements together hold at most `memory_limit_bytes` of
/// the engine's memory; `None`: all that is free.
///
/// # Errors
/// When the engine cannot be started.
pub fn session(
    source: &Source,
    scope: &Scope,
    memory_limit_bytes: Option<usize>,
) -> Result<Session, SqlError> {
    let context = match memory_limit_bytes {
        Some(bytes) => source.engine.share(bytes)?.session(&source.lake),
        None => source.engine.session(&source.lake),
    };
    let confined = *scope != Scope::Everything;
    if confined {
        // A physical plan names files and counts of rows, others' among them.
        let state = context.state_ref();
        let mut state = state.write();
        state.config_mut().options_mut().explain.logical_plan_only = true;
    }
    functions::bound(&context)?;
    let moment = Arc::new(Moment::new(source.clone()));
    let schema = Arc::new(LakeSchema::new(moment, scope.clone()));
    let options = context.state().config_options().catalog.clone();
    if let Some(catalog) = context.catalog(&options.default_catalog) {
        catalog.register_schema(&options.default_schema, Arc::clone(&schema) as _)?;
    }
    Ok(Session { context, schema, confined })
}

impl Session {
    /// The engine's session with the caller's tables; plans run by [`Self::rows`] alone.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// The names of the tables and views, in order.
    pub fn tables(&self) -> Vec<String> {
        self.schema.table_names()
    }

    /// What a table or view is and what its columns mean; `None`: there is none of that name.
    ///
    /// # Errors
    /// A funnel whose sessions cannot be planned.
    pub async fn describe(&self, table: &str) -> Result<Option<Described>, SqlError> {
        self.schema.describe(table).await
    }

    /// The plan of one statement, which may run.
    ///
    /// # Errors
    /// No SQL, unknown names, too deep, or anything but reading.
    pub async fn plan(&self, statement: &str) -> Result<LogicalPlan, SqlError> {
        self.planned(text::parse(&self.context.state(), statement)?).await
    }

    /// The plan of a statement that somebody else read, which may run.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub async fn plan_parsed(&self, statement: Statement) -> Result<LogicalPlan, SqlError> {
        self.planned(text::checked(statement)?).await
    }

    async fn planned(&self, statement: Statement) -> Result<LogicalPlan, SqlError> {
        let state = self.context.state();
        let tables = state.resolve_table_references(&statement)?;
        let plan = match state.statement_to_plan(statement).await {
            Ok(plan) => plan,
            Err(error) => {
                let functions = state.table_functions();
                let is_function = |it: &TableReference| functions.contains_key(it.table());
                let mut tables = tables.iter().filter(|table| !is_function(table));
                tables.try_for_each(|table| self.schema.check(table))?;
                return Err(error.into());
            }
        };
        allow::verify(&plan, self.confined)?;
        Ok(plan)
    }

    /// The rows of a plan, computed a little ahead of who takes them, until they are dropped or their
    /// turn is over.
    ///
    /// # Errors
    /// A plan that may not run, or that the engine cannot run. The rows themselves end in an error where
    /// there are too many, or they take too long.
    pub async fn rows(&self, plan: LogicalPlan, turn: Turn) -> Result<Rows, SqlError> {
        allow::verify(&plan, self.confined)?;
        let frame = self.context.execute_logical_plan(plan).await?;
        let context = Arc::new(frame.task_ctx());
        Ok(turn::take(turn, frame.create_physical_plan().await?, context)?)
    }
}
