//! What following a recommendation may bring.

use serde::Serialize;
use utoipa::ToSchema;

use super::Frame;
use crate::statistics::proportion::Proportion;

/// Extra completions a week, with the terms that they are the product of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Impact {
    /// `sessions_per_week · (reference_rate − rate) · later_rate`, at least 0.
    pub expected: f64,
    /// The same with the lower limit of Newcombe's interval of the rates' difference, at least 0.
    pub low: f64,
    /// The same with the upper limit.
    pub high: f64,
    /// Sessions a week that the rate is about.
    pub sessions_per_week: f64,
    /// The rate to be raised.
    pub rate: Option<f64>,
    /// What it is measured against: the lower end of the reference's interval.
    pub reference_rate: Option<f64>,
    /// Of the sessions that would go on, the part that would complete.
    pub later_rate: f64,
}

/// Microseconds of a week.
const WEEK: f64 = 7.0 * 86_400e6;

impl Frame<'_> {
    /// What raising `rate`, of the step to `next`, to the reference would bring.
    pub(super) fn impact(&self, rate: Proportion, reference: Proportion, next: usize) -> Impact {
        let sessions_per_week = self.per_week(rate.total);
        let later_rate = self.later_rate(next);
        let floor = reference.wilson().map(|interval| interval.low);
        let difference = reference.minus(rate);
        let extra =
            |gain: Option<f64>| sessions_per_week * gain.map_or(0.0, |it| it.max(0.0)) * later_rate;
        Impact {
            expected: extra(floor.zip(rate.rate()).map(|(floor, rate)| floor - rate)),
            low: extra(difference.map(|it| it.interval.low)),
            high: extra(difference.map(|it| it.interval.high)),
            sessions_per_week,
            rate: rate.rate(),
            reference_rate: floor,
            later_rate,
        }
    }

    /// Mature sessions of this period as so many a week of their starts.
    fn per_week(&self, sessions: u64) -> f64 {
        sessions as f64 / ((self.now.to - self.now.from).max(1) as f64 / WEEK)
    }

    /// Of those that reach a stage, how many complete: the product of all later step rates. Where
    /// nobody reaches it any more, as it was in the period before.
    fn later_rate(&self, stage: usize) -> f64 {
        let rate = |side: &super::Side| side.conversion(stage, self.shape.last()).rate();
        self.sides().into_iter().find_map(rate).unwrap_or(0.0)
    }

    /// The expected gain as a part of today's completions.
    pub(super) fn stake(&self, impact: &Impact) -> f64 {
        let completed = self.per_week(self.now.counts.reached[self.shape.last()]);
        if impact.expected > 0.0 { impact.expected / completed } else { 0.0 }
    }
}
