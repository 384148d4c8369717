//! How long stages take: among those who reached them, and for everybody who set out.

use serde::Serialize;

use super::population::{Population, Shape};
use crate::fold::Fate;
use crate::statistics::competing::{Competing, competing};
use crate::statistics::incidence::{Ending, Estimate, Incidence, Observation, incidence};
use crate::statistics::quantile;

/// The ages at which incidence is given, in seconds: 5 min, 1 h, 1 d, 7 d.
pub const AGES_SECONDS: [i64; 4] = [300, 3_600, 86_400, 604_800];

/// A sample of durations in seconds; `null` figures of an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Durations {
    /// Size of the sample.
    pub sessions: u64,
    /// Arithmetic mean.
    pub mean_seconds: Option<f64>,
    /// 50 % quantile.
    pub median_seconds: Option<f64>,
    /// 25 % quantile.
    pub p25_seconds: Option<f64>,
    /// 75 % quantile.
    pub p75_seconds: Option<f64>,
    /// 90 % quantile.
    pub p90_seconds: Option<f64>,
    /// 99 % quantile.
    pub p99_seconds: Option<f64>,
}

impl Durations {
    /// Summarises microseconds; sorts them.
    pub(super) fn of(micros: &mut [i64]) -> Durations {
        let summary = quantile::summary(micros);
        Durations {
            sessions: micros.len() as u64,
            mean_seconds: summary.map(|s| s.mean),
            median_seconds: summary.map(|s| s.median),
            p25_seconds: summary.map(|s| s.p25),
            p75_seconds: summary.map(|s| s.p75),
            p90_seconds: summary.map(|s| s.p90),
            p99_seconds: summary.map(|s| s.p99),
        }
    }
}

/// Cumulative incidence of reaching a stage after the required stage before it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageIncidence {
    /// Sessions that reached the stage before.
    pub at_risk: u64,
    /// Those that reached this one.
    pub reached: u64,
    /// Those for which it became impossible: lost, or an optional stage skipped.
    pub lost: u64,
    /// The others.
    pub in_flight: u64,
    /// At fixed ages.
    pub at: Vec<IncidenceAt>,
    /// By when half have reached it.
    pub median: MedianTime,
    /// Every step of both curves, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve: Option<Vec<CurvePoint>>,
}

/// Incidence within an age; all `null` where nobody was watched that long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct IncidenceAt {
    /// The age, inclusive.
    pub within_seconds: i64,
    /// Everyone watched to the as-of instant, abandoned or not (1 − Kaplan–Meier).
    pub watched: Limits,
    /// With loss as a competing event (Aalen–Johansen).
    pub aalen_johansen: Limits,
    /// Incidence of that competing event.
    pub competing: Option<f64>,
}

/// A value with its 95 % interval, which does not exist at 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Limits {
    /// The value.
    pub value: Option<f64>,
    /// Lower limit.
    pub low: Option<f64>,
    /// Upper limit.
    pub high: Option<f64>,
}

impl From<Estimate> for Limits {
    fn from(estimate: Estimate) -> Limits {
        Limits {
            value: Some(estimate.value),
            low: estimate.interval.map(|interval| interval.low),
            high: estimate.interval.map(|interval| interval.high),
        }
    }
}

/// Median time in seconds; an end of the interval that does not exist is `null`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MedianTime {
    /// The smallest age by which half had reached the stage.
    pub median_seconds: Option<f64>,
    /// Lower end of its interval.
    pub low_seconds: Option<f64>,
    /// Upper end.
    pub high_seconds: Option<f64>,
}

/// One step of the curves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Age.
    pub seconds: f64,
    /// 1 − Kaplan–Meier from here on.
    pub watched: Limits,
    /// Aalen–Johansen from here on.
    pub aalen_johansen: f64,
    /// Incidence of the competing event from here on.
    pub competing: f64,
}

/// Time from the first stage, and from the required stage before, among those who reached `stage`.
pub(super) fn stage_times(
    population: &Population,
    shape: &Shape,
    stage: usize,
) -> Option<(Durations, Durations)> {
    let previous = shape.previous(stage)?;
    let mut from_start = population.durations(0, stage);
    let mut step = population.durations(previous, stage);
    Some((Durations::of(&mut from_start), Durations::of(&mut step)))
}

/// Incidence of reaching `stage` after the required stage before it; `None` for the first.
pub(super) fn stage_incidence(
    population: &Population,
    shape: &Shape,
    stage: usize,
    as_of: i64,
    with_curve: bool,
) -> Option<StageIncidence> {
    let previous = shape.previous(stage)?;
    let next = shape.next(stage).filter(|_| shape.optional[stage]);
    let mut watched: Vec<Observation> = Vec::new();
    let mut competed: Vec<Observation> = Vec::new();
    let mut longest = None;
    for row in population.rows() {
        let Some(since) = population.at(row, previous) else { continue };
        let censored = (as_of - since, Ending::Censored);
        longest = longest.max(Some(as_of - since));
        let ended = ending(population, row, (previous, stage, next));
        watched.push(ended.filter(|(_, kind)| *kind == Ending::Event).unwrap_or(censored));
        competed.push(ended.unwrap_or(censored));
    }
    let count = |kind| competed.iter().filter(|(_, ending)| *ending == kind).count() as u64;
    let (reached, lost, in_flight) =
        (count(Ending::Event), count(Ending::Competing), count(Ending::Censored));
    let curves = (incidence(&mut watched), competing(&mut competed));
    let median = curves.0.median();
    let seconds = |micros: Option<i64>| micros.map(|micros| micros as f64 / 1e6);
    Some(StageIncidence {
        at_risk: watched.len() as u64,
        reached,
        lost,
        in_flight,
        at: AGES_SECONDS.iter().map(|&age| at_age(&curves, age, longest)).collect(),
        median: MedianTime {
            median_seconds: seconds(median.median),
            low_seconds: seconds(median.low),
            high_seconds: seconds(median.high),
        },
        curve: with_curve.then(|| curve(&curves)),
    })
}

/// How long after the stage before, and how, a session's way to `stage` ended.
fn ending(
    population: &Population,
    row: usize,
    (previous, stage, next): (usize, usize, Option<usize>),
) -> Option<Observation> {
    if let Some(reached) = population.between(row, previous, stage) {
        return Some((reached, Ending::Event));
    }
    if let Some(skipped) = next.and_then(|next| population.between(row, previous, next)) {
        return Some((skipped, Ending::Competing));
    }
    match (population.fate[row], population.at(row, previous)) {
        (Fate::Abandoned { lost_at, .. }, Some(since)) => {
            Some((lost_at - since, Ending::Competing))
        }
        _ => None,
    }
}

fn at_age(curves: &(Incidence, Competing), age: i64, longest: Option<i64>) -> IncidenceAt {
    let micros = age * 1_000_000;
    if longest.is_none_or(|longest| longest < micros) {
        let (watched, aalen_johansen) = (Limits::default(), Limits::default());
        return IncidenceAt { within_seconds: age, watched, aalen_johansen, competing: None };
    }
    let (aalen_johansen, competing) = curves.1.at(micros);
    IncidenceAt {
        within_seconds: age,
        watched: curves.0.at(micros).into(),
        aalen_johansen: aalen_johansen.into(),
        competing: Some(competing),
    }
}

fn curve(curves: &(Incidence, Competing)) -> Vec<CurvePoint> {
    let point = |step: &crate::statistics::competing::Step| CurvePoint {
        seconds: step.time as f64 / 1e6,
        watched: curves.0.at(step.time).into(),
        aalen_johansen: step.incidence,
        competing: step.competing_incidence,
    };
    curves.1.steps.iter().map(point).collect()
}
