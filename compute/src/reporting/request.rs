//! What a report is asked for, and the same in instants.

use chrono::{DateTime, Days, NaiveDate};
use chrono_tz::Tz;
use onramp_schemas::funnel::Funnel;

use crate::error::ComputeError;
use crate::metrics::calendar::{Unit, local_midnight};
use crate::metrics::recommendations::previous_period;
use crate::metrics::{Request, Thresholds};
use crate::selection::Selection;

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
    pub(super) fn fixed(&self, funnel: &Funnel, watermark: i64) -> Result<Request, ComputeError> {
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

pub(super) fn within(asked: Option<i64>, now: i64, watermark: i64) -> Result<i64, ComputeError> {
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

pub(super) fn text(at: i64) -> String {
    DateTime::from_timestamp_micros(at).map_or_else(
        || at.to_string(),
        |time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
    )
}
