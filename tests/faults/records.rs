//! Records that a topic may hold and nobody expects.

use std::fmt::Write as _;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use sha2::Digest;

use super::members::{Barracks, Ended};
use super::topics::create;
use crate::support::broker::{Broker, broker};
use crate::support::{Scene, event, eventually};

pub const TIME: &str = "2026-03-01T10:00:00Z";

pub type Produced<'a> = BaseRecord<'a, [u8], [u8]>;

pub fn producer(broker: &Broker, settings: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address());
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

pub fn send(producer: &BaseProducer, record: Produced<'_>) {
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
}

/// Ingests until so many rows are in `events` and `dead_letters`, then once more from the lake.
fn ingest(scene: &Scene, broker: &Broker, topic: &str, rows: i64) {
    let mut barracks = Barracks::new(scene, broker.address(), topic.to_owned());
    let member = barracks.start("onramp", None);
    let held = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM dead_letters) AS n";
    eventually("every record is in the lake", 60, || {
        let ready = scene.lake().join("duplicates/_delta_log/00000000000000000000.json").exists();
        (ready && scene.sql(held)[0]["n"].as_i64() >= Some(rows)).then_some(())
    });
    assert_eq!(member.end(), Ended::Well);
    assert_eq!(scene.sql(held)[0]["n"], json!(rows));
}

/// The dead letters' sequence, code, length and headers.
fn dead_letters(scene: &Scene) -> Vec<Value> {
    scene.sql("SELECT sequence, code, raw_bytes, headers FROM dead_letters ORDER BY sequence")
}

#[test]
fn a_tombstone_is_a_dead_letter_and_a_key_is_nobodys_need() {
    let Some(broker) = broker("faults::records::a_tombstone_is_a_dead_letter") else { return };
    let topic = "onboarding.tombstone";
    create(&broker.address(), topic, 1, &[]);
    let producer = producer(broker, &[]);
    let (first, second) = (
        event("1", "s", "session.started", TIME, "{}"),
        event("2", "s", "input.submitted", TIME, "{}"),
    );
    send(&producer, Produced::to(topic).key(b"s"));
    send(&producer, Produced::to(topic).payload(first.as_bytes()));
    send(&producer, Produced::to(topic).key(b"\xFF\x00").payload(second.as_bytes()));
    let scene = Scene::new();
    ingest(&scene, broker, topic, 3);
    let dead = dead_letters(&scene);
    assert_eq!(
        (&dead[0]["sequence"], &dead[0]["code"], &dead[0]["raw_bytes"]),
        (&json!(0), &json!("malformed_json"), &json!(0))
    );
    let events = scene.sql("SELECT sequence, id FROM events ORDER BY sequence");
    assert_eq!(events, [json!({"sequence": 1, "id": "1"}), json!({"sequence": 2, "id": "2"})]);
}

#[test]
fn null_headers_and_missing_attributes_are_answered_for() {
    let Some(broker) = broker("faults::records::null_headers_and_missing_attributes") else {
        return;
    };
    let topic = "onboarding.headers";
    create(&broker.address(), topic, 1, &[]);
    let producer = producer(broker, &[]);
    let attributes = [
        ("ce_specversion", "1.0"),
        ("ce_id", "b"),
        ("ce_source", "/app"),
        ("ce_type", "onboarding.session.started"),
        ("ce_subject", "s"),
        ("ce_time", TIME),
        ("ce_clientid", "acme"),
    ];
    let headers = |without: &str| {
        let mut headers = OwnedHeaders::new()
            .insert(Header::<&str> { key: "trace", value: None })
            .insert(Header { key: "content-type", value: Some("application/json") });
        for (key, value) in attributes {
            let value = (key != without).then_some(value);
            headers = headers.insert(Header { key, value });
        }
        headers
    };
    let binary =
        |without| Produced::to(topic).payload(br#"{"channel":"web"}"#).headers(headers(without));
    let structured = event("s", "s", "input.submitted", TIME, "{}");
    let nothing = OwnedHeaders::new().insert(Header::<&str> { key: "nothing", value: None });
    send(&producer, binary(""));
    send(&producer, Produced::to(topic).payload(structured.as_bytes()).headers(nothing));
    for without in ["ce_id", "ce_subject", "ce_time", "ce_type", "ce_clientid"] {
        send(&producer, binary(without));
    }
    let scene = Scene::new();
    ingest(&scene, broker, topic, 7);
    let events = scene.sql("SELECT sequence, id, channel FROM events ORDER BY sequence");
    assert_eq!(
        events,
        [
            json!({"sequence": 0, "id": "b", "channel": "web"}),
            json!({"sequence": 1, "id": "s", "channel": null})
        ]
    );
    let codes: Vec<Value> = dead_letters(&scene).iter().map(|dead| dead["code"].clone()).collect();
    let envelope = "not_cloudevents";
    assert_eq!(codes, [envelope, "missing_session", "bad_timestamp", envelope, envelope]);
}

#[test]
fn records_of_an_aborted_transaction_are_not_read() {
    let Some(broker) = broker("faults::records::records_of_an_aborted_transaction") else { return };
    let topic = "onboarding.transactions";
    create(&broker.address(), topic, 1, &[]);
    let producer = producer(broker, &[("transactional.id", "world")]);
    let patience = Duration::from_secs(30);
    producer.init_transactions(patience).unwrap();
    // Offsets: a record, then the transaction's marker, which is an offset without a record.
    for (id, commits) in [("1", true), ("2", false), ("3", true), ("4", false)] {
        producer.begin_transaction().unwrap();
        let payload = event(id, "s", "input.submitted", TIME, "{}");
        send(&producer, Produced::to(topic).payload(payload.as_bytes()));
        match commits {
            true => producer.commit_transaction(patience).unwrap(),
            false => producer.abort_transaction(patience).unwrap(),
        }
    }
    let scene = Scene::new();
    ingest(&scene, broker, topic, 2);
    let events = scene.sql("SELECT sequence, id FROM events ORDER BY sequence");
    let expected = [json!({"sequence": 0, "id": "1"}), json!({"sequence": 4, "id": "3"})];
    assert_eq!(events, expected);
    // The gap behind the last one is no reason to halt or to read anything twice.
    producer.begin_transaction().unwrap();
    let payload = event("5", "s", "input.submitted", TIME, "{}");
    send(&producer, Produced::to(topic).payload(payload.as_bytes()));
    producer.commit_transaction(patience).unwrap();
    ingest(&scene, broker, topic, 3);
}

#[test]
fn a_record_of_two_megabytes_is_too_large_and_known_by_its_hash() {
    let Some(broker) = broker("faults::records::a_record_of_two_megabytes") else { return };
    let topic = "onboarding.large";
    create(&broker.address(), topic, 1, &[("max.message.bytes", "4000000")]);
    let producer = producer(broker, &[("message.max.bytes", "4000000")]);
    let text = "x".repeat(2 << 20);
    let large = event("1", "s", "input.submitted", TIME, &json!({ "step": text }).to_string());
    let small = event("2", "s", "input.submitted", TIME, "{}");
    send(&producer, Produced::to(topic).payload(large.as_bytes()));
    send(&producer, Produced::to(topic).payload(small.as_bytes()));
    let scene = Scene::new();
    ingest(&scene, broker, topic, 2);
    let dead = scene.sql("SELECT sequence, code, raw_bytes, raw_sha256 FROM dead_letters");
    let mut hash = String::new();
    for byte in sha2::Sha256::digest(&large) {
        write!(hash, "{byte:02x}").unwrap();
    }
    let expected = json!({
        "sequence": 0, "code": "too_large", "raw_bytes": large.len(), "raw_sha256": hash,
    });
    assert_eq!(dead, [expected]);
}
