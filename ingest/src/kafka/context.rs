//! What librdkafka calls back: rebalances, errors, statistics.

use std::sync::{Arc, Mutex, MutexGuard};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::reach::Reach;
use super::state::State;
use crate::faults::{self, Point};
use crate::observability as names;

/// The consumer's context; its state is touched by the polling thread only.
pub struct Context {
    state: Arc<Mutex<State>>,
    reach: Reach,
}

impl Context {
    pub fn new(state: Arc<Mutex<State>>, reach: Reach) -> Self {
        Self { state, reach }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let mut state = self.state();
        let numbers: Vec<i32> = partitions.elements().iter().map(|e| e.partition()).collect();
        let started = state.start(consumer, &numbers);
        if let Err(error) = started.and_then(|()| state.halt_what_differs(consumer, &numbers)) {
            state.failure = Some(error);
        }
        let mut starts = TopicPartitionList::new();
        for element in partitions.elements() {
            let partition = element.partition();
            let Some(offset) = state.position(partition).map(Offset::Offset) else { continue };
            if let Err(source) = starts.add_partition_offset(element.topic(), partition, offset) {
                state.fail("a start offset could not be set", "report this", source);
            }
        }
        let assigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&starts),
            _ => consumer.assign(&starts),
        };
        if let Err(source) = assigned {
            state.fail("the group's assignment failed", "start the process again", source);
        }
        tracing::info!(partitions = ?state.numbers(), "partitions assigned");
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let mut state = self.state();
        let numbers: Vec<i32> = partitions.elements().iter().map(|e| e.partition()).collect();
        if consumer.assignment_lost() {
            tracing::warn!(partitions = ?numbers, "assignment lost, buffer dropped");
            if let Err(error) = state.abandon() {
                state.failure = Some(error);
            }
        } else if let Err(error) = state.flush(consumer) {
            state.failure = Some(error);
        }
        faults::pass(Point::DuringRevoke);
        let held = state.release(&numbers);
        let released = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => {
                let mut ours = TopicPartitionList::new();
                for element in partitions.elements() {
                    if held.contains(&element.partition()) {
                        ours.add_partition(element.topic(), element.partition());
                    }
                }
                consumer.incremental_unassign(&ours)
            }
            _ => consumer.unassign(),
        };
        if let Err(source) = released {
            state.fail("partitions could not be released", "start the process again", source);
        }
        tracing::info!(partitions = ?numbers, "partitions revoked");
    }
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        self.reach.look(&statistics);
        let state = self.state();
        let Some(topic) = statistics.topics.get(state.topic()) else { return };
        for (&number, partition) in &topic.partitions {
            let Some(next) = state.position(number) else { continue };
            // Markers of transactions and what was compacted away are offsets without a record:
            // with nothing left in the queue, whatever was fetched is behind us.
            let reached = match partition.fetchq_cnt {
                0 => next.max(partition.next_offset),
                _ => next,
            };
            let lag = (partition.ls_offset - reached).max(0);
            metrics::gauge!(
                names::LAG,
                "topic" => state.topic().to_owned(),
                "partition" => number.to_string()
            )
            .set(lag as f64);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reach.failed(&error, reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assign(consumer, partitions);
            }
            _ => self.revoke(consumer, partitions),
        }
    }
}

/// A panic while the lock was held has already ended the pipeline; what it left is not read.
pub fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
