//! Cumulative incidence of one event under censoring: 1 − Kaplan–Meier.

use super::Z_95;
use super::proportion::Interval;
use super::risk::{Run, Watched};

/// How far a value may be from a threshold and still count as having reached it.
const TOLERANCE: f64 = 1e-12;

/// Incidence after one instant of events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Microseconds since the start of watching.
    pub time: i64,
    /// The curve from here on.
    pub level: Level,
}

/// The curve at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
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
    let mut level = Level::START;
    watched.groups().filter(|group| group.events > 0).map(move |group| {
        level = level.after(group.events, group.at_risk);
        Step { time: group.time, level }
    })
}

/// The incidence by some times, ascending microseconds, and the median.
pub fn incidence(watched: Watched<'_>, times: &[i64]) -> Incidence {
    let mut at = Vec::with_capacity(times.len());
    let mut median = Median::default();
    let mut level = Level::START;
    for run in watched.runs(times) {
        let first = run.events.first().copied();
        while times.get(at.len()).is_some_and(|&time| first.is_some_and(|first| time < first)) {
            at.push(level.estimate());
        }
        let before = level;
        level = before.after(run.events.len() as u64, run.at_risk);
        if median.may_be_between(&before, &level) {
            median.find(before, &run);
        }
    }
    at.resize_with(times.len(), || level.estimate());
    Incidence { at, median }
}

impl Median {
    /// Whether one that is not found yet may be in a run, by what the curve is before and after it.
    fn may_be_between(&self, before: &Level, after: &Level) -> bool {
        self.low.is_none() && Level::may_be_low(before, after)
            || self.median.is_none() && after.survival <= HALF
            || self.high.is_none() && Level::may_be_high(before, after)
    }

    fn find(&mut self, before: Level, run: &Run<'_>) {
        let mut level = before;
        for group in run.groups().filter(|group| group.events > 0) {
            level = level.after(group.events, group.at_risk);
            let reached = Some(group.time);
            let limits = level.survival_limits();
            self.low = self.low.or(reached.filter(|_| limits.low <= HALF));
            self.median = self.median.or(reached.filter(|_| level.survival <= HALF));
            self.high = self.high.or(reached.filter(|_| limits.high <= HALF));
        }
    }
}

const HALF: f64 = 0.5 + TOLERANCE;
/// What `−ln` of a limit must reach, less far more than rounding can do to it.
const NEARLY_LN_2: f64 = std::f64::consts::LN_2 - 1e-9;

impl Level {
    const START: Level = Level { survival: 1.0, greenwood: 0.0 };

    /// After some events among `at_risk` subjects, between which nobody else ceased to be watched: the
    /// product of `(n − d) / n` and the sum of `d / (n (n − d)) = 1 / (n − d) − 1 / n` are then those of
    /// all of them at once.
    fn after(&self, events: u64, at_risk: u64) -> Level {
        let (n, d) = (at_risk as f64, events as f64);
        if events == 0 {
            return *self;
        }
        Level {
            survival: self.survival * ((n - d) / n),
            greenwood: self.greenwood + d / (n * (n - d)),
        }
    }

    /// Incidence, with its interval.
    pub fn estimate(&self) -> Estimate {
        let interior = self.survival > 0.0 && self.survival < 1.0;
        let interval = interior.then(|| {
            let limits = self.survival_limits();
            Interval { low: 1.0 - limits.high, high: 1.0 - limits.low }
        });
        Estimate { value: 1.0 - self.survival, interval }
    }

    /// Log-log limits of `1 − F` with Greenwood's variance (Kalbfleisch and Prentice 2002, p. 18):
    /// `S^exp(±z √Σ / ln S)`; both 0 where `1 − F` is 0.
    fn survival_limits(&self) -> Interval {
        if self.survival <= 0.0 {
            return Interval { low: 0.0, high: 0.0 };
        }
        let theta = Z_95 * self.greenwood.sqrt() / self.survival.ln().abs();
        Interval { low: self.survival.powf(theta.exp()), high: self.survival.powf((-theta).exp()) }
    }

    /// Whether the lower limit, `exp(−L e^θ)` with `L = −ln S`, may be one half or less somewhere
    /// between two levels; false where a bound that costs no logarithm rules it out: `L` is greatest
    /// after, `θ = z √Σ / L` is at most `z √Σ / (1 − S)` with `Σ` from after and `S` from before, and
    /// `e^θ ≤ 1 + θ + θ²` up to θ = 1.
    fn may_be_low(before: &Level, after: &Level) -> bool {
        let theta = Z_95 * after.greenwood.sqrt() / (1.0 - before.survival);
        let most = after.greatest_hazard() * (1.0 + theta + theta * theta);
        !(theta <= 1.0 && most < NEARLY_LN_2)
    }

    /// The same of the upper limit: θ is at least that of `Σ` before and the greatest `L`, and
    /// `e^−θ ≤ 1 − θ + θ²/2`.
    fn may_be_high(before: &Level, after: &Level) -> bool {
        let greatest = after.greatest_hazard();
        let theta = Z_95 * before.greenwood.sqrt() / greatest;
        let most = greatest * (1.0 - theta + theta * theta / 2.0);
        most.is_nan() || most >= NEARLY_LN_2
    }

    /// A bound of `L = −ln S` from above, met at one half: `L = ln 2 + ln(1/2S) ≤ ln 2 + 1/2S − 1`.
    fn greatest_hazard(&self) -> f64 {
        std::f64::consts::LN_2 - 1.0 + 0.5 / self.survival
    }
}
