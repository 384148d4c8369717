//! When, with which errors, after how long and why sessions leave a stage.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use chrono_tz::Tz;
use serde::Serialize;

use super::calendar::hour_of_week;
use super::population::{Left, Population, Shape};
use super::times::Durations;
use crate::fold::Fate;
use crate::statistics::proportion::Proportion;

/// Hours of a week.
const HOURS: usize = 168;

/// One cell of the heatmap; cells that no session left in are not listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// The reason.
    pub reason: String,
    /// Lost sessions that have it.
    pub sessions: u64,
}

pub(super) fn heatmap(population: &Population, shape: &Shape, timezone: Tz) -> Vec<HeatmapCell> {
    let mut cells = Vec::new();
    for (stage, next) in shape.steps() {
        let mut counts = [(0_u64, 0_u64); HOURS];
        for row in population.rows() {
            match population.left(row, stage, next) {
                Some(Left::Lost { at }) => counts[hour_of_week(at, timezone) as usize].0 += 1,
                Some(Left::Passed { at }) => counts[hour_of_week(at, timezone) as usize].1 += 1,
                None => {}
            }
        }
        let all_lost: u64 = counts.iter().map(|(lost, _)| lost).sum();
        for (hour_of_week, (lost, passed)) in counts.into_iter().enumerate() {
            let proportion = Proportion::new(lost, lost + passed);
            let Some(interval) = proportion.wilson() else { continue };
            cells.push(HeatmapCell {
                stage: stage + 1,
                hour_of_week,
                lost,
                passed,
                share_of_lost: Proportion::new(lost, all_lost).rate(),
                rate: proportion.rate(),
                low: Some(interval.low),
                high: Some(interval.high),
            });
        }
    }
    cells
}

pub(super) fn error_patterns(population: &Population, shape: &Shape) -> Vec<ErrorPattern> {
    let mut patterns = Vec::new();
    for (stage, next) in shape.steps() {
        let mut with: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let (mut lost, mut passed) = (0, 0);
        for row in population.rows() {
            let Some(left) = population.left(row, stage, next) else { continue };
            let Some(since) = population.at(row, stage) else { continue };
            let (is_lost, until) = match left {
                Left::Lost { .. } => (true, i64::MAX),
                Left::Passed { at } => (false, at),
            };
            *(if is_lost { &mut lost } else { &mut passed }) += 1;
            for code in codes(population, row, since..until) {
                let counts = with.entry(code).or_default();
                *(if is_lost { &mut counts.0 } else { &mut counts.1 }) += 1;
            }
        }
        let pattern = |(code, (lost_with, passed_with)): (&str, (u64, u64))| ErrorPattern {
            stage: stage + 1,
            code: code.to_owned(),
            lost_with,
            lost,
            passed_with,
            passed,
            lift: lift(Proportion::new(lost_with, lost), Proportion::new(passed_with, passed)),
        };
        patterns.extend(with.into_iter().map(pattern));
    }
    patterns
}

/// The distinct codes of a session's errors in a span of time.
pub(super) fn codes<'a>(
    population: &Population<'a>,
    row: usize,
    during: Range<i64>,
) -> Vec<&'a str> {
    let errors = population.errors[row].iter();
    let errors = errors.filter(|error| during.contains(&error.occurred_at));
    let mut codes: Vec<&str> = errors.map(|error| &*error.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn lift(lost: Proportion, passed: Proportion) -> Option<f64> {
    let base = passed.rate().filter(|&share| share > 0.0)?;
    Some(lost.rate()? / base)
}

pub(super) fn dwell(population: &Population, shape: &Shape) -> Vec<Dwell> {
    let stage = |(stage, next): (usize, usize)| {
        let (mut lost, mut passed) = (Vec::new(), Vec::new());
        for row in population.rows() {
            let Some(since) = population.at(row, stage) else { continue };
            match population.left(row, stage, next) {
                Some(Left::Lost { at }) => lost.push(at - since),
                Some(Left::Passed { at }) => passed.push(at - since),
                None => {}
            }
        }
        Dwell {
            stage: stage + 1,
            name: shape.names[stage].clone(),
            lost: Durations::of(&mut lost),
            passed: Durations::of(&mut passed),
        }
    };
    shape.steps().map(stage).collect()
}

/// The reasons, the most frequent first, then by text.
pub(super) fn reasons(population: &Population) -> Vec<Reason> {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for row in population.rows() {
        if matches!(population.fate[row], Fate::Abandoned { .. })
            && let Some(reason) = population.sessions[row].folded.reason_text()
        {
            *counts.entry(reason).or_default() += 1;
        }
    }
    let reason = |(reason, sessions): (&str, u64)| Reason { reason: reason.to_owned(), sessions };
    let mut reasons: Vec<Reason> = counts.into_iter().map(reason).collect();
    reasons.sort_by(|one, other| {
        other.sessions.cmp(&one.sessions).then_with(|| one.reason.cmp(&other.reason))
    });
    reasons
}
