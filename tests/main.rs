//! End to end: the binary as its users run it, on real files, real Kafka, real Delta tables.

mod analysts;
mod bad_input;
mod golden;
mod http;
mod import;
mod kafka;
mod support;
