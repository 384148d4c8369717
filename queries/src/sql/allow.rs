//! What may run, judged by the plan and not by the words: every node and every expression of it.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{ScalarFunction, WindowFunction};
use datafusion::logical_expr::{
    ExplainFormat, Expr, LogicalPlan, Operator, WindowFunctionDefinition,
};

use super::SqlError;
use super::functions::size::GROWING;

/// The most calls in a statement of functions that make much of little: each may fill a batch.
const MOST_GROWING: usize = 40;

/// Aggregates that take one row more, or one row less, at little cost.
const GLIDING: [&str; 20] = [
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "first_value",
    "last_value",
    "max",
    "min",
    "nth_value",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
];

/// Whether a plan does nothing but read. `confined`: for a caller who does not see everything, and
/// must not learn of the rest from how a plan runs.
pub(super) fn verify(plan: &LogicalPlan, confined: bool) -> Result<(), SqlError> {
    let mut growing = 0;
    let judge = |node: &LogicalPlan| -> Result<TreeNodeRecursion, DataFusionError> {
        reads(node, confined)?;
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                bounded(part)?;
                growing += usize::from(grows(part));
                if growing > MOST_GROWING {
                    return Err(SqlError::Refused(format!(
                        "the statement calls functions that make texts or lists more than {MOST_GROWING} \
                         times, || among them; split it"
                    ))
                    .into());
                }
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
    if let Expr::WindowFunction(call) = expression {
        glides(call)?;
    }
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

fn grows(expression: &Expr) -> bool {
    matches!(expression, Expr::ScalarFunction(call)
        if call.name() == "||" || GROWING.iter().any(|(name, _)| *name == call.name()))
}

/// An aggregate over a window is made anew for each row, unless it glides or is the same for all: then a
/// text or a list of all rows stands in every row.
fn glides(call: &WindowFunction) -> Result<(), SqlError> {
    let WindowFunctionDefinition::AggregateUDF(aggregate) = &call.fun else { return Ok(()) };
    let (name, frame) = (aggregate.name(), &call.params.window_frame);
    let is_whole = frame.start_bound.is_unbounded() && frame.end_bound.is_unbounded();
    match name {
        _ if GLIDING.contains(&name) => Ok(()),
        "array_agg" | "string_agg" => Err(SqlError::Refused(format!(
            "{name} is not answered over a window; GROUP BY and join"
        ))),
        _ if is_whole => Ok(()),
        _ => Err(SqlError::Refused(format!(
            "{name} is answered over whole partitions only: OVER (PARTITION BY …) without ORDER BY"
        ))),
    }
}

fn holds_subquery(expression: &Expr) -> Result<bool, DataFusionError> {
    expression.exists(|part| Ok(matches!(part, Expr::ScalarSubquery(_))))
}
