//! From a source to the lake: one pipeline behind Kafka, files and HTTP.
//!
//! This crate owns
//! - the sources: [`kafka`], [`import`] of files, the [`http`] collector;
//! - the pipeline behind them: decode, validate, de-duplicate, batch, append with offsets;
//! - dead letters and duplicates, written before the events of their range;
//! - [`generate`], a seeded world of sessions to try everything on.
//!
//! It deliberately does not
//! - read analytics, or depend on an engine that could: the fold is compute's;
//! - trust a consumer group's offsets, the wall clock or a lease: only the lake's transactions count;
//! - decide what an event means: the contract is `onramp_schemas`'.
#![warn(missing_docs)]

pub mod csv;
pub mod error;
pub mod faults;
pub mod generate;
pub mod health;
pub mod http;
pub mod import;
mod json;
pub mod kafka;
mod lines;
pub mod observability;
pub mod options;
pub mod pipeline;
pub mod pseudonyms;

pub use error::IngestError;
pub use health::Health;
pub use options::PipelineOptions;
pub use pseudonyms::Pseudonyms;
