//! Topics that are not any more what the lake has read: truncated, or created anew.

use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};

use super::members::{Barracks, Ended};
use super::records::{Produced, TIME, producer, send};
use super::topics::{create, create_anew, truncate};
use crate::support::broker::{Broker, broker};
use crate::support::{Answer, Scene, event, eventually};

/// A topic of one partition and a lake that reads it.
struct Stream {
    broker: &'static Broker,
    topic: String,
    scene: Scene,
    epoch: u32,
}

impl Stream {
    fn start(test: &str, topic: &str) -> Option<Self> {
        let broker = broker(test)?;
        let topic = format!("onboarding.{topic}");
        create(&broker.address(), &topic, 1, &[]);
        Some(Self { broker, topic, scene: Scene::new(), epoch: 0 })
    }

    /// Produces events with these numbers as their ids.
    fn produce(&self, ids: Range<u32>) {
        let producer = producer(self.broker, &[]);
        for id in ids {
            let event = event(&id.to_string(), "s", "input.submitted", TIME, "{}");
            send(&producer, Produced::to(&self.topic).payload(event.as_bytes()));
        }
    }

    fn barracks(&self) -> Barracks<'_> {
        let barracks = Barracks::new(&self.scene, self.broker.address(), self.topic.clone());
        // A frozen member stays in its group here.
        let settings = "session_timeout_ms = 60000\nflush_interval_ms = 150";
        let settings = format!("[ingest]\n{settings}\nepoch = {}\n", self.epoch);
        self.scene.write("onramp.toml", settings);
        barracks
    }

    /// Ingests until these events are in the lake, and no others.
    fn ingest(&self, ids: impl IntoIterator<Item = u32>) {
        let mut expected: Vec<u32> = ids.into_iter().collect();
        expected.sort_unstable();
        let expected: Vec<Value> =
            expected.iter().map(|id| json!({ "id": id.to_string() })).collect();
        let member = self.barracks().start("onramp", None);
        let held = "SELECT id FROM events ORDER BY id::BIGINT";
        eventually("the events are in the lake", 60, || {
            let ready =
                self.scene.lake().join("duplicates/_delta_log/00000000000000000000.json").exists();
            (ready && self.scene.sql(held).len() >= expected.len()).then_some(())
        });
        assert_eq!(member.end(), Ended::Well);
        assert_eq!(self.scene.sql(held), expected);
    }

    /// Ingest does not begin, and says what happened and what the operator can do.
    fn assert_halts(&self, reason: &str) {
        drop(self.barracks());
        let mut ingest = self.scene.onramp();
        ingest.args(["ingest", "--brokers", &self.broker.address(), "--topic", &self.topic]);
        Answer::of(&mut ingest).failed(1, &["halted", reason, "raise ingest.epoch"]);
    }
}

#[test]
fn a_topic_truncated_behind_the_lake_is_read_on() {
    let test = "faults::changed::a_topic_truncated_behind_the_lake_is_read_on";
    let Some(stream) = Stream::start(test, "truncated-behind") else { return };
    stream.produce(0..10);
    stream.ingest(0..10);
    for before in [6, 10] {
        truncate(&stream.broker.address(), &stream.topic, 0, before);
        stream.ingest(0..10);
    }
    stream.produce(10..13);
    stream.ingest(0..13);
}

#[test]
fn a_topic_truncated_ahead_of_the_lake_halts_until_the_epoch_is_raised() {
    let test = "faults::changed::a_topic_truncated_ahead_of_the_lake_halts";
    let Some(mut stream) = Stream::start(test, "truncated-ahead") else { return };
    stream.produce(0..10);
    stream.ingest(0..10);
    stream.produce(10..20);
    truncate(&stream.broker.address(), &stream.topic, 0, 15);
    stream.assert_halts("were deleted before they were read");
    stream.epoch = 1;
    stream.ingest((0..10).chain(15..20));
    stream.produce(20..22);
    stream.ingest((0..10).chain(15..22));
}

#[test]
fn a_topic_truncated_under_a_member_ends_it_with_an_explanation() {
    let test = "faults::changed::a_topic_truncated_under_a_member";
    let Some(mut stream) = Stream::start(test, "truncated-under") else { return };
    stream.produce(0..10);
    stream.ingest(0..10);
    let mut member = stream.barracks().start("onramp", None);
    eventually("it reads", 60, || member.holds_partitions().then_some(()));
    member.freeze();
    // The fetch that it had under way is answered meanwhile, with nothing.
    std::thread::sleep(Duration::from_secs(2));
    stream.produce(10..20);
    truncate(&stream.broker.address(), &stream.topic, 0, 15);
    member.wake();
    let Ended::Ill(words) = eventually("it ends", 60, || member.ended()) else {
        panic!("it went on or ended as if all were well")
    };
    assert!(words.contains("ingest.epoch"), "{words}");
    stream.assert_halts("were deleted before they were read");
    stream.epoch = 1;
    stream.ingest((0..10).chain(15..20));
}

#[test]
fn a_topic_created_anew_halts_until_the_epoch_is_raised_however_long_it_is() {
    let test = "faults::changed::a_topic_created_anew_halts";
    let Some(mut stream) = Stream::start(test, "anew") else { return };
    stream.produce(0..10);
    stream.ingest(0..10);
    create_anew(&stream.broker.address(), &stream.topic, 1);
    stream.produce(100..103);
    stream.assert_halts("it was created anew or truncated");
    stream.produce(103..120);
    stream.assert_halts("Another record is where the lake's last event came from");
    stream.epoch = 1;
    stream.ingest((0..10).chain(100..120));
}
