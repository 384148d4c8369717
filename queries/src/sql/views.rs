//! The views over the lake's tables, planned when they are read.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::{TableType, ViewTable};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableProviderFilterPushDown,
};
use datafusion::physical_plan::ExecutionPlan;
use onramp_compute::scan::LakeTable;
use onramp_compute::views::{
    SESSIONS, ViewColumn, any_session_columns, any_sessions_statement, day_columns, days_statement,
    session_columns, sessions_statement, stage_column,
};
use onramp_schemas::funnel::Funnel;
use onramp_schemas::tables;

use super::SqlError;
use super::confine::confined;
use super::moment::{Folded, Moment};
use crate::access::Scope;

/// What the name of a view of a funnel's sessions begins with.
pub(super) const SESSIONS_OF: &str = "sessions_";
/// The view of all funnels' sessions.
pub(super) const ALL_SESSIONS: &str = "funnel_sessions";
/// The view of all funnels' days.
pub(super) const DAYS: &str = "funnel_daily";
/// The view of all funnels' stages.
pub(super) const STAGES: &str = "funnel_stages";

/// A view.
#[derive(Clone, Debug)]
pub(super) enum View {
    /// A funnel's sessions.
    Sessions(Box<Funnel>),
    /// The sessions of funnels.
    AllSessions(Arc<[Funnel]>),
    /// The days of funnels.
    Days(Arc<[Funnel]>),
    /// Their stages.
    Stages(Arc<[Funnel]>),
}

/// What a view and its columns mean.
#[derive(Debug, Default)]
pub(super) struct Documented {
    pub doc: String,
    /// Name and meaning.
    pub columns: Vec<(String, String)>,
}

const STAGE_COLUMNS: [(&str, &str); 5] = [
    ("funnel", "The funnel's name."),
    ("stage", "The stage's number, from 1."),
    ("stage_name", "Its name."),
    ("is_optional", "Whether it may be skipped."),
    ("column_name", "The column of `sessions_<funnel>` that says when it was reached."),
];

impl View {
    pub fn documented(&self) -> Documented {
        let of = |columns: Vec<ViewColumn>| {
            columns.into_iter().map(|column| (column.name, column.doc)).collect()
        };
        match self {
            Self::Sessions(funnel) => Documented {
                doc: format!(
                    "One row is one session of the funnel {} that started and that no exclusion takes \
                     out, up to date with the newest event.",
                    funnel.name
                ),
                columns: of(session_columns(funnel)),
            },
            Self::AllSessions(funnels) => Documented {
                doc: "One row is one session of one funnel: what `sessions_<funnel>` holds, without the \
                      columns that are a funnel's own."
                    .to_owned(),
                columns: of(funnels.first().map(any_session_columns).unwrap_or_default()),
            },
            Self::Days(_) => Documented {
                doc: "One row is one day of one client in one funnel with at least one session, up to \
                      date with the newest event."
                    .to_owned(),
                columns: of(day_columns()),
            },
            Self::Stages(_) => Documented {
                doc: "One row is one stage of one funnel.".to_owned(),
                columns: STAGE_COLUMNS.map(|(name, doc)| (name.to_owned(), doc.to_owned())).into(),
            },
        }
    }

    /// The view for statements.
    pub async fn table(
        self,
        moment: &Arc<Moment>,
        scope: &Scope,
    ) -> Result<Arc<dyn TableProvider>> {
        if let Self::Stages(funnels) = &self {
            return stages(funnels);
        }
        let mut table = Planned {
            view: self,
            moment: Arc::clone(moment),
            scope: scope.clone(),
            schema: SchemaRef::new(arrow::datatypes::Schema::empty()),
        };
        let plan = table.plan(None, Rows::None).await?;
        table.schema = Arc::clone(plan.schema().inner());
        Ok(Arc::new(table))
    }
}

fn stages(funnels: &[Funnel]) -> Result<Arc<dyn TableProvider>> {
    let mut all: Vec<(&Funnel, usize)> = Vec::new();
    for funnel in funnels {
        all.extend((0..funnel.stages.len()).map(|stage| (funnel, stage)));
    }
    let texts = |text: fn(&Funnel, usize) -> String| -> ArrayRef {
        Arc::new(
            all.iter().map(|&(funnel, stage)| Some(text(funnel, stage))).collect::<StringArray>(),
        )
    };
    let number = |&(_, stage): &(&Funnel, usize)| i32::try_from(stage + 1).ok();
    let optional = |&(funnel, stage): &(&Funnel, usize)| Some(funnel.stages[stage].optional);
    let columns: [ArrayRef; 5] = [
        texts(|funnel, _| funnel.name.clone()),
        Arc::new(all.iter().map(number).collect::<Int32Array>()),
        texts(|funnel, stage| funnel.stages[stage].name.clone()),
        Arc::new(all.iter().map(optional).collect::<BooleanArray>()),
        texts(stage_column),
    ];
    let named = STAGE_COLUMNS.iter().map(|(name, _)| *name).zip(columns);
    let rows = RecordBatch::try_from_iter(named)?;
    Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))
}

/// A view whose plan depends on the lake's newest event, made when it is read.
#[derive(Debug)]
struct Planned {
    view: View,
    moment: Arc<Moment>,
    scope: Scope,
    schema: SchemaRef,
}

/// The SQL behind a view of a funnel, as of an instant.
type Statement = fn(&Funnel, i64) -> String;

/// Which rows a plan reads: its columns do not depend on them.
#[derive(Clone, Copy)]
enum Rows {
    None,
    All,
}

impl Planned {
    /// `only`: of this funnel alone, where the view is of several.
    async fn plan(&self, only: Option<&str>, rows: Rows) -> Result<LogicalPlan> {
        let (funnels, statement): (&[Funnel], Statement) = match &self.view {
            View::Sessions(funnel) => (std::slice::from_ref(&**funnel), sessions_statement),
            View::AllSessions(funnels) => (funnels, any_sessions_statement),
            View::Days(funnels) | View::Stages(funnels) => (funnels, days_statement),
        };
        let wanted = |funnel: &&Funnel| only.is_none_or(|name| funnel.name == name);
        let mut all: Option<LogicalPlan> = None;
        // Where no funnel is wanted, one whose rows another condition leaves out.
        let any = funnels.first().filter(|_| !funnels.iter().any(|it| wanted(&it)));
        for funnel in funnels.iter().filter(wanted).chain(any) {
            let plan = self.of(funnel, statement, rows).await?;
            all = Some(match all {
                Some(all) => LogicalPlanBuilder::from(all).union(plan)?.build()?,
                None => plan,
            });
        }
        all.ok_or_else(|| SqlError::Refused("no funnel is known".to_owned()).into())
    }

    async fn of(&self, funnel: &Funnel, statement: Statement, rows: Rows) -> Result<LogicalPlan> {
        let Folded { sessions, as_of } = match rows {
            Rows::None => Folded { sessions: None, as_of: 0 },
            Rows::All => self.moment.folded(funnel).await?,
        };
        let source = self.moment.source();
        let rows = LakeTable::new(&source.lake, &tables::SESSIONS, sessions.as_deref());
        let context = source.engine.scratch();
        context.register_table(SESSIONS, confined(Arc::new(rows), &self.scope))?;
        Ok(context.sql(&statement(funnel, as_of)).await?.into_unoptimized_plan())
    }
}

#[async_trait]
impl TableProvider for Planned {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.plan(funnel_named(filters), Rows::All).await?;
        ViewTable::new(plan, None).scan(state, projection, filters, limit).await
    }
}

/// The funnel that rows must be of by one of these conditions.
pub(super) fn funnel_named(filters: &[Expr]) -> Option<&str> {
    filters.iter().find_map(|filter| match filter {
        Expr::BinaryExpr(it) if it.op == Operator::Eq => match (&*it.left, &*it.right) {
            (Expr::Column(column), Expr::Literal(value, _))
            | (Expr::Literal(value, _), Expr::Column(column))
                if column.name == "funnel" =>
            {
                value.try_as_str().flatten()
            }
            _ => None,
        },
        _ => None,
    })
}
