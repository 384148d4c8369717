//! The funnel by day, week or month.

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::Request;
use super::calendar::{Bucket, Instant, Unit, buckets};
use super::population::{Basis, Counts, Population, Shape};
use super::rates::{Rate, StageRates, overall, stage_rates};
use crate::fold::Rules;

/// The funnel of the sessions that started in each day, week or month of the period.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FunnelTrend {
    /// What a bucket is.
    pub unit: Unit,
    /// Every one that the period touches, in order, those without sessions too.
    pub buckets: Vec<TrendBucket>,
}

/// Sessions that started in one bucket of the report's time zone.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TrendBucket {
    /// Its first date, local.
    pub date: NaiveDate,
    /// Its first instant.
    pub from: Instant,
    /// Its end, exclusive.
    pub to: Instant,
    /// It is incomplete: cut by the period or by the as-of instant.
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
}

/// What is added up of one bucket.
struct Tally {
    raw: Counts,
    mature: Counts,
    in_flight: u64,
}

pub(super) fn funnel_trend(
    population: &Population,
    shape: &Shape,
    request: &Request,
    unit: Unit,
) -> FunnelTrend {
    let listed = buckets((request.from, request.to), request.timezone, unit);
    let tallies = tally(population, &listed);
    let horizon = Rules::new(&request.funnel).horizon();
    let bucket = |(bucket, tally): (&Bucket, Tally)| TrendBucket {
        date: bucket.date,
        from: Instant(bucket.start),
        to: Instant(bucket.end),
        partial: bucket.is_cut((request.from, request.to), request.as_of),
        mature: bucket.end.min(request.to).saturating_add(horizon) <= request.as_of,
        sessions: tally.raw.sessions,
        in_flight: tally.in_flight,
        stages: stage_rates(shape, &tally.raw),
        mature_conversion: overall(shape, &tally.mature).into(),
    };
    FunnelTrend { unit, buckets: listed.iter().zip(tallies).map(bucket).collect() }
}

fn tally(population: &Population, buckets: &[Bucket]) -> Vec<Tally> {
    let none = || Counts::none(population.stages());
    let empty = |_: &Bucket| Tally { raw: none(), mature: none(), in_flight: 0 };
    let mut tallies: Vec<Tally> = buckets.iter().map(empty).collect();
    for row in population.rows() {
        let started_at = population.started_at(row);
        let after = buckets.partition_point(|bucket| bucket.start <= started_at);
        let Some(tally) = after.checked_sub(1).and_then(|index| tallies.get_mut(index)) else {
            continue;
        };
        tally.raw.add(population, row, Basis::Raw);
        tally.mature.add(population, row, Basis::Mature);
        tally.in_flight += u64::from(population.state(row).in_flight());
    }
    tallies
}
