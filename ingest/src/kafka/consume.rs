//! The consumer's loop.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use onramp_lake::Lake;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::context::{Context, lock};
use super::options::KafkaOptions;
use super::state::{BROKER_TIMEOUT, State};
use crate::error::IngestError;
use crate::health::Health;
use crate::pipeline::{Committer, Counts};

/// How long a poll waits for a record: the grain of time-based flushes and of shutdown.
const POLL: Duration = Duration::from_millis(50);

/// Records between two looks at the clock while there are more.
const GRAIN: usize = 64;

/// Ingests the topic until `shutdown`, then flushes, commits and leaves the group.
///
/// # Errors
/// Brokers that cannot be reached or refuse us, a topic that does not exist or is not the one that
/// was read before, too many rejections, a lake that cannot be written. What was committed stays.
pub async fn run(
    lake: &Lake,
    options: KafkaOptions,
    health: Health,
    shutdown: CancellationToken,
) -> Result<Counts, IngestError> {
    let committer = Committer::open(lake).await?;
    let runtime = Handle::current();
    let (stop, patience) = (shutdown.clone(), options.shutdown_timeout);
    let consuming = tokio::task::spawn_blocking(move || {
        consume(options, committer, runtime, &health, &shutdown)
    });
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(patience).await;
    };
    tokio::select! {
        ended = consuming => ended.map_err(|error| IngestError::Worker(error.to_string()))?,
        () = overdue => Err(IngestError::ShutdownOverdue { seconds: patience.as_secs() }),
    }
}

fn consume(
    options: KafkaOptions,
    committer: Committer,
    runtime: Handle,
    health: &Health,
    shutdown: &CancellationToken,
) -> Result<Counts, IngestError> {
    let cluster = check(&options)?;
    let (config, topic) = (options.consumer(), options.topic.clone());
    let state = Arc::new(Mutex::new(State::new(options, runtime, cluster, committer)?));
    let consumer: BaseConsumer<Context> = config
        .create_with_context(Context::new(state.clone()))
        .map_err(|source| IngestError::Kafka {
        what: "the Kafka consumer could not be made".to_owned(),
        remedy: "check ingest.properties".to_owned(),
        source,
    })?;
    consumer.subscribe(&[&topic]).map_err(|source| IngestError::Kafka {
        what: format!("{topic} could not be subscribed to"),
        remedy: "check the topic's name".to_owned(),
        source,
    })?;
    health.ready();
    let read = poll(&consumer, &state, &topic, shutdown);
    let mut state = lock(&state);
    if let Err(error) = read {
        if let Err(error) = state.abandon() {
            tracing::warn!(%error, "the last flush failed");
        }
        return Err(error);
    }
    let began = Instant::now();
    state.flush(&consumer)?;
    tracing::info!(seconds = began.elapsed().as_secs_f64(), "flushed, leaving the group");
    Ok(std::mem::take(&mut state.counts))
}

fn poll(
    consumer: &BaseConsumer<Context>,
    state: &Mutex<State>,
    topic: &str,
    shutdown: &CancellationToken,
) -> Result<(), IngestError> {
    while !shutdown.is_cancelled() {
        for record in 0..GRAIN {
            // Only the first is waited for: the clock is looked at before the next.
            let message = consumer.poll(if record == 0 { POLL } else { Duration::ZERO });
            let is_idle = message.is_none();
            let mut state = lock(state);
            match message {
                Some(Ok(message)) => state.push(&message)?,
                Some(Err(error)) => judge(error, topic)?,
                None => {}
            }
            if let Some(failure) = state.failure.take() {
                return Err(failure);
            }
            if state.all_halted() {
                return Err(IngestError::AllHalted { topic: topic.to_owned() });
            }
            if is_idle || state.is_full() {
                break;
            }
        }
        lock(state).keep_up(consumer)?;
    }
    Ok(())
}

/// Asks the brokers who they are, so that a wrong address or topic is told at once; the cluster's id.
/// Blocks for up to ten seconds a question.
///
/// # Errors
/// No broker answers, the topic does not exist, or the cluster has no id.
pub fn check(options: &KafkaOptions) -> Result<String, IngestError> {
    let failed = |what: String, remedy: &str| {
        let remedy = remedy.to_owned();
        move |source| IngestError::Kafka { what, remedy, source }
    };
    let client: BaseConsumer<rdkafka::consumer::DefaultConsumerContext> =
        options.consumer().create().map_err(failed(
            "the Kafka client could not be made".to_owned(),
            "check ingest.properties",
        ))?;
    let brokers = &options.brokers;
    let metadata = client.fetch_metadata(Some(&options.topic), BROKER_TIMEOUT).map_err(failed(
        format!("no broker answers at {brokers}"),
        "check --brokers, and that Kafka is up and reachable from here",
    ))?;
    let topic = metadata.topics().iter().find(|t| t.name() == options.topic);
    if topic.is_none_or(|t| t.error().is_some() || t.partitions().is_empty()) {
        let code = RDKafkaErrorCode::UnknownTopicOrPartition;
        return Err(failed(
            format!("the topic {} does not exist at {brokers}", options.topic),
            "create it, or name another with --topic",
        )(KafkaError::MetadataFetch(code)));
    }
    client.client().fetch_cluster_id(BROKER_TIMEOUT).ok_or_else(|| {
        failed(
            format!("the brokers at {brokers} do not tell their cluster's id"),
            "check their version; 0.10.1 or newer is needed",
        )(KafkaError::MetadataFetch(RDKafkaErrorCode::UnsupportedFeature))
    })
}

/// Which of the client's errors end the pipeline: the others pass by themselves.
fn judge(error: KafkaError, topic: &str) -> Result<(), IngestError> {
    let code = error.rdkafka_error_code();
    let remedy = match code {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            "the topic was truncated or created anew under this process; start it again, it then says what \
             is missing, and raise ingest.epoch to go on with what is there"
        }
        Some(
            RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed,
        ) => "check the credentials in ingest.properties and the ACLs",
        Some(RDKafkaErrorCode::Fatal) => "start the process again",
        _ => {
            tracing::warn!(%error, "kafka answers with an error, going on");
            return Ok(());
        }
    };
    Err(IngestError::Kafka {
        what: format!("reading {topic} failed"),
        remedy: remedy.to_owned(),
        source: error,
    })
}
