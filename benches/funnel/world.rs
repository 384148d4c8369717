//! Two million sessions of about six events in four weeks, drawn by a fixed law: four of five go on from
//! stage to stage, minutes apart, with errors and checkpoints between.

use std::sync::Arc;

use anyhow::Context;
use arrow::array::{
    ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use onramp_lake::{Advance, Appender, Lake};
use onramp_schemas::event::session_key;
use onramp_schemas::tables::EVENTS;

const DAY: i64 = 86_400_000_000;
const DAYS: f64 = 28.0;
const BEGIN: i64 = 20_724 * DAY;
/// Sessions whose events are drawn at once.
const CHUNK: usize = 500_000;
/// Events of one flush, ingest's default.
const FLUSH: usize = 200_000;
const SOURCE: &str = "file/bench";
const LANGUAGES: [&str; 6] = ["en", "de", "fr", "es", "hi", "ja"];
const TYPES: [&str; 8] = [
    "onboarding.session.started",
    "onboarding.input.submitted",
    "onboarding.error.occurred",
    "onboarding.recommendations.generated",
    "onboarding.recommendations.validated",
    "onboarding.approval.decided",
    "onboarding.session.completed",
    "onboarding.checkpoint.saved",
];

/// The place of errors in [`TYPES`].
const ERROR: usize = 2;

/// The code of an error at an instant.
fn code(at: i64) -> &'static str {
    ["timeout", "not_found", "refused"][(at % 3) as usize]
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn chance(&mut self, share: f64) -> bool {
        self.share() < share
    }

    /// Exponential, with this mean.
    fn wait(&mut self, mean: f64) -> f64 {
        -(1.0 - self.share()).ln() * mean
    }

    fn uuid(&mut self) -> String {
        let (high, low) = (self.bits(), self.bits());
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xFFFF,
            high & 0xFFFF,
            low >> 48,
            low & 0xFFFF_FFFF_FFFF
        )
    }
}

struct Session {
    client: String,
    id: String,
    language: &'static str,
    key: i64,
}

#[derive(Clone, Copy)]
struct Event {
    session: usize,
    kind: usize,
    at: i64,
}

/// Writes the events of so many sessions, flush by flush in the order of their times; gives the number
/// of events.
pub async fn write(lake: &Lake, sessions: usize) -> anyhow::Result<u64> {
    let mut appender = Appender::open(lake.create(&EVENTS).await?).await?;
    let (mut random, mut sequence) = (Random(7), 0);
    for first in (0..sessions).step_by(CHUNK) {
        let count = CHUNK.min(sessions - first);
        let slice = (first as f64 / sessions as f64, count as f64 / sessions as f64);
        let (known, events) = drawn(&mut random, count, slice);
        for flush in events.chunks(FLUSH) {
            let mut flush = flush.to_vec();
            flush.sort_by_key(|event| (known[event.session].key, event.at));
            let files = appender.write(rows(&mut random, &known, &flush, sequence)?, &[]).await?;
            let base = (sequence > 0).then_some(sequence);
            sequence += flush.len() as i64;
            let advance = Advance { app_id: SOURCE.to_owned(), base, next: sequence };
            appender.commit(files, vec![advance]).await?;
        }
    }
    u64::try_from(sequence).context("a number of events")
}

/// Sessions that start in a slice of the time, and their events by time.
fn drawn(random: &mut Random, count: usize, slice: (f64, f64)) -> (Vec<Session>, Vec<Event>) {
    let (mut sessions, mut events) = (Vec::with_capacity(count), Vec::with_capacity(count * 6));
    for session in 0..count {
        let client = format!("client-{:02}", random.bits() % 50);
        let id = random.uuid();
        let language = LANGUAGES[(random.bits() % 6) as usize];
        let key = session_key(&client, &id);
        sessions.push(Session { client, id, language, key });
        let start = (slice.0 + random.share() * slice.1) * DAYS * DAY as f64;
        let mut add = |kind, at: f64| events.push(Event { session, kind, at: BEGIN + at as i64 });
        add(0, start);
        if random.chance(0.2) {
            add(ERROR, start + random.wait(120e6));
        }
        if !random.chance(0.78) {
            continue;
        }
        let engaged = start + random.wait(60e6) + 1e6;
        add(1, engaged);
        for more in 1..4 {
            if random.chance(0.7) {
                add(1, engaged + f64::from(more) * 30e6 * random.share());
            }
        }
        if random.chance(0.6) {
            add(7, engaged + 10e6);
        }
        if !random.chance(0.8) {
            continue;
        }
        let recommended = engaged + random.wait(90e6);
        add(3, recommended);
        if random.chance(0.95) {
            add(4, recommended + 5e6);
        }
        if random.chance(0.75) {
            let approved = recommended + random.wait(600e6);
            add(5, approved);
            if random.chance(0.85) {
                add(6, approved + random.wait(30e6));
            }
        }
    }
    events.sort_by_key(|event| event.at);
    (sessions, events)
}

fn rows(
    random: &mut Random,
    sessions: &[Session],
    events: &[Event],
    sequence: i64,
) -> anyhow::Result<RecordBatch> {
    let of = |event: &Event| &sessions[event.session];
    let text = |pick: &dyn Fn(&Event) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(events.iter().map(pick)))
    };
    let ids: ArrayRef =
        Arc::new(StringArray::from_iter_values(events.iter().map(|_| random.uuid())));
    let schema = EVENTS.arrow_schema();
    let column = |name: &str| -> Option<ArrayRef> {
        Some(match name {
            "event_date" => Arc::new(Date32Array::from_iter_values(
                events.iter().map(|event| event.at.div_euclid(DAY) as i32),
            )),
            "client_id" => text(&|event| of(event).client.clone()),
            "source" => text(&|_| "https://app.example/web".to_owned()),
            "id" => Arc::clone(&ids),
            "event_type" => text(&|event| TYPES[event.kind].to_owned()),
            "session_id" | "correlation_id" => text(&|event| of(event).id.clone()),
            "language" => text(&|event| of(event).language.to_owned()),
            "data" => text(&|event| format!(r#"{{"language":"{}"}}"#, of(event).language)),
            "code" => Arc::new(
                events
                    .iter()
                    .map(|it| (it.kind == ERROR).then(|| code(it.at)))
                    .collect::<StringArray>(),
            ),
            "source_partition" => text(&|_| SOURCE.to_owned()),
            "occurred_at" | "received_at" => Arc::new(
                TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| event.at))
                    .with_timezone("UTC"),
            ),
            "session_key" => {
                Arc::new(Int64Array::from_iter_values(events.iter().map(|event| of(event).key)))
            }
            "sequence" => Arc::new(Int64Array::from_iter_values((sequence..).take(events.len()))),
            _ => return None,
        })
    };
    let columns = schema.fields().iter().map(|field| {
        let nothing = || new_null_array(field.data_type(), events.len());
        column(field.name()).unwrap_or_else(nothing)
    });
    Ok(RecordBatch::try_new(Arc::clone(&schema), columns.collect())?)
}
