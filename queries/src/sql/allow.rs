//! What may run, judged by the plan and not by the words: every node and every expression of it.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{ExplainFormat, Expr, LogicalPlan, Operator};

use super::SqlError;

/// Whether a plan does nothing but read. `confined`: for a caller who does not see everything, and
/// must not learn of the rest from how a plan runs.
pub(super) fn verify(plan: &LogicalPlan, confined: bool) -> Result<(), SqlError> {
    let judge = |node: &LogicalPlan| -> Result<TreeNodeRecursion, DataFusionError> {
        reads(node, confined)?;
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                bounded(part)?;
                Ok(TreeNodeRecursion::Continue)
            })
        })
    };
    plan.apply_with_subqueries(judge)?;
    Ok(())
}

fn reads(node: &LogicalPlan, confined: bool) -> Result<(), SqlError> {
    let what = match node {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::TableScan(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::RecursiveQuery(_) => return Ok(()),
        LogicalPlan::Explain(explain) if confined => {
            let plain = !explain.verbose
                && explain.explain_format == ExplainFormat::Indent
                && explain.show_statistics != Some(true);
            return match plain {
                true => Ok(()),
                false => Err(SqlError::Refused(
                    "a caller who is confined to clients may EXPLAIN, without VERBOSE, FORMAT or statistics"
                        .to_owned(),
                )),
            };
        }
        LogicalPlan::Analyze(_) if confined => {
            return Err(SqlError::Refused(
                "EXPLAIN ANALYZE counts rows of all clients; a caller who is confined to some may EXPLAIN"
                    .to_owned(),
            ));
        }
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => return Ok(()),
        LogicalPlan::Statement(statement) => statement.name(),
        LogicalPlan::Dml(change) => change.op.name(),
        LogicalPlan::Ddl(change) => change.name(),
        LogicalPlan::Copy(_) => "COPY",
        LogicalPlan::Extension(extension) => extension.node.name(),
    };
    Err(SqlError::Refused(format!(
        "{what} is not answered: the lake is only read here, by SELECT, WITH, VALUES, EXPLAIN, SHOW and \
         DESCRIBE"
    )))
}

/// An expression that takes long for its size is refused: a pattern that differs from row to row is
/// compiled for each of them.
fn bounded(expression: &Expr) -> Result<(), SqlError> {
    let pattern = match expression {
        Expr::ScalarFunction(ScalarFunction { func, args })
            if func.name().starts_with("regexp_") =>
        {
            args.get(1)
        }
        Expr::BinaryExpr(operation) => match operation.op {
            Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch => Some(operation.right.as_ref()),
            _ => None,
        },
        Expr::SimilarTo(like) => Some(like.pattern.as_ref()),
        _ => None,
    };
    match pattern {
        Some(pattern) if pattern.any_column_refs() || holds_subquery(pattern)? => {
            Err(SqlError::Refused(
                "the pattern of a regular expression must be a text, not a column; LIKE takes columns"
                    .to_owned(),
            ))
        }
        _ => Ok(()),
    }
}

fn holds_subquery(expression: &Expr) -> Result<bool, DataFusionError> {
    expression.exists(|part| Ok(matches!(part, Expr::ScalarSubquery(_))))
}
