//! How long stages take: among those who reached them, and for everybody who set out.

use serde::Serialize;
use utoipa::ToSchema;

use super::population::{Population, Shape};
use crate::statistics::competing;
use crate::statistics::incidence::{self, Estimate, Incidence, incidence};
use crate::statistics::order;
use crate::statistics::quantile;
use crate::statistics::risk::Watched;

/// The ages at which incidence is given, in seconds: 5 min, 1 h, 1 d, 7 d.
pub const AGES_SECONDS: [i64; 4] = [300, 3_600, 86_400, 604_800];
const AGES: [i64; 4] = [300_000_000, 3_600_000_000, 86_400_000_000, 604_800_000_000];

/// A sample of durations in seconds; `null` figures of an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
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
    /// Summarises microseconds, in any order.
    pub(super) fn of(micros: &[i64]) -> Durations {
        Durations::summarised(micros.len(), quantile::summary(micros))
    }

    /// Summarises microseconds that are in order.
    fn of_sorted(micros: &[i64]) -> Durations {
        Durations::summarised(micros.len(), quantile::summary_of_sorted(micros))
    }

    fn summarised(sessions: usize, summary: Option<quantile::Summary>) -> Durations {
        Durations {
            sessions: sessions as u64,
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
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct MedianTime {
    /// The smallest age by which half had reached the stage.
    pub median_seconds: Option<f64>,
    /// Lower end of its interval.
    pub low_seconds: Option<f64>,
    /// Upper end.
    pub high_seconds: Option<f64>,
}

/// One step of the curves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
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

/// How long a stage takes.
#[derive(Clone, Debug)]
pub(super) struct StageTimes {
    /// From the first stage, of those who reached it.
    pub from_start: Durations,
    /// From the required stage before, of those who reached it.
    pub step: Durations,
    /// For everybody who reached the required stage before.
    pub incidence: StageIncidence,
}

/// The times of `stage`; `None` for the first.
pub(super) fn stage_times(
    population: &Population,
    shape: &Shape,
    stage: usize,
    as_of: i64,
    with_curve: bool,
) -> Option<StageTimes> {
    let previous = shape.previous(stage)?;
    let mut micros = population.durations(previous, stage);
    order::sort(&mut micros);
    let step = Durations::of_sorted(&micros);
    let from_start = match previous {
        0 => step,
        _ => Durations::of(&population.durations(0, stage)),
    };
    let incidence =
        stage_incidence(population, shape, (previous, stage), &micros, as_of, with_curve);
    Some(StageTimes { from_start, step, incidence })
}

/// Incidence of reaching `stage` after the required stage `previous`; `events` are the sorted
/// durations of those who did.
fn stage_incidence(
    population: &Population,
    shape: &Shape,
    (previous, stage): (usize, usize),
    events: &[i64],
    as_of: i64,
    with_curve: bool,
) -> StageIncidence {
    let next = shape.next(stage).filter(|_| shape.optional[stage]);
    let (mut lost, mut in_flight, mut not_reached) = (Vec::new(), Vec::new(), Vec::new());
    let longest = population.earliest(previous).map(|since| as_of - since);
    for row in population.reached_only(previous, stage) {
        let Some(since) = population.at(row, previous) else { continue };
        let censored = as_of - since;
        not_reached.push(censored);
        let skipped = next.and_then(|next| population.between(row, previous, next));
        let given_up = || population.lost_at(row).map(|lost_at| lost_at - since);
        match skipped.or_else(given_up) {
            Some(after) => lost.push(after),
            None => in_flight.push(censored),
        }
    }
    for list in [&mut lost, &mut in_flight, &mut not_reached] {
        order::sort(list);
    }
    let watched = Watched { events, competing: &[], censored: &not_reached };
    let competed = Watched { events, competing: &lost, censored: &in_flight };
    let found = incidence(watched, &AGES);
    let seconds = |micros: Option<i64>| micros.map(|micros| micros as f64 / 1e6);
    let at = at_ages(&found, competing::competing(competed, &AGES), longest);
    StageIncidence {
        at_risk: watched.subjects() as u64,
        reached: events.len() as u64,
        lost: lost.len() as u64,
        in_flight: in_flight.len() as u64,
        at,
        median: MedianTime {
            median_seconds: seconds(found.median.median),
            low_seconds: seconds(found.median.low),
            high_seconds: seconds(found.median.high),
        },
        curve: with_curve.then(|| curve(watched, competed)),
    }
}

/// Both curves at fixed ages; nothing where nobody was watched that long.
fn at_ages(
    watched: &Incidence,
    competing: Vec<(Estimate, f64)>,
    longest: Option<i64>,
) -> Vec<IncidenceAt> {
    let age = |(index, (aalen_johansen, other)): (usize, (Estimate, f64))| {
        let within_seconds = AGES_SECONDS[index];
        if longest.is_none_or(|longest| longest < AGES[index]) {
            let (watched, aalen_johansen) = (Limits::default(), Limits::default());
            return IncidenceAt { within_seconds, watched, aalen_johansen, competing: None };
        }
        IncidenceAt {
            within_seconds,
            watched: watched.at[index].into(),
            aalen_johansen: aalen_johansen.into(),
            competing: Some(other),
        }
    };
    competing.into_iter().enumerate().map(age).collect()
}

fn curve(watched: Watched, competed: Watched) -> Vec<CurvePoint> {
    let steps: Vec<incidence::Step> = incidence::steps(watched).collect();
    let at = |time: i64| {
        let after = steps.partition_point(|step| step.time <= time);
        let last = after.checked_sub(1).map(|last| steps[last].level.estimate());
        last.unwrap_or(Estimate { value: 0.0, interval: None })
    };
    let point = |step: competing::Step| CurvePoint {
        seconds: step.time as f64 / 1e6,
        watched: at(step.time).into(),
        aalen_johansen: step.incidence,
        competing: step.competing_incidence,
    };
    competing::steps(competed).map(point).collect()
}
