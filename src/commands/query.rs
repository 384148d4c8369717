//! `onramp query`.

use onramp_queries::access::Caller;
use onramp_queries::library::{self, Query};
use onramp_queries::sql::{self, Turn};

use super::sql::{rows, source};
use super::{Context, Ending};
use crate::output::{self, Sheet};

/// Questions that are asked often, by name
#[derive(clap::Args)]
#[command(
    after_help = "Values are bound as values, never pasted into the text; NULL is the missing one.

Examples:
  onramp query list
  onramp query run funnel_by_day --param from=2026-03-01
  onramp query run lost_sessions --param stage=2 --format csv > lost.csv
  onramp query show slowest_stages > mine.sql"
)]
pub struct QueryCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// What there is
    List,
    /// The statement behind a name
    Show {
        /// The query
        name: String,
    },
    /// The answer
    Run {
        /// The query
        name: String,
        /// The value of a parameter; may be given more than once
        #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
        param: Vec<(String, String)>,
    },
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim_start_matches('$').to_owned(), value.to_owned()))
}

impl QueryCommand {
    /// Lists, shows or runs.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        match self.action {
            Action::List => list(context)?,
            Action::Show { name } => output::write(library::find(&name)?.statement)?,
            Action::Run { name, param } => {
                let query = library::find(&name)?;
                let session = sql::session(&source(context).await?, &Caller::local().scope, None)?;
                let begin = async move {
                    let plan = query.plan(&session, &param).await?;
                    Ok(session.rows(plan, Turn::default()).await?)
                };
                rows::answer(context.format, begin).await?;
            }
        }
        Ok(Ending::Done)
    }
}

fn list(context: &Context) -> std::io::Result<()> {
    let queries = library::all();
    let mut sheet = Sheet::new(["name", "parameters", "title"]);
    let parameters = |query: &Query| -> Vec<String> {
        let one = |it: &library::Parameter| match it.default {
            Some(default) => format!("{}={default}", it.name),
            None => it.name.to_owned(),
        };
        query.parameters.iter().map(one).collect()
    };
    for query in &queries {
        sheet.row([query.name, &parameters(query).join(" "), query.title]);
    }
    let document: Vec<_> = queries
        .iter()
        .map(|query| {
            let of = |it: &library::Parameter| {
                let kind = it.kind.as_str();
                serde_json::json!({"name": it.name, "type": kind, "default": it.default, "meaning": it.doc})
            };
            let parameters: Vec<_> = query.parameters.iter().map(of).collect();
            serde_json::json!({
                "name": query.name,
                "title": query.title,
                "description": query.description,
                "parameters": parameters,
            })
        })
        .collect();
    output::table(context.format, &sheet, &document)
}
