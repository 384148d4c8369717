use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::*;

/// 2026-03-02T09:00:00Z.
const UNTIL: i64 = 1_772_442_000_000_000;

fn options(sessions: u64, seed: u64) -> GenerateOptions {
    GenerateOptions { sessions, seed, days: 28, until_us: UNTIL }
}

fn parsed(options: GenerateOptions) -> Vec<(Generated, Option<Value>)> {
    Generator::new(options)
        .map(|record| {
            let value = serde_json::from_slice(&record.value).ok();
            (record, value)
        })
        .collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

#[test]
fn the_same_arguments_give_the_same_bytes() {
    let first: Vec<Generated> = Generator::new(options(300, 7)).collect();
    let again: Vec<Generated> = Generator::new(options(300, 7)).collect();
    assert_eq!(first, again);
    let other: Vec<Generated> = Generator::new(options(300, 8)).collect();
    assert_ne!(first, other);
}

#[test]
fn the_bytes_stay_what_they_are() {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    for record in Generator::new(options(200, 1)) {
        hash.update(&record.value);
    }
    assert_eq!(format!("{:016x}", hash.digest()), "d2243cf6802afc0b");
}

#[test]
fn records_arrive_in_order_and_never_before_they_happen() {
    let records = parsed(options(400, 3));
    assert!(records.is_sorted_by_key(|(record, _)| record.arrival_us));
    for (record, value) in &records {
        assert!(record.arrival_us <= UNTIL);
        assert!(!record.value.contains(&b'\n'));
        let Some(value) = value else { continue };
        let Ok(time) = chrono::DateTime::parse_from_rfc3339(text(value, "time")) else {
            continue;
        };
        if time.timestamp_micros() < UNTIL {
            assert!(time.timestamp_micros() <= record.arrival_us, "{value}");
        }
    }
}

#[test]
fn sessions_events_and_faults_are_as_many_as_asked_for() {
    let records = parsed(options(6_000, 11));
    let mut copies: HashMap<&str, usize> = HashMap::new();
    let mut sessions = BTreeSet::new();
    let mut broken = 0;
    for (record, value) in &records {
        match value {
            Some(value) if is_sound(value) => {
                *copies.entry(text(value, "id")).or_default() += 1;
                sessions.insert(&record.key);
                assert_eq!(record.key, text(value, "subject"));
            }
            _ => broken += 1,
        }
    }
    let events = copies.len();
    let resent = copies.values().filter(|&&copies| copies > 1).count();
    assert!((5_970..=6_000).contains(&sessions.len()), "{} sessions", sessions.len());
    assert!((5 * 6_000..8 * 6_000).contains(&events), "{events} events");
    assert!((events / 130..events / 80).contains(&resent), "{resent} of {events} resent");
    assert!((events / 500..events / 220).contains(&broken), "{broken} of {events} broken");
}

fn is_sound(value: &Value) -> bool {
    let envelope = ["id", "source", "type", "subject", "clientid"];
    envelope.iter().all(|name| !text(value, name).is_empty())
        && text(value, "specversion") == "1.0"
        && value["data"].is_object()
        && text(value, "type") != "onboarding.sesion.strated"
        && chrono::DateTime::parse_from_rfc3339(text(value, "time"))
            .is_ok_and(|time| time.timestamp_micros() <= UNTIL)
}

/// Sessions and completed sessions, by a field of the opening event.
fn conversion(records: &[(Generated, Option<Value>)], field: &str) -> BTreeMap<String, f64> {
    let mut of_session: HashMap<&str, (String, bool)> = HashMap::new();
    for (record, value) in records {
        let Some(value) = value.as_ref().filter(|value| is_sound(value)) else {
            continue;
        };
        match text(value, "type") {
            "onboarding.session.started" => {
                let segment = text(&value["data"], field).to_owned();
                of_session.entry(&record.key).or_default().0 = segment;
            }
            "onboarding.session.completed" => of_session.entry(&record.key).or_default().1 = true,
            _ => {}
        }
    }
    let mut counts: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for (segment, completed) in of_session.into_values() {
        let entry = counts.entry(segment).or_default();
        entry.0 += 1.0;
        entry.1 += f64::from(u8::from(completed));
    }
    counts.into_iter().map(|(segment, (all, completed))| (segment, completed / all)).collect()
}

#[test]
fn segments_convert_differently() {
    let records = parsed(options(8_000, 5));
    let by_kind = conversion(&records, "user_kind");
    assert!(by_kind["returning"] > by_kind["first_time"] + 0.04, "{by_kind:?}");
    let by_language = conversion(&records, "language");
    assert!(by_language["en"] > by_language["ja"] + 0.03, "{by_language:?}");
}

#[test]
fn mobiles_break_in_the_last_week_and_only_then() {
    let code = "approval_sheet_not_rendered";
    let records = parsed(options(4_000, 9));
    let broken: Vec<i64> = records
        .iter()
        .filter_map(|(_, value)| value.as_ref())
        .filter(|value| is_sound(value) && text(&value["data"], "code") == code)
        .map(|v| chrono::DateTime::parse_from_rfc3339(text(v, "time")).unwrap().timestamp_micros())
        .collect();
    assert!(broken.len() > 50, "{} events", broken.len());
    assert!(broken.iter().all(|&at| at >= UNTIL - 7 * DAY_US));
}

#[test]
fn some_events_arrive_after_later_ones_of_their_session() {
    let records = parsed(options(2_000, 2));
    let mut latest: HashMap<&str, i64> = HashMap::new();
    let mut late = 0;
    for (record, value) in &records {
        let Some(value) = value.as_ref().filter(|value| is_sound(value)) else {
            continue;
        };
        let time = chrono::DateTime::parse_from_rfc3339(text(value, "time")).unwrap();
        let at = time.timestamp_micros();
        let newest = latest.entry(&record.key).or_insert(at);
        late += usize::from(at < *newest);
        *newest = at.max(*newest);
    }
    assert!(late * 200 > records.len(), "{late} of {} out of order", records.len());
}
