//! Producing events: the collector with Kafka behind it, and the generator.

use std::time::Duration;

use bytes::Bytes;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use thiserror::Error;

use super::options::KafkaOptions;
use crate::error::IngestError;

/// Why a record was not taken.
#[derive(Debug, Error)]
pub enum ProducerError {
    /// The brokers did not acknowledge it in time.
    #[error("the brokers did not acknowledge the record; try again")]
    Unacknowledged(#[source] KafkaError),
}

/// A producer that waits for all in-sync replicas and resends without doubling.
#[derive(Clone)]
pub struct Producer {
    inner: FutureProducer,
    topic: String,
}

impl Producer {
    /// Connects lazily; wrong settings are told at once.
    ///
    /// # Errors
    /// Settings that librdkafka refuses.
    pub fn new(options: &KafkaOptions) -> Result<Self, IngestError> {
        let inner = options.producer().create().map_err(|source| IngestError::Kafka {
            what: "the Kafka producer could not be made".to_owned(),
            remedy: "check ingest.properties".to_owned(),
            source,
        })?;
        Ok(Self { inner, topic: options.topic.clone() })
    }

    /// Produces one record with its headers and returns once it is durable.
    ///
    /// # Errors
    /// No acknowledgement within librdkafka's `delivery.timeout.ms`.
    pub async fn send(
        &self,
        key: Option<&[u8]>,
        payload: &[u8],
        headers: &[(String, Bytes)],
    ) -> Result<(), ProducerError> {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value.as_ref()) })
        });
        let mut record =
            FutureRecord::<[u8], [u8]>::to(&self.topic).payload(payload).headers(headers);
        if let Some(key) = key {
            record = record.key(key);
        }
        let sent = self.inner.send(record, Duration::from_secs(30)).await;
        sent.map(|_| ()).map_err(|(error, _)| ProducerError::Unacknowledged(error))
    }

    /// Queues one record, waiting while the queue is full; [`Self::flush`] makes it durable.
    ///
    /// # Errors
    /// A record that can never be sent.
    pub fn enqueue(&self, key: &[u8], payload: &[u8]) -> Result<Delivery, KafkaError> {
        let mut record = FutureRecord::to(&self.topic).key(key).payload(payload);
        loop {
            match self.inner.send_result(record) {
                Ok(delivery) => return Ok(Delivery(delivery)),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.inner.poll(Duration::from_millis(50));
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Waits until everything queued is durable.
    ///
    /// # Errors
    /// Records that were not acknowledged in `timeout`.
    pub fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.inner.flush(timeout)
    }
}

/// The answer for one queued record, when it comes.
pub struct Delivery(rdkafka::producer::DeliveryFuture);

impl Delivery {
    /// Waits for the acknowledgement.
    ///
    /// # Errors
    /// The record was not acknowledged.
    pub async fn acknowledged(self) -> Result<(), KafkaError> {
        match self.0.await {
            Ok(answer) => answer.map(|_| ()).map_err(|(error, _)| error),
            Err(_) => Err(KafkaError::Canceled),
        }
    }
}
