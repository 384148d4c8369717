//! How fast sessions are folded: all of them, a few new events, and loaded for a report.
//!
//! `cargo bench -p onramp-compute --bench rebuild -- 100000 256` folds that many sessions of one to
//! eight events with a memory limit of 256 MiB (1,024 if not given); it prints one line a measure.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use onramp_compute::engine::{Engine, Options};
use onramp_compute::sessions::{
    CaughtUp, LoadRequest, Settings, catch_up, input_counts, load, rebuild, silent,
};
use onramp_lake::{Advance, Appender, Lake, StoreSettings};
use onramp_schemas::funnel::{Funnel, builtin};
use onramp_schemas::tables::EVENTS;
use xxhash_rust::xxh3::xxh3_64;

const DAY: i64 = 86_400_000_000;
/// Sessions start evenly over so many days.
const DAYS: usize = 30;
/// Events of one flush.
const FLUSH: usize = 50_000;
const STEPS: [&str; 8] = [
    "session.started",
    "input.submitted",
    "checkpoint.saved",
    "recommendations.generated",
    "recommendations.validated",
    "approval.requested",
    "approval.decided",
    "session.completed",
];

/// The step-th event of a session.
#[derive(Clone, Copy)]
struct Event {
    session: usize,
    step: usize,
    at: i64,
}

impl Event {
    fn session_id(self) -> String {
        format!("session-{:012x}", self.session.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16)
    }

    fn key(self) -> i64 {
        xxh3_64(format!("acme\u{1f}{}", self.session_id()).as_bytes()) as i64
    }

    fn data(self) -> String {
        match self.step {
            0 => r#"{"language":"de","user_kind":"first_time","channel":"web","device":"mobile"}"#,
            1 => r#"{"step":"goal","meaningful":true,"characters":120,"latency_ms":90}"#,
            _ => "{}",
        }
        .to_owned()
    }
}

fn events(sessions: usize) -> Vec<Event> {
    let mut events = Vec::with_capacity(sessions * STEPS.len());
    for session in 0..sessions {
        let start = (session % DAYS) as i64 * DAY + session as i64 * 1_009 % DAY;
        // Sessions end at different steps.
        for step in 0..=(session % STEPS.len()) {
            events.push(Event { session, step, at: start + step as i64 * 60_000_000 });
        }
    }
    events.sort_by_key(|event| event.at);
    events
}

fn batch(events: &[Event], sequence: i64) -> RecordBatch {
    let text = |pick: &dyn Fn(&Event) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(events.iter().map(pick)))
    };
    let schema = EVENTS.arrow_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "event_date" => Arc::new(Date32Array::from_iter_values(
                events.iter().map(|event| event.at.div_euclid(DAY) as i32),
            )),
            "client_id" => text(&|_| "acme".into()),
            "source" => text(&|_| "https://app.example/web".into()),
            "id" => text(&|event| format!("{:016x}-{}", event.key(), event.step)),
            "event_type" => text(&|event| format!("onboarding.{}", STEPS[event.step])),
            "session_id" | "correlation_id" => text(&|event| event.session_id()),
            "source_partition" => text(&|_| "file/bench".into()),
            "data" => text(&|event| event.data()),
            "meaningful" => Arc::new(
                events.iter().map(|it| (it.step == 1).then_some(true)).collect::<BooleanArray>(),
            ),
            "occurred_at" | "received_at" => Arc::new(
                TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| event.at))
                    .with_timezone("UTC"),
            ),
            "session_key" => {
                Arc::new(Int64Array::from_iter_values(events.iter().map(|event| event.key())))
            }
            "sequence" => Arc::new(Int64Array::from_iter_values((sequence..).take(events.len()))),
            _ => new_null_array(field.data_type(), events.len()),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("columns of the table")
}

async fn append(appender: &mut Appender, events: &[Event], sequence: &mut i64) {
    for flush in events.chunks(FLUSH) {
        let mut flush = flush.to_vec();
        flush.sort_by_cached_key(|event| (event.key(), event.at));
        let files = appender.write(batch(&flush, *sequence), &[]).await.expect("files are written");
        let base = (*sequence > 0).then_some(*sequence);
        *sequence += flush.len() as i64;
        let advance = Advance { app_id: "file/bench".into(), base, next: *sequence };
        appender.commit(files, vec![advance]).await.expect("a commit");
    }
}

/// The most memory that the process ever held, where the system tells.
fn peak_mebibytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kibibytes| kibibytes >> 10)
}

fn told(what: &str, started: Instant, count: u64, unit: &str) {
    let seconds = started.elapsed().as_secs_f64();
    let peak = peak_mebibytes().unwrap_or_default();
    let rate = count as f64 / seconds;
    println!("{what:<28} {seconds:>9.3} s {rate:>12.0} {unit}/s, peak so far {peak} MiB");
}

async fn caught_up(lake: &Lake, funnel: &Funnel, engine: &Engine, what: &str) -> CaughtUp {
    let started = Instant::now();
    let done = catch_up(lake, funnel, engine, &Settings::default(), &silent).await.expect("a fold");
    told(what, started, done.events_read, "events");
    done
}

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let sessions = numbers.next().unwrap_or(10_000);
    let memory_limit_bytes = numbers.next().unwrap_or(1_024) << 20;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lake =
        Lake::open(&folder.path().to_string_lossy(), &StoreSettings::default()).expect("a lake");
    let engine =
        Engine::new(&Options { memory_limit_bytes, ..Options::default() }).expect("an engine");
    let funnel = builtin().remove(0);
    let mut appender =
        Appender::open(lake.create(&EVENTS).await.expect("a table")).await.expect("an appender");
    let (all, mut sequence) = (events(sessions), 0);
    let (old, new) = all.split_at(all.len() - all.len() / 100);
    append(&mut appender, old, &mut sequence).await;
    caught_up(&lake, &funnel, &engine, "first fold").await;
    append(&mut appender, new, &mut sequence).await;
    let done = caught_up(&lake, &funnel, &engine, "the newest 1 %").await;
    let started = Instant::now();
    let request = LoadRequest {
        as_of: i64::MAX,
        attributes: vec!["language".into()],
        periods: vec![(i64::MIN, i64::MAX)],
        ..LoadRequest::default()
    };
    let dataset = load(&lake, &funnel, &engine, &done, &request).await.expect("sessions");
    told("load", started, dataset.populations[0].sessions() as u64, "sessions");
    let started = Instant::now();
    let input = input_counts(&lake, &funnel.name, &engine, &done, &request).await.expect("counts");
    told("count the input", started, input.events, "events");
    let started = Instant::now();
    let found = rebuild(&lake, &funnel, &engine, &Settings::default(), true, &silent)
        .await
        .expect("a rebuild");
    told("rebuild, dry", started, found.events_read, "events");
    assert_eq!((found.different, found.missing, found.surplus), (0, 0, 0));
}
