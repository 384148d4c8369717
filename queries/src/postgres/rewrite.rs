//! From a client's text to statements that the engine knows.
//!
//! What clients ask of the catalogue is rewritten freely, as far as the answer is about views alone. A
//! statement that touches the caller's rows is left as it is, but for spellings that mean the same: it
//! must say what it says everywhere else.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Query, Select, SelectItem, SetExpr, Statement, TableFactor, Value, Visit, VisitMut,
    Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::datafusion_pg_catalog::sql::rules::{
    CurrentUserVariableToSessionUserFunctionCall, FixArrayLiteral, FixVersionColumnName,
    RewriteArrayAnyAllOperation, SqlStatementRewriteRule, StripCallableQualifier,
};

/// Phrases of clients' looks around that the engine has no words for, and what they come to here:
/// psql's `\d+` (views have no options), SQLAlchemy's schemas (a pattern's escape is the backslash).
const PHRASES: [(&str, &str); 2] = [
    (
        "pg_catalog.array_to_string(c.reloptions || array(select 'toast.' || x from \
         pg_catalog.unnest(tc.reloptions) x), ', ')",
        "''",
    ),
    ("LIKE $1::VARCHAR || '%' ESCAPE '/'", r"LIKE replace($1::VARCHAR, '/', '\') || '%'"),
];
/// Words of statements that ask for keys, as the JDBC driver and SQLAlchemy do,
const KEYS: [&str; 3] = [
    "information_schema._pg_expandarray(",
    "unnest(pg_catalog.pg_constraint.conkey)",
    "unnest(pg_catalog.pg_index.indkey)",
];
/// which there are not.
const NO_KEYS: &str = "SELECT NULL::text AS table_cat, NULL::text AS table_schem, \
    NULL::text AS table_name, NULL::text AS column_name, NULL::smallint AS key_seq, \
    NULL::text AS pk_name WHERE false";
/// Tables of the catalogue with nothing in them that belongs to a view.
const EMPTY: [&str; 5] = ["pg_attrdef", "pg_collation", "pg_index", "pg_inherits", "pg_sequence"];

/// Reads a text's statements.
///
/// # Errors
/// It is no SQL.
pub fn statements(
    parser: &PostgresCompatibilityParser,
    text: &str,
) -> Result<Vec<Statement>, ParserError> {
    let known = PHRASES.iter().find(|(phrase, _)| text.contains(phrase));
    let replaced = known.map(|(phrase, replacement)| text.replace(phrase, replacement));
    let text = match KEYS.iter().any(|word| text.contains(word)) {
        true => NO_KEYS,
        false => replaced.as_deref().unwrap_or(text),
    };
    let statements = Parser::new(&PostgreSqlDialect {}).try_with_sql(text)?.parse_statements()?;
    let mut relations = Relations::default();
    let _ = Visit::visit(&statements, &mut relations);
    if relations.only_catalog() {
        let mut statements = parser.parse(text)?;
        let _ = VisitMut::visit(&mut statements, &mut Lookups);
        return Ok(statements);
    }
    let rules: [&dyn SqlStatementRewriteRule; 5] = [
        &RewriteArrayAnyAllOperation,
        &StripCallableQualifier,
        &FixArrayLiteral,
        &CurrentUserVariableToSessionUserFunctionCall,
        &FixVersionColumnName,
    ];
    let rewrite = |statement| rules.iter().fold(statement, |it, rule| rule.rewrite(it));
    Ok(statements.into_iter().map(rewrite).collect())
}

/// The tables that statements name.
#[derive(Default)]
struct Relations {
    names: HashSet<String>,
    /// Names of `WITH`, which are no tables.
    with: HashSet<String>,
}

impl Relations {
    /// Whether there are tables, and all of them are of the catalogue.
    fn only_catalog(&self) -> bool {
        let mut names = self.names.difference(&self.with).peekable();
        names.peek().is_some()
            && names.all(|name| {
                let plain = name.strip_prefix("pg_catalog.").unwrap_or(name);
                plain.starts_with("pg_") || name.starts_with("information_schema.")
            })
    }
}

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.with.extend(tables.map(|table| table.alias.name.value.to_lowercase()));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        // With arguments it is a function.
        if let TableFactor::Table { name, args: None, .. } = factor {
            self.names.insert(name.to_string().to_lowercase().replace('"', ""));
        }
        ControlFlow::Continue(())
    }
}

/// Lookups of one value within a row of the catalogue, which the engine knows only of aggregates.
struct Lookups;

impl VisitorMut for Lookups {
    type Break = ();

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        let Expr::Subquery(query) = expression else { return ControlFlow::Continue(()) };
        let SetExpr::Select(select) = query.body.as_mut() else {
            return ControlFlow::Continue(());
        };
        match table(select).as_deref() {
            Some(name) if EMPTY.contains(&name) => *expression = Expr::Value(Value::Null.into()),
            Some("pg_type") => {
                query.limit_clause = None;
                for item in &mut select.projection {
                    let SelectItem::UnnamedExpr(value) = item else { continue };
                    // One row at most is found by its number: the least of it is the value.
                    let least = Parser::new(&PostgreSqlDialect {})
                        .try_with_sql(&format!("min({value})"))
                        .and_then(|mut parser| parser.parse_expr());
                    if let Ok(least) = least {
                        *value = least;
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The first table that is selected from, without its schema.
fn table(select: &Select) -> Option<String> {
    match &select.from.first()?.relation {
        TableFactor::Table { name, .. } => {
            let name = name.to_string().to_lowercase();
            Some(name.rsplit('.').next().unwrap_or(&name).to_owned())
        }
        _ => None,
    }
}
