//! `POST /api/v1/sql`: one read-only statement, as it is or as `{"statement": "…"}`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::accept::Form;
use super::problem::{Problem, Refusals};
use super::respond::rows;
use crate::access::Caller;

/// A statement.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// One SELECT, EXPLAIN, SHOW or DESCRIBE.
    statement: String,
}

/// Answers a read-only statement.
///
/// With its rows: a JSON list of objects, CSV, or an Arrow stream.
#[utoipa::path(
    post,
    path = "/api/v1/sql",
    tag = "sql",
    request_body(content((Asked = "application/json"), (String = "application/sql"), (String = "text/plain"))),
    responses(
        (status = OK, description = "As asked.", content(
            (Vec<serde_json::Value> = "application/json"), (String = "text/csv"),
            (String = "application/vnd.apache.arrow.stream"))),
        (status = PAYLOAD_TOO_LARGE, body = Problem, content_type = "application/problem+json",
            description = "`statement_too_long`"),
        (status = UNSUPPORTED_MEDIA_TYPE, body = Problem, content_type = "application/problem+json",
            description = "`unsupported_media_type`"),
        Refusals
    )
)]
pub async fn statement(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let form = Form::accepted(&headers)?;
    let body = body.map_err(|refused| match refused.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let most = api.sql.limits().max_statement_bytes;
            let detail = format!("a statement may have {most} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "statement_too_long", detail)
        }
        _ => Problem::invalid(refused.body_text()),
    })?;
    let answer = api.sql.answer(caller, asked(&headers, &body)?).await?;
    rows(form, &answer.schema, &answer.batches)
}

fn asked(headers: &HeaderMap, body: &[u8]) -> Result<String, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
    let kind =
        kind.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match kind.as_deref() {
        Some("application/json") => {
            let asked: Asked = serde_json::from_slice(body).map_err(|error| {
                Problem::invalid(format!("the body is no {{\"statement\": \"…\"}}: {error}"))
            })?;
            Ok(asked.statement)
        }
        None | Some("application/sql" | "text/plain") => {
            let text = std::str::from_utf8(body);
            text.map(str::to_owned).map_err(|_| Problem::invalid("the statement is no UTF-8 text"))
        }
        Some(other) => {
            let detail = format!(
                "a statement comes as application/sql, text/plain or application/json, not as {other:?}"
            );
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail))
        }
    }
}
