//! `onramp rebuild`.

use onramp_compute::sessions::{self, Settings};
use serde_json::json;

use super::{Context, Ending};
use crate::output::{self, Sheet, count};

/// Derive the table sessions anew from events, and say how it differed
#[derive(clap::Args)]
#[command(after_help = "The sessions are a fold over events: a rebuild gives the same rows. A \
difference other than 0 means that somebody else wrote to the table.

Examples:
  onramp rebuild
  onramp rebuild --funnel onboarding --dry-run")]
pub struct Rebuild {
    /// This funnel's sessions only
    #[arg(long, value_name = "NAME")]
    funnel: Option<String>,
    /// Say what would change, change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Rebuild {
    /// Rebuilds.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        let lake = context.lake()?;
        let engine = context.engine()?;
        let funnels = context.funnels(&lake).await?;
        let chosen = match &self.funnel {
            Some(name) => vec![funnels.get(name)?],
            None => funnels.iter().map(|(funnel, _)| funnel).collect(),
        };
        if !self.dry_run {
            let names: Vec<&str> = chosen.iter().map(|funnel| funnel.name.as_str()).collect();
            context.audit(&lake, "rebuild", names.join(", "), None).await?;
        }
        let progress = context.progress();
        let mut sheet = Sheet::new([
            "funnel",
            "events read",
            "sessions",
            "different",
            "missing",
            "surplus",
            "written",
        ])
        .right([1, 2, 3, 4, 5]);
        let mut document = Vec::new();
        for funnel in chosen {
            progress.steps(0, &format!("folding {}", funnel.name));
            let told = |at: sessions::Progress| progress.of(at.events_read, at.events_total);
            let settings = Settings::default();
            let rebuilt =
                sessions::rebuild(&lake, funnel, &engine, &settings, self.dry_run, &told).await?;
            sheet.row([
                funnel.name.clone(),
                count(rebuilt.events_read),
                count(rebuilt.sessions),
                count(rebuilt.different),
                count(rebuilt.missing),
                count(rebuilt.surplus),
                rebuilt.written.to_string(),
            ]);
            document.push(json!({"funnel": funnel.name, "rebuilt": rebuilt}));
        }
        progress.done();
        output::table(context.format, &sheet, &document)?;
        Ok(Ending::Done)
    }
}
