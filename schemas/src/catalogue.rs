//! The 13 event types and what their payloads may hold.

mod payloads;
mod types;

pub use payloads::schemas;
pub use types::{CATALOGUE, Check, EventType, Field, TASK_FAILED, event_type, list};
