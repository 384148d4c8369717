//! Keeping the lake: the same rows in fewer and better laid out files, no file that nobody needs, and
//! no row of somebody who asked to be forgotten.
//!
//! It owns which files are worth a rewrite and how rows lie in them. It changes no row, and rests on no
//! lease: whoever loses a race starts again from the newest version.

mod compact;
mod forget;
mod vacuum;

pub use compact::{Compacted, Settings, compact};
pub use forget::{Forgotten, Person, forget};
pub use vacuum::{Vacuumed, vacuum};

/// How far maintenance has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Rows rewritten.
    pub rows: u64,
    /// Rows to be rewritten, as far as is known.
    pub rows_total: u64,
}

/// Is told of progress; called often, so it should be quick.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);
