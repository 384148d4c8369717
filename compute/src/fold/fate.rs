//! What became of a session: completed, abandoned (when and how), or still in flight.

use std::sync::Arc;

use super::rules::{Reached, Rules};
use super::{Digest, Mark};

/// What became of a session as of an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has no event of the first stage and is not in the funnel.
    Orphan,
    /// It reached the last stage.
    Completed,
    /// It was lost.
    Abandoned {
        /// The instant at which the loss was declared: microseconds UTC.
        lost_at: i64,
        /// What declared it.
        how: LostHow,
    },
    /// It may still go on.
    InFlight {
        /// It had activity within the funnel's `active_within_seconds`.
        active: bool,
    },
}

/// How a session was lost; at one instant the earlier of these is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LostHow {
    /// An abandonment that no later activity revoked.
    Explicit,
    /// No activity for `abandon_after_seconds`.
    Idle,
    /// The conversion window closed.
    Window,
    /// In strict order, an event of another stage interrupted.
    Order,
}

impl LostHow {
    /// The name that results carry.
    pub fn as_str(self) -> &'static str {
        match self {
            LostHow::Explicit => "explicit",
            LostHow::Idle => "idle",
            LostHow::Window => "window",
            LostHow::Order => "order",
        }
    }

    /// The reason of a session that gives none of its own.
    pub fn reason(self) -> &'static str {
        match self {
            LostHow::Explicit => "unspecified",
            other => other.as_str(),
        }
    }
}

/// What the fate of a session depends on, as of its last event or any later instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// When it started (`t_1`); `None` is an orphan.
    pub started_at: Option<i64>,
    /// Number (from 1) of the furthest required stage reached.
    pub furthest: usize,
    /// The last activity.
    pub last_event_at: i64,
    /// An abandonment stands: no activity followed.
    pub given_up: bool,
    /// In strict order, the first event after the furthest stage that interrupts.
    pub interrupted_at: Option<i64>,
}

impl Outlook {
    /// Decides the fate as of `as_of`, which is not before the session's last event.
    pub fn fate(self, rules: &Rules, as_of: i64) -> Fate {
        let Some(started_at) = self.started_at else {
            return Fate::Orphan;
        };
        if self.furthest == rules.count() {
            return Fate::Completed;
        }
        let idle = self.last_event_at.saturating_add(rules.abandon_after);
        let window = rules.window_end(started_at);
        let declared = [
            (self.given_up.then_some(self.last_event_at), LostHow::Explicit),
            (Some(idle).filter(|&at| at <= as_of), LostHow::Idle),
            (Some(window).filter(|&at| at < as_of), LostHow::Window),
            (self.interrupted_at, LostHow::Order),
        ];
        let first = declared.into_iter().filter_map(|(at, how)| Some((at?, how))).min();
        match first {
            Some((lost_at, how)) => Fate::Abandoned { lost_at, how },
            None => {
                let idle_for = as_of.saturating_sub(self.last_event_at);
                Fate::InFlight { active: idle_for < rules.active_within }
            }
        }
    }
}

/// Whether an abandonment stands.
pub(super) fn given_up(seen: &[Digest], last_event_at: i64) -> bool {
    standing(seen, last_event_at).next().is_some()
}

/// The first event after the furthest stage that interrupts, in strict order.
pub(super) fn interrupted_at(seen: &[Digest], reached: &Reached, rules: &Rules) -> Option<i64> {
    let furthest = reached.furthest.checked_sub(1)?;
    let next = rules.next_required(furthest)?;
    rules.interruption(seen, furthest, next, reached.stage_at[furthest]?)
}

/// The reason a lost session gives: that of its standing abandonment, else the code of the last
/// error from the instant of its furthest stage on.
pub(super) fn reason(seen: &[Digest], reached: &Reached, last_event_at: i64) -> Option<Arc<str>> {
    if let Some(reason) = standing(seen, last_event_at).find_map(|digest| digest.reason.clone()) {
        return Some(reason);
    }
    let since = reached.stage_at[reached.furthest.checked_sub(1)?]?;
    let recent = seen.iter().rev().take_while(|digest| digest.occurred_at >= since);
    recent.filter(|digest| digest.error).find_map(|digest| digest.code.clone())
}

/// Whether an exclusion takes the session out: such an event strictly between the two stages, or,
/// the second not reached, after the first and within the window.
pub(super) fn excluded<M: Mark>(seen: &[M], stage_at: &[Option<i64>], rules: &Rules) -> bool {
    let Some(started_at) = stage_at[0] else {
        return false;
    };
    rules.exclusions.iter().enumerate().any(|(exclusion, &(from, to))| {
        let Some(after) = stage_at[from] else {
            return false;
        };
        seen.iter().filter(|mark| mark.exclusions() >> exclusion & 1 == 1).any(|mark| {
            let before_end = match stage_at[to] {
                Some(end) => mark.occurred_at() < end,
                None => mark.occurred_at() <= rules.window_end(started_at),
            };
            mark.occurred_at() > after && before_end
        })
    })
}

/// The abandonments that no activity follows: being activity themselves, those at its last instant.
fn standing(seen: &[Digest], last_event_at: i64) -> impl Iterator<Item = &Digest> {
    let start = seen.partition_point(|digest| digest.occurred_at < last_event_at);
    let last = seen[start..].iter().take_while(move |digest| digest.occurred_at == last_event_at);
    last.filter(|digest| digest.abandonment)
}
