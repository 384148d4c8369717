//! The prompt: history, and completion of tables, columns and keywords.

use std::path::PathBuf;

use onramp_schemas::tables;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Editor, Helper};

use super::super::{Context, Ending};
use super::answer;
use crate::output;

/// The most lines of history.
const HISTORY: usize = 1_000;
/// Words that are completed beside the names of tables and columns.
const KEYWORDS: [&str; 36] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "DISTINCT",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "IS NULL",
    "IS NOT NULL",
    "BETWEEN",
    "LIKE",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "WITH",
    "UNION ALL",
    "count(",
    "sum(",
    "avg(",
    "min(",
    "max(",
    "date_trunc(",
    "json_get(",
    "DESCRIBE",
    "EXPLAIN",
];

/// Reads statements, each ended by a semicolon, and answers them, until the end of input.
///
/// # Errors
/// The terminal cannot be read.
pub async fn run(context: &Context) -> anyhow::Result<Ending> {
    let engine = context.engine()?;
    let config = Config::builder().max_history_size(HISTORY)?.auto_add_history(false).build();
    let mut editor = Editor::<Words, FileHistory>::with_config(config)?;
    editor.set_helper(Some(Words::new()));
    let history = history_file();
    if let Some(history) = &history {
        // The first time there is none.
        let _ = editor.load_history(history);
    }
    context.say("Statements end with a semicolon; Tab completes, Ctrl-D leaves.");
    let mut statement = String::new();
    loop {
        let ask = if statement.is_empty() { "onramp> " } else { "     -> " };
        let (back, line) = tokio::task::spawn_blocking(move || {
            let line = editor.readline(ask);
            (editor, line)
        })
        .await?;
        editor = back;
        match line {
            Ok(line) if statement.is_empty() && is_farewell(&line) => break,
            Ok(line) => {
                statement.push_str(&line);
                statement.push('\n');
            }
            Err(ReadlineError::Interrupted) => statement.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        }
        if statement.trim().is_empty() {
            statement.clear();
        } else if statement.trim_end().ends_with(';') {
            editor.add_history_entry(statement.trim())?;
            if let Err(error) = answer(context, &engine, &statement).await {
                output::error(&error);
            }
            statement.clear();
        }
    }
    if let Some(history) = history {
        if let Some(folder) = history.parent() {
            std::fs::create_dir_all(folder)?;
        }
        editor.save_history(&history)?;
    }
    Ok(Ending::Done)
}

fn is_farewell(line: &str) -> bool {
    matches!(line.trim().trim_end_matches(';'), "exit" | "quit" | "\\q")
}

fn history_file() -> Option<PathBuf> {
    Some(dirs::data_dir()?.join("onramp").join("history"))
}

/// What Tab completes.
struct Words(Vec<String>);

impl Words {
    fn new() -> Self {
        let mut words: Vec<String> = KEYWORDS.map(str::to_owned).to_vec();
        for table in tables::ALL {
            words.push(table.name.to_owned());
            words.extend(table.columns.iter().map(|column| column.name.to_owned()));
        }
        words.sort();
        words.dedup();
        Self(words)
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
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
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
