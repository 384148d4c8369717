//! Cumulative incidence of one event under censoring: 1 − Kaplan–Meier.

use super::Z_95;
use super::proportion::Interval;
use super::risk::Watched;

/// How far a value may be from a threshold and still count as having reached it.
const TOLERANCE: f64 = 1e-12;

/// Incidence after one instant of events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Microseconds since the start of watching.
    pub time: i64,
    /// Subjects still watched just before, those that end at this instant included.
    pub at_risk: u64,
    /// Events at this instant.
    pub events: u64,
    /// `1 − F`, exactly 0 once everybody at risk had the event.
    pub survival: f64,
    /// Sum of Greenwood's terms `d / (n (n − d))` up to here.
    greenwood: f64,
}

/// What is asked of the curve, found in one pass over it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Incidence {
    /// Incidence by each of the times, inclusive; the caller knows whether anybody was watched
    /// that long.
    pub at: Vec<Estimate>,
    /// When half had the event.
    pub median: Median,
}

/// A value of the curve with its interval, which does not exist at 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The incidence.
    pub value: f64,
    /// Its 95 % interval.
    pub interval: Option<Interval>,
}

/// Median with the ends of its interval, in microseconds; an end that does not exist is `None`.
///
/// The ends are Brookmeyer and Crowley's (1982, Biometrics 38:29–41): the times at which the limits
/// of `1 − F` fall to one half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Median {
    /// The smallest time by which half had the event.
    pub median: Option<i64>,
    /// Lower end.
    pub low: Option<i64>,
    /// Upper end.
    pub high: Option<i64>,
}

/// Kaplan and Meier's product-limit estimate (1958), step by step, with events before censoring at
/// ties. Everything but an event censors.
pub fn steps(watched: Watched<'_>) -> impl Iterator<Item = Step> {
    let (mut survival, mut greenwood) = (1.0, 0.0);
    watched.groups().filter(|group| group.events > 0).map(move |group| {
        let (n, d) = (group.at_risk as f64, group.events as f64);
        survival *= (n - d) / n;
        greenwood += d / (n * (n - d));
        let (time, at_risk, events) = (group.time, group.at_risk, group.events);
        Step { time, at_risk, events, survival, greenwood }
    })
}

/// The incidence by some times, ascending microseconds, and the median.
pub fn incidence(watched: Watched<'_>, times: &[i64]) -> Incidence {
    let mut at = Vec::with_capacity(times.len());
    let mut median = Median::default();
    let mut last: Option<Step> = None;
    let estimate = |last: Option<Step>| {
        last.map_or(Estimate { value: 0.0, interval: None }, |step| step.estimate())
    };
    for step in steps(watched) {
        while times.get(at.len()).is_some_and(|&time| time < step.time) {
            at.push(estimate(last));
        }
        let reached = Some(step.time);
        if median.low.is_none() && step.may_be_low() && step.survival_limits().low <= HALF {
            median.low = reached;
        }
        if median.median.is_none() && step.survival <= HALF {
            median.median = reached;
        }
        if median.high.is_none() && step.may_be_high() && step.survival_limits().high <= HALF {
            median.high = reached;
        }
        last = Some(step);
    }
    at.resize_with(times.len(), || estimate(last));
    Incidence { at, median }
}

const HALF: f64 = 0.5 + TOLERANCE;
/// What `−ln` of a limit must reach, less far more than rounding can do to it.
const NEARLY_LN_2: f64 = std::f64::consts::LN_2 - 1e-9;

impl Step {
    /// Incidence after this step, with its interval.
    pub fn estimate(&self) -> Estimate {
        let limits = self.survival_limits();
        let interval = Interval { low: 1.0 - limits.high, high: 1.0 - limits.low };
        let interior = self.survival > 0.0;
        Estimate { value: 1.0 - self.survival, interval: interior.then_some(interval) }
    }

    /// Log-log limits of `1 − F` with Greenwood's variance (Kalbfleisch and Prentice 2002, p. 18):
    /// `S^exp(±z √Σ / ln S)`; both 0 where `1 − F` is 0.
    // In line its logarithms are computed ahead of the bounds that spare them.
    #[inline(never)]
    fn survival_limits(&self) -> Interval {
        if self.survival <= 0.0 {
            return Interval { low: 0.0, high: 0.0 };
        }
        let theta = Z_95 * self.greenwood.sqrt() / self.survival.ln().abs();
        Interval { low: self.survival.powf(theta.exp()), high: self.survival.powf((-theta).exp()) }
    }

    /// Whether the lower limit, `exp(−L e^θ)` with `L = −ln S`, may be one half or less; false where
    /// a bound that costs no logarithm rules it out: `e^θ ≤ 1 + θ + θ²` up to θ = 1.
    fn may_be_low(&self) -> bool {
        let theta = Z_95 * self.greenwood.sqrt() / (1.0 - self.survival);
        let most = self.greatest_hazard() * (1.0 + theta + theta * theta);
        !(theta <= 1.0 && most < NEARLY_LN_2)
    }

    /// The same of the upper limit, `exp(−L e^−θ)`: `e^−θ ≤ 1 − θ + θ²/2`.
    fn may_be_high(&self) -> bool {
        let greatest = self.greatest_hazard();
        let theta = Z_95 * self.greenwood.sqrt() / greatest;
        let most = greatest * (1.0 - theta + theta * theta / 2.0);
        most.is_nan() || most >= NEARLY_LN_2
    }

    /// A bound of `L = −ln S` from above, met at one half: `L = ln 2 + ln(1/2S) ≤ ln 2 + 1/2S − 1`.
    fn greatest_hazard(&self) -> f64 {
        std::f64::consts::LN_2 - 1.0 + 0.5 / self.survival
    }
}
