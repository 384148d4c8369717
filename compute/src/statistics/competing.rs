//! Cumulative incidence beside a competing event: the Aalen–Johansen estimate.

use super::Z_95;
use super::incidence::Estimate;
use super::proportion::Interval;
use super::risk::Watched;

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

/// Aalen and Johansen's estimate (1978) for two kinds of event, step by step, both from one risk set
/// at ties and before censoring.
pub fn steps(watched: Watched<'_>) -> impl Iterator<Item = Step> {
    let (mut survival, mut incidence, mut competing_incidence) = (1.0, 0.0, 0.0);
    watched.groups().map(move |group| {
        let (n, events, competing) = (group.at_risk as f64, group.events, group.competing);
        let survival_before = survival;
        incidence += survival * events as f64 / n;
        competing_incidence += survival * competing as f64 / n;
        survival *= (group.at_risk - events - competing) as f64 / n;
        Step {
            time: group.time,
            at_risk: group.at_risk,
            events,
            competing,
            survival_before,
            incidence,
            competing_incidence,
        }
    })
}

/// Incidence of the event of interest by some times, ascending microseconds and inclusive, each with
/// that of the competing one.
///
/// The interval `F^exp(±z·se / (F·|ln F|))` does not exist where F is 0 or 1.
pub fn competing(watched: Watched<'_>, times: &[i64]) -> Vec<(Estimate, f64)> {
    let mut found: Vec<Value> = Vec::with_capacity(times.len());
    let mut value = Value::default();
    for step in steps(watched) {
        while times.get(found.len()).is_some_and(|&time| time < step.time) {
            found.push(value);
        }
        value.add(&step);
    }
    found.resize(times.len(), value);
    // The variance needs the value at its end: a second pass, as steps may be millions.
    let mut past = 0;
    for step in steps(watched) {
        past += times[past..].iter().take_while(|&&time| time < step.time).count();
        for value in &mut found[past..] {
            value.variance += variance_term(&step, value.value);
        }
    }
    found.iter().map(Value::estimate).collect()
}

/// The curve by one time.
#[derive(Clone, Copy, Default)]
struct Value {
    value: f64,
    competing_value: f64,
    variance: f64,
    /// An event happened.
    any: bool,
    /// A competing event happened.
    any_competing: bool,
    /// Everybody at risk had the event in the last step.
    exhausted: bool,
}

impl Value {
    fn add(&mut self, step: &Step) {
        (self.value, self.competing_value) = (step.incidence, step.competing_incidence);
        self.any |= step.events > 0;
        self.any_competing |= step.competing > 0;
        self.exhausted = step.events == step.at_risk;
    }

    fn estimate(&self) -> (Estimate, f64) {
        let value = self.value;
        let all = self.exhausted && !self.any_competing;
        let interval = (self.any && !all).then(|| {
            let spread = Z_95 * self.variance.max(0.0).sqrt() / (value * value.ln().abs());
            Interval { low: value.powf(spread.exp()), high: value.powf((-spread).exp()) }
        });
        (Estimate { value, interval }, self.competing_value)
    }
}

/// A step's part of the variance of a later incidence by the delta method (Marubini and Valsecchi
/// 1995, Analysing Survival Data from Clinical Trials and Observational Studies, p. 341).
fn variance_term(step: &Step, value: f64) -> f64 {
    let (n, d1) = (step.at_risk as f64, step.events as f64);
    let d = d1 + step.competing as f64;
    let ahead = value - step.incidence;
    // Where all end at once nothing lies ahead, and the first term's limit is 0.
    let first = if d < n { ahead * ahead * d / (n * (n - d)) } else { 0.0 };
    let hazard = step.survival_before * d1 / (n * n);
    let second = step.survival_before * hazard * (n - d1) / n;
    first + second - 2.0 * ahead * hazard
}
