//! What sessions of a list have in common.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::fold::Fate;

/// What listed sessions have in common; what is left out is no condition.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// They reached this stage, from 1.
    pub stage: Option<usize>,
    /// What became of them.
    pub outcome: Option<Outcome>,
    /// They were lost at this required stage, from 1.
    pub dropped_at: Option<usize>,
}

/// What became of a session as of an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It reached the last stage.
    Completed,
    /// It was lost.
    Abandoned,
    /// It may still go on.
    InFlight,
}

impl Outcome {
    /// The outcome of a fate; `None`: an orphan, which is in no funnel.
    pub fn of(fate: Fate) -> Option<Outcome> {
        match fate {
            Fate::Orphan => None,
            Fate::Completed => Some(Outcome::Completed),
            Fate::Abandoned { .. } => Some(Outcome::Abandoned),
            Fate::InFlight { .. } => Some(Outcome::InFlight),
        }
    }
}

impl Filter {
    /// Whether a session is wanted that reached these stages (bit k: stage k + 1), the furthest required
    /// one of them by its number.
    pub(crate) fn holds(&self, reached: u32, furthest: usize, fate: Fate) -> bool {
        let outcome = Outcome::of(fate);
        let lost_at = |stage| outcome == Some(Outcome::Abandoned) && furthest == stage;
        self.stage.is_none_or(|stage| reached >> (stage - 1) & 1 == 1)
            && self.dropped_at.is_none_or(lost_at)
            && self.outcome.is_none_or(|wanted| outcome == Some(wanted))
    }
}
