//! What is done to topics, by librdkafka's admin client.

use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::support::eventually;

/// As many replicas as the cluster is set up for.
const REPLICATION: TopicReplication<'_> = TopicReplication::Fixed(-1);

/// Creates a topic with settings of its own.
pub fn create(brokers: &str, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin = admin(brokers);
    eventually("the topic is created", 60, || {
        let mut new = NewTopic::new(topic, partitions, REPLICATION);
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let asked = admin.create_topics([&new], &AdminOptions::new());
        block_on(asked).ok().filter(|answers| answers.iter().all(Result::is_ok))
    });
}

/// Adds partitions to a topic until it has so many.
pub fn widen(brokers: &str, topic: &str, partitions: i32) {
    let admin = admin(brokers);
    let more = [NewPartitions::new(topic, partitions as usize)];
    eventually("partitions are added", 60, || {
        let asked = admin.create_partitions(&more, &AdminOptions::new());
        block_on(asked).ok().filter(|answers| answers.iter().all(Result::is_ok))
    });
}

/// Deletes the records of a partition before an offset, as an operator does or retention.
pub fn truncate(brokers: &str, topic: &str, partition: i32, before: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
    let deleted = block_on(admin(brokers).delete_records(&offsets, &AdminOptions::new()));
    deleted.expect("the records are deleted");
}

/// Deletes a topic and creates it again under its name.
pub fn create_anew(brokers: &str, topic: &str, partitions: i32) {
    let deleted = block_on(admin(brokers).delete_topics(&[topic], &AdminOptions::new()));
    assert!(deleted.expect("an answer").iter().all(Result::is_ok), "{topic} is deleted");
    create(brokers, topic, partitions, &[]);
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a client")
}
