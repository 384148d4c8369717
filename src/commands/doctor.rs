//! `onramp doctor`.

mod checks;

use serde::Serialize;

use super::{Context, Ending};
use crate::output::{self, Sheet};

/// Check the configuration, the lake, the funnels, the clock and Kafka, and say how to mend them
#[derive(clap::Args)]
#[command(after_help = "Ends with code 1 if something is wrong.

Examples:
  onramp doctor
  onramp --lake s3://bucket/onramp doctor --format json")]
pub struct Doctor {}

/// One thing that was looked at.
#[derive(Serialize)]
struct Check {
    /// What.
    check: &'static str,
    /// Whether it is well.
    ok: bool,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mending: Option<String>,
}

impl Check {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, ok: true, found: found.into(), mending: None }
    }

    fn failed(
        check: &'static str,
        found: impl std::fmt::Display,
        mending: impl Into<String>,
    ) -> Self {
        Self { check, ok: false, found: found.to_string(), mending: Some(mending.into()) }
    }
}

impl Doctor {
    /// Looks at everything.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        let checks = checks::all(context).await;
        let mut sheet = Sheet::new(["check", "result", "found", "mending"]);
        for check in &checks {
            let result = if check.ok { "ok" } else { "FAILED" };
            let mending = check.mending.as_deref().unwrap_or_default();
            sheet.row([check.check, result, &check.found, mending]);
        }
        output::table(context.format, &sheet, &checks)?;
        let well = checks.iter().all(|check| check.ok);
        Ok(if well { Ending::Done } else { Ending::Failed })
    }
}
