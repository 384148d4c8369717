//! The lake's invariants, named after the rules of the architecture. Every test runs on a folder, and on an S3 service as
//! well when `ONRAMP_TEST_S3` holds its endpoint.

mod appends;
mod errors;
mod faults;
mod files;
pub mod fixture;
mod logs;
mod rewrites;
mod tables;
mod vacuum;
