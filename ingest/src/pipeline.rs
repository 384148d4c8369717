//! The one pipeline behind every source: decode, validate, de-duplicate, batch, append.

mod buffer;
mod committer;
mod partition;
mod rows;
mod start;
#[cfg(test)]
mod tests;
mod window;

pub use buffer::{Buffer, Counts, Flush, Range, TOGETHER, Taken, Verdict, too_large};
pub use committer::{Beside, Committer, Flushed, encode};
pub use partition::{Partition, Record, Unreadable};
pub use rows::{SortedRows, TASK_FAILED};
pub use window::{BYTES_PER_IDENTITY, Seen, Window};
