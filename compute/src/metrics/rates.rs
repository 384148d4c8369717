//! Rates of reaching a stage, with their intervals.

use serde::Serialize;
use utoipa::ToSchema;

use super::population::{Counts, Shape};
use crate::statistics::proportion::Proportion;

/// A rate with its counts and 95 % Wilson interval; `null` where nothing could be counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Rate {
    /// How many did.
    pub reached: u64,
    /// Of how many.
    pub total: u64,
    /// `reached / total`.
    pub rate: Option<f64>,
    /// Lower limit.
    pub low: Option<f64>,
    /// Upper limit.
    pub high: Option<f64>,
}

impl From<Proportion> for Rate {
    fn from(proportion: Proportion) -> Rate {
        let interval = proportion.wilson();
        Rate {
            reached: proportion.reached,
            total: proportion.total,
            rate: proportion.rate(),
            low: interval.map(|interval| interval.low),
            high: interval.map(|interval| interval.high),
        }
    }
}

impl Rate {
    /// The counts alone.
    pub fn proportion(&self) -> Proportion {
        Proportion::new(self.reached, self.total)
    }
}

/// How many sessions reached a stage, from the start and from the required stage before.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StageRates {
    /// Number, from 1.
    pub stage: usize,
    /// Name.
    pub name: String,
    /// Whether the stage may be skipped.
    pub optional: bool,
    /// Sessions that reached it.
    pub count: u64,
    /// Of those that started.
    pub from_start: Rate,
    /// Of those that reached the required stage before; `null` for the first stage.
    pub from_previous: Option<Rate>,
}

/// The standard funnel: who gets how far.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FunnelRates {
    /// Over all sessions.
    pub raw: Vec<StageRates>,
    /// Within the horizon, over sessions watched that long.
    pub mature: Vec<StageRates>,
}

impl FunnelRates {
    pub(crate) fn of(shape: &Shape, raw: &Counts, mature: &Counts) -> FunnelRates {
        FunnelRates { raw: stage_rates(shape, raw), mature: stage_rates(shape, mature) }
    }
}

pub(super) fn stage_rates(shape: &Shape, counts: &Counts) -> Vec<StageRates> {
    let of = |stage: usize, base: u64| Rate::from(Proportion::new(counts.reached[stage], base));
    let rates = |stage: usize| StageRates {
        stage: stage + 1,
        name: shape.names[stage].clone(),
        optional: shape.optional[stage],
        count: counts.reached[stage],
        from_start: of(stage, counts.sessions),
        from_previous: shape.previous(stage).map(|before| of(stage, counts.reached[before])),
    };
    (0..shape.count()).map(rates).collect()
}

/// Of those that started, how many completed.
pub(super) fn overall(shape: &Shape, counts: &Counts) -> Proportion {
    Proportion::new(counts.reached[shape.last()], counts.sessions)
}
