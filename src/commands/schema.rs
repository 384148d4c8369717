//! `onramp schema`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use onramp_schemas::catalogue;
use onramp_schemas::event::decode;
use onramp_schemas::rejection::Rejection;
use serde_json::json;

use super::{Context, Ending, pipeline_options};
use crate::output::{self, Sheet};

/// The event contract: which types there are, what they may hold, whether a file keeps to it
#[derive(clap::Args)]
pub struct Schema {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List the event types
    List,
    /// Print the JSON Schema of a type's payload
    #[command(after_help = "Examples:
  onramp schema show onboarding.session.started")]
    Show {
        /// The type
        #[arg(value_name = "TYPE")]
        name: String,
    },
    /// Judge CloudEvents, one JSON object a line, without importing them
    #[command(after_help = "Examples:
  onramp schema validate events.ndjson
  my-app | onramp schema validate -")]
    Validate {
        /// The files; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

impl Schema {
    /// Does it.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        match self.action {
            Action::List => list(context),
            Action::Show { name } => show(&name),
            Action::Validate { files } => validate(context, &files),
        }
    }
}

fn list(context: &Context) -> anyhow::Result<Ending> {
    let mut sheet = Sheet::new(["type", "versions", "what happened"]);
    let mut document = Vec::new();
    for known in catalogue::list() {
        let mut versions = known.upcast_from.to_vec();
        versions.push(known.version);
        let shown: Vec<String> = versions.iter().map(|version| format!("v{version}")).collect();
        sheet.row([known.name, &shown.join(", "), known.doc]);
        document.push(json!({
            "type": known.name, "version": known.version, "versions": versions,
            "description": known.doc,
            "fields": known.fields.iter().map(|field| field.name).collect::<Vec<_>>(),
        }));
    }
    output::table(context.format, &sheet, &document)?;
    Ok(Ending::Done)
}

fn show(name: &str) -> anyhow::Result<Ending> {
    let schemas = catalogue::schemas();
    let schema = schemas.get(name).ok_or_else(|| {
        anyhow!("there is no event type {name:?}; `onramp schema list` shows those that there are")
    })?;
    output::document(schema)?;
    Ok(Ending::Done)
}

fn validate(context: &Context, files: &[PathBuf]) -> anyhow::Result<Ending> {
    let mut sheet = Sheet::new(["file", "line", "code", "message"]).right([1]);
    let mut rejected = Vec::new();
    let mut valid = 0_u64;
    for file in files {
        valid += judge(context, file, |line, rejection| {
            let (code, file) = (rejection.code.as_str(), file.display().to_string());
            sheet.row([&file, &line.to_string(), code, &rejection.message]);
            rejected.push(json!({
                "file": file, "line": line, "code": code, "message": rejection.message,
                "remedy": rejection.code.remedy(),
            }));
        })?;
    }
    let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
    for rejection in &rejected {
        *codes.entry(rejection["code"].as_str().unwrap_or_default()).or_default() += 1;
    }
    let document = json!({"valid": valid, "by_code": codes, "rejected": rejected});
    if rejected.is_empty() && context.format == output::Format::Table {
        output::write(&format!("{} events, all valid", output::count(valid)))?;
    } else {
        output::table(context.format, &sheet, &document)?;
    }
    Ok(if rejected.is_empty() { Ending::Done } else { Ending::Failed })
}

/// Hands every rejected line to `reject`; how many were valid.
fn judge(
    context: &Context,
    file: &Path,
    mut reject: impl FnMut(u64, &Rejection),
) -> anyhow::Result<u64> {
    let cannot = || format!("cannot read {}", file.display());
    let input: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(file).with_context(cannot)?),
    };
    let mut input = BufReader::new(input);
    let options = pipeline_options(context.config())?;
    let record = options.context(context.clock.now());
    let (mut line, mut number, mut valid) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        let most = options.max_bytes as u64 + 2;
        if input.by_ref().take(most).read_until(b'\n', &mut line).with_context(cannot)? == 0 {
            return Ok(valid);
        }
        number += 1;
        if line.last() != Some(&b'\n') && line.len() as u64 == most {
            input.skip_until(b'\n').with_context(cannot)?;
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        match decode(text, &record) {
            Ok(_) => valid += 1,
            Err(rejection) => reject(number, &rejection),
        }
    }
}
