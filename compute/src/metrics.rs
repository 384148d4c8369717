//! Every figure of a report, from folded sessions; pure, and the same whatever their order.
//!
//! It owns what is counted and how it is named. The formulas are in [`crate::statistics`], what a
//! session did is in [`crate::fold`]; reading the lake is the caller's part.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use onramp_schemas::funnel::Funnel;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub mod analysis;
pub mod calendar;
pub mod cohorts;
pub mod comparison;
pub mod drop_off;
mod figures;
pub mod funnel_trend;
pub mod histogram;
pub mod insights;
mod labels;
pub mod leaving;
mod parallel;
pub(crate) mod population;
pub mod rates;
pub mod recommendations;
pub mod segments;
mod stages;
pub mod times;

#[cfg(test)]
mod small;
#[cfg(test)]
mod tests;

pub use crate::fold::Session;
pub use analysis::{Analysis, Answer, Needs};
pub use calendar::Instant;
pub use population::Population;
pub use stages::{Conversion, MatureStage, StageReport};

use crate::fold::Rules;
use crate::selection::Selection;
use figures::Figures;
use population::{Basis, Scope, State};
use rates::FunnelRates;

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
    /// What its sessions have in common.
    pub selection: Selection,
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
    /// Stages, from 1, between which times are binned; `None`: the first and the last.
    pub convert: Option<(usize, usize)>,
    /// Buckets of the funnel's trend; `None`: no trend.
    pub funnel_trend: Option<calendar::Unit>,
}

/// Limits of judgement; the defaults are those of the definition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Period {
    /// First instant.
    pub from: Instant,
    /// End, exclusive.
    pub to: Instant,
    /// Time zone of its weeks and hours.
    pub timezone: String,
}

impl Period {
    /// The period of a request.
    pub fn of(request: &Request) -> Period {
        Period {
            from: Instant(request.from),
            to: Instant(request.to),
            timezone: request.timezone.name().to_owned(),
        }
    }
}

/// What every reader of an interval should know.
const INTERVAL_NOTE: &str = "Intervals are 95 % and take sessions as independent of each other; \
     sessions of one person are not, and the intervals do not account for it.";

/// A whole report. Times are RFC 3339 UTC, durations seconds, rates 0–1.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Report {
    /// By which it can be asked for again.
    pub report_id: String,
    /// Only events up to here count.
    pub as_of: Instant,
    /// What was read: next sequence by source.
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
    /// How long sessions take from one stage to another.
    pub time_to_convert: histogram::TimeToConvert,
    /// The funnel by day, week or month, where asked for.
    pub funnel_trend: Option<funnel_trend::FunnelTrend>,
    /// Segments, where asked for.
    pub segments: Option<segments::Segments>,
    /// The other period, where asked for.
    pub comparison: Option<comparison::Comparison>,
    /// What to do, the most promising first.
    pub recommendations: Vec<recommendations::Recommendation>,
    /// What the events themselves were like.
    pub data_quality: Input,
}

impl Request {
    /// The periods whose sessions an answer needs, each once: the request's own, the one that it compares
    /// with, and where the answer needs it the one before ([`recommendations::previous_period`]).
    pub fn periods(&self, needs: Needs) -> Vec<(i64, i64)> {
        let before = recommendations::previous_period(self.from, self.to);
        let mut periods = vec![(self.from, self.to)];
        for period in self.compare.into_iter().chain(needs.before.then_some(before)) {
            if !periods.contains(&period) {
                periods.push(period);
            }
        }
        periods
    }

    /// The attributes that a report needs.
    pub fn attributes(&self) -> Vec<String> {
        let asked = self.selection.attributes.keys();
        self.segment_by.iter().chain(&self.mix_by).chain(asked).cloned().collect()
    }
}

/// The sessions of each of the request's periods, from sessions folded as of its instant.
///
/// `attribute_names` names the positions of [`Session::attributes`].
pub fn populations(
    request: &Request,
    attribute_names: &[String],
    sessions: &[Session],
) -> Vec<Population> {
    let rules = Rules::new(&request.funnel);
    let of = |period| {
        let scope = Scope { as_of: request.as_of, period, rules: rules.clone() };
        Population::of(sessions, attribute_names, &scope)
    };
    request.periods(Report::NEEDS).into_iter().map(of).collect()
}

/// Computes a report, but for its id and its positions.
pub(crate) fn whole(analysis: &Analysis<'_>) -> Report {
    let Analysis { request, shape, input, .. } = analysis;
    let population = analysis.population();
    let (raw, mature) = population.counts();
    let rates = FunnelRates::of(shape, &raw, &mature);
    let figures = Figures::of(analysis);
    let recommendations = analysis.recommend(figures.segments.as_ref());
    let standing = population.standing(Basis::Raw);
    let states = |is: fn(State) -> bool| standing.total(is);
    let (from, to) = (request.from, request.to);
    Report {
        as_of: Instant(request.as_of),
        report_id: String::new(),
        positions: BTreeMap::new(),
        funnel: request.funnel.name.clone(),
        funnel_hash: request.funnel.hash(),
        program_version: program_version(),
        period: Period::of(request),
        interval_note: INTERVAL_NOTE,
        horizon_seconds: request.funnel.horizon(),
        total_sessions: raw.sessions,
        overall_conversion_rate: rates::overall(shape, &raw).rate(),
        overall_conversion: Conversion {
            raw: rates::overall(shape, &raw).into(),
            mature: rates::overall(shape, &mature).into(),
        },
        completed: states(|state| state == State::Completed),
        abandoned: states(|state| state == State::Lost),
        in_flight: states(State::in_flight),
        active: states(|state| state == State::Active),
        orphan_sessions: population.orphans(from, to),
        excluded: population.excluded,
        time_analysis: figures.dwell(shape),
        stages: stages::stages(population, rates, figures.times),
        top_drop_off_points: top_points(&figures.drop_off),
        drop_off: figures.drop_off,
        heatmap: figures.leaving.iter().flat_map(|step| step.cells.clone()).collect(),
        error_patterns: figures.leaving.iter().flat_map(|step| step.patterns.clone()).collect(),
        common_reasons: figures.reasons,
        trend: cohorts::trend(&figures.cohorts, &request.thresholds),
        cohort_analysis: figures.cohorts,
        time_to_convert: figures.time_to_convert,
        funnel_trend: figures.funnel_trend,
        recommendations,
        segments: figures.segments,
        comparison: figures.comparison,
        data_quality: **input,
    }
}

/// Version of the program with that of its time-zone data, on which local weeks depend.
pub fn program_version() -> String {
    format!("{}+tzdata.{}", env!("CARGO_PKG_VERSION"), chrono_tz::IANA_TZDB_VERSION)
}

fn top_points(drop_off: &drop_off::DropOff) -> Vec<drop_off::DropOffStage> {
    let point = |number: &usize| drop_off.all.iter().find(|stage| stage.stage == *number).cloned();
    drop_off.top.iter().filter_map(point).collect()
}
