//! `onramp sql`.

mod prompt;
pub(super) mod rows;
mod words;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use onramp_queries::access::Caller;
use onramp_queries::sql::{self, Source};

use super::{Context, Ending};
use crate::output::Format;

/// Ask the lake in SQL, read-only; without a statement at a prompt
#[derive(clap::Args)]
#[command(
    after_help = "Tables: events, dead_letters, duplicates, reports, sessions; views: sessions_FUNNEL with a \
column for each stage, funnel_sessions, funnel_daily, funnel_stages. docs/generated/sql.md says what their \
columns mean, as \\d+ TABLE does at the prompt. json_get(data, 'field') reads a field of the payload that \
has no column of its own.

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
    /// Whether it asks for statements at a terminal, where Ctrl-C ends a statement and not the program.
    pub fn is_prompt(&self) -> bool {
        self.statement.is_none() && self.file.is_none() && std::io::stdin().is_terminal()
    }

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
        answer(context.format, source(context).await?, statement).await?;
        Ok(Ending::Done)
    }
}

/// What statements are asked of.
pub(super) async fn source(context: &Context) -> anyhow::Result<Source> {
    let lake = context.lake()?;
    let funnels = context.funnels(&lake).await?;
    context.source(lake, &funnels)
}

/// Runs one statement and prints its rows.
async fn answer(format: Format, source: Source, statement: String) -> anyhow::Result<()> {
    let begin = async move { Ok(sql::run(&source, &Caller::local(), &statement).await?) };
    rows::answer(format, begin).await
}
