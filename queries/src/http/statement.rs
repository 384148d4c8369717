//! `POST /api/v1/sql`: one read-only statement, as it is or as `{"statement": "…"}`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;

use super::Api;
use super::problem::Problem;
use super::respond::{Form, rows};
use crate::access::Caller;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    statement: String,
}

/// Answers with the rows: a JSON list of objects, CSV, or an Arrow stream.
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
    rows(&headers, form, &answer.schema, &answer.batches)
}

fn asked(headers: &HeaderMap, body: &[u8]) -> Result<String, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("application/json")) {
        let asked: Asked = serde_json::from_slice(body).map_err(|error| {
            Problem::invalid(format!("the body is no {{\"statement\": \"…\"}}: {error}"))
        })?;
        return Ok(asked.statement);
    }
    let text = std::str::from_utf8(body);
    text.map(str::to_owned).map_err(|_| Problem::invalid("the statement is no UTF-8 text"))
}
