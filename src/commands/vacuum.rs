//! `onramp vacuum`.

use onramp_compute::maintenance;

use super::{Context, Ending};
use crate::output::{self, Sheet, count};

/// Take away files that compaction replaced or crashed writers left, and old parts of the log
#[derive(clap::Args)]
#[command(
    after_help = "Files go six hours after they were replaced or left (the table's property \
delta.deletedFileRetentionDuration), the log after two days. It may run beside anything else.

Examples:
  onramp vacuum
  onramp vacuum --dry-run"
)]
pub struct Vacuum {
    /// Say what would go, delete nothing
    #[arg(long)]
    dry_run: bool,
}

impl Vacuum {
    /// Vacuums.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        let lake = context.lake()?;
        if !self.dry_run {
            context.audit(&lake, "vacuum", "all tables", None).await?;
        }
        let vacuumed = maintenance::vacuum(&lake, self.dry_run).await?;
        let mut sheet = Sheet::new(["table", "files", "bytes", "log files"]).right(1..4);
        for table in &vacuumed {
            sheet.row([
                table.table.to_owned(),
                count(table.files),
                count(table.bytes),
                table.log_files.map_or_else(|| "–".to_owned(), count),
            ]);
        }
        output::table(context.format, &sheet, &vacuumed)?;
        Ok(Ending::Done)
    }
}
