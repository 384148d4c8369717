//! The table `sessions`: the fold of every session of a funnel, kept up to date by copy-on-write.
//!
//! It owns when and how rows are derived from `events`. Every row is a function of its session's
//! events alone, so that catching up in any pieces gives the rows of a rebuild. It computes no
//! metric: [`load`] hands folded sessions to those who do.

use std::sync::Arc;

use onramp_lake::Snapshot;

mod apply;
mod catch_up;
mod columns;
mod counts;
mod definition;
mod derive;
mod encode;
mod filter;
mod gather;
mod keys;
mod load;
mod positions;
mod rebuild;
mod replay;
mod row;
mod seen;
mod story;
mod writer;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use catch_up::catch_up;
pub use counts::{input_counts, knows_client, replayed_counts, watermark};
pub use filter::{Filter, Outcome};
pub use load::{CLIENT_ID, Dataset, LoadRequest, load};
pub(crate) use load::{count, refuse_unknown, starts};
pub use positions::{Positions, positions};
pub use rebuild::{Rebuilt, rebuild};
pub(crate) use replay::replay;
pub(crate) use seen::{Glimpse, Scope, Seen, each_seen};
pub(crate) use story::{Story, StoryEvent, story};

/// Bounds of the work; the defaults suit a machine of any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Digests kept of a session; one with more is read from `events` instead.
    pub digests: usize,
    /// New events that are held in memory at once while catching up.
    pub slice_events: i64,
    /// Rows of a file.
    pub file_rows: usize,
    /// Bytes of rows that wait to be written in a first fold.
    pub buffered_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            digests: 10_000,
            slice_events: 500_000,
            file_rows: 100_000,
            buffered_bytes: 256 << 20,
        }
    }
}

/// How far a fold has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Events read.
    pub events_read: u64,
    /// Events to be read, as far as is known.
    pub events_total: u64,
}

/// Is told of progress; called often, so it should be quick.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// Tells nobody.
pub fn silent(_: Progress) {}

/// A funnel's sessions are up to date with these versions.
#[derive(Clone, Debug)]
pub struct CaughtUp {
    /// The events that they were folded from; `None`: the lake has none.
    pub events: Option<Arc<Snapshot>>,
    /// The table that holds them; `None`: it was not created.
    pub sessions: Option<Arc<Snapshot>>,
    /// Rows that were written because they are new or different.
    pub sessions_changed: u64,
    /// Events that were read.
    pub events_read: u64,
    /// Whether all sessions were folded anew.
    pub whole: bool,
}

impl CaughtUp {
    /// The version of `events` that the sessions hold.
    pub fn events_version(&self) -> Option<i64> {
        self.events.as_ref().map(|events| events.version)
    }

    /// The next sequence of each source: what was read lies before.
    pub fn positions(&self) -> Positions {
        self.events.as_deref().map(positions).unwrap_or_default()
    }
}

/// Whether every condition of the funnel can run on events.
///
/// # Errors
/// The first one that cannot, with its place in the funnel.
pub fn check(
    engine: &crate::Engine,
    funnel: &onramp_schemas::funnel::Funnel,
) -> Result<(), crate::ComputeError> {
    definition::Definition::compile(&engine.scratch(), funnel).map(|_| ())
}
