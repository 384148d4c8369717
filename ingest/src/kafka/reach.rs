//! Whether the brokers can be reached: asked before the start, watched from then on.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;

use super::options::KafkaOptions;
use super::state::BROKER_TIMEOUT;
use crate::error::{IngestError, passes};
use crate::health::Health;

/// How long one question waits, so that a refusal is heard soon.
const ASK: Duration = Duration::from_secs(1);
/// The first pause before the log says again that no broker answers; each is twice the last,
const SAY_AGAIN: Duration = Duration::from_secs(4);
/// up to this one.
const SAY_AT_LEAST: Duration = Duration::from_secs(300);

/// Asks the brokers who they are, so that a wrong address, login or topic is told at once; the
/// cluster's id. Blocks for up to ten seconds a question.
///
/// # Errors
/// No broker answers, they refuse us, the topic does not exist, or the cluster has no id.
pub fn check(options: &KafkaOptions) -> Result<String, IngestError> {
    let brokers = &options.brokers;
    let client: BaseConsumer<Listener> =
        options.consumer().create_with_context(Listener::default()).map_err(failed(
            "the Kafka client could not be made".to_owned(),
            "check ingest.properties and the files that it names",
        ))?;
    let until = Instant::now() + BROKER_TIMEOUT;
    let metadata = loop {
        let answer = client.fetch_metadata(Some(&options.topic), ASK);
        // What went wrong comes as events, by way of the listener.
        while client.poll(Duration::ZERO).is_some() {}
        let heard = lock(&client.context().heard).clone();
        match (answer, heard) {
            (Ok(metadata), _) => break metadata,
            (Err(_), Heard { refusal: Some((code, reason)), .. }) => {
                return Err(refused(brokers, code, &reason));
            }
            (Err(error), heard) if Instant::now() >= until => {
                let reason = heard.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
                return Err(failed(
                    format!("no broker answers at {brokers}{reason}"),
                    "check --brokers, security.protocol in ingest.properties, and that Kafka is up \
                     and reachable from here",
                )(error));
            }
            (Err(_), _) => {}
        }
    };
    let topic = metadata.topics().iter().find(|t| t.name() == options.topic);
    let code = match topic.map(|topic| (topic.error(), topic.partitions().is_empty())) {
        Some((None, false)) => None,
        Some((Some(error), _)) => Some(RDKafkaErrorCode::from(error)),
        Some((None, true)) | None => Some(RDKafkaErrorCode::UnknownTopicOrPartition),
    };
    if let Some(code) = code {
        let remedy = match code {
            RDKafkaErrorCode::TopicAuthorizationFailed => "allow this login to read it (ACLs)",
            _ => "create it, or name another with --topic",
        };
        let what = match code {
            RDKafkaErrorCode::UnknownTopicOrPartition => "does not exist",
            _ => "cannot be read",
        };
        let what = format!("the topic {} {what} at {brokers}", options.topic);
        return Err(failed(what, remedy)(KafkaError::MetadataFetch(code)));
    }
    client.client().fetch_cluster_id(BROKER_TIMEOUT).ok_or_else(|| {
        failed(
            format!("the brokers at {brokers} do not tell their cluster's id"),
            "check their version; 0.10.1 or newer is needed",
        )(KafkaError::MetadataFetch(RDKafkaErrorCode::UnsupportedFeature))
    })
}

fn failed(what: String, remedy: &str) -> impl FnOnce(KafkaError) -> IngestError {
    let remedy = remedy.to_owned();
    move |source| IngestError::Kafka { what, remedy, source }
}

fn refused(brokers: &str, code: RDKafkaErrorCode, reason: &str) -> IngestError {
    let remedy = match code {
        RDKafkaErrorCode::SSL => {
            "ssl.ca.location in ingest.properties must name the authority that signed the brokers' \
             certificates, ssl.certificate.location and ssl.key.location ours if they ask for one"
        }
        _ => {
            "check sasl.mechanism, sasl.username and sasl.password in ingest.properties \
             (docs/operations.md#credentials)"
        }
    };
    failed(format!("the brokers at {brokers} cannot be used: {reason}"), remedy)(
        KafkaError::Global(code),
    )
}

/// What the client told besides its answers.
#[derive(Default)]
struct Listener {
    heard: Mutex<Heard>,
}

#[derive(Clone, Default)]
struct Heard {
    /// Why the last connection failed.
    reason: Option<String>,
    /// Why trying again is no use.
    refusal: Option<(RDKafkaErrorCode, String)>,
}

impl ClientContext for Listener {
    fn error(&self, error: KafkaError, reason: &str) {
        let mut heard = lock(&self.heard);
        match error.rdkafka_error_code() {
            Some(
                code @ (RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed),
            ) => heard.refusal = Some((code, reason.to_owned())),
            Some(RDKafkaErrorCode::AllBrokersDown) => {}
            _ => heard.reason = Some(reason.to_owned()),
        }
    }

    fn stats(&self, _: Statistics) {}
}

impl ConsumerContext for Listener {}

/// Tells the log and `/readyz` when the brokers go away, that they still are, and that they are back.
pub struct Reach {
    health: Health,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    away: Option<Away>,
    reason: String,
}

struct Away {
    since: Instant,
    said: Instant,
    say_again: Duration,
}

impl Reach {
    pub fn new(health: Health) -> Self {
        Self { health, inner: Mutex::default() }
    }

    /// The client reports a problem. It does so many times a second while brokers are away.
    pub fn failed(&self, error: &KafkaError, reason: &str) {
        if !passes(error) {
            tracing::warn!(%error, reason, "kafka client reports a problem");
        } else if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            tracing::debug!(%error, reason, "a broker cannot be reached");
            reason.clone_into(&mut lock(&self.inner).reason);
        }
    }

    /// What the client's statistics say, every two seconds.
    pub fn look(&self, statistics: &Statistics) {
        let up = statistics.brokers.values().any(|broker| broker.state == "UP");
        let mut inner = lock(&self.inner);
        let Inner { away, reason } = &mut *inner;
        match away {
            _ if up => {
                if let Some(away) = away.take() {
                    let seconds = away.since.elapsed().as_secs();
                    tracing::info!(seconds, "brokers answer again, going on");
                    self.health.ready();
                }
            }
            None => {
                let now = Instant::now();
                *away = Some(Away { since: now, said: now, say_again: SAY_AGAIN });
                tracing::warn!(reason, "no broker answers, waiting for them");
                self.health.not_ready(format!("no broker answers: {reason}"));
            }
            Some(away) => {
                let seconds = away.since.elapsed().as_secs();
                self.health.not_ready(format!("no broker answers for {seconds} s: {reason}"));
                if away.said.elapsed() >= away.say_again {
                    away.said = Instant::now();
                    away.say_again = (away.say_again * 2).min(SAY_AT_LEAST);
                    tracing::warn!(seconds, reason, "still no broker answers, waiting for them");
                }
            }
        }
    }
}

/// What a callback left half done is no more than a word of the log.
fn lock<T>(inner: &Mutex<T>) -> MutexGuard<'_, T> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}
