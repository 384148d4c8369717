//! When, with which errors, after how long and why sessions leave a stage.

use serde::Serialize;
use utoipa::ToSchema;

use super::calendar::HoursOfWeek;
use super::population::{ByCode, Left, Population};
use super::times::Durations;
use crate::statistics::proportion::Proportion;

/// Hours of a week.
const HOURS: usize = 168;

/// One cell of the heatmap; cells that no session left in are not listed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct HeatmapCell {
    /// Stage that was left, from 1.
    pub stage: usize,
    /// Local hour of the week, Monday 00 = 0.
    pub hour_of_week: usize,
    /// Sessions lost.
    pub lost: u64,
    /// Sessions that passed on.
    pub passed: u64,
    /// Part of the stage's lost sessions; `null` where it lost none.
    pub share_of_lost: Option<f64>,
    /// `lost / (lost + passed)`.
    pub rate: Option<f64>,
    /// Lower limit of the 95 % Wilson interval.
    pub low: Option<f64>,
    /// Upper limit.
    pub high: Option<f64>,
}

/// How often an error code goes with losing a session at a stage, and with passing.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ErrorPattern {
    /// Stage, from 1.
    pub stage: usize,
    /// Error code.
    pub code: String,
    /// Lost sessions with it.
    pub lost_with: u64,
    /// Lost sessions.
    pub lost: u64,
    /// Passed sessions with it.
    pub passed_with: u64,
    /// Passed sessions.
    pub passed: u64,
    /// Share among the lost over share among the passed; `null` where the latter is 0.
    pub lift: Option<f64>,
}

/// How long sessions stayed at a stage.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Dwell {
    /// Stage, from 1.
    pub stage: usize,
    /// Name.
    pub name: String,
    /// Lost sessions, to their last activity.
    pub lost: Durations,
    /// Passed sessions, to the next required stage.
    pub passed: Durations,
}

/// Why lost sessions were lost, one reason each.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Reason {
    /// The reason.
    pub reason: String,
    /// Lost sessions that have it.
    pub sessions: u64,
}

/// How one required stage is left for the next.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    pub cells: Vec<HeatmapCell>,
    pub patterns: Vec<ErrorPattern>,
    /// How long lost sessions stayed.
    pub lost: Durations,
}

/// How sessions leave the required stage `stage`, whose next required one is `next`.
pub(super) fn leaving(
    population: &Population,
    (stage, next): (usize, usize),
    hours: &HoursOfWeek,
) -> Leaving {
    let passed = population.passages(stage, next).map(|passage| {
        let both = passage.since.is_some() & passage.until.is_some();
        (both, passage.until.unwrap_or_default())
    });
    let passed = hours.counts(passed);
    let mut by_hour: [Exits; HOURS] =
        std::array::from_fn(|hour| Exits { lost: 0, passed: passed[hour] });
    let mut stayed = Vec::new();
    for (since, at) in population.lost_at_stage(stage, next) {
        by_hour[hours.of(at) as usize].lost += 1;
        stayed.push(at - since);
    }
    let (mut with, mut here) = (ByCode::<Exits>::new(population), Vec::new());
    for row in population.with_errors() {
        let Some(since) = population.at(row, stage) else { continue };
        let (until, is_lost) = match population.left(row, stage, next) {
            Some(Left::Lost) => (i64::MAX, true),
            Some(Left::Passed { at }) => (at, false),
            None => continue,
        };
        population.codes(row, since..until, &mut here);
        here.iter().for_each(|&code| with.of(code).add(is_lost));
    }
    let all = Exits {
        lost: by_hour.iter().map(|exits| exits.lost).sum(),
        passed: by_hour.iter().map(|exits| exits.passed).sum(),
    };
    let cells = by_hour.iter().enumerate().filter_map(|(hour, exits)| exits.cell(stage, hour, all));
    Leaving {
        cells: cells.collect(),
        patterns: with.named().map(|(code, with)| with.pattern(stage, code, all)).collect(),
        lost: Durations::of(&stayed),
    }
}

/// Sessions that left a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Exits {
    lost: u64,
    passed: u64,
}

impl Exits {
    fn add(&mut self, is_lost: bool) {
        *(if is_lost { &mut self.lost } else { &mut self.passed }) += 1;
    }

    fn cell(self, stage: usize, hour_of_week: usize, all: Exits) -> Option<HeatmapCell> {
        let proportion = Proportion::new(self.lost, self.lost + self.passed);
        let interval = proportion.wilson()?;
        Some(HeatmapCell {
            stage: stage + 1,
            hour_of_week,
            lost: self.lost,
            passed: self.passed,
            share_of_lost: Proportion::new(self.lost, all.lost).rate(),
            rate: proportion.rate(),
            low: Some(interval.low),
            high: Some(interval.high),
        })
    }

    fn pattern(self, stage: usize, code: &str, all: Exits) -> ErrorPattern {
        let (lost, passed) =
            (Proportion::new(self.lost, all.lost), Proportion::new(self.passed, all.passed));
        ErrorPattern {
            stage: stage + 1,
            code: code.to_owned(),
            lost_with: self.lost,
            lost: all.lost,
            passed_with: self.passed,
            passed: all.passed,
            lift: lift(lost, passed),
        }
    }
}

fn lift(lost: Proportion, passed: Proportion) -> Option<f64> {
    let base = passed.rate().filter(|&share| share > 0.0)?;
    Some(lost.rate()? / base)
}

/// The reasons, the most frequent first, then by text.
pub(super) fn reasons(population: &Population) -> Vec<Reason> {
    let reason = |(reason, sessions): (&str, u64)| Reason { reason: reason.to_owned(), sessions };
    let mut reasons: Vec<Reason> = population.reasons.counts().map(reason).collect();
    reasons.sort_by(|one, other| {
        other.sessions.cmp(&one.sessions).then_with(|| one.reason.cmp(&other.reason))
    });
    reasons
}
