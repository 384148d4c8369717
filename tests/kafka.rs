//! Kafka end to end: a real broker, several processes of one group, kills in between.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;

use crate::http::{Server, terminate};
use crate::support::broker::{Broker, broker};
use crate::support::{Answer, Scene, event, eventually};

const TIME: &str = "2026-03-01T10:00:00Z";

/// `onramp ingest`, killed with the test if it still runs.
struct Ingest(Child);

impl Ingest {
    fn start(scene: &Scene, broker: &Broker, topic: &str, settings: &[(&str, &str)]) -> Self {
        let child = Self::command(scene, broker, topic, settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the binary runs"))
    }

    fn command(scene: &Scene, broker: &Broker, topic: &str, settings: &[(&str, &str)]) -> Command {
        let mut command = scene.onramp();
        command.args(["ingest", "--brokers", &broker.address(), "--topic", topic]);
        command.envs(settings.iter().copied());
        command
    }

    fn kill(&mut self) {
        self.0.kill().expect("it can be killed");
        self.0.wait().expect("it ends");
    }

    /// SIGTERM: flush, commit, leave the group.
    fn stop(mut self) -> Option<i32> {
        terminate(&self.0);
        self.0.wait().expect("it ends").code()
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // Already ended in most tests; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn produce(broker: &Broker, topic: &str, records: impl IntoIterator<Item = Vec<u8>>) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", broker.address()).create().unwrap();
    for record in records {
        let sent = producer.send(BaseRecord::<[u8], [u8]>::to(topic).payload(&record));
        sent.map_err(|(error, _)| error).unwrap();
        producer.poll(Duration::ZERO);
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

/// Rows of the three tables together: how many records the lake accounts for.
pub fn accounted(scene: &Scene) -> i64 {
    if !scene.lake().join("events/_delta_log/00000000000000000000.json").exists() {
        return 0;
    }
    let rows = scene.sql(
        "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM dead_letters)
           + coalesce((SELECT sum(last_sequence - first_sequence + 1) FROM duplicates), 0) AS n",
    );
    rows[0]["n"].as_i64().unwrap()
}

pub fn await_records(scene: &Scene, records: i64) {
    eventually("every record is accounted for", 120, || {
        (accounted(scene) >= records).then_some(())
    });
    crate::import::assert_ledger(scene, records);
}

#[test]
fn two_members_and_a_kill_give_what_a_file_gives() {
    let test = "kafka::two_members_and_a_kill_give_what_a_file_gives";
    let Some(broker) = broker(test) else { return };
    for strategy in ["cooperative-sticky", "range"] {
        equals_the_file(broker, strategy);
    }
}

/// Two members, one of them killed and replaced, read what a file import reads, whichever way the
/// group hands partitions over.
fn equals_the_file(broker: &Broker, strategy: &str) {
    let topic = &format!("onboarding.{strategy}");
    broker.create(topic, 4);
    let world = ["--sessions", "3000", "--seed", "7", "--until", "2026-03-01"];
    let file_scene = Scene::new();
    let file = file_scene.path("events.ndjson");
    let to_file = ["generate"].iter().chain(&world).chain(&["--to"]).map(AsRef::as_ref);
    file_scene.run(to_file.chain([file.as_os_str()])).succeeded();
    file_scene.run(["import".as_ref(), file.as_os_str()]).succeeded();
    let records = std::fs::read(&file).unwrap().iter().filter(|&&b| b == b'\n').count() as i64;

    let scene = Scene::new();
    let properties = "[ingest.properties]\n\"partition.assignment.strategy\" =";
    scene.write("onramp.toml", format!("{properties} {strategy:?}\n"));
    let address = broker.address();
    let to_kafka = ["--to", "kafka", "--brokers", &address, "--topic", topic];
    scene.run(["generate"].iter().chain(&world).chain(&to_kafka)).succeeded();
    let often =
        [("ONRAMP__INGEST__FLUSH_ROWS", "500"), ("ONRAMP__INGEST__SESSION_TIMEOUT_MS", "3000")];
    let mut first = Ingest::start(&scene, broker, topic, &often);
    let second = Ingest::start(&scene, broker, topic, &often);
    eventually("some records are committed", 60, || (accounted(&scene) > 1_000).then_some(()));
    first.kill();
    let third = Ingest::start(&scene, broker, topic, &often);
    await_records(&scene, records);
    assert_eq!((second.stop(), third.stop()), (Some(0), Some(0)), "SIGTERM is a clean end");

    let same = "SELECT event_type, client_id, count(*) AS n, count(DISTINCT session_id) AS s,
                  min(occurred_at) AS a, max(occurred_at) AS b FROM events GROUP BY 1, 2 ORDER BY 1, 2";
    assert_eq!(scene.sql(same), file_scene.sql(same));
    let stages = |scene: &Scene| {
        let report = scene.run(["--format", "json", "report", "--as-of", "2026-02-27"]).succeeded();
        report.json()["stages"].clone()
    };
    assert_eq!(stages(&scene), stages(&file_scene));
}

#[test]
fn a_topic_that_was_created_anew_halts_until_the_epoch_is_raised() {
    let Some(broker) = broker("kafka::a_topic_that_was_created_anew_halts") else { return };
    let topic = "onboarding.anew-until-raised";
    broker.create(topic, 1);
    let numbered = |ids: std::ops::Range<usize>| {
        ids.map(|id| event(&id.to_string(), "s", "input.submitted", TIME, "{}").into_bytes())
    };
    produce(broker, topic, numbered(0..10));
    let scene = Scene::new();
    let ingest = Ingest::start(&scene, broker, topic, &[]);
    await_records(&scene, 10);
    assert_eq!(ingest.stop(), Some(0));
    broker.delete(topic);
    broker.create(topic, 1);
    produce(broker, topic, numbered(10..13));
    let doctor = |topic: &str| {
        let mut doctor = scene.onramp();
        doctor.env("ONRAMP__INGEST__BROKERS", broker.address()).env("ONRAMP__INGEST__TOPIC", topic);
        Answer::of(doctor.arg("doctor"))
    };
    assert!(doctor(topic).succeeded().stdout.contains("in cluster"));
    assert!(doctor("no.such").stdout.contains("no.such does not exist"));
    let mut halted = Ingest::command(&scene, broker, topic, &[]);
    Answer::of(&mut halted).failed(1, &["halted", "ingest.epoch"]);
    let raised = Ingest::start(&scene, broker, topic, &[("ONRAMP__INGEST__EPOCH", "1")]);
    await_records(&scene, 13);
    drop(raised);
}

#[test]
fn a_topic_of_something_else_is_not_drained_into_dead_letters() {
    let Some(broker) = broker("kafka::a_topic_of_something_else_is_not_drained") else { return };
    let topic = "onboarding.else";
    broker.create(topic, 1);
    produce(broker, topic, (0..12_000).map(|n| format!("line {n}").into_bytes()));
    let scene = Scene::new();
    let mut ingest =
        Ingest::command(&scene, broker, topic, &[("ONRAMP__INGEST__FLUSH_ROWS", "100000")]);
    Answer::of(&mut ingest).failed(1, &["of the last 10000 records", "malformed_json"]);
    assert!(accounted(&scene) < 10_000);
}

#[test]
fn dead_letters_are_mirrored_with_their_headers() {
    let Some(broker) = broker("kafka::dead_letters_are_mirrored_with_their_headers") else {
        return;
    };
    let (topic, mirror) = ("onboarding.mirrored", "onboarding.dead");
    broker.create(topic, 1);
    broker.create(mirror, 1);
    let bad =
        event("1", "s", "no.such", TIME, "{}").replace("\"id\"", "\"correlationid\":\"c\",\"id\"");
    produce(
        broker,
        topic,
        [bad.clone().into_bytes(), event("2", "s", "session.started", TIME, "{}").into_bytes()],
    );
    let scene = Scene::new();
    let _ingest =
        Ingest::start(&scene, broker, topic, &[("ONRAMP__INGEST__DEAD_LETTER_TOPIC", mirror)]);
    await_records(&scene, 2);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set("group.id", "mirror-test")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[mirror]).unwrap();
    let message = eventually("the mirrored record", 30, || {
        consumer.poll(Duration::from_millis(100)).and_then(Result::ok).map(|m| m.detach())
    });
    assert_eq!(message.payload(), Some(bad.as_bytes()));
    let headers = message.headers().unwrap();
    let header = |name: &str| {
        let found = headers.iter().find(|h| h.key == name).and_then(|h| h.value);
        String::from_utf8(found.unwrap_or_default().to_vec()).unwrap()
    };
    assert_eq!(header("__connect.errors.topic"), topic);
    assert_eq!(header("__connect.errors.offset"), "0");
    assert_eq!((&*header("onramp.code"), &*header("onramp.correlation_id")), ("unknown_type", "c"));
}

#[test]
fn with_kafka_the_collector_produces_and_the_lake_follows() {
    let Some(broker) = broker("kafka::with_kafka_the_collector_produces_and_the_lake_follows")
    else {
        return;
    };
    let topic = "onboarding.collected";
    broker.create(topic, 2);
    let scene = Scene::new();
    let server = Server::start(&scene, &["--brokers", &broker.address(), "--topic", topic]);
    let body = event("1", "s", "session.started", TIME, "{}");
    let (status, answer) = server.post("application/cloudevents+json", &body);
    assert_eq!((status, answer), (202, json!({"results": [{"status": "queued"}]})));
    await_records(&scene, 1);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_pages_of_a_pipeline_tell_its_lag() {
    let Some(broker) = broker("kafka::the_pages_of_a_pipeline_tell_its_lag") else { return };
    let topic = "onboarding.lag";
    broker.create(topic, 1);
    let record = |n: usize| event(&n.to_string(), "s", "input.submitted", TIME, "{}").into_bytes();
    produce(broker, topic, (0..5).map(record));
    let scene = Scene::new();
    let port = crate::support::free_ports();
    let mut command = Ingest::command(&scene, broker, topic, &[]);
    command.arg("--listen").arg(format!("127.0.0.1:{port}")).stderr(Stdio::null());
    let ingest = Ingest(command.spawn().expect("the binary runs"));
    let page = |path: &str| {
        let mut answer = ureq::get(format!("http://127.0.0.1:{port}{path}")).call().ok()?;
        answer.body_mut().read_to_string().ok()
    };
    let read = |metrics: &String| {
        metrics.contains("onramp_ingest_accepted_total{source=\"kafka\"} 5")
            && metrics
                .contains("onramp_ingest_lag_records{topic=\"onboarding.lag\",partition=\"0\"} 0")
    };
    eventually("the metrics tell that all is read", 60, || page("/metrics").filter(read));
    assert_eq!(page("/readyz").as_deref(), Some("ready\n"));
    assert_eq!(ingest.stop(), Some(0));
}
