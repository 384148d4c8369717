//! Statements as text: read with a stack of their own, and refused while they are still words.
//!
//! Planning and running follow a statement's nesting, and a name of `WITH` is copied to wherever it is
//! used: both are bounded here, before anything walks them.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, SetExpr, Value, ValueWithSpan, Visit, Visitor,
};

use super::SqlError;

/// The longest statement that anybody may send, in bytes.
pub(super) const LONGEST: usize = 1 << 20;
/// The deepest nesting of an expression; `a OR b OR c` nests twice.
const DEEPEST: usize = 200;
/// The most selects and tables of a statement, those of a name of `WITH` at each use of it.
const MOST_PARTS: usize = 200;
/// The longest text that may stand in a statement, in bytes: it may be copied to every row.
const LONGEST_LITERAL: usize = 64 << 10;
/// Stack for reading: a statement of the greatest length nested as deep as its words allow.
const STACK: usize = 512 << 20;

/// Reads one statement.
///
/// # Errors
/// No SQL, several statements, too long or too deep.
pub(super) fn parse(state: &SessionState, text: &str) -> Result<Statement, SqlError> {
    if text.len() > LONGEST {
        return Err(SqlError::TooLong { bytes: text.len(), most: LONGEST });
    }
    if text.trim().is_empty() {
        return Err(SqlError::Refused("there is no statement".to_owned()));
    }
    stacker::grow(STACK, || {
        let statement = state.sql_to_statement(text, &state.config_options().sql_parser.dialect)?;
        check(&statement)?;
        Ok(statement)
    })
}

/// A statement that somebody else read, if it is of a size that can be planned.
///
/// # Errors
/// What there is too much of.
pub(super) fn checked(statement: Statement) -> Result<Statement, SqlError> {
    stacker::grow(STACK, || check(&statement).map(|()| statement))
}

fn check(statement: &Statement) -> Result<(), SqlError> {
    match statement {
        Statement::Statement(statement) => {
            let mut shape = Shape::default();
            match statement.visit(&mut shape) {
                ControlFlow::Break(reason) => Err(SqlError::Refused(reason)),
                ControlFlow::Continue(()) => Ok(()),
            }
        }
        Statement::Explain(explained) => check(&explained.statement),
        _ => Err(SqlError::Refused(
            "only statements that read are answered: SELECT, WITH, VALUES, EXPLAIN, SHOW, DESCRIBE"
                .to_owned(),
        )),
    }
}

/// What is known of a statement's size on the way through it.
#[derive(Default)]
struct Shape {
    depth: usize,
    /// Parts of the queries that are being visited, innermost last.
    parts: Vec<usize>,
    /// The queries behind names of `WITH`, by where they stand in memory.
    named: HashMap<usize, String>,
    /// Their parts, by name.
    sizes: HashMap<String, usize>,
}

impl Shape {
    fn add(&mut self, more: usize) -> ControlFlow<String> {
        if self.parts.is_empty() {
            self.parts.push(0);
        }
        if let Some(parts) = self.parts.last_mut() {
            *parts = parts.saturating_add(more);
            if *parts > MOST_PARTS {
                return ControlFlow::Break(format!(
                    "the statement has more than {MOST_PARTS} selects and tables, names of WITH counted at \
                     each use; split it"
                ));
            }
        }
        ControlFlow::Continue(())
    }
}

fn place(query: &Query) -> usize {
    std::ptr::from_ref(query) as usize
}

impl Visitor for Shape {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.named.insert(place(&cte.query), cte.alias.name.value.to_lowercase());
        }
        self.parts.push(0);
        let mut bodies = vec![query.body.as_ref()];
        while let Some(body) = bodies.pop() {
            if let SetExpr::SetOperation { left, right, .. } = body {
                bodies.extend([left.as_ref(), right.as_ref()]);
            }
            self.add(1)?;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let parts = self.parts.pop().unwrap_or_default();
        match self.named.remove(&place(query)) {
            Some(name) => {
                self.sizes.insert(name, parts);
                ControlFlow::Continue(())
            }
            None => self.add(parts),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<String> {
        let known = self.sizes.get(&relation.to_string().to_lowercase()).copied();
        self.add(known.unwrap_or(1))
    }

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return ControlFlow::Break(format!(
                "an expression is nested deeper than {DEEPEST}; write x IN (…) in place of x = … OR x = …"
            ));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<String> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<String> {
        match &value.value {
            Value::SingleQuotedString(text) if text.len() > LONGEST_LITERAL => {
                ControlFlow::Break(format!(
                    "a text of {} bytes stands in the statement, at most {LONGEST_LITERAL} may",
                    text.len()
                ))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
