//! How long sessions take from one stage to another, as a histogram.

use serde::Serialize;
use utoipa::ToSchema;

use super::population::{Population, Shape};

/// Where a bin ends and the next begins, in seconds: instants that people think in, the same for
/// every report, so that two of them can be compared.
pub const EDGES_SECONDS: [i64; 18] = [
    1, 5, 15, 30, 60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 259_200,
    604_800, 1_209_600, 2_592_000,
];

/// Times from one stage to another, of the sessions that reached both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct TimeToConvert {
    /// Number of the stage that the time is counted from.
    pub from_stage: usize,
    /// Its name.
    pub from_name: String,
    /// Number of the stage that it is counted to.
    pub to_stage: usize,
    /// Its name.
    pub to_name: String,
    /// Sessions that reached both.
    pub sessions: u64,
    /// Their times; every bin is listed.
    pub bins: Vec<Bin>,
}

/// Sessions with `from_seconds ≤ time < to_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Bin {
    /// Shortest time, inclusive.
    pub from_seconds: i64,
    /// Longest, exclusive; `null`: there is none.
    pub to_seconds: Option<i64>,
    /// Sessions.
    pub sessions: u64,
}

/// Stages count from 0 here.
pub(super) fn time_to_convert(
    population: &Population,
    shape: &Shape,
    (from, to): (usize, usize),
) -> TimeToConvert {
    let mut counts = [0; EDGES_SECONDS.len() + 1];
    for row in population.rows() {
        if let Some(micros) = population.between(row, from, to) {
            let seconds = micros.div_euclid(1_000_000);
            counts[EDGES_SECONDS.partition_point(|&edge| edge <= seconds)] += 1;
        }
    }
    let bin = |(index, &sessions): (usize, &u64)| Bin {
        from_seconds: index.checked_sub(1).map_or(0, |before| EDGES_SECONDS[before]),
        to_seconds: EDGES_SECONDS.get(index).copied(),
        sessions,
    };
    TimeToConvert {
        from_stage: from + 1,
        from_name: shape.names[from].clone(),
        to_stage: to + 1,
        to_name: shape.names[to].clone(),
        sessions: counts.iter().sum(),
        bins: counts.iter().enumerate().map(bin).collect(),
    }
}
