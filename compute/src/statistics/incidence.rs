//! Cumulative incidence of one event under censoring: 1 − Kaplan–Meier.

use super::Z_95;
use super::proportion::Interval;

/// How far a value may be from a threshold and still count as having reached it.
const TOLERANCE: f64 = 1e-12;

/// How one subject's watching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// By the event of interest.
    Event,
    /// By an event that makes the one of interest impossible.
    Competing,
    /// Neither happened while it was watched.
    Censored,
}

/// One subject: how long it was watched (microseconds, ≥ 0), and how that ended.
pub type Observation = (i64, Ending);

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

/// The curve of cumulative incidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Incidence {
    /// One step for each instant that has events, in order.
    pub steps: Vec<Step>,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Median {
    /// The smallest time by which half had the event.
    pub median: Option<i64>,
    /// Lower end.
    pub low: Option<i64>,
    /// Upper end.
    pub high: Option<i64>,
}

/// Kaplan and Meier's product-limit estimate (1958) with events before censoring at ties; sorts
/// the observations. Everything but [`Ending::Event`] censors.
pub fn incidence(observations: &mut [Observation]) -> Incidence {
    observations.sort_unstable();
    let mut steps = Vec::new();
    let mut at_risk = observations.len() as u64;
    let (mut survival, mut greenwood) = (1.0, 0.0);
    for group in observations.chunk_by(|one, other| one.0 == other.0) {
        let events = group.iter().filter(|(_, ending)| *ending == Ending::Event).count() as u64;
        if events > 0 {
            let (n, d) = (at_risk as f64, events as f64);
            survival *= (n - d) / n;
            greenwood += d / (n * (n - d));
            steps.push(Step { time: group[0].0, at_risk, events, survival, greenwood });
        }
        at_risk -= group.len() as u64;
    }
    Incidence { steps }
}

impl Incidence {
    /// Incidence by `time` inclusive; the caller knows whether anybody was watched that long.
    pub fn at(&self, time: i64) -> Estimate {
        let after = self.steps.partition_point(|step| step.time <= time);
        match after.checked_sub(1) {
            None => Estimate { value: 0.0, interval: None },
            Some(index) => self.steps[index].estimate(),
        }
    }

    /// Median with Brookmeyer and Crowley's interval (1982, Biometrics 38:29–41): the times at
    /// which the limits of `1 − F` fall to one half.
    pub fn median(&self) -> Median {
        let first = |reaches: &dyn Fn(&Step) -> bool| {
            self.steps.iter().find(|step| reaches(step)).map(|step| step.time)
        };
        Median {
            median: first(&|step| step.survival <= 0.5 + TOLERANCE),
            low: first(&|step| step.survival_limits().low <= 0.5 + TOLERANCE),
            high: first(&|step| step.survival_limits().high <= 0.5 + TOLERANCE),
        }
    }
}

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
    fn survival_limits(&self) -> Interval {
        if self.survival <= 0.0 {
            return Interval { low: 0.0, high: 0.0 };
        }
        let theta = Z_95 * self.greenwood.sqrt() / self.survival.ln().abs();
        Interval { low: self.survival.powf(theta.exp()), high: self.survival.powf((-theta).exp()) }
    }
}
