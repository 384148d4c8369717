//! Arrow builders for the three tables that ingest writes.

use std::ops::Range;

use arrow::array::RecordBatch;

mod columns;
mod dead_letters;
mod duplicates;
mod events;

pub use dead_letters::{DeadLetter, DeadLetterRows, TASK_FAILED};
pub use duplicates::DuplicateRows;
pub use events::{EventRows, SortedRows};

/// Rows for a table beside `events`, with the sequences that each of them stands for.
pub type Placed = (Vec<Range<i64>>, RecordBatch);
