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
use super::reach::{self, Reach};
use super::state::State;
use crate::error::{IngestError, passes};
use crate::health::Health;
use crate::pipeline::Committer;

/// How long a poll waits for a record: the grain of time-based flushes and of shutdown.
const POLL: Duration = Duration::from_millis(50);

/// Records between two looks at the clock while there are more.
const GRAIN: usize = 64;

/// The first pause before brokers that do not answer are asked again; each is twice the last,
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// up to this one.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Ingests the topic until `shutdown`, then flushes, commits and leaves the group. While no broker
/// answers it waits for one, be it at the start or later.
///
/// # Errors
/// Brokers that refuse us, a topic that does not exist or is not the one that was read before, too
/// many rejections, a lake that cannot be written. What was committed stays.
pub async fn run(
    lake: &Lake,
    options: KafkaOptions,
    health: Health,
    shutdown: CancellationToken,
) -> Result<(), IngestError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match attempt(lake, &options, &health, &shutdown).await {
            Err(error) if error.passes() => error,
            ended => return ended,
        };
        if health.trouble().is_none() {
            pause = FIRST_PAUSE;
        }
        health.not_ready(error.to_string());
        let seconds = pause.as_secs();
        tracing::warn!(%error, seconds, "waiting for kafka, then starting again from the lake");
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// From the first question to the brokers until the end of the consumer.
async fn attempt(
    lake: &Lake,
    options: &KafkaOptions,
    health: &Health,
    shutdown: &CancellationToken,
) -> Result<(), IngestError> {
    let committer = Committer::open(lake).await?;
    let ended = |error: tokio::task::JoinError| IngestError::Worker(error.to_string());
    let asked = options.clone();
    let cluster = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(()),
        found = tokio::task::spawn_blocking(move || reach::check(&asked)) => found.map_err(ended)??,
    };
    let patience = options.shutdown_timeout;
    let flushed = CancellationToken::new();
    let consuming = {
        let (options, health) = (options.clone(), health.clone());
        let (shutdown, flushed) = (shutdown.clone(), flushed.clone());
        let state = State::new(options.clone(), Handle::current(), cluster, committer)?;
        tokio::task::spawn_blocking(move || consume(&options, state, health, &shutdown, &flushed))
    };
    let overdue = async {
        shutdown.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(patience) => {}
            // Half of it is enough to leave the group, which is a courtesy.
            () = async {
                flushed.cancelled().await;
                tokio::time::sleep(patience / 2).await;
            } => {}
        }
    };
    tokio::select! {
        consumed = consuming => consumed.map_err(ended)?,
        () = overdue => match flushed.is_cancelled() {
            true => {
                tracing::warn!("no broker lets this member leave its group; it will be missed there");
                Ok(())
            }
            false => Err(IngestError::ShutdownOverdue { seconds: patience.as_secs() }),
        },
    }
}

/// Consumes until `shutdown`; tells by `flushed` when all is in the lake and only leaving is left.
fn consume(
    options: &KafkaOptions,
    state: State,
    health: Health,
    shutdown: &CancellationToken,
    flushed: &CancellationToken,
) -> Result<(), IngestError> {
    let topic = &options.topic;
    let state = Arc::new(Mutex::new(state));
    let context = Context::new(state.clone(), Reach::new(health.clone()));
    let consumer: BaseConsumer<Context> =
        options.consumer().create_with_context(context).map_err(|source| IngestError::Kafka {
            what: "the Kafka consumer could not be made".to_owned(),
            remedy: "check ingest.properties".to_owned(),
            source,
        })?;
    consumer.subscribe(&[topic]).map_err(|source| IngestError::Kafka {
        what: format!("{topic} could not be subscribed to"),
        remedy: "check the topic's name".to_owned(),
        source,
    })?;
    health.ready();
    let read = poll(&consumer, &state, topic, shutdown);
    let mut state = lock(&state);
    if let Err(error) = read {
        if let Err(error) = state.abandon() {
            tracing::warn!(%error, "the last flush failed");
        }
        return Err(error);
    }
    let began = Instant::now();
    state.flush(&consumer)?;
    flushed.cancel();
    tracing::info!(seconds = began.elapsed().as_secs_f64(), "flushed, leaving the group");
    Ok(())
}

fn poll(
    consumer: &BaseConsumer<Context>,
    state: &Mutex<State>,
    topic: &str,
    shutdown: &CancellationToken,
) -> Result<(), IngestError> {
    while !shutdown.is_cancelled() {
        let mut caught_up = false;
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
            caught_up = is_idle && record == 0;
            if is_idle || state.is_full() {
                break;
            }
        }
        lock(state).keep_up(consumer, caught_up)?;
    }
    Ok(())
}

/// Which of the client's errors end the pipeline: the others pass by themselves.
fn judge(error: KafkaError, topic: &str) -> Result<(), IngestError> {
    let code = error.rdkafka_error_code();
    let remedy = match code {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            "the topic was truncated or created anew under this process; start it again, it then says what \
             is missing, and raise ingest.epoch to go on with what is there \
             (docs/operations.md#topic-created-anew-or-truncated)"
        }
        Some(
            RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed,
        ) => "check the credentials in ingest.properties and the ACLs",
        Some(RDKafkaErrorCode::Fatal) => "start the process again",
        _ => {
            // Of brokers that are away the log is told elsewhere, once.
            if !passes(&error) {
                tracing::warn!(%error, "kafka answers with an error, going on");
            }
            return Ok(());
        }
    };
    Err(IngestError::Kafka {
        what: format!("reading {topic} failed"),
        remedy: remedy.to_owned(),
        source: error,
    })
}
