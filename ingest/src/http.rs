//! The HTTP collector, and the pages that tell how a pipeline is.

mod collector;
mod connections;
mod group_commit;
mod payload;
mod server;

pub use collector::{Collector, CollectorOptions, Sink};
pub use group_commit::{Answer, GroupCommit};
pub use server::{ServerOptions, bind, operations, serve};
