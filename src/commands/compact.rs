//! `onramp compact`.

use onramp_compute::maintenance::{self, Settings};

use super::{Context, Ending};
use crate::output::{self, Sheet, count};

/// Merge small files, so that queries and folds read fewer and better sorted ones
#[derive(clap::Args)]
#[command(
    after_help = "Rows, reports and offsets stay as they are; a second run finds nothing to do. \
It may run beside anything else and be interrupted at any time. The files that were merged stay until \
`onramp vacuum` takes them away.

Examples:
  onramp compact
  onramp compact --dry-run
  onramp compact --file-mb 512"
)]
pub struct Compact {
    /// Size of a full file, in mebibytes
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    file_mb: u32,
    /// Say what would be merged, change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Compact {
    /// Compacts.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        let (lake, engine) = (context.lake()?, context.engine()?);
        if !self.dry_run {
            context.audit(&lake, "compact", "all tables", None).await?;
        }
        let settings =
            Settings { file_bytes: (self.file_mb as usize) << 20, ..Settings::default() };
        let progress = context.progress();
        progress.steps(0, "merging files");
        let told = |at: maintenance::Progress| progress.of(at.rows, at.rows_total);
        let compacted =
            maintenance::compact(&lake, &engine, &settings, self.dry_run, &told).await?;
        progress.done();
        let mut sheet =
            Sheet::new(["table", "partitions", "rows", "files", "then", "bytes", "then"])
                .right(1..7);
        let then = |value: Option<u64>| value.map_or_else(|| "–".to_owned(), count);
        for table in &compacted {
            sheet.row([
                table.table.to_owned(),
                count(table.partitions),
                count(table.rows),
                count(table.files_before),
                then(table.files_after),
                count(table.bytes_before),
                then(table.bytes_after),
            ]);
        }
        output::table(context.format, &sheet, &compacted)?;
        Ok(Ending::Done)
    }
}
