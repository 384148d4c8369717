//! Rows of `dead_letters`: what was rejected, with its bytes, its cause and its place.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Date32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;
use onramp_schemas::event::{Event, is_binary, peek};
use onramp_schemas::rejection::Rejection;
use onramp_schemas::tables;
use sha2::{Digest, Sha256};

use super::super::partition::{Partition, Record};
use super::Placed;
use super::duplicates::DAY_US;
use crate::import::hex;

/// Bytes of a rejected record that are kept.
const RAW_LIMIT: usize = 1 << 20;

/// The code of a dead letter of kind `task`.
pub const TASK_FAILED: &str = "task_failed";

/// One dead letter to be written.
pub struct DeadLetter<'a> {
    kind: &'static str,
    code: &'static str,
    message: String,
    /// Client, session, type and correlation id.
    envelope: [Option<String>; 4],
    app_id: &'a str,
    record: &'a Record<'a>,
}

impl<'a> DeadLetter<'a> {
    /// A record that does not keep the contract.
    pub fn rejected(
        partition: &'a Partition,
        record: &'a Record<'a>,
        rejection: &Rejection,
    ) -> Self {
        Self {
            kind: "record",
            code: rejection.code.as_str(),
            message: rejection.message.clone(),
            envelope: match record.unreadable {
                Some(_) => [const { None }; 4],
                None => envelope(record),
            },
            app_id: &partition.app_id,
            record,
        }
    }

    /// A background task of an app that ran out of retries.
    pub fn task(partition: &'a Partition, record: &'a Record<'a>, event: &'a Event<'a>) -> Self {
        let message = event.fields.message.as_deref().unwrap_or("the task gave no message");
        Self {
            kind: "task",
            code: TASK_FAILED,
            message: message.to_owned(),
            envelope: [
                &event.client_id,
                &event.session_id,
                &event.event_type,
                &event.correlation_id,
            ]
            .map(|text| Some(text.to_string())),
            app_id: &partition.app_id,
            record,
        }
    }

    /// The same for the same record, whoever writes it.
    fn id(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.app_id);
        hasher.update(self.record.sequence.to_le_bytes());
        hex(&hasher.finalize()[..16])
    }
}

/// Collects dead letters of one partition.
#[derive(Default)]
pub struct DeadLetterRows {
    sequences: Vec<i64>,
    date: Date32Builder,
    /// id, kind, code, message, client, session, type, source partition.
    texts: [StringBuilder; 8],
    correlation_id: StringBuilder,
    sequence: Int64Builder,
    raw: BinaryBuilder,
    raw_bytes: Int64Builder,
    raw_sha256: StringBuilder,
    headers: StringBuilder,
    received_at: Option<TimestampMicrosecondBuilder>,
}

impl DeadLetterRows {
    /// Adds a dead letter.
    pub fn push(&mut self, letter: &DeadLetter<'_>) {
        let record = letter.record;
        let payload = record.payload.unwrap_or_default();
        self.sequences.push(record.sequence);
        self.date.append_value(record.timestamp.div_euclid(DAY_US) as i32);
        let id = letter.id();
        let [client, session, event_type, correlation] = &letter.envelope;
        let texts = [
            Some(id.as_str()),
            Some(letter.kind),
            Some(letter.code),
            Some(letter.message.as_str()),
            client.as_deref(),
            session.as_deref(),
            event_type.as_deref(),
            Some(letter.app_id),
        ];
        for (builder, text) in self.texts.iter_mut().zip(texts) {
            builder.append_option(text);
        }
        self.sequence.append_value(record.sequence);
        self.raw.append_value(&payload[..payload.len().min(RAW_LIMIT)]);
        let (bytes, sha256) = match record.unreadable {
            Some(unreadable) => (unreadable.bytes, unreadable.sha256),
            None => (payload.len() as u64, None),
        };
        self.raw_bytes.append_value(i64::try_from(bytes).unwrap_or(i64::MAX));
        let sha256 = sha256.unwrap_or_else(|| Sha256::digest(payload).into());
        self.raw_sha256.append_value(hex(&sha256));
        self.headers.append_option(headers(record.headers));
        self.correlation_id.append_option(correlation.as_deref());
        self.received_at
            .get_or_insert_with(|| TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            .append_value(record.timestamp);
    }

    /// The sequences of the rows and the rows; none if there were none.
    pub fn finish(&mut self) -> Result<Option<Placed>, ArrowError> {
        let mut taken = std::mem::take(self);
        let Some(mut received_at) = taken.received_at else { return Ok(None) };
        let mut columns: Vec<ArrayRef> = vec![Arc::new(taken.date.finish())];
        columns.extend(taken.texts.iter_mut().map(|t| Arc::new(t.finish()) as ArrayRef));
        columns.push(Arc::new(taken.sequence.finish()));
        columns.push(Arc::new(taken.raw.finish()));
        columns.push(Arc::new(taken.raw_bytes.finish()));
        columns.push(Arc::new(taken.raw_sha256.finish()));
        columns.push(Arc::new(taken.headers.finish()));
        columns.push(Arc::new(taken.correlation_id.finish()));
        columns.push(Arc::new(received_at.finish()));
        let rows = RecordBatch::try_new(tables::DEAD_LETTERS.arrow_schema(), columns)?;
        let sequences = taken.sequences.into_iter().map(|sequence| sequence..sequence + 1);
        Ok(Some((sequences.collect(), rows)))
    }
}

/// Client, session, type and correlation id of a rejected record, where they can be read.
fn envelope(record: &Record<'_>) -> [Option<String>; 4] {
    let names = ["clientid", "subject", "type", "correlationid"];
    if is_binary(record.headers) {
        return names.map(|attribute| {
            let named = |(name, _): &&(&str, _)| name.strip_prefix("ce_") == Some(attribute);
            let (_, value) = record.headers.iter().find(named)?;
            String::from_utf8(value.to_vec()).ok()
        });
    }
    match record.payload {
        Some(payload) if payload.len() <= RAW_LIMIT => peek(payload, names),
        _ => [const { None }; 4],
    }
}

/// Transport headers as a JSON object; bytes that are no text are shown with replacement marks.
fn headers(headers: &[(&str, &[u8])]) -> Option<String> {
    if headers.is_empty() {
        return None;
    }
    let object: serde_json::Map<_, _> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), String::from_utf8_lossy(value).into()))
        .collect();
    Some(serde_json::Value::Object(object).to_string())
}
