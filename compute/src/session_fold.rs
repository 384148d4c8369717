//! Funnels straight from `events`: when each session reached each stage, without the table `sessions`.
//!
//! It owns the path from raw files to stage times for funnels that are asked once. The hot loop sees
//! numbers only: a condition on the type is decided once per dictionary value, neighbouring rows of a
//! session become one run, and runs, not rows, are brought together by key. Nothing rests on the order
//! of rows; in compacted files runs are whole sessions, and there are as few of them as can be.
//!
//! It agrees with the fold wherever ingest saw all copies of an event and no two events at one instant
//! meet several stages each: it reads no event ids, so it neither drops copies nor orders by id.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{avg, count};
use datafusion::logical_expr::{Expr, cast, col};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use onramp_lake::{DataFile, Lake};
use onramp_schemas::funnel::Funnel;
use onramp_schemas::tables::EVENTS;

use crate::engine::Engine;
use crate::error::ComputeError;
use crate::fold::Rules;
use crate::scan::LakeTable;

mod conditions;
mod exec;
mod merge;
mod runs;
#[cfg(test)]
mod tests;

pub use exec::SessionFoldExec;

use conditions::Conditions;

/// Text columns that are read as dictionaries.
const DICTIONARIES: [&str; 3] = ["client_id", "session_id", "event_type"];
/// Columns that every fold reads.
const COLUMNS: [&str; 5] = ["session_key", "client_id", "session_id", "occurred_at", "event_type"];

/// What is folded, and by which rules.
#[derive(Debug)]
struct Fold {
    conditions: Conditions,
    rules: Rules,
    /// Later events do not count, microseconds UTC.
    as_of: i64,
    stages: usize,
}

/// The sessions of a funnel as a table: `session_key`, and `stage_at_1` to `stage_at_n`, null where a
/// stage was not reached. Orphans and excluded sessions are not in it.
#[derive(Debug)]
pub struct FoldedSessions {
    lake: Lake,
    files: Vec<DataFile>,
    fold: Arc<Fold>,
    schema: SchemaRef,
}

impl FoldedSessions {
    /// The sessions that these files of `events` tell of, as of an instant (microseconds UTC).
    ///
    /// # Errors
    /// When a condition of the funnel is invalid.
    pub fn new(
        context: &SessionContext,
        lake: &Lake,
        files: Vec<DataFile>,
        funnel: &Funnel,
        as_of: i64,
    ) -> Result<Self, ComputeError> {
        let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let mut fields = vec![Field::new("session_key", DataType::Int64, false)];
        fields.extend(
            (1..=funnel.stages.len())
                .map(|stage| Field::new(format!("stage_at_{stage}"), instant.clone(), true)),
        );
        let fold = Fold {
            conditions: Conditions::compile(context, funnel)?,
            rules: Rules::new(funnel),
            as_of,
            stages: funnel.stages.len(),
        };
        Ok(Self {
            lake: lake.clone(),
            files,
            fold: Arc::new(fold),
            schema: Arc::new(Schema::new(fields)),
        })
    }
}

#[async_trait]
impl TableProvider for FoldedSessions {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let events = LakeTable::of_files(&self.lake, &EVENTS, self.files.clone())
            .with_dictionaries(&DICTIONARIES);
        let schema = events.schema();
        let mut columns = Vec::new();
        for name in COLUMNS.into_iter().chain(self.fold.conditions.further_columns()) {
            columns.push(schema.index_of(name)?);
        }
        let input = events.scan(state, Some(&columns), &[], None).await?;
        let all = || (0..self.schema.fields().len()).collect();
        let projection = projection.cloned().unwrap_or_else(all);
        Ok(Arc::new(SessionFoldExec::new(input, Arc::clone(&self.fold), &self.schema, projection)?))
    }
}

/// How far sessions got, and in what time.
#[derive(Clone, Debug, PartialEq)]
pub struct RawFunnel {
    /// Sessions that reached each stage.
    pub sessions: Vec<u64>,
    /// Mean seconds from the start of a session to each stage, of those that reached it.
    pub mean_seconds: Vec<Option<f64>>,
}

/// A funnel over all events of a lake, read from `events` alone.
///
/// # Errors
/// When a condition of the funnel is invalid, or the lake or the engine fails.
pub async fn raw_funnel(
    lake: &Lake,
    funnel: &Funnel,
    engine: &Engine,
    as_of: i64,
) -> Result<RawFunnel, ComputeError> {
    let files = match lake.open_table(&EVENTS).await? {
        Some(events) => events.snapshot().await?.files,
        None => Vec::new(),
    };
    let context = engine.session(lake);
    let sessions = FoldedSessions::new(&context, lake, files, funnel, as_of)?;
    let stages = funnel.stages.len();
    let totals = async {
        let stage = |stage: usize| col(format!("stage_at_{stage}"));
        let instant = |at: usize| cast(stage(at), DataType::Int64);
        let mut totals: Vec<Expr> = (1..=stages).map(|at| count(stage(at))).collect();
        totals.extend((1..=stages).map(|at| avg(instant(at) - instant(1))));
        let sessions = context.read_table(Arc::new(sessions))?;
        sessions.aggregate(vec![], totals)?.collect().await
    };
    let failed = |source: DataFusionError| {
        ComputeError::query(format!("fold the funnel {}", funnel.name), source)
    };
    let totals = totals.await.map_err(failed)?;
    let mut result = RawFunnel { sessions: vec![0; stages], mean_seconds: vec![None; stages] };
    for batch in totals.iter().filter(|batch| batch.num_rows() > 0) {
        for stage in 0..stages {
            let reached = batch.column(stage).as_primitive::<Int64Type>().value(0);
            result.sessions[stage] = u64::try_from(reached).unwrap_or_default();
            let mean = batch.column(stages + stage).as_primitive::<Float64Type>();
            result.mean_seconds[stage] = mean.is_valid(0).then(|| mean.value(0) / 1e6);
        }
    }
    Ok(result)
}
