//! Figures with their intervals and the SQL that gives them again.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Frame, Side};
use crate::metrics::rates::Rate;
use crate::statistics::proportion::Proportion;

/// A figure that a recommendation rests on.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Evidence {
    /// Which sessions it is about.
    pub name: String,
    /// The figure.
    #[serde(flatten)]
    pub figure: Figure,
    /// A statement over the tables of the lake that gives one row: `reached` and `total` of a rate,
    /// `sessions` and `median_seconds` of a time.
    pub sql: String,
}

/// A rate or a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Figure {
    /// A rate with its Wilson interval.
    Rate(Rate),
    /// A median with its interval.
    Median {
        /// Sessions that took the step.
        sessions: u64,
        /// The smallest time within which half of them had taken it.
        median_seconds: Option<f64>,
        /// Lower end of its interval.
        low_seconds: Option<f64>,
        /// Upper end.
        high_seconds: Option<f64>,
    },
}

impl Evidence {
    /// A rate.
    pub(super) fn rate(name: impl Into<String>, proportion: Proportion, sql: String) -> Evidence {
        Evidence { name: name.into(), figure: Figure::Rate(proportion.into()), sql }
    }
}

impl Frame<'_> {
    /// How many of those that reached one stage reached another, in a period.
    pub(super) fn conversion_evidence(&self, side: &Side, from: usize, to: usize) -> Evidence {
        let sql = self.conversion_sql(side, (from, to), None);
        Evidence::rate(side.name, side.conversion(from, to), sql)
    }

    /// How many of those that reach a stage complete, which an impact is scaled by.
    pub(super) fn later_evidence(&self, stage: usize) -> Option<Evidence> {
        let last = self.shape.last();
        let side = self.sides().into_iter().find(|side| side.counts.reached[stage] > 0)?;
        (stage != last).then(|| Evidence {
            name: format!("later, {}", side.name),
            ..self.conversion_evidence(side, stage, last)
        })
    }
}

/// `71.2 % (68.5–73.7) of 1204`.
pub(super) fn share(proportion: Proportion) -> String {
    let percent = |share: f64| 100.0 * share;
    match (proportion.rate(), proportion.wilson()) {
        (Some(rate), Some(limits)) => format!(
            "{:.1} % ({:.1}–{:.1}) of {}",
            percent(rate),
            percent(limits.low),
            percent(limits.high),
            proportion.total
        ),
        _ => "none of 0".to_owned(),
    }
}
