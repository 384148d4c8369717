//! Weekly cohorts, how far each got by age, and whether conversion moves.

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use serde::Serialize;
use utoipa::ToSchema;

use super::Thresholds;
use super::calendar::{Bucket, Unit, buckets};
use super::population::{Basis, Counts, Population, Shape};
use super::rates::{Rate, StageRates, overall, stage_rates};
use crate::statistics::order;
use crate::statistics::proportion::Proportion;
use crate::statistics::quantile::percentile;
use crate::statistics::trend::{Point, weighted_slope};

/// Ages of the triangle, in days.
pub const AGES_DAYS: [i64; 10] = [1, 2, 3, 4, 5, 6, 7, 14, 21, 28];
const DAY_MICROS: i64 = 86_400_000_000;

/// Where a figure is heading, judged after any correction for the number of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Significantly upwards.
    Improving,
    /// Significantly downwards.
    Declining,
    /// No significant change.
    Stable,
}

impl Direction {
    pub(super) fn judge(change: f64, p: Option<f64>, significance: f64) -> Direction {
        match p {
            Some(p) if p <= significance && change > 0.0 => Direction::Improving,
            Some(p) if p <= significance && change < 0.0 => Direction::Declining,
            _ => Direction::Stable,
        }
    }
}

/// Sessions that started in one ISO week of the report's time zone.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Cohort {
    /// ISO week, as `2026-W12`.
    pub week: String,
    /// Its Monday, local.
    pub monday: NaiveDate,
    /// Weeks since the first one listed.
    pub index: usize,
    /// The week is cut by the period or by the as-of instant.
    pub partial: bool,
    /// Every session of it has been watched for the horizon.
    pub mature: bool,
    /// Sessions started.
    pub sessions: u64,
    /// Sessions still in flight.
    pub in_flight: u64,
    /// How far they got.
    pub stages: Vec<StageRates>,
    /// Conversion within the horizon, of those watched that long.
    pub mature_conversion: Rate,
    /// Median time to complete, of those that did.
    pub median_seconds_to_complete: Option<f64>,
    /// Conversion by age.
    pub by_age: Vec<AgeCell>,
}

/// Sessions of a week that completed within an age.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AgeCell {
    /// The age in days of 24 hours, inclusive.
    pub age_days: i64,
    /// `null` until every session of the week is that old.
    pub conversion: Option<Rate>,
}

/// A line through the mature conversion of whole mature weeks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Trend {
    /// Change of the conversion rate per week; `null` with fewer than three weeks.
    pub slope_per_week: Option<f64>,
    /// Two-sided p-value; `null` too where the weeks lie on the line exactly.
    pub p: Option<f64>,
    /// Weeks fitted.
    pub weeks: usize,
    /// What that means.
    pub direction: Direction,
}

/// What is added up for one week.
struct Tally {
    counts: Counts,
    mature: Counts,
    in_flight: u64,
    to_complete: Vec<i64>,
}

/// The sessions of one week, gathered so that their stages are counted many at once.
#[derive(Default)]
struct Week {
    reached: Vec<u32>,
    mature: Vec<u32>,
    in_flight: u64,
    to_complete: Vec<i64>,
}

pub(super) fn cohorts(
    population: &Population,
    shape: &Shape,
    period: (i64, i64),
    timezone: Tz,
    (as_of, horizon): (i64, i64),
) -> Vec<Cohort> {
    let weeks = buckets(period, timezone, Unit::Week);
    let tallies = tally(population, &weeks, shape);
    let cohort = |(index, (week, mut tally)): (usize, (&Bucket, Tally))| {
        let watched_from = week.end.min(period.1);
        let iso = week.date.iso_week();
        order::sort(&mut tally.to_complete);
        Cohort {
            week: format!("{:04}-W{:02}", iso.year(), iso.week()),
            monday: week.date,
            index,
            partial: week.is_cut(period, as_of),
            mature: watched_from.saturating_add(horizon) <= as_of,
            sessions: tally.counts.sessions,
            in_flight: tally.in_flight,
            stages: stage_rates(shape, &tally.counts),
            mature_conversion: overall(shape, &tally.mature).into(),
            median_seconds_to_complete: percentile(&tally.to_complete, 50),
            by_age: triangle(&tally, watched_from, as_of),
        }
    };
    weeks.iter().zip(tallies).enumerate().map(cohort).collect()
}

fn tally(population: &Population, weeks: &[Bucket], shape: &Shape) -> Vec<Tally> {
    let mut gathered: Vec<Week> = weeks.iter().map(|_| Week::default()).collect();
    for row in population.rows() {
        let started_at = population.started_at(row);
        let after = weeks.partition_point(|week| week.start <= started_at);
        let Some(week) = after.checked_sub(1).and_then(|index| gathered.get_mut(index)) else {
            continue;
        };
        week.reached.push(Basis::Raw.mask(population, row));
        week.mature.push(Basis::Mature.mask(population, row));
        week.in_flight += u64::from(population.state(row).in_flight());
        week.to_complete.extend(population.between(row, 0, shape.last()));
    }
    let counts = |masks: &[u32]| Counts::of_masks(shape.count(), masks);
    let tally = |week: Week| Tally {
        counts: counts(&week.reached),
        mature: counts(&week.mature),
        in_flight: week.in_flight,
        to_complete: week.to_complete,
    };
    gathered.into_iter().map(tally).collect()
}

/// Conversion by age; `to_complete` is sorted.
fn triangle(tally: &Tally, watched_from: i64, as_of: i64) -> Vec<AgeCell> {
    let cell = |age_days: i64| {
        let age = age_days * DAY_MICROS;
        let old_enough = as_of >= watched_from.saturating_add(age);
        let reached = tally.to_complete.partition_point(|&micros| micros <= age) as u64;
        let conversion = Proportion::new(reached, tally.counts.sessions);
        AgeCell { age_days, conversion: old_enough.then(|| conversion.into()) }
    };
    AGES_DAYS.into_iter().map(cell).collect()
}

/// Fits the mature conversion of whole mature weeks that have sessions.
pub(super) fn trend(cohorts: &[Cohort], thresholds: &Thresholds) -> Trend {
    let whole = cohorts.iter().filter(|week| week.mature && !week.partial);
    let points: Vec<Point> = whole
        .filter(|week| week.mature_conversion.total > 0)
        .map(|week| Point {
            position: week.index as i64,
            reached: week.mature_conversion.reached,
            total: week.mature_conversion.total,
        })
        .collect();
    let fitted = weighted_slope(&points);
    let p = fitted.and_then(|fitted| fitted.p);
    let change = fitted.map_or(0.0, |fitted| fitted.slope);
    Trend {
        slope_per_week: fitted.map(|fitted| fitted.slope),
        p,
        weeks: points.len(),
        direction: Direction::judge(change, p, thresholds.significance),
    }
}
