//! `generate_series` and `range` in `FROM`, which make rows of nothing.

use std::sync::Arc;

use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::prelude::SessionContext;

use super::size::{elements, of_scalar};
use crate::sql::SqlError;

/// The most rows of one series.
const MOST_ROWS: i128 = 1_000_000;

pub(super) fn bound(context: &SessionContext) -> Result<()> {
    for name in ["generate_series", "range"] {
        let inner = Arc::clone(context.table_function(name)?.function());
        context.register_udtf(name, Arc::new(Bounded { name, inner }));
    }
    Ok(())
}

#[derive(Debug)]
struct Bounded {
    name: &'static str,
    inner: Arc<dyn TableFunctionImpl>,
}

impl TableFunctionImpl for Bounded {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let number = |argument: &Expr| match argument {
            Expr::Literal(ScalarValue::Null, _) => Ok(Some(0)),
            Expr::Literal(value, _) => of_scalar(value).map(Some),
            _ => Ok(None),
        };
        let numbers = args.exprs().iter().map(number).collect::<Result<Option<Vec<_>>>>()?;
        // Anything but literals the function itself refuses.
        let rows = numbers.map_or(0, |numbers| elements(&numbers));
        if rows > MOST_ROWS {
            return Err(SqlError::Refused(format!(
                "{} would make {rows} rows, at most {MOST_ROWS} may be made",
                self.name
            ))
            .into());
        }
        self.inner.call_with_args(args)
    }
}
