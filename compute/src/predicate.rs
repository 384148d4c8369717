//! Funnel conditions: from a type and a SQL text to an expression over the `events` table.
//!
//! A name that is no column reads that field of `data` as text. A value that cannot be converted as
//! a comparison needs it is NULL, so that one odd event never stops a report; NULL does not match.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, ExprSchemable, TryCast, Volatility, col, lit};
use datafusion::optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use onramp_schemas::funnel::Condition;
use onramp_schemas::tables;

mod flags;
mod json_get;
#[cfg(test)]
mod tests;

pub(crate) use flags::pack_flags;
pub use json_get::{json_get, scalars};

/// A condition that is no valid SQL condition.
#[derive(Debug, thiserror::Error)]
#[error("funnel {funnel:?}, {place}: {reason} in: {predicate}")]
pub struct PredicateError {
    /// The funnel's name.
    pub funnel: String,
    /// Where in the funnel: `stage 2 ("Engaged")`, `abandonment`, …
    pub place: String,
    /// What is wrong and how to mend it.
    pub reason: String,
    /// The condition as it was written.
    pub predicate: String,
}

/// Makes the functions of this module known to a session's SQL.
pub fn register(context: &SessionContext) {
    context.register_udf(json_get::udf());
}

/// Compiles conditions of one funnel.
pub struct Compiler<'a> {
    context: &'a SessionContext,
    schema: DFSchema,
    funnel: &'a str,
}

impl<'a> Compiler<'a> {
    /// A compiler whose errors name this funnel.
    ///
    /// # Errors
    /// None in practice: the table's columns have distinct names.
    pub fn new(context: &'a SessionContext, funnel: &'a str) -> Result<Self, DataFusionError> {
        let schema = DFSchema::try_from(tables::EVENTS.arrow_schema())?;
        Ok(Self { context, schema, funnel })
    }

    /// An expression over `events` that is true for the events that are meant, else false; never
    /// NULL. `place` says where in the funnel the condition stands.
    ///
    /// # Errors
    /// When the predicate is no SQL, names what is not there, or is no condition on one event.
    pub fn condition(&self, condition: &Condition, place: &str) -> Result<Expr, PredicateError> {
        let types = condition.event_type.as_ref().map(|types| {
            col("event_type")
                .in_list(types.as_slice().iter().map(|name| lit(name.as_str())).collect(), false)
        });
        let predicate =
            condition.predicate.as_ref().map(|text| self.predicate(text, place)).transpose()?;
        let both = match (types, predicate) {
            (Some(types), Some(predicate)) => types.and(predicate),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => lit(false),
        };
        Ok(both.is_true())
    }

    /// The field of an event as text: the column of that name, else the field of `data`.
    pub fn field(&self, name: &str) -> Expr {
        match self.schema.has_column_with_unqualified_name(name) {
            true => datafusion::logical_expr::cast(ident(name), DataType::Utf8),
            false => json_get(col("data"), name),
        }
    }

    fn predicate(&self, text: &str, place: &str) -> Result<Expr, PredicateError> {
        let refuse = |reason: String| PredicateError {
            funnel: self.funnel.to_owned(),
            place: place.to_owned(),
            reason,
            predicate: text.to_owned(),
        };
        let mut parsed = parse(text).map_err(refuse)?;
        self.resolve(&mut parsed).map_err(refuse)?;
        let state = self.context.state();
        let planned = state
            .create_logical_expr_from_sql_expr(
                ast::ExprWithAlias { expr: parsed, alias: None },
                &self.schema,
            )
            .map_err(|error| refuse(plain(&error)))?;
        check(&planned).map_err(refuse)?;
        let lenient = self.lenient(planned).map_err(|error| refuse(plain(&error)))?;
        match lenient.get_type(&self.schema) {
            Ok(DataType::Boolean | DataType::Null) => {}
            Ok(other) => {
                return Err(refuse(format!(
                    "it is a value of type {other}, not a condition; compare it with something"
                )));
            }
            Err(error) => return Err(refuse(plain(&error))),
        }
        self.context
            .create_physical_expr(lenient.clone(), &self.schema)
            .map_err(|error| refuse(plain(&error)))?;
        Ok(lenient)
    }

    /// Replaces names that are no columns by a look into `data`.
    fn resolve(&self, expr: &mut ast::Expr) -> Result<(), String> {
        let is_column = |name: &ast::Ident| {
            let normal = match name.quote_style {
                Some(_) => name.value.clone(),
                None => name.value.to_ascii_lowercase(),
            };
            self.schema.has_column_with_unqualified_name(&normal)
        };
        let flow = ast::visit_expressions_mut(expr, |expr| {
            let field = match expr {
                ast::Expr::Identifier(name) if !is_column(name) => name.value.clone(),
                ast::Expr::CompoundIdentifier(parts) => match &parts[..] {
                    [data, field] if data.value.eq_ignore_ascii_case("data") => field.value.clone(),
                    _ => {
                        return ControlFlow::Break(format!(
                            "{expr} is no column of events; a field of data is written by its name alone"
                        ));
                    }
                },
                _ => return ControlFlow::Continue(()),
            };
            *expr = json_get_call(&field);
            ControlFlow::Continue(())
        });
        match flow {
            ControlFlow::Break(reason) => Err(reason),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// Types the expression such that a value that does not convert is NULL instead of an error.
    fn lenient(&self, expr: Expr) -> Result<Expr, DataFusionError> {
        let explicit = expr.transform_up(|expr| {
            Ok(match expr {
                Expr::Cast(cast) => {
                    Transformed::yes(Expr::TryCast(TryCast { expr: cast.expr, field: cast.field }))
                }
                other => Transformed::no(other),
            })
        })?;
        let mut coercion = TypeCoercionRewriter::new(&self.schema);
        let coerced = explicit.data.rewrite(&mut coercion)?;
        let implicit = coerced.data.transform_up(|expr| {
            Ok(match expr {
                // A field of data against a whole number: 12.5 must not become NULL.
                Expr::Cast(cast)
                    if cast.field.data_type().is_integer()
                        && cast.expr.get_type(&self.schema)? == DataType::Utf8 =>
                {
                    Transformed::yes(Expr::TryCast(TryCast::new(cast.expr, DataType::Float64)))
                }
                Expr::Cast(cast) => {
                    Transformed::yes(Expr::TryCast(TryCast { expr: cast.expr, field: cast.field }))
                }
                other => Transformed::no(other),
            })
        })?;
        let mut again = TypeCoercionRewriter::new(&self.schema);
        Ok(implicit.data.rewrite(&mut again)?.data)
    }
}

/// A column by its exact name.
pub(crate) fn ident(name: &str) -> Expr {
    datafusion::logical_expr::ident(name)
}

fn parse(text: &str) -> Result<ast::Expr, String> {
    let mut parser = Parser::new(&GenericDialect {})
        .with_recursion_limit(50)
        .try_with_sql(text)
        .map_err(|error| error.to_string())?;
    let expr = parser.parse_expr().map_err(|error| error.to_string())?;
    let rest = parser.peek_token();
    if rest.token != datafusion::sql::sqlparser::tokenizer::Token::EOF {
        return Err(format!("unexpected {rest} after the condition at {}", rest.span.start));
    }
    let subquery = ast::visit_expressions(&expr, |expr| match expr {
        ast::Expr::Subquery(_) | ast::Expr::Exists { .. } | ast::Expr::InSubquery { .. } => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    match subquery {
        ControlFlow::Break(()) => {
            Err("a condition looks at one event: subqueries are not allowed".into())
        }
        ControlFlow::Continue(()) => Ok(expr),
    }
}

/// Refuses what does not depend on the one event alone.
fn check(expr: &Expr) -> Result<(), String> {
    let mut reason = None;
    let walked = expr.apply(|expr| {
        reason = match expr {
            Expr::AggregateFunction(call) => Some(format!("{} is an aggregate", call.func.name())),
            Expr::WindowFunction(call) => Some(format!("{} is a window function", call.fun.name())),
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) => {
                Some("there is a subquery".into())
            }
            Expr::ScalarFunction(call)
                if call.func.signature().volatility != Volatility::Immutable =>
            {
                Some(format!("{} gives another result each time", call.func.name()))
            }
            Expr::Placeholder(_) => Some("there is a placeholder".into()),
            _ => None,
        };
        Ok(match reason {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    });
    match (reason, walked) {
        (Some(reason), _) => {
            Err(format!("{reason}; a condition looks at one event and nothing else"))
        }
        (None, Err(error)) => Err(plain(&error)),
        (None, Ok(_)) => Ok(()),
    }
}

fn json_get_call(field: &str) -> ast::Expr {
    let call = format!("json_get(data, {})", ast::Value::SingleQuotedString(field.to_owned()));
    Parser::new(&GenericDialect {})
        .try_with_sql(&call)
        .and_then(|mut parser| parser.parse_expr())
        .expect("a call with a quoted text is valid SQL")
}

/// The engine's message without its own prefixes.
fn plain(error: &DataFusionError) -> String {
    error.find_root().strip_backtrace().lines().next().unwrap_or_default().to_owned()
}

/// A literal text.
pub(crate) fn text(value: &str) -> Expr {
    Expr::Literal(ScalarValue::Utf8(Some(value.to_owned())), None)
}

/// A text that is missing.
pub(crate) fn no_text() -> Expr {
    Expr::Literal(ScalarValue::Utf8(None), None)
}
