//! `onramp demo`.

use std::io::{BufWriter, Write};

use anyhow::Context as _;
use onramp_compute::ReportRequest;
use onramp_compute::metrics::Report;
use onramp_ingest::generate::{GenerateOptions, Generator};
use onramp_ingest::import::{self, ImportOptions};

use super::generate::World;
use super::report::{computed, print};
use super::{Context, Ending, import as import_command, pipeline_options};
use crate::instant;
use crate::output::Progress;

/// How many records are written between two looks at the bar.
const STRIDE: u64 = 1_024;
/// About how many records a session makes.
const PER_SESSION: u64 = 6;

/// A generated world through the pipeline into the lake, then its report: needs no service
#[derive(clap::Args)]
#[command(
    after_help = "The same arguments give the same world; importing it twice changes nothing.

Examples:
  onramp demo
  onramp demo --sessions 50000 --seed 7 --lake /tmp/trial
  onramp demo --format json | jq .overall_conversion_rate"
)]
pub struct Demo {
    /// What to generate
    #[command(flatten)]
    world: World,
    /// End after the report
    #[arg(long)]
    no_serve: bool,
}

impl Demo {
    /// Generates, imports, reports.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        let options = self.world.options(context.clock.now());
        let lake = context.lake()?;
        let progress = context.progress();
        let folder = tempfile::tempdir()
            .context("cannot make a temporary folder; point TMPDIR elsewhere")?;
        let file = folder.path().join("demo.ndjson");
        tokio::task::block_in_place(|| write(&file, options, &progress))?;
        let import = ImportOptions {
            files: vec![file],
            pipeline: pipeline_options(context.config())?,
            ..ImportOptions::default()
        };
        let summary = import::run(&lake, &import, context.clock.as_ref(), &progress).await?;
        let imported = match summary.already_imported.is_empty() {
            true => import_command::sentence(&summary),
            false => "this world is in the lake already".to_owned(),
        };
        context.say(&format!("{imported}\nlake: {}\n", lake.root()));
        let mut request = ReportRequest::new(context.clock.now());
        request.segment_by = vec!["user_kind".to_owned(), "device".to_owned()];
        let funnel = &context.config().report.funnel;
        let report = computed(context, &lake, funnel, &request).await?;
        print(context.format, &report)?;
        context.say(&format!("\n{}", next_step(&report)));
        Ok(Ending::Done)
    }
}

/// What shows the regression that the world holds.
fn next_step(report: &Report) -> String {
    let day = |days: i64| instant::format(report.as_of.0 - days * 86_400_000_000);
    format!(
        "what broke in the last week?\n  onramp report --from {} --compare-from {} --compare-to {} --mix-by device",
        day(7),
        day(14),
        day(7)
    )
}

fn write(
    path: &std::path::Path,
    options: GenerateOptions,
    progress: &Progress,
) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}; point TMPDIR elsewhere", path.display());
    let mut out =
        BufWriter::with_capacity(1 << 20, std::fs::File::create(path).with_context(cannot)?);
    progress.steps(options.sessions * PER_SESSION, "generating");
    for (number, record) in (0_u64..).zip(Generator::new(options)) {
        out.write_all(&record.value).with_context(cannot)?;
        out.write_all(b"\n").with_context(cannot)?;
        if number % STRIDE == 0 {
            progress.at(number);
        }
    }
    out.flush().with_context(cannot)
}
