//! A table of which a caller sees the rows of some clients.
//!
//! Rows of others must not come near what the caller wrote: an expression that fails tells of the value
//! that it failed on. So rows are sorted out below a barrier that no condition passes; only comparisons
//! of a column with a constant, which cannot fail, help to leave out files.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, col, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;

use super::through::through;
use crate::access::Scope;

/// What `scope` lets see of a table.
pub(super) fn confined(whole: Arc<dyn TableProvider>, scope: &Scope) -> Arc<dyn TableProvider> {
    match scope {
        Scope::Everything => whole,
        Scope::Clients(clients) => Arc::new(Confined::new(whole, clients)),
    }
}

/// The rows of a table that are of these clients; none, where its rows are nobody's in particular.
#[derive(Debug)]
struct Confined {
    whole: Arc<dyn TableProvider>,
    own: Expr,
}

impl Confined {
    fn new(whole: Arc<dyn TableProvider>, clients: &BTreeSet<String>) -> Self {
        let own = match whole.schema().field_with_name("client_id") {
            Ok(_) => col("client_id").in_list(clients.iter().map(lit).collect(), false),
            Err(_) => lit(false),
        };
        Self { whole, own }
    }
}

#[async_trait]
impl TableProvider for Confined {
    fn schema(&self) -> SchemaRef {
        self.whole.schema()
    }

    fn table_type(&self) -> TableType {
        self.whole.table_type()
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match is_comparison(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.schema();
        let all = || (0..schema.fields().len()).collect();
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(all);
        let mut read = wanted.clone();
        if let Ok(client) = schema.index_of("client_id")
            && !read.contains(&client)
        {
            read.push(client);
        }
        let filters = [filters, std::slice::from_ref(&self.own)].concat();
        let rows = self.whole.scan(state, Some(&read), &filters, None).await?;
        let read = DFSchema::try_from(rows.schema())?;
        let own = state.create_physical_expr(self.own.clone(), &read)?;
        let own: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(own, rows)?);
        let own = match own.schema().fields().len() == wanted.len() {
            true => own,
            false => first(wanted.len(), own)?,
        };
        Ok(through("Barrier", own, |rows| rows))
    }
}

/// The first columns.
fn first(count: usize, rows: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    use datafusion::physical_plan::expressions::Column;
    let schema = rows.schema();
    let column = |place: usize| -> (Arc<dyn PhysicalExpr>, String) {
        let name = schema.field(place).name();
        (Arc::new(Column::new(name, place)), name.clone())
    };
    let columns: Vec<_> = (0..count).map(column).collect();
    Ok(Arc::new(ProjectionExec::try_new(columns, rows)?))
}

const COMPARISONS: [Operator; 6] =
    [Operator::Eq, Operator::NotEq, Operator::Lt, Operator::LtEq, Operator::Gt, Operator::GtEq];

/// Whether a condition holds a column against constants of its type.
fn is_comparison(filter: &Expr) -> bool {
    let plain = |side: &Expr| matches!(side, Expr::Column(_) | Expr::Literal(..));
    match filter {
        Expr::BinaryExpr(it) => COMPARISONS.contains(&it.op) && plain(&it.left) && plain(&it.right),
        Expr::InList(it) => plain(&it.expr) && it.list.iter().all(plain),
        Expr::IsNull(it) | Expr::IsNotNull(it) => plain(it),
        _ => false,
    }
}
