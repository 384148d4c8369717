//! Where sessions are lost.

use std::cmp::Reverse;

use serde::Serialize;
use utoipa::ToSchema;

use super::Thresholds;
use super::population::{Basis, Counts, Population, Shape, State};
use crate::statistics::proportion::Proportion;

/// How bad a drop-off is, judged by the lower limit of its interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// 50 % or more by default.
    Critical,
    /// 30 % or more by default.
    High,
    /// 15 % or more by default.
    Medium,
    /// Less.
    Low,
}

/// What became of the sessions whose furthest stage is, or was, this one.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DropOffStage {
    /// Number, from 1; required stages but the last.
    pub stage: usize,
    /// Name.
    pub name: String,
    /// Abandoned sessions that came no further.
    pub lost: u64,
    /// Sessions that reached the next required stage, whatever became of them.
    pub passed: u64,
    /// Both together: those whose turn it was to go on or to leave.
    pub exposed: u64,
    /// `lost / exposed`.
    pub rate: Option<f64>,
    /// Lower limit of the 95 % Wilson interval.
    pub low: Option<f64>,
    /// Upper limit.
    pub high: Option<f64>,
    /// `null` while too few were exposed.
    pub severity: Option<Severity>,
    /// Sessions in flight that are here.
    pub in_flight: u64,
}

/// Drop-off over all sessions and over those watched for the horizon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct DropOff {
    /// Over all sessions.
    pub all: Vec<DropOffStage>,
    /// Over sessions that started at least the horizon before the as-of instant.
    pub mature: Vec<DropOffStage>,
    /// Numbers of the worst stages of `all`, the worst first.
    pub top: Vec<usize>,
    /// Numbers of the worst stages of `mature`.
    pub top_mature: Vec<usize>,
}

pub(super) fn drop_off(population: &Population, shape: &Shape, thresholds: &Thresholds) -> DropOff {
    let [all, mature] = [Basis::Raw, Basis::Mature]
        .map(|basis| Tally::of(population, shape, basis).stages(shape, thresholds));
    DropOff { top: top(&all), top_mature: top(&mature), all, mature }
}

/// What is added up by stage.
struct Tally {
    /// Whatever the basis, what a session reached up to now tells where it is.
    reached: Vec<u64>,
    /// By the furthest stage.
    lost: Vec<u64>,
    /// By the furthest stage.
    in_flight: Vec<u64>,
}

impl Tally {
    fn of(population: &Population, shape: &Shape, basis: Basis) -> Tally {
        let reached = Counts::up_to_now(population, basis).reached;
        let standing = population.standing(basis);
        let here =
            |is: fn(State) -> bool| (1..=shape.count()).map(|it| standing.count(it, is)).collect();
        let lost = here(|state| state == State::Lost);
        Tally { reached, lost, in_flight: here(State::in_flight) }
    }

    fn stages(&self, shape: &Shape, thresholds: &Thresholds) -> Vec<DropOffStage> {
        let stage = |(stage, next): (usize, usize)| {
            let (lost, passed) = (self.lost[stage], self.reached[next]);
            let proportion = Proportion::new(lost, lost + passed);
            let interval = proportion.wilson();
            DropOffStage {
                stage: stage + 1,
                name: shape.names[stage].clone(),
                lost,
                passed,
                exposed: proportion.total,
                rate: proportion.rate(),
                low: interval.map(|interval| interval.low),
                high: interval.map(|interval| interval.high),
                severity: interval
                    .filter(|_| proportion.total >= thresholds.severity_least_exposed)
                    .map(|interval| severity(interval.low, thresholds)),
                in_flight: self.in_flight[stage],
            }
        };
        shape.steps().map(stage).collect()
    }
}

fn severity(low: f64, thresholds: &Thresholds) -> Severity {
    match low {
        low if low >= thresholds.severity_critical => Severity::Critical,
        low if low >= thresholds.severity_high => Severity::High,
        low if low >= thresholds.severity_medium => Severity::Medium,
        _ => Severity::Low,
    }
}

/// At most five stages that lost anybody: by lower limit, then by number lost, then by stage.
fn top(stages: &[DropOffStage]) -> Vec<usize> {
    let mut worst: Vec<&DropOffStage> = stages.iter().filter(|stage| stage.lost > 0).collect();
    worst.sort_by(|one, other| {
        let low = |stage: &DropOffStage| stage.low.unwrap_or(0.0);
        low(other)
            .total_cmp(&low(one))
            .then_with(|| (Reverse(one.lost), one.stage).cmp(&(Reverse(other.lost), other.stage)))
    });
    worst.iter().take(5).map(|stage| stage.stage).collect()
}
