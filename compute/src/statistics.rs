//! Statistics with their sources; pure functions of counts and integer microseconds.
//!
//! Nothing here knows a funnel. Every routine is checked against SciPy, statsmodels or lifelines by
//! values in `statistics/golden.json`, which `statistics/golden.py` computes.

pub mod competing;
pub mod decomposition;
pub mod distribution;
pub mod incidence;
pub mod multiplicity;
pub mod order;
pub mod proportion;
pub mod quantile;
pub mod rank;
pub mod risk;
pub mod trend;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

/// The 97.5 % quantile of the normal distribution: every interval is a two-sided 95 % one.
pub const Z_95: f64 = 1.959963984540054;
