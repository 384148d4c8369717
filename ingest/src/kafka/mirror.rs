//! Mirroring dead letters to a topic, with the headers that Kafka Connect's own DLQ carries.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use futures::future::try_join_all;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::options::KafkaOptions;
use crate::error::IngestError;
use crate::pipeline::Beside;

/// Produces every dead letter to a topic before the lake says that its range is done: at least
/// once, where the table has it exactly once.
pub struct Mirror {
    producer: FutureProducer,
    topic: String,
    source_topic: String,
}

impl Mirror {
    /// None when no topic is configured.
    pub fn new(options: &KafkaOptions) -> Result<Option<Self>, IngestError> {
        let Some(topic) = options.dead_letter_topic.clone() else { return Ok(None) };
        let producer = options.producer().create().map_err(|source| IngestError::Kafka {
            what: "the producer of dead letters could not be made".to_owned(),
            remedy: "check ingest.properties".to_owned(),
            source,
        })?;
        Ok(Some(Self { producer, topic, source_topic: options.topic.clone() }))
    }

    pub async fn send(&self, parts: &[Beside]) -> Result<(), IngestError> {
        let mut deliveries = Vec::new();
        for part in parts {
            for row in 0..part.rows.num_rows() {
                deliveries.push(self.send_one(part, row));
            }
        }
        try_join_all(deliveries).await.map(|_| ())
    }

    async fn send_one(&self, part: &Beside, row: usize) -> Result<(), IngestError> {
        let text = |name: &str| {
            let column = part.rows.column_by_name(name)?.as_string::<i32>();
            column.is_valid(row).then(|| column.value(row))
        };
        let offset = part
            .rows
            .column_by_name("sequence")
            .map(|c| c.as_primitive::<Int64Type>().value(row))
            .unwrap_or_default()
            .to_string();
        let partition = part.app_id.rsplit('/').next().unwrap_or_default();
        let (code, message) =
            (text("code").unwrap_or_default(), text("message").unwrap_or_default());
        let headers = [
            ("__connect.errors.topic", self.source_topic.as_str()),
            ("__connect.errors.partition", partition),
            ("__connect.errors.offset", &offset),
            ("__connect.errors.connector.name", "onramp"),
            ("__connect.errors.task.id", "0"),
            ("__connect.errors.stage", "VALUE_CONVERTER"),
            ("__connect.errors.class.name", "onramp.ingest"),
            ("__connect.errors.exception.class.name", code),
            ("__connect.errors.exception.message", message),
            ("onramp.code", code),
            ("onramp.dead_letter_id", text("dead_letter_id").unwrap_or_default()),
            ("onramp.correlation_id", text("correlation_id").unwrap_or_default()),
        ]
        .into_iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let raw = part.rows.column_by_name("raw").map(|c| c.as_binary::<i32>().value(row));
        let record = FutureRecord::<str, [u8]>::to(&self.topic)
            .payload(raw.unwrap_or_default())
            .key(&*part.app_id)
            .headers(headers);
        let sent = self.producer.send(record, super::state::BROKER_TIMEOUT).await;
        sent.map(|_| ()).map_err(|(source, _)| IngestError::Kafka {
            what: format!("a dead letter could not be mirrored to {}", self.topic),
            remedy: "create the topic or unset ingest.dead_letter_topic".to_owned(),
            source,
        })
    }
}
