//! The contract of Onramp: everything that two parts of the system must agree on, and no I/O.
#![warn(missing_docs)]

pub mod clock;
pub mod funnel;
pub mod tables;
