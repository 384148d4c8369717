//! What Tab completes at the prompt: tables, columns, functions, keywords, and the prompt's own commands.

use onramp_queries::sql::{Session, SqlError};
use rustyline::Helper;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;

/// Words that are completed beside names.
const KEYWORDS: &str = "SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT OFFSET DISTINCT AS AND OR NOT IN IS \
    NULL TRUE FALSE BETWEEN LIKE CASE WHEN THEN ELSE END JOIN LEFT INNER CROSS ON USING WITH RECURSIVE \
    UNION ALL EXCEPT INTERSECT FILTER OVER PARTITION ASC DESC NULLS FIRST LAST CAST INTERVAL DATE TIMESTAMP \
    EXISTS VALUES DESCRIBE EXPLAIN ANALYZE SHOW TABLES";
/// Commands of the prompt.
const COMMANDS: [&str; 6] = ["\\d", "\\d+", "\\mode", "\\?", "\\q", "\\queries"];

/// The words, in order.
pub struct Words(Vec<String>);

impl Words {
    /// All that a session knows.
    ///
    /// # Errors
    /// A table whose columns cannot be told.
    pub async fn new(session: &Session) -> Result<Self, SqlError> {
        let mut words: Vec<String> = KEYWORDS.split_whitespace().map(str::to_owned).collect();
        words.extend(COMMANDS.map(str::to_owned));
        for table in session.tables() {
            let described = session.describe(&table).await?;
            words.extend(described.into_iter().flat_map(|it| it.columns).map(|it| it.name));
            words.push(table);
        }
        let state = session.context().state();
        let functions = state.scalar_functions().keys().chain(state.aggregate_functions().keys());
        let functions = functions.chain(state.window_functions().keys());
        words.extend(functions.map(|name| format!("{name}(")));
        words.sort();
        words.dedup();
        Ok(Self(words))
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..position];
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '\\' | '+');
        let start = before
            .rfind(|c| !is_part(c))
            .map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8));
        let typed = before[start..].to_lowercase();
        if typed.is_empty() {
            return Ok((position, Vec::new()));
        }
        let fits = |word: &&String| word.to_lowercase().starts_with(&typed);
        Ok((start, self.0.iter().filter(fits).cloned().collect()))
    }
}

impl Hinter for Words {
    type Hint = String;
}
impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}
