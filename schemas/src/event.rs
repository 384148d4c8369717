//! One event, from bytes to validated columns.

mod binary;
mod decode;
mod fields;
mod json;
#[cfg(test)]
mod tests;
mod time;

use std::borrow::Cow;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::rejection::{Rejection, RejectionCode};

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
    joined([client_id.as_bytes(), &[0x1F], session_id.as_bytes()], xxh3_64).cast_signed()
}

/// Attributes of a record that was rejected, as far as they can be read in spite of what is wrong
/// with it: none when it is no JSON object, and none that is no text.
pub fn peek<const N: usize>(bytes: &[u8], names: [&str; N]) -> [Option<String>; N] {
    let mut found = [const { None }; N];
    let read = json::read(bytes, |name, value| {
        if let Some(place) = names.iter().position(|known| *known == name) {
            found[place] = value.text().map(Cow::into_owned);
        }
        Ok(())
    });
    if read.is_ok() { found } else { [const { None }; N] }
}

/// The elements of a JSON array as they stand: a batch of events.
///
/// # Errors
/// `malformed_json` for what is no JSON array.
pub fn split_batch(bytes: &[u8]) -> Result<Vec<&str>, Rejection> {
    let batch = json::parse(bytes)?;
    if batch.kind() != "a list" {
        let message = format!("expected a JSON array of CloudEvents, found {}", batch.kind());
        return Err(Rejection::new(RejectionCode::MalformedJson, message));
    }
    Ok(json::elements(batch).into_iter().map(json::Value::raw).collect())
}

/// What a resend repeats: 128 bits of (`clientid`, `source`, `id`), each with its length before it.
pub fn identity(client_id: &str, source: &str, id: &str) -> u128 {
    let [client, source_length, id_length] =
        [client_id, source, id].map(|text| (text.len() as u64).to_le_bytes());
    let texts = [client_id, source, id].map(str::as_bytes);
    joined([&client, texts[0], &source_length, texts[1], &id_length, texts[2]], xxh3_128)
}

/// What tells the events of one session apart: 128 bits of (`source`, `id`), each with its length
/// before it.
pub fn digest_id(source: &str, id: &str) -> u128 {
    let [source_length, id_length] = [source, id].map(|text| (text.len() as u64).to_le_bytes());
    joined([&source_length, source.as_bytes(), &id_length, id.as_bytes()], xxh3_128)
}

/// Hands `parts` to `hash` as one: hashing short bytes at once is several times as fast as in
/// pieces.
fn joined<const N: usize, H>(parts: [&[u8]; N], hash: impl Fn(&[u8]) -> H) -> H {
    let mut stack = [0_u8; 256];
    let length = parts.iter().map(|part| part.len()).sum();
    let Some(bytes) = stack.get_mut(..length) else { return hash(&parts.concat()) };
    let mut at = 0;
    for part in parts {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    hash(bytes)
}
