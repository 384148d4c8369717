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

/// Summarises microseconds as seconds; sorts the sample. `None` of nothing.
pub fn summary(micros: &mut Vec<i64>) -> Option<Summary> {
    order::sort(micros);
    let total: i128 = micros.iter().map(|&value| i128::from(value)).sum();
    let mean = total as f64 / (micros.len() as f64 * 1e6);
    let quantile = |percent| percentile(micros, percent);
    Some(Summary {
        mean,
        p25: quantile(25)?,
        median: quantile(50)?,
        p75: quantile(75)?,
        p90: quantile(90)?,
        p99: quantile(99)?,
    })
}

/// Percentile of sorted microseconds, in seconds: linear between order statistics (Hyndman and Fan
/// 1996, definition 7, NumPy's default), in whole numbers up to one last division.
pub fn percentile(sorted: &[i64], percent: u32) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = last as u128 * u128::from(percent);
    let (below, part) = ((position / 100) as usize, (position % 100) as i128);
    let low = i128::from(sorted[below]);
    let high = i128::from(sorted[(below + 1).min(last)]);
    Some((low * 100 + (high - low) * part) as f64 / 1e8)
}
