//! Topics full of events, and the bare loop over them.

use std::fmt;
use std::time::{Duration, Instant};

use onramp_ingest::generate::{GenerateOptions, Generator};
use onramp_ingest::kafka::KafkaOptions;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::PARTITIONS;
use crate::member::{Taken, cpu_seconds};
use crate::support::broker::Broker;

/// About how long an event is.
pub const EVENT_BYTES: u64 = 450;
/// Events of a generated session, about.
const EVENTS_A_SESSION: u64 = 6;
/// 2026-03-01T00:00:00Z.
const UNTIL_US: i64 = 1_772_323_200_000_000;
/// What the apps add to their events: they make them as long as events are.
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) 140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_2) Mobile",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) 141.0",
    "AcmeOnboarding/7.3 (Android 16; Pixel 10; de-AT)",
];

/// A topic that is as long as it will be.
pub struct Topic {
    pub name: String,
    pub records: u64,
    bytes: u64,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mean = self.bytes / self.records.max(1);
        write!(f, "{} records of {mean} bytes in {PARTITIONS} partitions", self.records)
    }
}

/// The events of a world, endlessly many sessions of it.
pub fn events(sessions: u64) -> impl Iterator<Item = (String, Vec<u8>)> {
    let world = GenerateOptions { sessions, seed: 4, days: 30, until_us: UNTIL_US };
    Generator::new(world).enumerate().map(|(number, generated)| {
        let mut value = generated.value;
        // What is cut off stays broken.
        if value.pop_if(|last| *last == b'}').is_some() {
            let agent = AGENTS[number % AGENTS.len()];
            value.extend_from_slice(format!(r#","useragent":"{agent}"}}"#).as_bytes());
        }
        (generated.key, value)
    })
}

/// A producer that holds as much as it is given.
pub fn producer(broker: &Broker) -> anyhow::Result<BaseProducer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address()).set("linger.ms", "5");
    Ok(config.set("enable.idempotence", "true").create()?)
}

/// One of the ways in which a record can be no event.
fn broken(number: u64, mut value: Vec<u8>) -> Vec<u8> {
    match number / 2 % 4 {
        0 => value.truncate(value.len() * 3 / 4),
        1 => value[0] = b'<',
        2 => value = String::from_utf8_lossy(&value).replace("\"subject\"", "\"sabject\"").into(),
        _ => value = String::from_utf8_lossy(&value).replace("onboarding.", "offboarding.").into(),
    }
    value
}

impl Topic {
    /// A new topic of `records` records; with `poison` n, every n-th of them broken.
    pub fn filled(broker: &Broker, name: &str, records: u64, poison: u64) -> anyhow::Result<Self> {
        broker.create(name, PARTITIONS);
        let producer = producer(broker)?;
        let mut topic = Self { name: name.to_owned(), records: 0, bytes: 0 };
        for (key, mut value) in events(records / EVENTS_A_SESSION + 1_000).take(records as usize) {
            if poison > 0 && topic.records.is_multiple_of(poison) {
                value = broken(topic.records, value);
            }
            topic.records += 1;
            topic.bytes += value.len() as u64;
            let mut record = BaseRecord::to(name).key(&key).payload(&value);
            loop {
                match producer.send(record) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        record = back;
                        producer.poll(Duration::from_millis(20));
                    }
                    Err((error, _)) => return Err(error.into()),
                }
            }
        }
        producer.flush(Duration::from_secs(60))?;
        Ok(topic)
    }

    /// Reads every record with ingest's own settings of librdkafka, and does nothing with it.
    pub fn read_bare(&self, broker: &Broker) -> anyhow::Result<Taken> {
        let (began, cpu) = (Instant::now(), cpu_seconds("self"));
        let options = KafkaOptions {
            brokers: broker.address(),
            topic: self.name.clone(),
            group: "bare".to_owned(),
            ..KafkaOptions::default()
        };
        let consumer: BaseConsumer = options.consumer().create()?;
        let mut all = TopicPartitionList::new();
        for partition in 0..PARTITIONS as i32 {
            all.add_partition_offset(&self.name, partition, Offset::Beginning)?;
        }
        consumer.assign(&all)?;
        let (mut records, mut bytes) = (0, 0);
        while records < self.records {
            if let Some(message) = consumer.poll(Duration::from_millis(50)) {
                records += 1;
                bytes += message?.payload().map_or(0, <[u8]>::len) as u64;
            }
        }
        anyhow::ensure!(bytes == self.bytes, "read {bytes} bytes of {}", self.bytes);
        Ok(Taken {
            seconds: began.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds("self") - cpu,
            peak_mib: 0.0,
        })
    }
}
