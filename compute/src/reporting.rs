//! From a lake and a question to a report: catch up, load, compute.

use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate};
use chrono_tz::Tz;
use onramp_lake::Lake;
use onramp_schemas::funnel::Funnel;
use serde::Serialize;

use crate::engine::Engine;
use crate::error::ComputeError;
use crate::metrics::calendar::{Unit, local_midnight};
use crate::metrics::population::{Population, Shape};
use crate::metrics::rates::FunnelRates;
use crate::metrics::recommendations::previous_period;
use crate::metrics::{self, Input, Instant, Period, Report, Request, Thresholds, program_version};
use crate::reports::{answer_before, keep, report_id};
use crate::selection::Selection;
use crate::sessions::{
    CaughtUp, Dataset, LoadRequest, OnProgress, Positions, Settings, catch_up, count, input_counts,
    knows_client, load, watermark,
};

#[cfg(test)]
mod tests;

/// The period of a report that names none.
const DEFAULT_PERIOD_DAYS: u64 = 30;
const HOUR_US: i64 = 3_600_000_000;

/// A point in time as people give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Midnight at the start of this day in the report's time zone.
    Date(NaiveDate),
    /// Microseconds UTC.
    Instant(i64),
}

impl std::str::FromStr for Moment {
    type Err = String;

    /// Reads `2026-03-31` or an RFC 3339 instant such as `2026-03-31T12:00:00Z`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(date) = text.parse::<NaiveDate>() {
            return Ok(Moment::Date(date));
        }
        DateTime::parse_from_rfc3339(text)
            .map(|time| Moment::Instant(time.timestamp_micros()))
            .map_err(|_| {
                format!("{text:?} is no date (2026-03-31) and no instant (2026-03-31T12:00:00Z)")
            })
    }
}

impl Moment {
    /// Microseconds UTC. Where local midnight does not exist, the first instant after it.
    pub fn resolve(self, timezone: Tz) -> i64 {
        match self {
            Moment::Instant(at) => at,
            Moment::Date(date) => local_midnight(date, timezone),
        }
    }
}

/// What a period is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// The equally long period just before.
    Before,
    /// From one moment up to another.
    Within(Moment, Moment),
}

/// What a report is asked for; what is left out takes its default.
#[derive(Clone, Debug)]
pub struct ReportRequest {
    /// The present: microseconds UTC.
    pub now: i64,
    /// Only events up to here count (default: the present or the watermark, whichever is earlier).
    pub as_of: Option<Moment>,
    /// Start of the period (default: `rolling_hours` before its end).
    pub from: Option<Moment>,
    /// Length of a period without a start (default: 30 days of the time zone).
    pub rolling_hours: Option<u32>,
    /// The most days of the period; none: it may have any number, each week of which is listed.
    pub most_days: Option<u32>,
    /// End of the period, exclusive (default: just past the as-of instant).
    pub to: Option<Moment>,
    /// Time zone of dates, weeks and hours.
    pub timezone: Tz,
    /// Attributes to segment by.
    pub segment_by: Vec<String>,
    /// A period to compare with.
    pub compare: Option<Compared>,
    /// Attribute by which the change is decomposed.
    pub mix_by: Option<String>,
    /// Only sessions of this client.
    pub client_id: Option<String>,
    /// Only sessions that meet these conditions.
    pub selection: Selection,
    /// Limits of judgement.
    pub thresholds: Thresholds,
    /// Whether every step of the incidence curves is wanted.
    pub curves: bool,
    /// Stages, from 1, between which times are binned (default: the first and the last).
    pub convert: Option<(usize, usize)>,
    /// Buckets of the funnel's trend (default: no trend).
    pub funnel_trend: Option<Unit>,
}

/// The most buckets of a trend.
const LONGEST_TREND: usize = 1_000;

impl ReportRequest {
    /// A request with every default.
    pub fn new(now: i64) -> Self {
        Self {
            now,
            as_of: None,
            from: None,
            rolling_hours: None,
            most_days: None,
            to: None,
            timezone: Tz::UTC,
            segment_by: Vec::new(),
            compare: None,
            mix_by: None,
            client_id: None,
            selection: Selection::default(),
            thresholds: Thresholds::default(),
            curves: false,
            convert: None,
            funnel_trend: None,
        }
    }

    /// The request in instants.
    fn fixed(&self, funnel: &Funnel, watermark: i64) -> Result<Request, ComputeError> {
        let zone = self.timezone;
        let as_of = within(self.as_of.map(|it| it.resolve(zone)), self.now, watermark)?;
        // The end is exclusive, and a session may start at the as-of instant itself.
        let to = self.to.map_or(as_of.saturating_add(1), |moment| moment.resolve(zone));
        let default_from = || match self.rolling_hours {
            Some(hours) => to.saturating_sub(i64::from(hours) * HOUR_US),
            None => days_before(to, zone),
        };
        let from = self.from.map_or_else(default_from, |moment| moment.resolve(zone));
        let compare = self.compare.map(|compared| match compared {
            Compared::Before => previous_period(from, to),
            Compared::Within(from, to) => (from.resolve(zone), to.resolve(zone)),
        });
        ordered("the period", from, to)?;
        self.check_length(from, to)?;
        self.check_stages(funnel)?;
        self.check_trend(from, to)?;
        if let Some((from, to)) = compare {
            ordered("the period to compare with", from, to)?;
        }
        Ok(Request {
            funnel: funnel.clone(),
            as_of,
            from,
            to,
            timezone: zone,
            client_id: self.client_id.clone(),
            selection: self.selection.clone(),
            segment_by: self.segment_by.clone(),
            compare,
            mix_by: self.mix_by.clone(),
            thresholds: self.thresholds,
            curves: self.curves,
            convert: self.convert,
            funnel_trend: self.funnel_trend,
        })
    }

    fn check_length(&self, from: i64, to: i64) -> Result<(), ComputeError> {
        let days = to.saturating_sub(from) / (24 * HOUR_US);
        match self.most_days {
            Some(most) if days > i64::from(most) => Err(ComputeError::Request(format!(
                "the period has {days} days, more than {most}; ask for a shorter one"
            ))),
            _ => Ok(()),
        }
    }

    fn check_stages(&self, funnel: &Funnel) -> Result<(), ComputeError> {
        let count = funnel.stages.len();
        match self.convert {
            Some((from, to)) if from < 1 || from >= to || to > count => {
                Err(ComputeError::Request(format!(
                    "there is no time from stage {from} to stage {to}; the funnel {} has {count} \
                     stages, and the second must be the later",
                    funnel.name
                )))
            }
            _ => Ok(()),
        }
    }

    fn check_trend(&self, from: i64, to: i64) -> Result<(), ComputeError> {
        let days = match self.funnel_trend {
            Some(Unit::Day) => 1,
            Some(Unit::Week) => 7,
            Some(Unit::Month) => 28,
            None => return Ok(()),
        };
        let buckets = to.saturating_sub(from) / (days * 86_400_000_000);
        if buckets > LONGEST_TREND as i64 {
            return Err(ComputeError::Request(format!(
                "the trend would have {buckets} buckets, more than {LONGEST_TREND}; ask for a \
                 shorter period or for longer buckets"
            )));
        }
        Ok(())
    }
}

/// When a question is as of: what was asked for, or as late as it can be.
///
/// # Errors
/// A lake without events, and an instant beyond the newest of them.
pub(crate) async fn as_of(
    lake: &Lake,
    engine: &Engine,
    caught_up: &CaughtUp,
    asked: Option<Moment>,
    now: i64,
) -> Result<i64, ComputeError> {
    let watermark = newest(lake, engine, caught_up).await?;
    within(asked.map(|moment| moment.resolve(Tz::UTC)), now, watermark)
}

fn within(asked: Option<i64>, now: i64, watermark: i64) -> Result<i64, ComputeError> {
    let as_of = asked.unwrap_or_else(|| now.min(watermark));
    if as_of > watermark {
        return Err(ComputeError::Request(format!(
            "as of {} nothing is known yet: the newest event is of {}; ask for an instant up to there",
            text(as_of),
            text(watermark)
        )));
    }
    Ok(as_of)
}

async fn newest(lake: &Lake, engine: &Engine, caught_up: &CaughtUp) -> Result<i64, ComputeError> {
    let empty = || ComputeError::EmptyLake { url: lake.root().to_owned() };
    let events = caught_up.events.as_ref().ok_or_else(empty)?;
    watermark(lake, engine, events).await?.ok_or_else(empty)
}

/// What an answer rests on, beside the question: where these are equal, so is the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grounds {
    /// The next sequence of each source: what is read lies before.
    pub positions: Positions,
    /// Only events up to here count.
    pub as_of: Instant,
    /// The period.
    pub period: Period,
    /// Hash of the funnel's definition.
    pub funnel_hash: String,
    /// Version of the program and of its time-zone data.
    pub program_version: String,
}

impl Grounds {
    /// Those of a report.
    pub fn of(report: &Report) -> Self {
        Self {
            positions: report.positions.clone(),
            as_of: report.as_of,
            period: report.period.clone(),
            funnel_hash: report.funnel_hash.clone(),
            program_version: report.program_version.clone(),
        }
    }
}

/// What a report would rest on now, without computing it.
///
/// # Errors
/// As [`report`], but for attributes that no session has.
pub async fn grounds(
    lake: &Lake,
    funnel: &Funnel,
    request: &ReportRequest,
    engine: &Engine,
    settings: &Settings,
    progress: OnProgress<'_>,
) -> Result<Grounds, ComputeError> {
    let caught_up = catch_up(lake, funnel, engine, settings, progress).await?;
    let (fixed, _) = fixed(lake, funnel, request, engine, &caught_up).await?;
    Ok(Grounds {
        positions: caught_up.positions(),
        as_of: Instant(fixed.as_of),
        period: Period::of(&fixed),
        funnel_hash: funnel.hash(),
        program_version: program_version(),
    })
}

/// The whole report of a funnel, from a lake whose sessions are brought up to date first.
///
/// # Errors
/// When the lake holds no events; when the question has no answer (an as-of instant beyond the
/// newest event, a period that ends before it starts, an attribute that no session has); when a
/// condition of the funnel is invalid; when the lake or the engine fails.
pub async fn report(
    lake: &Lake,
    funnel: &Funnel,
    request: &ReportRequest,
    engine: &Engine,
    settings: &Settings,
    progress: OnProgress<'_>,
) -> Result<Report, ComputeError> {
    let caught_up = catch_up(lake, funnel, engine, settings, progress).await?;
    let (fixed, dataset, input) = basis(lake, funnel, request, engine, &caught_up).await?;
    computed(&fixed, &Arc::new(dataset.populations), (dataset.positions, input)).await
}

/// The same, kept in the table `reports` so that it can be given again.
///
/// When an as-of instant is named and the same was asked before, only events up to it make a
/// difference: without such the answer is the one that was given, to the byte.
///
/// # Errors
/// As [`report`], and when the report cannot be kept.
pub async fn kept_report(
    lake: &Lake,
    funnel: &Funnel,
    request: &ReportRequest,
    engine: &Engine,
    settings: &Settings,
    progress: OnProgress<'_>,
) -> Result<Report, ComputeError> {
    let caught_up = catch_up(lake, funnel, engine, settings, progress).await?;
    let (fixed, dataset, input) = basis(lake, funnel, request, engine, &caught_up).await?;
    let populations = Arc::new(dataset.populations);
    if request.as_of.is_some()
        && let Some(before) = answer_before(lake, engine, &fixed).await?
    {
        let as_then = (before.positions.clone(), before.data_quality);
        let report = computed(&fixed, &populations, as_then).await?;
        if before.is(&report) {
            return Ok(report);
        }
    }
    let report = computed(&fixed, &populations, (dataset.positions, input)).await?;
    keep(lake, engine, request.now, &fixed, dataset.events_version, &report).await?;
    Ok(report)
}

/// The standard funnel alone: the rates of a report's stages, from fewer columns than it reads.
///
/// # Errors
/// As [`report`].
pub async fn funnel_rates(
    lake: &Lake,
    funnel: &Funnel,
    request: &ReportRequest,
    engine: &Engine,
    settings: &Settings,
    progress: OnProgress<'_>,
) -> Result<FunnelRates, ComputeError> {
    let caught_up = catch_up(lake, funnel, engine, settings, progress).await?;
    let (_, wanted) = fixed(lake, funnel, request, engine, &caught_up).await?;
    let (raw, mature) = count(lake, funnel, engine, &caught_up, &wanted).await?;
    Ok(FunnelRates::of(&Shape::new(funnel), &raw, &mature))
}

/// What a report is computed from, of sessions as they were caught up.
async fn basis(
    lake: &Lake,
    funnel: &Funnel,
    request: &ReportRequest,
    engine: &Engine,
    caught_up: &CaughtUp,
) -> Result<(Request, Dataset, Input), ComputeError> {
    let (fixed, wanted) = fixed(lake, funnel, request, engine, caught_up).await?;
    let (dataset, input) = tokio::try_join!(
        load(lake, funnel, engine, caught_up, &wanted),
        input_counts(lake, &funnel.name, engine, caught_up, &wanted),
    )?;
    Ok((fixed, dataset, input))
}

/// The figures, with what was read for them: up to where, and what the events there were like.
pub(crate) async fn computed(
    request: &Request,
    populations: &Arc<Vec<Population>>,
    (positions, input): (Positions, Input),
) -> Result<Report, ComputeError> {
    let (request, populations) = (request.clone(), Arc::clone(populations));
    let computed = tokio::task::spawn_blocking(move || {
        let mut report = metrics::report(&request, &populations, &input);
        report.report_id = report_id(&request, &positions);
        report.positions = positions;
        report
    });
    computed.await.map_err(|error| {
        ComputeError::query(
            "compute the report",
            datafusion::error::DataFusionError::External(Box::new(error)),
        )
    })
}

/// The request in instants, and the sessions that it needs.
pub(crate) async fn fixed(
    lake: &Lake,
    funnel: &Funnel,
    request: &ReportRequest,
    engine: &Engine,
    caught_up: &CaughtUp,
) -> Result<(Request, LoadRequest), ComputeError> {
    let fixed = request.fixed(funnel, newest(lake, engine, caught_up).await?)?;
    if let (Some(client), Some(events)) = (&fixed.client_id, &caught_up.events)
        // A client that the asker may not see is one that is not there.
        && !(fixed.selection.sees(client) && knows_client(lake, engine, events, client).await?)
    {
        return Err(ComputeError::NoClient { client_id: client.clone() });
    }
    let wanted = LoadRequest {
        as_of: fixed.as_of,
        attributes: fixed.attributes(),
        client_id: fixed.client_id.clone(),
        selection: fixed.selection.clone(),
        periods: fixed.periods(),
    };
    Ok((fixed, wanted))
}

fn ordered(what: &str, from: i64, to: i64) -> Result<(), ComputeError> {
    if from < to {
        return Ok(());
    }
    Err(ComputeError::Request(format!(
        "{what} starts at {} and ends at {}; its end is exclusive and must be later",
        text(from),
        text(to)
    )))
}

/// The same local time so many days before.
fn days_before(to: i64, zone: Tz) -> i64 {
    let local = |at: i64| DateTime::from_timestamp_micros(at).map(|time| time.with_timezone(&zone));
    let earlier = local(to).and_then(|time| time.checked_sub_days(Days::new(DEFAULT_PERIOD_DAYS)));
    earlier.map_or(to.saturating_sub(DEFAULT_PERIOD_DAYS as i64 * 86_400_000_000), |time| {
        time.timestamp_micros()
    })
}

fn text(at: i64) -> String {
    DateTime::from_timestamp_micros(at).map_or_else(
        || at.to_string(),
        |time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
    )
}
