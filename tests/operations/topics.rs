//! Topics with gaps, huge records, and clocks that differ.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::Running;
use crate::faults::records::{Produced, TIME, producer, send};
use crate::faults::topics::create;
use crate::kafka::await_records;
use crate::support::broker::{Broker, broker, broker_with};
use crate::support::{Answer, Scene, event, eventually};

fn sequences(scene: &Scene) -> Vec<i64> {
    let rows = scene.sql("SELECT sequence FROM events ORDER BY sequence");
    rows.iter().map(|row| row["sequence"].as_i64().unwrap()).collect()
}

fn await_no_lag(ingest: &Running, topic: &str) {
    let read = format!("onramp_ingest_lag_records{{topic=\"{topic}\",partition=\"0\"}} 0\n");
    eventually("there is no lag", 60, || {
        ingest.page("/metrics").is_some_and(|(_, text)| text.contains(&read)).then_some(())
    });
}

/// The offsets that a topic of one partition holds.
fn offsets(broker: &Broker, topic: &str) -> Vec<i64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set("group.id", "offsets")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let mut found = Vec::new();
    eventually("the end of the topic", 60, || match consumer.poll(Duration::from_millis(100)) {
        Some(Ok(message)) => {
            found.push(message.offset());
            None
        }
        Some(Err(KafkaError::PartitionEOF(_))) => Some(()),
        _ => None,
    });
    found
}

#[test]
fn the_gaps_of_a_compacted_topic_are_no_loss() {
    let test = "operations::topics::the_gaps_of_a_compacted_topic";
    let eager =
        |_| "log.cleaner.backoff.ms=100\nlog.cleaner.dedupe.buffer.size=4000000\n".to_owned();
    let Some(broker) = broker_with(test, eager) else { return };
    let topic = "onboarding.compacted";
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "200"),
    ];
    create(&broker.address(), topic, 1, &settings);
    let producer = producer(&broker, &[]);
    let put = |id: u32, key: &str| {
        let payload = event(&id.to_string(), "s", "input.submitted", TIME, "{}");
        send(&producer, Produced::to(topic).key(key.as_bytes()).payload(payload.as_bytes()));
    };
    (0..10).for_each(|id| put(id, "k"));
    let written = Instant::now();
    eventually("the segment is old enough to be closed", 5, || {
        (written.elapsed() > Duration::from_millis(300)).then_some(())
    });
    put(10, "z");
    eventually("all but the last of a key are gone", 120, || {
        (offsets(&broker, topic) == [9, 10]).then_some(())
    });

    let scene = Scene::new();
    let ingest = Running::ingest(&scene, &broker.address(), topic, &[]);
    await_records(&scene, 2);
    await_no_lag(&ingest, topic);
    assert_eq!(ingest.stop(), Some(0));
    assert_eq!(sequences(&scene), [9, 10]);
    put(11, "y");
    let ingest = Running::ingest(&scene, &broker.address(), topic, &[]);
    await_records(&scene, 3);
    assert_eq!(ingest.stop(), Some(0));
    assert_eq!(sequences(&scene), [9, 10, 11], "on from where it stood, nothing twice");
}

#[test]
fn an_aborted_transaction_at_the_end_is_no_lag() {
    let Some(broker) = broker("operations::topics::an_aborted_transaction_at_the_end") else {
        return;
    };
    let topic = "onboarding.aborted";
    create(&broker.address(), topic, 1, &[]);
    let producer = producer(broker, &[("transactional.id", "end")]);
    let patience = Duration::from_secs(30);
    producer.init_transactions(patience).unwrap();
    for (id, commits) in [("1", true), ("2", false)] {
        producer.begin_transaction().unwrap();
        let payload = event(id, "s", "input.submitted", TIME, "{}");
        send(&producer, Produced::to(topic).payload(payload.as_bytes()));
        match commits {
            true => producer.commit_transaction(patience).unwrap(),
            false => producer.abort_transaction(patience).unwrap(),
        }
    }
    let scene = Scene::new();
    let ingest = Running::ingest(&scene, &broker.address(), topic, &[]);
    await_records(&scene, 1);
    await_no_lag(&ingest, topic);
    assert_eq!(ingest.stop(), Some(0));
    assert_eq!(sequences(&scene), [0]);
}

#[test]
fn a_record_of_ten_megabytes_is_a_dead_letter_and_the_next_one_is_read() {
    let Some(broker) = broker("operations::topics::a_record_of_ten_megabytes") else { return };
    let topic = "onboarding.huge";
    create(&broker.address(), topic, 1, &[("max.message.bytes", "12000000")]);
    let producer = producer(broker, &[("message.max.bytes", "12000000")]);
    let text = "x".repeat(10 << 20);
    let huge = event("1", "s", "input.submitted", TIME, &json!({ "step": text }).to_string());
    send(&producer, Produced::to(topic).payload(huge.as_bytes()));
    let small = event("2", "s", "input.submitted", TIME, "{}");
    send(&producer, Produced::to(topic).payload(small.as_bytes()));
    let scene = Scene::new();
    let ingest = Running::ingest(&scene, &broker.address(), topic, &[]);
    await_records(&scene, 2);
    assert_eq!(ingest.stop(), Some(0));
    let dead = scene.sql("SELECT sequence, code, raw_bytes, length(raw) AS kept FROM dead_letters");
    assert_eq!(
        (&dead[0]["code"], &dead[0]["raw_bytes"]),
        (&json!("too_large"), &json!(huge.len()))
    );
    assert!(dead[0]["kept"].as_i64().unwrap_or_default() <= 1 << 20, "{:?}", dead[0]["kept"]);
    assert_eq!(sequences(&scene), [1]);
}

/// What was made of a record whose producer's clock shows `time`, with the broker's stamp or its own.
fn judged(broker: &Broker, topic: &str, stamp: &str, time: &str, millis: i64) -> (Scene, Value) {
    let far = ("message.timestamp.after.max.ms", "9223372036854775807");
    create(&broker.address(), topic, 1, &[("message.timestamp.type", stamp), far]);
    let payload = event("1", "s", "input.submitted", time, "{}");
    let producer = producer(broker, &[]);
    send(&producer, Produced::to(topic).payload(payload.as_bytes()).timestamp(millis));
    let scene = Scene::new();
    let ingest = Running::ingest(&scene, &broker.address(), topic, &[]);
    await_records(&scene, 1);
    assert_eq!(ingest.stop(), Some(0));
    let code = scene.sql("SELECT code FROM dead_letters").pop();
    (scene, code.map_or(Value::Null, |row| row["code"].clone()))
}

#[test]
fn a_time_is_judged_by_its_records_timestamp_and_by_no_clock_here() {
    let Some(broker) = broker("operations::topics::a_time_is_judged_by_its_records") else {
        return;
    };
    let (past, future) =
        (("2001-01-01T00:00:00Z", 978_307_200_000), ("2090-01-01T00:00:00Z", 3_786_912_000_000));
    // This machine's clock is decades from both, as if it were wrong: only the stamp counts.
    for (topic, (time, millis)) in [("onboarding.past", past), ("onboarding.future", future)] {
        let (scene, code) = judged(broker, topic, "CreateTime", time, millis);
        assert_eq!(code, Value::Null, "{topic}");
        let told = Answer::of(scene.onramp().args(["--format", "json", "doctor"])).json();
        let clock =
            told.as_array().unwrap().iter().find(|check| check["check"] == "clock").unwrap();
        assert_eq!(clock["ok"], json!(time == past.0), "{clock}");
    }
    let (_, code) = judged(broker, "onboarding.stamped", "LogAppendTime", future.0, future.1);
    assert_eq!(code, json!("from_the_future"));
    let (_, code) = judged(broker, "onboarding.stamped.past", "LogAppendTime", past.0, past.1);
    assert_eq!(
        code,
        Value::Null,
        "history is welcome unless ingest.horizon_seconds says otherwise"
    );
}
