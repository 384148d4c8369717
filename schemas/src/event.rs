//! One event, from bytes to validated columns.

mod binary;
mod decode;
mod fields;
mod json;
#[cfg(test)]
mod tests;
mod time;

use std::borrow::Cow;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

pub use binary::{decode_binary, is_binary};
pub use decode::decode;
pub use fields::Fields;
pub use time::parse_time;

/// How one record is judged.
#[derive(Clone, Copy, Debug)]
pub struct RecordContext<'a> {
    /// The record's own (Kafka) or its arrival time, microseconds UTC: time limits are judged
    /// against it and never against the wall clock, so that a replay decides alike.
    pub timestamp: i64,
    /// How far the event may lie after it, microseconds.
    pub max_future_us: i64,
    /// How far it may lie before it, microseconds; none: as far as it likes.
    pub horizon_us: Option<i64>,
    /// The greatest size of a record, bytes.
    pub max_bytes: usize,
    /// Namespaces of custom types.
    pub namespaces: &'a [String],
}

/// A valid event; texts borrow from the record where it holds them unescaped.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// `id`.
    pub id: Cow<'a, str>,
    /// `source`.
    pub source: Cow<'a, str>,
    /// `type`.
    pub event_type: Cow<'a, str>,
    /// `subject`.
    pub session_id: Cow<'a, str>,
    /// `clientid`.
    pub client_id: Cow<'a, str>,
    /// `userid`.
    pub user_id: Option<Cow<'a, str>>,
    /// `time`, microseconds UTC.
    pub occurred_at: i64,
    /// `dataschema`.
    pub dataschema: Option<Cow<'a, str>>,
    /// `correlationid`, or the session id where there was none.
    pub correlation_id: Cow<'a, str>,
    /// `causationid`.
    pub causation_id: Option<Cow<'a, str>>,
    /// Further attributes, a JSON object.
    pub extensions: Option<String>,
    /// `data` as it arrived, a JSON object.
    pub data: Option<Cow<'a, str>>,
    /// The payload's analytic fields, in the newest version of their type.
    pub fields: Fields<'a>,
    /// Set for a failed background task, which is a dead letter and no event.
    pub task: Option<FailedTask<'a>>,
}

/// What an app says of a background task that ran out of retries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailedTask<'a> {
    /// `task_name`.
    pub task_name: Option<Cow<'a, str>>,
    /// `message`.
    pub message: Option<Cow<'a, str>>,
}

/// The key by which rows are sorted: xxh3-64 of the client id, the byte 0x1F and the session id.
pub fn session_key(client_id: &str, session_id: &str) -> i64 {
    let mut stack = [0_u8; 256];
    let length = client_id.len() + 1 + session_id.len();
    let hash = if let Some(bytes) = stack.get_mut(..length) {
        bytes[..client_id.len()].copy_from_slice(client_id.as_bytes());
        bytes[client_id.len()] = 0x1F;
        bytes[client_id.len() + 1..].copy_from_slice(session_id.as_bytes());
        xxh3_64(bytes)
    } else {
        xxh3_64(&[client_id.as_bytes(), &[0x1F], session_id.as_bytes()].concat())
    };
    hash.cast_signed()
}

/// What a resend repeats: 128 bits of (`clientid`, `source`, `id`), each with its length before it.
pub fn identity(client_id: &str, source: &str, id: &str) -> u128 {
    hash_texts(&[client_id, source, id])
}

/// What tells the events of one session apart: 128 bits of (`source`, `id`).
pub fn digest_id(source: &str, id: &str) -> u128 {
    hash_texts(&[source, id])
}

fn hash_texts(texts: &[&str]) -> u128 {
    let mut hasher = Xxh3::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.digest128()
}
