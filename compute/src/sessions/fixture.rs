//! Lakes for tests: small event logs, written as ingest writes them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::DataType;
use onramp_lake::{Advance, Appender, Lake, Outcome, StoreSettings};
use onramp_schemas::tables::EVENTS;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::engine::{Engine, Options};

/// An event as a test writes it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub client: String,
    pub source: String,
    pub id: String,
    pub kind: String,
    pub session: String,
    /// Microseconds UTC.
    pub at: i64,
    /// The payload, a JSON object.
    pub data: Option<String>,
}

/// An event of `acme` with an id of its own.
pub(crate) fn event(session: &str, kind: &str, at: i64, data: &str) -> Event {
    Event {
        client: "acme".into(),
        source: "app".into(),
        id: format!("{session}-{kind}-{at}"),
        kind: kind.into(),
        session: session.into(),
        at,
        data: (!data.is_empty()).then(|| data.into()),
    }
}

/// A lake in a temporary folder.
pub(crate) struct TestLake {
    pub lake: Lake,
    pub engine: Engine,
    sequence: i64,
    _folder: Option<tempfile::TempDir>,
}

impl TestLake {
    pub fn new() -> Self {
        Self::with_memory(64 << 20)
    }

    pub fn with_memory(memory_limit_bytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path().to_str().unwrap(), &StoreSettings::default()).unwrap();
        Self::of(lake, memory_limit_bytes, Some(folder))
    }

    /// A lake in a bucket of the S3 service that tests are given, if there is one.
    pub fn in_bucket() -> Option<Self> {
        let endpoint = std::env::var("ONRAMP_TEST_S3").ok()?;
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "onramp"),
            ("AWS_SECRET_ACCESS_KEY", "onramp-secret"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let url = format!("s3://lake/sessions/{}/{name}", std::process::id());
        let lake = Lake::open_s3(&url, variables, &StoreSettings::default()).unwrap();
        Some(Self::of(lake, 64 << 20, None))
    }

    fn of(lake: Lake, memory_limit_bytes: usize, folder: Option<tempfile::TempDir>) -> Self {
        let engine =
            Engine::new(&Options { memory_limit_bytes, target_partitions: 2, spill_dir: None })
                .unwrap();
        Self { lake, engine, sequence: 0, _folder: folder }
    }

    /// Appends events in one commit, sorted as a flush is.
    pub async fn append(&mut self, events: &[Event]) -> i64 {
        let table = self.lake.create(&EVENTS).await.unwrap();
        let mut appender = Appender::open(table).await.unwrap();
        let mut events = events.to_vec();
        events.sort_by_key(|event| (session_key(event), event.at, event.id.clone()));
        let files = appender.write(batch(&events, self.sequence), &[]).await.unwrap();
        let base = (self.sequence > 0).then_some(self.sequence);
        self.sequence += events.len() as i64;
        let advance = Advance { app_id: "file/test".into(), base, next: self.sequence };
        match appender.commit(files, vec![advance]).await.unwrap() {
            Outcome::Committed { version } => version,
            Outcome::Lost { app_ids } => panic!("lost {app_ids:?}"),
        }
    }
}

pub(crate) fn session_key(event: &Event) -> i64 {
    xxh3_64(format!("{}\u{1f}{}", event.client, event.session).as_bytes()) as i64
}

/// The events as rows of the table, numbered from `sequence` on.
pub(crate) fn batch(events: &[Event], sequence: i64) -> RecordBatch {
    let schema = EVENTS.arrow_schema();
    let payloads: Vec<Value> = events
        .iter()
        .map(|event| {
            event
                .data
                .as_deref()
                .and_then(|data| serde_json::from_str(data).ok())
                .unwrap_or_default()
        })
        .collect();
    let text = |pick: fn(&Event) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(events.iter().map(pick)))
    };
    let instants = || -> ArrayRef {
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| event.at))
                .with_timezone("UTC"),
        )
    };
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "event_date" => Arc::new(Date32Array::from_iter_values(
                events.iter().map(|event| event.at.div_euclid(86_400_000_000) as i32),
            )),
            "client_id" => text(|event| &event.client),
            "source" => text(|event| &event.source),
            "id" => text(|event| &event.id),
            "event_type" => text(|event| &event.kind),
            "session_id" | "correlation_id" => text(|event| &event.session),
            "source_partition" => text(|_| "file/test"),
            "occurred_at" | "received_at" => instants(),
            "session_key" => Arc::new(Int64Array::from_iter_values(events.iter().map(session_key))),
            "sequence" => Arc::new(Int64Array::from_iter_values(
                (0..events.len() as i64).map(|row| sequence + row),
            )),
            "data" => {
                Arc::new(events.iter().map(|event| event.data.as_deref()).collect::<StringArray>())
            }
            name => payload(&payloads, name, field.data_type()),
        }
    });
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
    assert!(batch.columns().iter().all(|column| column.len() == events.len()));
    batch
}

fn payload(payloads: &[Value], name: &str, kind: &DataType) -> ArrayRef {
    let fields = payloads.iter().map(|payload| &payload[name]);
    match kind {
        DataType::Utf8 => Arc::new(fields.map(Value::as_str).collect::<StringArray>()),
        DataType::Boolean => Arc::new(fields.map(Value::as_bool).collect::<BooleanArray>()),
        DataType::Int64 => Arc::new(fields.map(Value::as_i64).collect::<Int64Array>()),
        other => new_null_array(other, payloads.len()),
    }
}
