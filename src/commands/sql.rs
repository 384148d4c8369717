//! `onramp sql`.

mod prompt;
mod rows;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use onramp_queries::access::Caller;

use super::{Context, Ending};

/// Ask the lake in SQL, read-only; without a statement at a prompt
#[derive(clap::Args)]
#[command(
    after_help = "Tables: events, dead_letters, duplicates, sessions. json_get(data, 'field') \
reads a field of the payload that has no column of its own.

Examples:
  onramp sql \"SELECT event_type, count(*) AS n FROM events GROUP BY event_type ORDER BY n DESC\"
  onramp sql -f weekly.sql --format csv > weekly.csv
  onramp sql"
)]
pub struct Sql {
    /// One statement
    statement: Option<String>,
    /// The file that holds it; - is standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "statement")]
    file: Option<PathBuf>,
}

impl Sql {
    /// Asks.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        let statement = match (self.statement, self.file) {
            (Some(statement), _) => statement,
            (None, Some(file)) if file.as_os_str() != "-" => std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read the statement in {}", file.display()))?,
            (None, None) if std::io::stdin().is_terminal() => return prompt::run(context).await,
            (None, _) => {
                let mut text = String::new();
                let read = std::io::stdin().lock().read_to_string(&mut text);
                read.context("cannot read the statement from standard input")?;
                text
            }
        };
        if statement.trim().is_empty() {
            bail!("there is no statement; write one, or run onramp sql at a terminal for a prompt");
        }
        let engine = context.engine()?;
        answer(context, &engine, &statement).await?;
        Ok(Ending::Done)
    }
}

/// Runs one statement and prints its rows.
async fn answer(
    context: &Context,
    engine: &onramp_compute::Engine,
    statement: &str,
) -> anyhow::Result<()> {
    let lake = context.lake()?;
    let rows = onramp_queries::sql::run(&lake, engine, &Caller::local(), statement).await?;
    rows::print(context.format, rows).await
}
