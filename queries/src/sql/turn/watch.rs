//! Operators and conditions that ask whether they may go on.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use super::Term;
use crate::sql::through::through;
use crate::sql::unnest::in_pieces;

/// The plan whose operators ask.
pub(super) fn watched(
    plan: Arc<dyn ExecutionPlan>,
    term: &Arc<Term>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let watch = |node: Arc<dyn ExecutionPlan>| {
        // What reads gives way by itself.
        if node.children().is_empty() {
            return Ok(Transformed::no(node));
        }
        let node = in_pieces(asking_join(&node, term)?.unwrap_or(node))?;
        let term = Arc::clone(term);
        let watched = through("Watched", node, move |rows| {
            let (schema, term) = (rows.schema(), Arc::clone(&term));
            let rows = rows.map(move |batch| term.ask().and(batch));
            // Gives way now and then, however many batches are ready.
            make_cooperative(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
        });
        Ok(Transformed::yes(watched))
    };
    Ok(plan.transform_up(watch)?.data)
}

/// A join that looks for rows by a condition, with one that asks.
fn asking_join(
    node: &Arc<dyn ExecutionPlan>,
    term: &Arc<Term>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let asking = |filter: &JoinFilter| {
        let inner = Arc::clone(filter.expression());
        let asking = Arc::new(Asking { inner, term: Arc::clone(term) });
        JoinFilter::new(asking, filter.column_indices().to_vec(), Arc::clone(filter.schema()))
    };
    if let Some(join) = node.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        return Ok(Some(join.builder().with_filter(Some(asking(filter))).build_exec()?));
    }
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let (left, right) = (Arc::clone(join.left()), Arc::clone(join.right()));
        let projection = join.projection().as_ref().map(|columns| columns.to_vec());
        let filter = Some(asking(filter));
        let join = NestedLoopJoinExec::try_new(left, right, filter, join.join_type(), projection)?;
        return Ok(Some(Arc::new(join)));
    }
    Ok(None)
}

/// A condition that asks before it is looked at.
#[derive(Debug)]
struct Asking {
    inner: Arc<dyn PhysicalExpr>,
    term: Arc<Term>,
}

impl PartialEq for Asking {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Asking {}

impl Hash for Asking {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Asking {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}", self.inner)
    }
}

impl PhysicalExpr for Asking {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.term.ask()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self { inner: children.swap_remove(0), term: Arc::clone(&self.term) }))
    }

    fn fmt_sql(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(formatter)
    }
}
