//! How fast events are decoded and validated, on one core.
//!
//! `cargo bench -p onramp-schemas --bench decode` prints events and megabytes a second over a mix of
//! all usual types, beside the floor of the same run: the same bytes checked to be UTF-8 and JSON,
//! and nothing else. The goal is 700,000 events a second at about 450 bytes.
//! Without `--bench`, as `cargo test --benches` runs it, it only goes through the motions.

use std::hint::black_box;
use std::time::Instant;

use onramp_schemas::event::{RecordContext, decode};
use sonic_rs::LazyValue;

/// 2026-03-01T00:00:00Z.
const NOW: i64 = 1_772_323_200_000_000;

/// Types with a payload each.
const MIX: [(&str, &str); 8] = [
    (
        "session.started",
        r#"{"language":"de-AT","user_kind":"first_time","conversation_type":"guided","channel":"web","device":"desktop","referrer":"https://example.org/pricing"}"#,
    ),
    (
        "input.submitted",
        r#"{"step":"company_profile","meaningful":true,"characters":184,"latency_ms":2310,"locale_hint":"de"}"#,
    ),
    (
        "recommendations.generated",
        r#"{"count":5,"model":"planner-7","confidence":0.8731,"latency_ms":4120}"#,
    ),
    ("recommendations.validated", r#"{"consensus_confidence":0.912,"verdict":"accept"}"#),
    (
        "checkpoint.saved",
        r#"{"checkpoint_id":"cp-000117","step":"team","state":{"answers":["a \"quoted\" one","b"],"done":{"team":true,"goals":false}}}"#,
    ),
    ("approval.decided", r#"{"decision":"modified","seconds_reviewing":73.25}"#),
    (
        "error.occurred",
        r#"{"kind":"external","code":"E1042","message":"the directory did not answer within 10 s","stage":"apply","retryable":true}"#,
    ),
    ("session.completed", r#"{"outcome":"completed"}"#),
];

/// Events of the mix, as a sender writes them.
fn events(count: usize) -> Vec<Vec<u8>> {
    let event = |k: usize| {
        let (name, data) = MIX[k % MIX.len()];
        let (minute, second, session) = (k / 60 % 60, k % 60, k / MIX.len());
        format!(
            r#"{{"specversion":"1.0","id":"0190c3f2-7d5e-7a41-9b1c-{k:012x}","source":"/apps/onboarding/web","type":"onboarding.{name}","subject":"session-{session:010}","time":"2026-02-28T23:{minute:02}:{second:02}.250Z","dataschema":"https://example.org/schemas/onboarding.{name}/v1","datacontenttype":"application/json","clientid":"acme-industries","userid":"user-{session:08}","correlationid":"corr-{session:012}","data":{data}}}"#
        )
        .into_bytes()
    };
    (0..count).map(event).collect()
}

/// Seconds of the fastest of some rounds over all events.
fn fastest(rounds: usize, events: &[Vec<u8>], mut work: impl FnMut(&[u8])) -> f64 {
    let round = |_| {
        let began = Instant::now();
        events.iter().for_each(|event| work(event));
        began.elapsed().as_secs_f64()
    };
    (0..rounds).map(round).fold(f64::INFINITY, f64::min)
}

fn show(name: &str, events: &[Vec<u8>], seconds: f64) {
    let bytes: usize = events.iter().map(Vec::len).sum();
    println!(
        "{name:<8} {:>10.0} events/s {:>8.1} MB/s",
        events.len() as f64 / seconds,
        bytes as f64 / seconds / 1e6
    );
}

fn main() {
    let full = std::env::args().any(|argument| argument == "--bench");
    let (count, rounds) = if full { (100_000, 10) } else { (100, 1) };
    let events = events(count);
    let bytes: usize = events.iter().map(Vec::len).sum();
    println!("{count} events of {} bytes on average", bytes / count);
    let record = RecordContext {
        timestamp: NOW,
        max_future_us: 300_000_000,
        horizon_us: None,
        max_bytes: 1 << 20,
        namespaces: &[],
    };
    let floor = fastest(rounds, &events, |event| {
        simdutf8::basic::from_utf8(event).expect("the mix is UTF-8");
        let value: LazyValue<'_> = sonic_rs::from_slice(event).expect("the mix is JSON");
        black_box(value);
    });
    let decoded = fastest(rounds, &events, |event| {
        black_box(decode(event, &record).expect("the mix is valid"));
    });
    show("floor", &events, floor);
    show("decode", &events, decoded);
    println!("decode takes {:.2} times the floor", decoded / floor);
}
