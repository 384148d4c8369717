//! Kafka as a source: a consumer group whose offsets live in the lake.
//!
//! A partition starts from the lake's transaction, never from the group's committed offset, which
//! only serves lag monitoring. One thread owns the consumer, the buffer and the committer, so a
//! rebalance can flush before it lets a partition go.

mod consume;
mod context;
mod mirror;
mod options;
mod producer;
mod same;
mod state;

pub use consume::{check, run};
pub use options::KafkaOptions;
pub use producer::{Producer, ProducerError};
