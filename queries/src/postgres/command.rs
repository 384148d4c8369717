//! What a text asks for: a query, or something between client and server alone.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, ContextModifier, DiscardObject, Expr, Reset, Set, Statement, Value, Visit, Visitor,
};
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::pgwire::error::PgWireResult;

use super::errors::{self, LIMIT, REFUSED, SYNTAX};
use super::rewrite;

/// The deepest expression: what comes after has the stack of a thread.
const DEEPEST: usize = 300;
/// Stack for reading a text as deep as its length allows.
const STACK: usize = 512 << 20;

/// What a text says.
pub enum Read {
    /// No statement at all.
    Nothing,
    /// Something that needs no rows.
    Command(Command),
    /// Something for the planner, which may still refuse it.
    Query(Box<Statement>),
}

/// A statement between client and server.
#[derive(Clone, Debug)]
pub enum Command {
    /// A transaction begins.
    Begin,
    /// It ends.
    Commit,
    /// It ends, as there is nothing to undo.
    Rollback,
    /// A place in it to come back to.
    Savepoint,
    /// That place is forgotten.
    Release,
    /// Back to that place.
    RollbackTo,
    /// A setting; without a value its default, `local` to the transaction or not.
    Set {
        /// Its name.
        name: String,
        /// What it becomes.
        value: Option<String>,
        /// Whether it ends with the transaction.
        local: bool,
    },
    /// Something set that changes nothing here.
    SetTransaction,
    /// All settings become their defaults.
    ResetAll,
    /// The value of a setting.
    Show(String),
    /// A prepared statement is forgotten; without a name all are.
    Deallocate(Option<String>),
    /// Everything of the session is forgotten.
    DiscardAll,
}

/// Reads a text.
///
/// # Errors
/// No SQL, more than one statement, or one that is never run here.
pub fn read(parser: &PostgresCompatibilityParser, text: &str) -> PgWireResult<Read> {
    stacker::grow(STACK, || read_deep(parser, text))
}

fn read_deep(parser: &PostgresCompatibilityParser, text: &str) -> PgWireResult<Read> {
    let parsed = rewrite::statements(parser, text);
    let parsed = parsed.map_err(|wrong| errors::error(SYNTAX, wrong.to_string()))?;
    let mut statements = parsed.into_iter();
    let Some(statement) = statements.next() else { return Ok(Read::Nothing) };
    if statements.next().is_some() {
        let message = "only one statement can be sent at a time; send each by itself";
        return Err(errors::error(SYNTAX, message));
    }
    if let ControlFlow::Break(()) = statement.visit(&mut Depth(0)) {
        let message = format!(
            "an expression is nested deeper than {DEEPEST}; write x IN (…) in place of x = … OR x = …"
        );
        return Err(errors::error(LIMIT, message));
    }
    Ok(Read::Command(match statement {
        Statement::Query(_)
        | Statement::Explain { .. }
        | Statement::ExplainTable { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. } => return Ok(Read::Query(Box::new(statement))),
        Statement::StartTransaction { .. } => Command::Begin,
        Statement::Commit { .. } => Command::Commit,
        Statement::Rollback { savepoint: None, .. } => Command::Rollback,
        Statement::Rollback { savepoint: Some(_), .. } => Command::RollbackTo,
        Statement::Savepoint { .. } => Command::Savepoint,
        Statement::ReleaseSavepoint { .. } => Command::Release,
        Statement::Set(set) => setting(set)?,
        Statement::Reset(ast::ResetStatement { reset: Reset::ALL }) => Command::ResetAll,
        Statement::Reset(ast::ResetStatement { reset: Reset::ConfigurationParameter(name) }) => {
            Command::Set { name: plain(&name), value: None, local: false }
        }
        Statement::ShowVariable { variable } => Command::Show(shown(&variable)),
        Statement::Deallocate { name, .. } => {
            let all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            Command::Deallocate((!all).then_some(name.value))
        }
        Statement::Discard { object_type: DiscardObject::ALL } => Command::DiscardAll,
        refused => return Err(refusal(&refused)),
    }))
}

/// How deep the expression that is visited stands.
struct Depth(usize);

impl Visitor for Depth {
    type Break = ();

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.0 += 1;
        if self.0 > DEEPEST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.0 -= 1;
        ControlFlow::Continue(())
    }
}

/// What is never run, by its first words: the rest of it may hold what is nobody's business.
fn refusal(statement: &Statement) -> datafusion_postgres::pgwire::error::PgWireError {
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    let words = words.join(" ").chars().take(40).collect::<String>();
    errors::error(
        REFUSED,
        format!("{words} is not run here: one SELECT, EXPLAIN, SHOW or DESCRIBE, read-only"),
    )
}

fn setting(set: Set) -> PgWireResult<Command> {
    let local = |scope: Option<ContextModifier>| scope == Some(ContextModifier::Local);
    Ok(match set {
        Set::SingleAssignment { scope, variable, values, .. } => {
            let value = values.iter().map(written).collect::<Vec<_>>().join(", ");
            let value = (!value.eq_ignore_ascii_case("default")).then_some(value);
            Command::Set { name: plain(&variable), value, local: local(scope) }
        }
        Set::SetTimeZone { local, value } => {
            Command::Set { name: "timezone".to_owned(), value: Some(written(&value)), local }
        }
        Set::SetNames { charset_name, .. } => Command::Set {
            name: "client_encoding".to_owned(),
            value: Some(charset_name.value),
            local: false,
        },
        Set::SetTransaction { .. } => Command::SetTransaction,
        refused => return Err(refusal(&Statement::Set(refused))),
    })
}

/// A value as the client meant it, without its quotes.
fn written(value: &Expr) -> String {
    match value {
        Expr::Identifier(word) => word.value.clone(),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

fn plain(name: &ast::ObjectName) -> String {
    name.to_string().replace('"', "")
}

/// `SHOW` of settings whose names are words.
fn shown(words: &[ast::Ident]) -> String {
    let words: Vec<String> = words.iter().map(|word| word.value.to_ascii_lowercase()).collect();
    match words.join(" ").as_str() {
        "time zone" => "timezone".to_owned(),
        "transaction isolation level" => "transaction_isolation".to_owned(),
        "session authorization" => "session_authorization".to_owned(),
        other => other.replace(' ', "."),
    }
}
