//! Every figure of a report, from folded sessions; pure, and the same whatever their order.
//!
//! It owns what is counted and how it is named. The formulas are in [`crate::statistics`], what a
//! session did is in [`crate::fold`]; reading the lake is the caller's part.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use onramp_schemas::funnel::Funnel;
use serde::Serialize;

pub mod calendar;
pub mod cohorts;
pub mod comparison;
pub mod drop_off;
pub mod leaving;
mod population;
pub mod rates;
pub mod recommendations;
pub mod segments;
mod stages;
pub mod times;

#[cfg(test)]
mod figures;
#[cfg(test)]
mod tests;

pub use crate::fold::Session;
pub use calendar::Instant;
pub use stages::{Conversion, MatureStage, StageReport};

use crate::fold::{Fate, Rules};
use population::{Basis, Counts, Population, Shape};

/// What a report is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The funnel.
    pub funnel: Funnel,
    /// Only events up to here count: microseconds UTC. The sessions were folded as of it.
    pub as_of: i64,
    /// First instant of the period in which sessions start.
    pub from: i64,
    /// End of that period, exclusive.
    pub to: i64,
    /// Time zone of weeks and of the heatmap's hours.
    pub timezone: Tz,
    /// The client that the sessions are of, where it is one.
    pub client_id: Option<String>,
    /// Attributes to segment by; none: no segments.
    pub segment_by: Vec<String>,
    /// Another period `[from, to)` to compare with.
    pub compare: Option<(i64, i64)>,
    /// Attribute to decompose the change by.
    pub mix_by: Option<String>,
    /// Limits of judgement.
    pub thresholds: Thresholds,
    /// Whether every step of the incidence curves is wanted.
    pub curves: bool,
}

/// Limits of judgement; the defaults are those of the definition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Lower limit of a drop-off rate from which it is critical.
    pub severity_critical: f64,
    /// The same for high.
    pub severity_high: f64,
    /// The same for medium.
    pub severity_medium: f64,
    /// Sessions that must have been exposed for a severity.
    pub severity_least_exposed: u64,
    /// Sessions that either side of a comparison must have to be tested.
    pub segment_least_sessions: u64,
    /// Greatest (adjusted) p-value that is significant.
    pub significance: f64,
    /// Gain, as a part of today's completions, from which a recommendation is of high priority.
    pub priority_high: f64,
    /// The same for medium.
    pub priority_medium: f64,
    /// Share of events with the id of another but other content that nobody is told of.
    pub conflicts_tolerated: f64,
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds {
            severity_critical: 0.5,
            severity_high: 0.3,
            severity_medium: 0.15,
            severity_least_exposed: 30,
            segment_least_sessions: 30,
            significance: 0.05,
            priority_high: 0.1,
            priority_medium: 0.03,
            conflicts_tolerated: 0.001,
        }
    }
}

/// What the caller saw of the events themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Input {
    /// Events read, duplicates included.
    pub events: u64,
    /// Those beyond the first of each identity.
    pub duplicates: u64,
    /// Duplicates whose content differed.
    pub conflicting_duplicates: u64,
    /// Distinct events later than the as-of instant.
    pub after_as_of: u64,
}

/// The period that sessions start in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Period {
    /// First instant.
    pub from: Instant,
    /// End, exclusive.
    pub to: Instant,
    /// Time zone of its weeks and hours.
    pub timezone: String,
}

/// What every reader of an interval should know.
const INTERVAL_NOTE: &str = "Intervals are 95 % and take sessions as independent of each other; \
     sessions of one person are not, and the intervals do not account for it.";

/// A whole report. Times are RFC 3339 UTC, durations seconds, rates 0–1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Only events up to here count.
    pub as_of: Instant,
    /// What was read: next sequence by source. Filled in by the caller.
    pub positions: BTreeMap<String, i64>,
    /// Name of the funnel.
    pub funnel: String,
    /// Hash of its definition.
    pub funnel_hash: String,
    /// Version of the program and of its time-zone data.
    pub program_version: String,
    /// The period.
    pub period: Period,
    /// What the intervals do and do not account for.
    pub interval_note: &'static str,
    /// How long every session of a mature figure was watched.
    pub horizon_seconds: u64,
    /// Sessions that started in the period.
    pub total_sessions: u64,
    /// `completed / total_sessions`.
    pub overall_conversion_rate: Option<f64>,
    /// The same with its interval, raw and mature.
    pub overall_conversion: Conversion,
    /// Sessions that reached the last stage.
    pub completed: u64,
    /// Sessions lost.
    pub abandoned: u64,
    /// Sessions that may go on.
    pub in_flight: u64,
    /// Those of them with recent activity.
    pub active: u64,
    /// Sessions without the first stage whose first event lies in the period.
    pub orphan_sessions: u64,
    /// Sessions that started in the period but that an exclusion takes out of every count.
    pub excluded: u64,
    /// The funnel, stage by stage.
    pub stages: Vec<StageReport>,
    /// The stages that lose most, at most five, the worst first.
    pub top_drop_off_points: Vec<drop_off::DropOffStage>,
    /// Drop-off of every stage.
    pub drop_off: drop_off::DropOff,
    /// When stages are left.
    pub heatmap: Vec<leaving::HeatmapCell>,
    /// Errors that go with losing a session.
    pub error_patterns: Vec<leaving::ErrorPattern>,
    /// How long sessions stay at a stage.
    pub time_analysis: Vec<leaving::Dwell>,
    /// Why sessions are lost.
    pub common_reasons: Vec<leaving::Reason>,
    /// Weekly cohorts.
    pub cohort_analysis: Vec<cohorts::Cohort>,
    /// Where weekly conversion is heading.
    pub trend: cohorts::Trend,
    /// Segments, where asked for.
    pub segments: Option<segments::Segments>,
    /// The other period, where asked for.
    pub comparison: Option<comparison::Comparison>,
    /// What to do, the most promising first.
    pub recommendations: Vec<recommendations::Recommendation>,
    /// What the events themselves were like.
    pub data_quality: Input,
}

/// Computes a report over sessions folded as of `request.as_of`.
///
/// `sessions` is all history or any part of it that holds the period, the one before it
/// ([`recommendations::previous_period`]) and the one to compare with; `attribute_names` names the
/// positions of [`Session::attributes`]. `client_id` is an attribute of every session.
pub fn report(
    request: &Request,
    attribute_names: &[String],
    sessions: &[Session],
    input: &Input,
) -> Report {
    let shape = Shape::new(&request.funnel);
    let horizon = Rules::new(&request.funnel).horizon();
    let mature = Basis::mature(request.as_of, horizon);
    let (from, to) = (request.from, request.to);
    let population = Population::new(sessions, shape.count(), from, to);
    let raw = Counts::of(&population, Basis::Raw);
    let watched = Counts::of(&population, mature);
    let fates =
        |is: fn(Fate) -> bool| population.fate.iter().filter(|&&fate| is(fate)).count() as u64;
    let drop_off = drop_off::drop_off(&population, &shape, mature, &request.thresholds);
    let cohort_analysis = cohorts::cohorts(
        &population,
        &shape,
        (from, to),
        request.timezone,
        (request.as_of, horizon),
    );
    let names = (request.segment_by.as_slice(), attribute_names);
    let segments = (!request.segment_by.is_empty())
        .then(|| segments::segments(&population, &shape, mature, names, &request.thresholds));
    Report {
        as_of: Instant(request.as_of),
        positions: BTreeMap::new(),
        funnel: request.funnel.name.clone(),
        funnel_hash: request.funnel.hash(),
        program_version: program_version(),
        period: Period {
            from: Instant(from),
            to: Instant(to),
            timezone: request.timezone.name().to_owned(),
        },
        interval_note: INTERVAL_NOTE,
        horizon_seconds: request.funnel.horizon(),
        total_sessions: raw.sessions,
        overall_conversion_rate: rates::overall(&shape, &raw).rate(),
        overall_conversion: Conversion {
            raw: rates::overall(&shape, &raw).into(),
            mature: rates::overall(&shape, &watched).into(),
        },
        completed: fates(|fate| fate == Fate::Completed),
        abandoned: fates(|fate| matches!(fate, Fate::Abandoned { .. })),
        in_flight: fates(|fate| matches!(fate, Fate::InFlight { .. })),
        active: fates(|fate| fate == Fate::InFlight { active: true }),
        orphan_sessions: orphans(sessions, from, to),
        excluded: excluded(sessions, from, to),
        stages: stages::stages(&population, &shape, (&raw, &watched), request),
        top_drop_off_points: top_points(&drop_off),
        drop_off,
        heatmap: leaving::heatmap(&population, &shape, request.timezone),
        error_patterns: leaving::error_patterns(&population, &shape),
        time_analysis: leaving::dwell(&population, &shape),
        common_reasons: leaving::reasons(&population),
        trend: cohorts::trend(&cohort_analysis, &request.thresholds),
        cohort_analysis,
        recommendations: recommend(request, sessions, &population, segments.as_ref(), input),
        segments,
        comparison: compare(request, attribute_names, sessions, &shape, mature),
        data_quality: *input,
    }
}

/// Version of the program with that of its time-zone data, on which local weeks depend.
pub fn program_version() -> String {
    format!("{}+tzdata.{}", env!("CARGO_PKG_VERSION"), chrono_tz::IANA_TZDB_VERSION)
}

/// Sessions without a first stage whose first event lies in the period.
fn orphans(sessions: &[Session], from: i64, to: i64) -> u64 {
    let orphan = |session: &&Session| {
        let folded = &session.folded;
        folded.fate == Fate::Orphan && (from..to).contains(&folded.first_event_at)
    };
    sessions.iter().filter(orphan).count() as u64
}

fn excluded(sessions: &[Session], from: i64, to: i64) -> u64 {
    let excluded = |session: &&Session| {
        session.folded.excluded && population::started_within(&session.folded, from, to)
    };
    sessions.iter().filter(excluded).count() as u64
}

fn top_points(drop_off: &drop_off::DropOff) -> Vec<drop_off::DropOffStage> {
    let point = |number: &usize| drop_off.all.iter().find(|stage| stage.stage == *number).cloned();
    drop_off.top.iter().filter_map(point).collect()
}

fn recommend(
    request: &Request,
    sessions: &[Session],
    population: &Population,
    segments: Option<&segments::Segments>,
    input: &Input,
) -> Vec<recommendations::Recommendation> {
    let shape = Shape::new(&request.funnel);
    let horizon = Rules::new(&request.funnel).horizon();
    let mature = Basis::mature(request.as_of, horizon);
    let mature_end = request.as_of.saturating_sub(horizon).saturating_add(1);
    let (from, to) = recommendations::previous_period(request.from, request.to);
    let before = Population::new(sessions, shape.count(), from, to);
    let side = |name, population, from, to: i64| recommendations::Side {
        name,
        from,
        to: to.min(mature_end),
        population,
        counts: Counts::of(population, mature),
        orphans: orphans(sessions, from, to.min(mature_end)),
    };
    recommendations::recommend(&recommendations::Frame {
        request,
        shape: &shape,
        mature,
        horizon,
        now: side("this period", population, request.from, request.to),
        before: side("the period before", &before, from, to),
        segments,
        input,
    })
}

fn compare(
    request: &Request,
    attribute_names: &[String],
    sessions: &[Session],
    shape: &Shape,
    mature: Basis,
) -> Option<comparison::Comparison> {
    let other = request.compare?;
    let mut periods = [other, (request.from, request.to)];
    periods.sort_unstable();
    let [before, after] = periods.map(|(from, to)| comparison::Side {
        from,
        to,
        population: Population::new(sessions, shape.count(), from, to),
    });
    let mix_by = request.mix_by.as_deref();
    let frame = comparison::Frame {
        shape,
        mature,
        mix_by: mix_by.map(|name| (name, segments::Attribute::find(name, attribute_names))),
        thresholds: &request.thresholds,
    };
    Some(comparison::comparison(&before, &after, &frame))
}
