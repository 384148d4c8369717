//! The lake: Delta tables of Parquet on a local folder or an S3-compatible store, written so that every row lands once.
//!
//! This crate owns
//! - opening a [`Lake`] and creating its [`Table`]s, refusing those that it could only damage;
//! - the compare-and-set commit behind [`Appender`] (rows with the sequences that they came from) and [`Rewriter`]
//!   (files replaced by files), which stays right under rebalances, zombies and answers that never come;
//! - reading the log: a [`Snapshot`] of the active files, the [`Tail`] of commits after a version, checkpoints, clean-up and vacuum;
//! - the Parquet files themselves: how rows are split, encoded, described in the log and made durable.
//!
//! It deliberately does not
//! - know what an event is: tables and columns come from `onramp_schemas::tables`, meaning stays with the callers;
//! - read data files or run queries: readers take the paths of a snapshot and the store, and bring their own engine;
//! - sort rows, de-duplicate, or decide what to compact, forget or retry;
//! - use leases or locks: whoever puts the next version first is right, and everybody can tell from the log who that was;
//! - checkpoint while writing: that is maintenance's, by [`Table::checkpoint`].
#![warn(missing_docs)]

mod appender;
mod checkpoint;
mod commit;
mod durable;
mod error;
mod file;
mod log;
mod persistent;
mod rewriter;
mod snapshot;
mod store;
mod table;
mod vacuum;
mod widen;
mod write;

pub use appender::Appender;
pub use checkpoint::LogMaintenance;
pub use commit::{Advance, Outcome};
pub use durable::DurableLocal;
pub use error::LakeError;
pub use file::{DataFile, PendingFile, SEQUENCES_TAG, SequenceRange};
pub use log::{Commit, CommitKind, REWRITE_APP_ID, Tail};
pub use rewriter::{RewriteKind, Rewriter};
pub use snapshot::Snapshot;
pub use store::{Lake, StoreSettings};
pub use table::{DEDUP_WINDOW, Table};
pub use vacuum::Vacuumed;
pub use write::{EncodedFile, FileWriter};

#[cfg(test)]
mod tests;
