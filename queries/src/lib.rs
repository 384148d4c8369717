//! The ways to ask: read-only SQL over the lake.
//!
//! This crate owns what a caller may ask and see. It deliberately computes no metric and writes no
//! table: it calls `onramp_compute`.
#![warn(missing_docs)]

pub mod access;
pub mod http;
pub mod library;
pub mod postgres;
pub mod sql;
