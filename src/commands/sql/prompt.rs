//! The prompt: history, completion, statements over several lines, and commands of its own.

use std::path::PathBuf;

use clap::ValueEnum;
use onramp_queries::access::Caller;
use onramp_queries::sql::{Session, Source, session};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};

use super::super::{Context, Ending};
use super::words::Words;
use super::{answer, source};
use crate::output::{self, Format, Sheet};
use crate::signals;

/// The most lines of history.
const HISTORY: usize = 1_000;

const HELP: &str = "\
  SELECT …;          a statement, over as many lines as it takes, up to the semicolon
  \\d                 tables and views
  \\d TABLE           its columns; \\d+ TABLE with what they mean
  \\mode FORM         table, csv, json or markdown from now on; without a form: the present one
  \\queries           statements by name, for `onramp query run`
  \\?                 this; \\q or Ctrl-D leaves
  Ctrl-C             forgets what was typed, or ends the statement that runs; Tab completes
A command may begin with a dot, too: .mode csv";

/// Reads statements and commands and answers them, until the end of input.
///
/// # Errors
/// The terminal cannot be read.
pub async fn run(context: &Context) -> anyhow::Result<Ending> {
    let source = source(context).await?;
    let known = session(&source, &Caller::local().scope, None)?;
    let config = Config::builder().max_history_size(HISTORY)?.auto_add_history(false).build();
    let mut editor = Editor::<Words, FileHistory>::with_config(config)?;
    editor.set_helper(Some(Words::new(&known).await?));
    let history = history_file();
    if let Some(history) = &history {
        // The first time there is none.
        let _ = editor.load_history(history);
    }
    context.say("Statements end with a semicolon; \\? helps, Tab completes, Ctrl-D leaves.");
    let mut prompt = Prompt { source, known, format: context.format };
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
            Ok(line) if statement.is_empty() && line.trim_start().starts_with(['\\', '.']) => {
                editor.add_history_entry(line.trim())?;
                if let Err(error) = prompt.obey(line.trim()).await {
                    output::error(&error);
                }
            }
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
            prompt.answer(&statement).await;
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
    matches!(line.trim().trim_end_matches(';'), "exit" | "quit" | "\\q" | ".q" | ".quit")
}

fn history_file() -> Option<PathBuf> {
    Some(dirs::data_dir()?.join("onramp").join("history"))
}

struct Prompt {
    source: Source,
    /// Knows the tables; statements have sessions of their own, to see the lake of their time.
    known: Session,
    format: Format,
}

impl Prompt {
    /// Prints the rows of a statement, or what is wrong with it; Ctrl-C ends it.
    async fn answer(&self, statement: &str) {
        tokio::select! {
            answered = answer(self.format, self.source.clone(), statement.to_owned()) => {
                if let Err(error) = answered {
                    output::error(&error);
                }
            }
            () = signals::stop() => eprintln!("the statement was ended"),
        }
    }

    /// Does what a command says.
    async fn obey(&mut self, line: &str) -> anyhow::Result<()> {
        let mut words = line[1..].trim_end_matches(';').split_whitespace();
        match (words.next(), words.next()) {
            (Some("?" | "help"), _) => eprintln!("{HELP}"),
            (Some("d" | "d+" | "tables"), None) => self.tables().await?,
            (Some("d"), Some(table)) => self.table(table, false).await?,
            (Some("d+"), Some(table)) => self.table(table, true).await?,
            (Some("mode"), None) => eprintln!("{:?}", self.format),
            (Some("mode"), Some(form)) => {
                self.format = Format::from_str(form, true).map_err(|_| {
                    anyhow::anyhow!("there is no form {form:?}; write table, csv, json or markdown")
                })?;
            }
            (Some("queries"), _) => {
                let mut sheet = Sheet::new(["name", "title"]);
                for query in onramp_queries::library::all() {
                    sheet.row([query.name, query.title]);
                }
                output::write(&sheet.table())?;
            }
            _ => anyhow::bail!("there is no command {line}; \\? lists those that there are"),
        }
        Ok(())
    }

    async fn tables(&self) -> anyhow::Result<()> {
        let mut sheet = Sheet::new(["name", "rows"]);
        for table in self.known.tables() {
            let doc = self.known.describe(&table).await?.map(|it| it.doc).unwrap_or_default();
            sheet.row([table, doc]);
        }
        Ok(output::write(&sheet.table())?)
    }

    async fn table(&self, name: &str, meaning: bool) -> anyhow::Result<()> {
        let Some(described) = self.known.describe(name).await? else {
            anyhow::bail!("there is no table {name}; \\d lists those that there are");
        };
        let mut sheet = match meaning {
            true => Sheet::new(["column", "type", "null", "meaning"]),
            false => Sheet::new(["column", "type", "null"]),
        };
        for column in described.columns {
            let null = if column.nullable { "yes" } else { "" };
            let mut cells = vec![column.name, column.kind, null.to_owned()];
            cells.extend(meaning.then_some(column.doc));
            sheet.row(cells);
        }
        if meaning {
            output::write(&format!("{}\n", described.doc))?;
        }
        Ok(output::write(&sheet.table())?)
    }
}
