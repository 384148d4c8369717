//! Location of a sample of durations.

use super::order;

/// Mean and quantiles of a sample of durations, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Arithmetic mean.
    pub mean: f64,
    /// 25 % quantile.
    pub p25: f64,
    /// 50 % quantile.
    pub median: f64,
    /// 75 % quantile.
    pub p75: f64,
    /// 90 % quantile.
    pub p90: f64,
    /// 99 % quantile.
    pub p99: f64,
}

const PERCENTS: [u32; 5] = [25, 50, 75, 90, 99];

/// Summarises microseconds, in any order, as seconds. `None` of nothing.
pub fn summary(micros: &[i64]) -> Option<Summary> {
    summarised(micros, |places| order::select(micros, places))
}

/// The same of microseconds that are in order.
pub fn summary_of_sorted(micros: &[i64]) -> Option<Summary> {
    summarised(micros, |places| places.iter().map(|&place| micros[place]).collect())
}

/// `at` gives what stands at ascending places among all in order.
fn summarised(micros: &[i64], at: impl Fn(&[usize]) -> Vec<i64>) -> Option<Summary> {
    let total: i128 = micros.iter().map(|&value| i128::from(value)).sum();
    let mean = total as f64 / (micros.len() as f64 * 1e6);
    let last = micros.len().checked_sub(1)?;
    let places = PERCENTS.map(|percent| Position::of(last, percent));
    let around = places.map(|place| [place.below, place.above]);
    let found = at(around.as_flattened());
    let mut quantiles = places
        .iter()
        .zip(found.chunks_exact(2))
        .map(|(place, around)| place.between(around[0], around[1]));
    Some(Summary {
        mean,
        p25: quantiles.next()?,
        median: quantiles.next()?,
        p75: quantiles.next()?,
        p90: quantiles.next()?,
        p99: quantiles.next()?,
    })
}

/// Percentile of sorted microseconds, in seconds: linear between order statistics (Hyndman and Fan
/// 1996, definition 7, NumPy's default), in whole numbers up to one last division.
pub fn percentile(sorted: &[i64], percent: u32) -> Option<f64> {
    let place = Position::of(sorted.len().checked_sub(1)?, percent);
    Some(place.between(sorted[place.below], sorted[place.above]))
}

/// Where a percentile lies among values in order.
#[derive(Clone, Copy)]
struct Position {
    below: usize,
    above: usize,
    /// Hundredths of the way from one to the other.
    part: i128,
}

impl Position {
    fn of(last: usize, percent: u32) -> Self {
        let position = last as u128 * u128::from(percent);
        let below = (position / 100) as usize;
        Self { below, above: (below + 1).min(last), part: (position % 100) as i128 }
    }

    fn between(self, low: i64, high: i64) -> f64 {
        let (low, high) = (i128::from(low), i128::from(high));
        (low * 100 + (high - low) * self.part) as f64 / 1e8
    }
}
