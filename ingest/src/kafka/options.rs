//! What a Kafka pipeline is told, and the client settings that follow from it.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;

use crate::options::PipelineOptions;

/// Rebalances let the members keep what they hold.
const STRATEGY: (&str, &str) = ("partition.assignment.strategy", "cooperative-sticky");

/// What is fetched ahead, in kibibytes.
const QUEUE: &str = "queued.max.messages.kbytes";

/// How long a partition is not fetched from after the queue was found full, in milliseconds. The
/// client's own second is many times what it takes to read the queue empty, and then nothing is
/// read until it is over.
const BACK_OFF: (&str, &str) = ("fetch.queue.backoff.ms", "5");

/// How often a member tells the group that it lives.
const HEARTBEAT: &str = "heartbeat.interval.ms";

/// A Kafka pipeline's settings.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// `host:port` of some brokers, separated by commas.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// Raised by the operator when a topic was created anew: its offsets then count as others.
    pub epoch: u32,
    /// How long a silent member keeps its partitions.
    pub session_timeout: Duration,
    /// How long a stop may take to flush and leave the group.
    pub shutdown_timeout: Duration,
    /// Share of the last 10,000 records that may be rejected before the pipeline stops, 0 to 1.
    pub max_rejected_ratio: f64,
    /// Topic that dead letters are mirrored to.
    pub dead_letter_topic: Option<String>,
    /// Further settings of librdkafka, passed through as they are.
    pub properties: BTreeMap<String, String>,
    /// Limits of the pipeline.
    pub pipeline: PipelineOptions,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            topic: "onboarding.events".to_owned(),
            group: "onramp".to_owned(),
            epoch: 0,
            session_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(10),
            max_rejected_ratio: 0.95,
            dead_letter_topic: None,
            properties: BTreeMap::new(),
            pipeline: PipelineOptions::default(),
        }
    }
}

impl KafkaOptions {
    /// Settings of the consumer. The user's go first: what exactly-once rests on is not theirs.
    pub fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", &self.group)
            .set("session.timeout.ms", self.session_timeout.as_millis().to_string())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("statistics.interval.ms", "2000");
        let queue = (self.pipeline.queue_bytes() >> 10).max(1).to_string();
        let heartbeat = self.heartbeat().as_millis().to_string();
        // The user's own go before these.
        for (name, value) in [STRATEGY, BACK_OFF, (QUEUE, &queue), (HEARTBEAT, &heartbeat)] {
            if !self.properties.contains_key(name) {
                config.set(name, value);
            }
        }
        config
    }

    /// Three beats within a session time-out, as Kafka advises: with librdkafka's own 3 s a member
    /// with a short time-out would be put out of the group while it is well.
    fn heartbeat(&self) -> Duration {
        (self.session_timeout / 3).min(Duration::from_secs(3)).max(Duration::from_millis(1))
    }

    /// Settings of a producer that loses and doubles nothing within its session.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "5");
        config
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "onramp");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// Identity of a partition in the lake.
    pub(super) fn app_id(&self, cluster: &str, partition: i32) -> String {
        format!("{cluster}/{}@{}/{partition}", self.topic, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_session_time_out_is_kept_alive_by_quicker_heartbeats() {
        let heartbeat = |milliseconds, own: Option<&str>| {
            let options = KafkaOptions {
                session_timeout: Duration::from_millis(milliseconds),
                properties: own
                    .map(|own| (HEARTBEAT.to_owned(), own.to_owned()))
                    .into_iter()
                    .collect(),
                ..KafkaOptions::default()
            };
            options.consumer().get(HEARTBEAT).map(str::to_owned)
        };
        assert_eq!(heartbeat(45_000, None).as_deref(), Some("3000"));
        assert_eq!(heartbeat(1_500, None).as_deref(), Some("500"));
        assert_eq!(heartbeat(1_500, Some("100")).as_deref(), Some("100"), "the user's own");
    }
}
