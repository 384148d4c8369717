//! Whether a topic still holds what the lake has read of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onramp_schemas::event;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::options::KafkaOptions;
use super::state::BROKER_TIMEOUT;
use crate::error::IngestError;

/// Of these partitions those that hold another event where the lake's last one came from: a topic
/// that was deleted, created again and grew past where it was. `last` is the sequence and the
/// identity by partition.
///
/// A record that is not there any more (compacted, or past its retention) tells nothing, neither does
/// one that is no event by today's rules.
///
/// # Errors
/// When the brokers do not answer.
pub fn differing(
    options: &KafkaOptions,
    mut last: BTreeMap<i32, (i64, u128)>,
) -> Result<Vec<i32>, IngestError> {
    let mut differing = Vec::new();
    if last.is_empty() {
        return Ok(differing);
    }
    let failed = |source| IngestError::Kafka {
        what: format!(
            "the records that were read last of {} could not be looked at",
            options.topic
        ),
        remedy: "check that the brokers are up".to_owned(),
        source,
    };
    let mut config = options.consumer();
    config
        .set("enable.partition.eof", "true")
        // A record that retention took is no error here.
        .set("auto.offset.reset", "latest")
        .set("fetch.message.max.bytes", "65536");
    let consumer: BaseConsumer = config.create().map_err(failed)?;
    let mut places = TopicPartitionList::new();
    for (&number, &(sequence, _)) in &last {
        let offset = Offset::Offset(sequence);
        places.add_partition_offset(&options.topic, number, offset).map_err(failed)?;
    }
    consumer.assign(&places).map_err(failed)?;
    let until = Instant::now() + BROKER_TIMEOUT;
    let mut trouble = KafkaError::NoMessageReceived;
    while !last.is_empty() {
        if Instant::now() >= until {
            return Err(failed(trouble));
        }
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let Some((sequence, identity)) = last.remove(&message.partition()) else {
                    continue;
                };
                let now = (message.offset() == sequence).then(|| identity_of(options, &message));
                if now.flatten().is_some_and(|now| now != identity) {
                    differing.push(message.partition());
                }
            }
            Some(Err(KafkaError::PartitionEOF(number))) => drop(last.remove(&number)),
            Some(Err(error)) => trouble = error,
            None => {}
        }
    }
    Ok(differing)
}

/// Who an event is; none: the record is no event by today's rules.
fn identity_of(options: &KafkaOptions, message: &BorrowedMessage<'_>) -> Option<u128> {
    let headers: Vec<(&str, &[u8])> = message
        .headers()
        .map(|h| h.iter().map(|h| (h.key, h.value.unwrap_or_default())).collect())
        .unwrap_or_default();
    let payload = message.payload().unwrap_or_default();
    let timestamp = message.timestamp().to_millis().unwrap_or_default().saturating_mul(1_000);
    let context = options.pipeline.context(timestamp);
    let event = match event::is_binary(&headers) {
        true => event::decode_binary(&headers, payload, &context),
        false => event::decode(payload, &context),
    };
    let event = event.ok()?;
    Some(event::identity(&event.client_id, &event.source, &event.id))
}
