//! `onramp import`.

use std::path::PathBuf;

use onramp_ingest::import::{self, ImportOptions, ImportSummary};
use serde_json::json;

use super::{Context, Ending, pipeline_options};
use crate::config::Overrides;
use crate::output::{self, Format, count};

/// Import files: CloudEvents, one JSON object a line, or CSV with a mapping
#[derive(clap::Args)]
#[command(
    after_help = "An interrupted import goes on where it stood when run again, and a finished \
one does nothing. What cannot be accepted goes to the table dead_letters with a code; the import \
goes on.

Examples:
  onramp import events.ndjson
  zcat events.ndjson.gz | onramp import -
  onramp import permits.csv --mapping examples/permit-intake/mapping.toml --namespace org.coselog"
)]
pub struct Import {
    /// The files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How the columns of a CSV file become events
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// The source of events that a mapping gives none
    #[arg(long, value_name = "URI")]
    source: Option<String>,
    /// Reverse-DNS name under which custom event types are accepted; may be given more than once
    #[arg(long, value_name = "NAME")]
    namespace: Vec<String>,
    /// End with code 3 if anything was rejected
    #[arg(long)]
    strict: bool,
}

impl Import {
    /// The settings that its flags set.
    pub fn overrides(&self, overrides: &mut Overrides) {
        overrides
            .set("ingest.namespaces", (!self.namespace.is_empty()).then(|| self.namespace.clone()));
    }

    /// Imports.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        let options = ImportOptions {
            files: self.files,
            mapping: self.mapping,
            source: self.source,
            pipeline: pipeline_options(context.config())?,
        };
        let lake = context.lake()?;
        let progress = context.progress();
        let summary = import::run(&lake, &options, context.clock.as_ref(), &progress).await?;
        match context.format {
            Format::Json => output::document(&document(&summary))?,
            _ => output::write(&sentence(&summary))?,
        }
        let rejected = self.strict && summary.counts.rejections() > 0;
        Ok(if rejected { Ending::Rejected } else { Ending::Done })
    }
}

/// What was accepted, duplicate, rejected by code, in one line; before it, what was taken up again.
pub fn sentence(summary: &ImportSummary) -> String {
    let mut text = String::new();
    for (file, line) in &summary.resumed {
        text +=
            &format!("{}: taken up again at line {}\n", file.display(), count(line.unsigned_abs()));
    }
    for file in &summary.already_imported {
        text += &format!("{}: already imported\n", file.display());
    }
    let counts = &summary.counts;
    text += &format!(
        "accepted {}, duplicate {}, rejected {}",
        count(counts.accepted),
        count(counts.duplicates),
        count(counts.rejections())
    );
    let codes: Vec<String> =
        counts.rejected.iter().map(|(code, number)| format!("{code} {}", count(*number))).collect();
    if !codes.is_empty() {
        text += &format!(" ({})", codes.join(", "));
    }
    if counts.tasks > 0 {
        text += &format!(", failed tasks {}", count(counts.tasks));
    }
    text
}

fn document(summary: &ImportSummary) -> serde_json::Value {
    let counts = &summary.counts;
    json!({
        "accepted": counts.accepted,
        "duplicates": counts.duplicates,
        "rejected": counts.rejected,
        "failed_tasks": counts.tasks,
        "already_imported": summary.already_imported,
        "resumed": summary.resumed.iter()
            .map(|(file, line)| json!({"file": file, "line": line})).collect::<Vec<_>>(),
    })
}
