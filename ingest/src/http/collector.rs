//! `POST /api/v1/events`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Serialize;
use serde_json::json;

use super::group_commit::{Answer, GroupCommit, NotTaken};
use super::payload::{Payload, cut};
use crate::kafka::Producer;

/// Limits of a request.
#[derive(Clone, Copy, Debug)]
pub struct CollectorOptions {
    /// Bytes of a request body.
    pub max_body_bytes: usize,
    /// Events of a batch.
    pub max_events: usize,
}

impl Default for CollectorOptions {
    fn default() -> Self {
        Self { max_body_bytes: 16 << 20, max_events: 10_000 }
    }
}

/// Where the collector makes events durable.
#[derive(Clone)]
pub enum Sink {
    /// In the lake, by group commit.
    Lake(GroupCommit),
    /// In Kafka, acknowledged by all in-sync replicas; the lake follows.
    Kafka(Producer),
}

/// The collector's routes.
pub struct Collector;

#[derive(Clone)]
struct Shared {
    sink: Sink,
    options: CollectorOptions,
}

#[derive(Serialize)]
struct Answers {
    results: Vec<Answer>,
}

impl Collector {
    /// `POST /api/v1/events`, with or without a trailing slash.
    pub fn router(sink: Sink, options: CollectorOptions) -> Router {
        Router::new()
            .route("/api/v1/events", post(collect))
            .route("/api/v1/events/", post(collect))
            .layer(DefaultBodyLimit::max(options.max_body_bytes))
            .with_state(Arc::new(Shared { sink, options }))
    }
}

async fn collect(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(refused) if refused.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let limit = shared.options.max_body_bytes;
            let detail = format!("the body may have {limit} bytes; send smaller batches");
            return problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &detail);
        }
        Err(refused) => {
            return problem(StatusCode::BAD_REQUEST, "unreadable_body", &refused.body_text());
        }
    };
    let events = match cut(&headers, &body) {
        Ok(events) => events,
        Err(detail) => return problem(StatusCode::BAD_REQUEST, "malformed_batch", &detail),
    };
    if events.len() > shared.options.max_events {
        let (sent, most) = (events.len(), shared.options.max_events);
        let detail = format!("the batch has {sent} events, at most {most} are taken; split it");
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "batch_too_large", &detail);
    }
    match shared.store(events).await {
        Ok(results) => (StatusCode::ACCEPTED, axum::Json(Answers { results })).into_response(),
        Err(NotTaken::Full) => busy("the collector is at its limit; send the events again"),
        Err(NotTaken::Failed) => {
            busy("the events could not be made durable; send them again, resends are recognised")
        }
    }
}

impl Shared {
    async fn store(&self, events: Vec<Payload>) -> Result<Vec<Answer>, NotTaken> {
        match &self.sink {
            Sink::Lake(lake) => lake.append(events).await,
            Sink::Kafka(producer) => produce(producer, events).await,
        }
    }
}

/// Produces every event under its session id, so that a session stays on one partition.
async fn produce(producer: &Producer, events: Vec<Payload>) -> Result<Vec<Answer>, NotTaken> {
    let sends = events.iter().map(|event| {
        let key = subject(event);
        async move { producer.send(key.as_deref(), &event.bytes, &event.headers).await }
    });
    for sent in futures::future::join_all(sends).await {
        if let Err(error) = sent {
            tracing::error!(error = &error as &dyn std::error::Error, "event not produced");
            return Err(NotTaken::Failed);
        }
    }
    Ok(events.iter().map(|_| Answer::plain("queued")).collect())
}

fn subject(event: &Payload) -> Option<Vec<u8>> {
    if let Some((_, value)) = event.headers.iter().find(|(name, _)| name == "ce_subject") {
        return Some(value.to_vec());
    }
    let [subject] = onramp_schemas::event::peek(&event.bytes, ["subject"]);
    subject.map(String::into_bytes)
}

fn busy(detail: &str) -> Response {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, "not_durable", detail);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// An RFC 9457 problem document.
fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("error");
    let document = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "code": code, "detail": detail });
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, document.to_string()).into_response()
}
