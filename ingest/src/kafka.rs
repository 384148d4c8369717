//! Kafka as a source: a consumer group whose offsets live in the lake.
//!
//! A partition starts from the lake's transaction, never from the group's committed offset, which
//! only serves lag monitoring. One thread owns the consumer and hands what it reads to another, which
//! decodes it into the buffer. It gives the committer one flush at a time and reads on meanwhile; before anything else is done with a partition – it is
//! given up, it comes back, the lake is asked where it stands – that flush has ended.

mod batch;
mod consume;
mod context;
mod decoder;
mod flight;
mod mirror;
mod options;
mod producer;
mod reach;
mod same;
mod state;

pub use consume::run;
pub use options::KafkaOptions;
pub use producer::{Producer, ProducerError};
pub use reach::check;
