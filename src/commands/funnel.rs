//! `onramp funnel`.

use std::path::PathBuf;

use onramp_schemas::funnel::Order;
use serde_json::json;

use super::{Context, Ending};
use crate::funnels;
use crate::output::{self, Format, Sheet};

/// Funnel definitions: which there are, what they say, whether a file is one
#[derive(clap::Args)]
pub struct Funnel {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List the built-in funnels, the lake's and those of --funnels
    #[command(after_help = "Examples:
  onramp funnel list --funnels examples/permit-intake/funnels")]
    List,
    /// Print one definition
    #[command(after_help = "Examples:
  onramp funnel show onboarding > funnels/mine.toml")]
    Show {
        /// Its name
        name: String,
    },
    /// Check funnel files, predicates included, without using them
    #[command(after_help = "Examples:
  onramp funnel validate funnels/*.toml")]
    Validate {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

impl Funnel {
    /// Does it.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        match self.action {
            Action::List => list(context).await,
            Action::Show { name } => show(context, &name).await,
            Action::Validate { files } => validate(context, &files),
        }
    }
}

async fn list(context: &Context) -> anyhow::Result<Ending> {
    let funnels = context.funnels(&context.lake()?).await?;
    let mut sheet = Sheet::new(["funnel", "stages", "order", "from"]);
    let mut document = Vec::new();
    for (funnel, origin) in funnels.iter() {
        let stages: Vec<&str> = funnel.stages.iter().map(|stage| stage.name.as_str()).collect();
        let order = order(funnel.order);
        sheet.row([&funnel.name, &stages.join(" → "), order, origin]);
        document.push(json!({
            "name": funnel.name, "description": funnel.description, "stages": stages,
            "order": order, "origin": origin, "hash": funnel.hash(),
        }));
    }
    output::table(context.format, &sheet, &document)?;
    Ok(Ending::Done)
}

async fn show(context: &Context, name: &str) -> anyhow::Result<Ending> {
    let funnels = context.funnels(&context.lake()?).await?;
    let funnel = funnels.get(name)?;
    match context.format {
        Format::Json => output::document(funnel)?,
        _ => output::write(&toml::to_string_pretty(funnel)?)?,
    }
    Ok(Ending::Done)
}

fn validate(context: &Context, files: &[PathBuf]) -> anyhow::Result<Ending> {
    let engine = context.engine()?;
    let mut sheet = Sheet::new(["file", "funnel", "result"]);
    let mut document = Vec::new();
    let mut valid = true;
    for file in files {
        let checked = match funnels::read(file) {
            Ok(funnel) => funnels::check(&engine, &funnel).map(|()| funnel.name),
            Err(error) => Err(error),
        };
        valid &= checked.is_ok();
        let file = file.display().to_string();
        let (name, problem) = match &checked {
            Ok(name) => (Some(name.as_str()), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        sheet.row([&file, name.unwrap_or("–"), problem.as_deref().unwrap_or("valid")]);
        document.push(json!({
            "file": file, "funnel": name, "valid": problem.is_none(), "problem": problem,
        }));
    }
    output::table(context.format, &sheet, &document)?;
    Ok(if valid { Ending::Done } else { Ending::Failed })
}

fn order(order: Order) -> &'static str {
    match order {
        Order::Ordered => "ordered",
        Order::Strict => "strict",
        Order::Unordered => "unordered",
    }
}
