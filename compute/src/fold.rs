//! The session fold: a pure function from a session's ordered event digests to what the session did.
//!
//! It owns stage matching in every order mode, exclusions and the fate of a session. It knows no
//! table, no clock and no statistics: the as-of instant is an argument. The state of a session is
//! the *set* of its digests, so neither order nor split nor repetition of input can matter.

use std::sync::Arc;

mod chain;
mod fate;
mod merge;
mod rules;
mod unordered;

#[cfg(test)]
pub(crate) mod properties;
#[cfg(test)]
mod tests;

pub use fate::{Fate, LostHow, Outlook};
pub use merge::{Ambiguous, merge};
pub use rules::Rules;

/// What the fold needs to know of one event.
///
/// The digests of a session are kept ordered by (`occurred_at`, `source`, `id`), each id once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// xxh3-128 of source, 0x1F, id.
    pub id: u128,
    /// When the event happened: microseconds UTC.
    pub occurred_at: i64,
    /// Bit k (from 0): the event meets stage k + 1.
    pub stages: u32,
    /// Bit x (from 0): the event meets exclusion x + 1.
    pub exclusions: u32,
    /// The event is an explicit abandonment.
    pub abandonment: bool,
    /// The event reports an error.
    pub error: bool,
    /// The event meets the funnel's activity condition (every event, when it has none).
    pub activity: bool,
    /// The abandonment's reason.
    pub reason: Option<Arc<str>>,
    /// The error's code.
    pub code: Option<Arc<str>>,
}

impl Digest {
    /// Whether the event keeps its session alive: it meets a stage, is an abandonment, or meets the
    /// activity condition.
    pub fn is_activity(&self) -> bool {
        self.activity || self.abandonment || self.stages != 0
    }
}

/// An error with a code, as it counts in the patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodedError {
    /// When it happened: microseconds UTC.
    pub occurred_at: i64,
    /// Its code.
    pub code: Arc<str>,
}

/// What the events of a session make of it: true as of the last of them and of any later instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// As [`Folded::stage_at`].
    pub stage_at: Vec<Option<i64>>,
    /// As [`Folded::reached`].
    pub reached: u32,
    /// As [`Folded::in_horizon`].
    pub in_horizon: u32,
    /// As [`Folded::furthest`].
    pub furthest: usize,
    /// As [`Folded::first_event_at`].
    pub first_event_at: i64,
    /// As [`Folded::last_event_at`].
    pub last_event_at: i64,
    /// An abandonment stands: no activity followed.
    pub given_up: bool,
    /// In strict order, the first event after the furthest stage that interrupts.
    pub interrupted_at: Option<i64>,
    /// Why it is lost if it is, in its own words: the standing abandonment's reason, else the last
    /// error code at its furthest stage.
    pub reason: Option<Arc<str>>,
    /// As [`Folded::excluded`].
    pub excluded: bool,
    /// As [`Folded::errors`].
    pub errors: Vec<CodedError>,
}

impl Summary {
    /// The summary of events that are all there are, with the index of the one that opened the
    /// session; `None` of nothing.
    ///
    /// `digests` are ordered by (`occurred_at`, `source`, `id`) and have unique ids.
    pub fn of(digests: &[Digest], rules: &Rules) -> Option<(Summary, Option<usize>)> {
        let (first, last) = (digests.first()?, digests.last()?);
        let active = digests.iter().rev().find(|digest| digest.is_activity());
        let last_event_at = active.unwrap_or(last).occurred_at;
        let reached = reach(digests, rules);
        let may_be_lost = (1..rules.count()).contains(&reached.furthest);
        let reason = || fate::reason(digests, &reached, last_event_at);
        let summary = Summary {
            in_horizon: rules.in_horizon(&reached.stage_at),
            first_event_at: first.occurred_at,
            last_event_at,
            given_up: fate::given_up(digests, last_event_at),
            interrupted_at: fate::interrupted_at(digests, &reached, rules),
            reason: may_be_lost.then(reason).flatten(),
            excluded: fate::excluded(digests, &reached.stage_at, rules),
            errors: digests.iter().filter_map(coded).collect(),
            stage_at: reached.stage_at,
            reached: reached.by_name,
            furthest: reached.furthest,
        };
        Some((summary, reached.opening))
    }

    /// When the session started (`t_1`); `None` is an orphan.
    pub fn started_at(&self) -> Option<i64> {
        self.stage_at.first().copied().flatten()
    }

    /// What its fate depends on.
    pub fn outlook(&self) -> Outlook {
        Outlook {
            started_at: self.started_at(),
            furthest: self.furthest,
            last_event_at: self.last_event_at,
            given_up: self.given_up,
            interrupted_at: self.interrupted_at,
        }
    }
}

/// What one session did up to the as-of instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// `t_k` in microseconds UTC, by stage from 0; in an unordered funnel the instant when k + 1
    /// distinct stages had been reached.
    pub stage_at: Vec<Option<i64>>,
    /// Bit k: stage k + 1 was reached, by its own name (differs from `stage_at` when unordered).
    pub reached: u32,
    /// Bit k: `stage_at[k]` lies within the funnel's horizon of the start.
    pub in_horizon: u32,
    /// Index of the digest that opened the session; `None` is an orphan.
    pub opening: Option<usize>,
    /// Number (from 1) of the furthest required stage reached; 0 for an orphan.
    pub furthest: usize,
    /// The first event of any kind.
    pub first_event_at: i64,
    /// The last activity; the last event of any kind for an orphan that has none.
    pub last_event_at: i64,
    /// What became of the session.
    pub fate: Fate,
    /// Why a lost session was lost, in its own words: the standing abandonment's reason, else the
    /// last error code at its furthest stage. `None`: see [`Folded::reason_text`].
    pub reason: Option<Arc<str>>,
    /// An exclusion applies: the session leaves every count.
    pub excluded: bool,
    /// Errors that carry a code, in order.
    pub errors: Vec<CodedError>,
}

impl Folded {
    /// When the session started (`t_1`); `None` is an orphan.
    pub fn started_at(&self) -> Option<i64> {
        self.stage_at.first().copied().flatten()
    }

    /// When and how the session was lost, if it was.
    pub fn lost(&self) -> Option<(i64, LostHow)> {
        match self.fate {
            Fate::Abandoned { lost_at, how } => Some((lost_at, how)),
            _ => None,
        }
    }

    /// The one reason of a lost session, never empty of meaning; `None` if it was not lost.
    pub fn reason_text(&self) -> Option<&str> {
        let (_, how) = self.lost()?;
        Some(self.reason.as_deref().unwrap_or(how.reason()))
    }
}

/// A folded session with the names it is grouped by.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The tenant.
    pub client_id: Arc<str>,
    /// The session id, unique within the client only.
    pub session_id: Arc<str>,
    /// Attributes of the opening event, in the order of the names the caller passes along.
    pub attributes: Box<[Option<Arc<str>>]>,
    /// What it did.
    pub folded: Folded,
}

/// Folds the digests of one session as of an instant; `None` when none of them is that old.
///
/// `digests` are ordered by (`occurred_at`, `source`, `id`) and have unique ids.
pub fn fold(digests: &[Digest], rules: &Rules, as_of: i64) -> Option<Folded> {
    let seen = &digests[..digests.partition_point(|digest| digest.occurred_at <= as_of)];
    let (summary, opening) = Summary::of(seen, rules)?;
    let fate = summary.outlook().fate(rules, as_of);
    Some(Folded {
        stage_at: summary.stage_at,
        reached: summary.reached,
        in_horizon: summary.in_horizon,
        opening,
        furthest: summary.furthest,
        first_event_at: summary.first_event_at,
        last_event_at: summary.last_event_at,
        fate,
        reason: summary.reason.filter(|_| matches!(fate, Fate::Abandoned { .. })),
        excluded: summary.excluded,
        errors: summary.errors,
    })
}

/// What stage matching needs of one event.
pub(crate) trait Mark {
    /// Microseconds UTC.
    fn occurred_at(&self) -> i64;
    /// As [`Digest::stages`].
    fn stages(&self) -> u32;
    /// As [`Digest::exclusions`].
    fn exclusions(&self) -> u32;
}

impl Mark for Digest {
    fn occurred_at(&self) -> i64 {
        self.occurred_at
    }

    fn stages(&self) -> u32 {
        self.stages
    }

    fn exclusions(&self) -> u32 {
        self.exclusions
    }
}

/// When a session reached each stage, from its events in their order; `None`: it is an orphan, or an
/// exclusion takes it out.
pub(crate) fn stage_at<M: Mark>(seen: &[M], rules: &Rules) -> Option<Vec<Option<i64>>> {
    let reached = reach(seen, rules);
    reached.opening?;
    (!fate::excluded(seen, &reached.stage_at, rules)).then_some(reached.stage_at)
}

fn reach<M: Mark>(seen: &[M], rules: &Rules) -> rules::Reached {
    match rules.unordered() {
        true => unordered::reach(seen, rules),
        false => chain::reach(seen, rules),
    }
}

fn coded(digest: &Digest) -> Option<CodedError> {
    let code = digest.code.clone().filter(|_| digest.error)?;
    Some(CodedError { occurred_at: digest.occurred_at, code })
}
