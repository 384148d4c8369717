//! Arrow builders for the three tables that ingest writes.

mod columns;
mod dead_letters;
mod duplicates;
mod events;

pub use dead_letters::{DeadLetter, DeadLetterRows, TASK_FAILED};
pub use duplicates::DuplicateRows;
pub use events::{EventRows, SortedRows};
