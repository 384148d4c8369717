//! CSV files: cut into rows that one broken quote cannot swallow, and mapped to events.

pub mod mapping;
pub mod rows;
