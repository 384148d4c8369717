//! Cumulative incidence beside a competing event: the Aalen–Johansen estimate.

use super::Z_95;
use super::incidence::{Ending, Estimate, Observation};
use super::proportion::Interval;

/// State after one instant of events of either kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Microseconds since the start of watching.
    pub time: i64,
    /// Subjects still watched just before, those that end at this instant included.
    pub at_risk: u64,
    /// Events of interest at this instant.
    pub events: u64,
    /// Competing events at this instant.
    pub competing: u64,
    /// Probability of neither kind just before.
    pub survival_before: f64,
    /// Incidence of the event of interest up to here.
    pub incidence: f64,
    /// Incidence of the competing event up to here.
    pub competing_incidence: f64,
}

/// The pair of incidence curves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Competing {
    /// One step for each instant that has events of either kind, in order.
    pub steps: Vec<Step>,
}

/// Aalen and Johansen's estimate (1978) for two kinds of event, both from one risk set at ties and
/// before censoring; sorts the observations.
pub fn competing(observations: &mut [Observation]) -> Competing {
    observations.sort_unstable();
    let mut steps = Vec::new();
    let mut at_risk = observations.len() as u64;
    let (mut survival, mut incidence, mut competing_incidence) = (1.0, 0.0, 0.0);
    for group in observations.chunk_by(|one, other| one.0 == other.0) {
        let count = |kind| group.iter().filter(|(_, ending)| *ending == kind).count() as u64;
        let (events, competing) = (count(Ending::Event), count(Ending::Competing));
        if events + competing > 0 {
            let n = at_risk as f64;
            let survival_before = survival;
            incidence += survival * events as f64 / n;
            competing_incidence += survival * competing as f64 / n;
            survival *= (at_risk - events - competing) as f64 / n;
            steps.push(Step {
                time: group[0].0,
                at_risk,
                events,
                competing,
                survival_before,
                incidence,
                competing_incidence,
            });
        }
        at_risk -= group.len() as u64;
    }
    Competing { steps }
}

impl Competing {
    /// Incidence of the event of interest by `time` inclusive, and that of the competing one.
    ///
    /// The interval `F^exp(±z·se / (F·|ln F|))` does not exist where F is 0 or 1.
    pub fn at(&self, time: i64) -> (Estimate, f64) {
        let steps = &self.steps[..self.steps.partition_point(|step| step.time <= time)];
        let Some(last) = steps.last() else {
            return (Estimate { value: 0.0, interval: None }, 0.0);
        };
        let none = steps.iter().all(|step| step.events == 0);
        let all = last.events == last.at_risk && steps.iter().all(|step| step.competing == 0);
        let value = last.incidence;
        let interval = (!none && !all).then(|| {
            let spread = Z_95 * variance(steps, value).sqrt() / (value * value.ln().abs());
            Interval { low: value.powf(spread.exp()), high: value.powf((-spread).exp()) }
        });
        (Estimate { value, interval }, last.competing_incidence)
    }
}

/// Variance of the incidence after the last of `steps` by the delta method (Marubini and Valsecchi
/// 1995, Analysing Survival Data from Clinical Trials and Observational Studies, p. 341).
fn variance(steps: &[Step], value: f64) -> f64 {
    let term = |step: &Step| {
        let (n, d1) = (step.at_risk as f64, step.events as f64);
        let d = d1 + step.competing as f64;
        let ahead = value - step.incidence;
        // Where all end at once nothing lies ahead, and the first term's limit is 0.
        let first = if d < n { ahead * ahead * d / (n * (n - d)) } else { 0.0 };
        let hazard = step.survival_before * d1 / (n * n);
        let second = step.survival_before * hazard * (n - d1) / n;
        first + second - 2.0 * ahead * hazard
    };
    steps.iter().map(term).sum::<f64>().max(0.0)
}
