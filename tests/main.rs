//! End to end: the binary as its users run it, on real files, real Kafka, real Delta tables.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod access;
mod analysts;
mod api;
mod bad_input;
mod bad_numbers;
mod cli;
mod compact;
mod deploy;
mod faults;
mod forget;
mod functions;
mod golden;
mod http;
mod import;
mod kafka;
mod numbers;
mod operations;
mod postgres;
mod recommendations;
mod reports;
mod s3;
mod session;
mod sql;
mod support;
