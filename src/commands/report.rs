//! `onramp report`.

use chrono_tz::Tz;
use onramp_compute::metrics::{self, calendar::Unit};
use onramp_compute::sessions::{self, Settings};
use onramp_compute::{Compared, Moment, ReportRequest, document, kept_report, reproduce};
use onramp_lake::Lake;

use super::{Attribute, Context, Ending, selection};
use crate::output::{self, Format};

/// The funnel: who gets how far, where and why the others are lost
#[derive(clap::Args)]
#[command(
    after_help = "T is RFC 3339 (2026-03-01T08:00:00Z) or a date, which means midnight in the \
report's time zone; a period's end is exclusive. --format json gives every figure, csv \
the table of stages, markdown that and what to do.

Examples:
  onramp report
  onramp report --from 2026-03-01 --to 2026-04-01 --timezone Europe/Berlin
  onramp report --segment-by device,language --format json
  onramp report --trend week --timezone Europe/Berlin
  onramp report --format json --reproduce 4f0c9a7d21b3e865
  onramp report --from 2026-03-23 --to 2026-03-30 --compare-from 2026-03-16 --compare-to 2026-03-23 --mix-by device"
)]
pub struct Report {
    /// The funnel [default: onboarding]
    #[arg(long, value_name = "NAME")]
    funnel: Option<String>,
    /// Only sessions of this client
    #[arg(long, value_name = "CLIENT")]
    client_id: Option<String>,
    /// Only sessions with this value of an attribute; NAME alone: without it
    #[arg(long, value_name = "NAME=VALUE")]
    attribute: Vec<Attribute>,
    /// Sessions that start at T or later [default: 30 days before the end]
    #[arg(long, value_name = "T")]
    from: Option<Moment>,
    /// Sessions that start before T [default: the as-of instant]
    #[arg(long, value_name = "T")]
    to: Option<Moment>,
    /// IANA time zone of days and weeks [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<Tz>,
    /// What was known at T [default: the newest event]
    #[arg(long, value_name = "T")]
    as_of: Option<Moment>,
    /// Attributes to segment by
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    segment_by: Vec<String>,
    /// Another period to compare with
    #[arg(long, value_name = "T", requires = "compare_to")]
    compare_from: Option<Moment>,
    /// Its end, exclusive
    #[arg(long, value_name = "T", requires = "compare_from")]
    compare_to: Option<Moment>,
    /// Attribute by which the change is decomposed
    #[arg(long, value_name = "A", requires = "compare_from")]
    mix_by: Option<String>,
    /// The funnel by day, week or month as well
    #[arg(long, value_name = "UNIT")]
    trend: Option<TrendBy>,
    /// Bin the times from this stage, by its number … [default: 1]
    #[arg(long, value_name = "N", requires = "convert_to")]
    convert_from: Option<usize>,
    /// … to this one (--format json) [default: the last]
    #[arg(long, value_name = "N", requires = "convert_from")]
    convert_to: Option<usize>,
    /// Give a report of the table `reports` again, to the byte
    #[arg(
        long,
        value_name = "ID",
        conflicts_with_all = [
            "funnel", "client_id", "attribute", "from", "to", "timezone", "as_of", "segment_by", "compare_from", "mix_by",
            "trend", "convert_from",
        ]
    )]
    reproduce: Option<String>,
}

/// What the buckets of a trend are.
#[derive(Clone, Copy, clap::ValueEnum)]
enum TrendBy {
    Day,
    Week,
    Month,
}

impl From<TrendBy> for Unit {
    fn from(by: TrendBy) -> Self {
        match by {
            TrendBy::Day => Unit::Day,
            TrendBy::Week => Unit::Week,
            TrendBy::Month => Unit::Month,
        }
    }
}

impl Report {
    /// Reports.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        if let Some(id) = &self.reproduce {
            return again(context, id).await;
        }
        let configured = &context.config().report;
        let timezone = context.timezone(self.timezone)?;
        let request = ReportRequest {
            as_of: self.as_of,
            from: self.from,
            to: self.to,
            timezone,
            segment_by: self.segment_by,
            compare: self
                .compare_from
                .zip(self.compare_to)
                .map(|(from, to)| Compared::Within(from, to)),
            mix_by: self.mix_by,
            client_id: self.client_id,
            selection: selection(self.attribute),
            convert: self.convert_from.zip(self.convert_to),
            funnel_trend: self.trend.map(Unit::from),
            ..ReportRequest::new(context.clock.now())
        };
        let lake = context.lake()?;
        let funnel = self.funnel.as_deref().unwrap_or(&configured.funnel);
        let report = computed(context, &lake, funnel, &request).await?;
        print(context.format, &report)?;
        Ok(Ending::Done)
    }
}

/// Prints a report that was given before.
async fn again(context: &Context, id: &str) -> anyhow::Result<Ending> {
    let given = reproduce(&context.lake()?, id, &context.engine()?).await?;
    if let Some(version) = &given.given_by {
        context.say(&format!(
            "report {id} was given by onramp {version}; this is {}, and what it says may differ",
            given.report.program_version
        ));
    }
    print(context.format, &given.report)?;
    Ok(Ending::Done)
}

/// The report of one funnel, kept in the lake, with a bar while its sessions are brought up to date.
///
/// # Errors
/// No such funnel, and as [`kept_report`].
pub async fn computed(
    context: &Context,
    lake: &Lake,
    funnel: &str,
    request: &ReportRequest,
) -> anyhow::Result<metrics::Report> {
    let funnels = context.funnels(lake).await?;
    let funnel = funnels.get(funnel)?;
    let engine = context.engine()?;
    let progress = context.progress();
    progress.steps(0, &format!("folding {}", funnel.name));
    let told = |at: sessions::Progress| progress.of(at.events_read, at.events_total);
    let report = kept_report(lake, funnel, request, &engine, &Settings::default(), &told).await?;
    progress.done();
    Ok(report)
}

/// Prints a report in the asked-for form.
///
/// # Errors
/// Standard output is closed or full.
pub fn print(format: Format, report: &metrics::Report) -> std::io::Result<()> {
    match format {
        Format::Table => output::write(&output::report::terminal(report)),
        Format::Json => output::write(&document(report)),
        Format::Csv => output::write(&output::report::sheet(report).csv()),
        Format::Markdown => output::write(&output::report::markdown(report)),
    }
}
