//! Cumulative incidence beside a competing event: the Aalen–Johansen estimate.

use super::Z_95;
use super::incidence::Estimate;
use super::proportion::Interval;
use super::risk::{Group, Run, Watched};

/// State after one instant of events of either kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Microseconds since the start of watching.
    pub time: i64,
    /// Incidence of the event of interest up to here.
    pub incidence: f64,
    /// Incidence of the competing event up to here.
    pub competing_incidence: f64,
}

/// Aalen and Johansen's estimate (1978) for two kinds of event, step by step, both from one risk set
/// at ties and before censoring.
pub fn steps(watched: Watched<'_>) -> impl Iterator<Item = Step> {
    let mut value = Value::default();
    watched.groups().map(move |Group { time, at_risk, events, competing }| {
        value.add(at_risk, events, competing);
        Step { time, incidence: value.value, competing_incidence: value.competing_value }
    })
}

/// Incidence of the event of interest by some times, ascending microseconds and inclusive, each with
/// that of the competing one.
///
/// The interval `F^exp(±z·se / (F·|ln F|))` does not exist where F is 0 or 1.
pub fn competing(watched: Watched<'_>, times: &[i64]) -> Vec<(Estimate, f64)> {
    let mut values: Vec<Value> = Vec::with_capacity(times.len());
    let mut value = Value::default();
    for run in runs(watched, times) {
        while times.get(values.len()).is_some_and(|&time| Some(time) < run.last()) {
            values.push(value);
        }
        value.add_run(&run);
    }
    values.resize(times.len(), value);
    // The variance needs the values at the ends of its spans.
    let mut spans = vec![Span::default(); times.len()];
    let (mut place, mut value) = (0, Value::default());
    for run in runs(watched, times) {
        place += times[place..].iter().take_while(|&&time| Some(time) < run.last()).count();
        spans[place].add(value, values[place].value, &run);
        value.add_run(&run);
    }
    let upto = |place: usize, value: &Value| {
        let spans = spans.iter().zip(&values).take(place + 1);
        let variance = spans.map(|(span, end)| span.variance(value.value - end.value)).sum();
        (value.estimate(variance), value.competing_value)
    };
    values.iter().enumerate().map(|(place, value)| upto(place, value)).collect()
}

/// The runs up to the last of these times.
fn runs<'a>(watched: Watched<'a>, times: &'a [i64]) -> impl Iterator<Item = Run<'a>> {
    let last = times.last().copied();
    watched.runs(times).take_while(move |run| run.last() <= last)
}

/// The curve by one time.
#[derive(Clone, Copy)]
struct Value {
    value: f64,
    competing_value: f64,
    /// Probability of neither kind.
    survival: f64,
    /// An event happened.
    any: bool,
    /// A competing event happened.
    any_competing: bool,
    /// Everybody at risk had the event in the last step.
    exhausted: bool,
}

impl Default for Value {
    fn default() -> Self {
        Self {
            value: 0.0,
            competing_value: 0.0,
            survival: 1.0,
            any: false,
            any_competing: false,
            exhausted: false,
        }
    }
}

impl Value {
    /// Adds events between which nobody leaves otherwise: each has the part `S / n` of it, as if all were
    /// at one instant.
    fn add(&mut self, at_risk: u64, events: u64, competing: u64) {
        let n = at_risk as f64;
        self.value += self.survival * events as f64 / n;
        self.competing_value += self.survival * competing as f64 / n;
        self.survival *= (at_risk - events - competing) as f64 / n;
        self.any |= events > 0;
        self.any_competing |= competing > 0;
        self.exhausted = events == at_risk;
    }

    fn add_run(&mut self, run: &Run<'_>) {
        self.add(run.at_risk, run.events.len() as u64, run.competing.len() as u64);
    }

    fn estimate(&self, variance: f64) -> Estimate {
        let value = self.value;
        let all = self.exhausted && !self.any_competing;
        let interval = (self.any && !all).then(|| {
            let spread = Z_95 * variance.max(0.0).sqrt() / (value * value.ln().abs());
            Interval { low: value.powf(spread.exp()), high: value.powf((-spread).exp()) }
        });
        Estimate { value, interval }
    }
}

/// The steps between two times, as far as the variance of an incidence at their end or later needs
/// them. By the delta method (Marubini and Valsecchi 1995, Analysing Survival Data from Clinical Trials
/// and Observational Studies, p. 341) that of `F` is the sum over the steps `i` up to it of
///
/// `(F − F_i)² d / (n (n − d)) + S² d₁ (n − d₁) / n³ − 2 (F − F_i) S d₁ / n²`
///
/// where the `d` events, `d₁` of them of interest, meet `n` subjects at risk, with probability `S` of
/// neither kind before. With the value at the span's end between `F` and `F_i` one pass serves all later
/// times, and no great terms cancel.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    /// Sum of `d / (n (n − d))`, and of its products with `F_end − F_i` and the square of that.
    spread: [f64; 3],
    /// Sum of `S² d₁ (n − d₁) / n³`.
    own: f64,
    /// Sum of `S d₁ / n²`, and of its product with `F_end − F_i`.
    hazard: [f64; 2],
}

impl Span {
    /// Adds the steps of a run that starts at a value, in a span that ends at `end`.
    fn add(&mut self, mut value: Value, end: f64, run: &Run<'_>) {
        for group in run.groups() {
            let (n, d1) = (group.at_risk as f64, group.events as f64);
            let d = d1 + group.competing as f64;
            let part = value.survival / n;
            value.value += part * d1;
            value.survival = part * (n - d);
            let ahead = end - value.value;
            // Where all end at once nothing lies ahead, and the limit is 0.
            let spread = if d < n { d / (n * (n - d)) } else { 0.0 };
            self.spread[0] += spread;
            self.spread[1] += spread * ahead;
            self.spread[2] += spread * ahead * ahead;
            let hazard = part * d1 / n;
            self.own += part * hazard * (n - d1);
            self.hazard[0] += hazard;
            self.hazard[1] += hazard * ahead;
        }
    }

    /// The steps' part of the variance of a value that lies so far ahead of the span's end.
    fn variance(&self, ahead: f64) -> f64 {
        let [spread, by_ahead, by_square] = self.spread;
        let first = by_square + 2.0 * ahead * by_ahead + ahead * ahead * spread;
        first + self.own - 2.0 * (self.hazard[1] + ahead * self.hazard[0])
    }
}
