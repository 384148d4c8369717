//! The golden case without pipeline and lake: digests made by a tiny evaluator of its funnels.

#[path = "../../../tests/golden/compare.rs"]
mod compare;
#[path = "../../../tests/golden/mapping.rs"]
mod mapping;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::DateTime;
use onramp_schemas::funnel::{Condition, Funnel, parse};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::{Analysis, Answer, Input, Report, Request, Session, Thresholds, populations};
use crate::fold::{Digest, Rules, fold};
use crate::selection::Selection;

const ATTRIBUTES: [&str; 5] = ["client_id", "language", "user_kind", "channel", "device"];

struct Event {
    client_id: String,
    source: String,
    id: String,
    session_id: String,
    event_type: String,
    occurred_at: i64,
    data: Value,
}

fn case() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(case().join(path)).unwrap()
}

fn micros(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

fn events() -> Vec<Event> {
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        Event {
            client_id: text(&event, "clientid"),
            source: text(&event, "source"),
            id: text(&event, "id"),
            session_id: text(&event, "subject"),
            event_type: text(&event, "type"),
            occurred_at: micros(&text(&event, "time")),
            data: event["data"].clone(),
        }
    };
    read("events.ndjson").lines().map(event).collect()
}

/// Type, and of predicates only the one that the golden funnels have.
fn meets(event: &Event, condition: &Condition) -> bool {
    let types = condition.event_type.as_ref().unwrap().as_slice();
    types.contains(&event.event_type)
        && match condition.predicate.as_deref() {
            None => true,
            Some("meaningful is not False") => event.data["meaningful"] != Value::Bool(false),
            Some(other) => panic!("no evaluator for {other}"),
        }
}

fn digest(event: &Event, funnel: &Funnel) -> Digest {
    let stages = funnel.stages.iter().map(|stage| meets(event, &stage.condition()));
    let abandonment = funnel.abandonment.as_ref().filter(|a| meets(event, &a.condition()));
    let error = funnel.error.as_ref().filter(|e| meets(event, &e.condition()));
    let field = |name: &Option<String>| event.data[name.as_deref()?].as_str().map(Arc::from);
    Digest {
        id: xxh3_128(format!("{}\u{1f}{}", event.source, event.id).as_bytes()),
        occurred_at: event.occurred_at,
        stages: stages.enumerate().map(|(stage, met)| u32::from(met) << stage).sum(),
        exclusions: 0,
        abandonment: abandonment.is_some(),
        error: error.is_some(),
        activity: true,
        reason: abandonment.and_then(|a| field(&a.reason_field)),
        code: error.and_then(|e| field(&e.code_field)),
    }
}

fn sessions(events: &[Event], funnel: &Funnel, as_of: i64) -> (Vec<Session>, Input) {
    let mut identities: BTreeMap<(&str, &str, &str), &Event> = BTreeMap::new();
    for event in events {
        identities.entry((&event.client_id, &event.source, &event.id)).or_insert(event);
    }
    let mut owners: BTreeMap<(&str, &str), Vec<&Event>> = BTreeMap::new();
    for event in identities.values() {
        owners.entry((&event.client_id, &event.session_id)).or_default().push(event);
    }
    let rules = Rules::new(funnel);
    let mut sessions = Vec::new();
    for ((client_id, session_id), mut events) in owners {
        events.sort_by_key(|event| (event.occurred_at, &event.source, &event.id));
        let digests: Vec<Digest> = events.iter().map(|event| digest(event, funnel)).collect();
        let Some(folded) = fold(&digests, &rules, as_of) else { continue };
        let opening = folded.opening.map(|index| &events[index].data);
        let attribute = |name| match name {
            "client_id" => Some(client_id.into()),
            name => Some(Arc::from(opening?[name].as_str()?)),
        };
        sessions.push(Session {
            client_id: client_id.into(),
            session_id: session_id.into(),
            attributes: ATTRIBUTES.into_iter().map(attribute).collect(),
            folded,
        });
    }
    let input = Input {
        events: events.len() as u64,
        duplicates: (events.len() - identities.len()) as u64,
        conflicting_duplicates: 0,
        after_as_of: identities.values().filter(|e| e.occurred_at > as_of).count() as u64,
    };
    (sessions, input)
}

fn golden_report(events: &[Event], funnel: Funnel, call: &Value) -> Report {
    let text = |name: &str| call[name].as_str().unwrap();
    let as_of = micros(text("as-of"));
    let (sessions, input) = sessions(events, &funnel, as_of);
    let request = Request {
        funnel,
        as_of,
        from: micros(text("from")),
        to: micros(text("to")),
        timezone: text("timezone").parse().unwrap(),
        client_id: None,
        selection: Selection::default(),
        segment_by: text("segment-by").split(',').map(str::to_owned).collect(),
        compare: Some((micros(text("compare-from")), micros(text("compare-to")))),
        mix_by: Some(text("mix-by").to_owned()),
        thresholds: Thresholds::default(),
        curves: false,
        convert: None,
        funnel_trend: None,
    };
    let populations = populations(&request, &ATTRIBUTES.map(str::to_owned), &sessions);
    Report::of(&Analysis::new(&request, &populations, &input, &Default::default()))
}

#[test]
fn golden_figures_agree_in_every_field() {
    let calls: Value = serde_json::from_str(&read("calls.json")).unwrap();
    let events = events();
    let (mut compared, mut differences) = (0, Vec::new());
    for (name, call) in calls["calls"].as_object().unwrap() {
        let funnel = parse(&read(&format!("funnels/{name}.toml")), name).unwrap();
        let report = golden_report(&events, funnel, call);
        let report = serde_json::to_value(&report).unwrap();
        let expected: Value =
            serde_json::from_str(&read(&format!("expected/{name}.json"))).unwrap();
        let found = mapping::mapped(&report, call, &expected);
        let comparison = compare::compare(&found, &expected);
        compared += comparison.compared;
        differences.extend(comparison.differences.iter().map(|line| format!("{name} {line}")));
    }
    let shown = differences.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} of {compared}:\n{shown}", differences.len());
    assert!(compared > 20_000, "only {compared} values were compared");
}
