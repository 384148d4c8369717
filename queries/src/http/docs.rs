//! The API's description in OpenAPI 3.1, and pages that render it without asking anybody else.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use utoipa::openapi::OpenApi as Description;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_swagger_ui::Config;

use super::documented;
use super::problem::Problem;

/// The page, whose scripts and styles are served beside it.
const PAGE: &str = include_str!("docs.html");
/// What of the renderer is served.
const ASSETS: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Onramp",
        description = "Onboarding funnel analytics. Times are RFC 3339 UTC, durations seconds, rates 0–1. \
                       A trailing slash makes no difference. Errors are problem documents (RFC 9457) \
                       whose `code` is stable. Lists come as CSV or as an Arrow stream too, by `Accept`."
    ),
    servers((url = "/")),
    // Either, for without tokens and a provider nobody has to show one.
    security(("token" = []), ()),
    modifiers(&Token),
    paths(events, healthz, readyz, metrics),
    tags(
        (name = "analytics", description = "Figures, and the sessions behind them."),
        (name = "sql", description = "Read-only statements over the lake."),
        (name = "events", description = "The way in."),
        (name = "operations", description = "How the server is."),
    )
)]
struct Base;

/// How callers show who they are.
struct Token;

impl Modify for Token {
    fn modify(&self, description: &mut Description) {
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.description =
            Some("A token of `onramp token create`, or a JWT of the provider.".to_owned());
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// The description of all routes, those of the collector and of operations included.
pub fn openapi() -> Description {
    let mut description = Base::openapi();
    description.merge(documented().into_openapi());
    description
}

/// The description and its pages.
pub fn router() -> Router {
    let json = openapi().to_json().unwrap_or_default();
    let json = move || async move { ([(header::CONTENT_TYPE, "application/json")], json) };
    Router::new()
        .route("/api/v1/openapi.json", get(json))
        .route("/api/v1/docs", get(async || Html(PAGE)))
        .route("/api/v1/docs/{file}", get(asset))
}

async fn asset(Path(file): Path<String>) -> Result<Response, Problem> {
    let config = Arc::new(Config::from("/api/v1/openapi.json"));
    let known = ASSETS.contains(&file.as_str());
    let found = known.then(|| utoipa_swagger_ui::serve(&file, config).ok().flatten()).flatten();
    let Some(found) = found else {
        let detail = format!("the documentation has no file {file:?}; it starts at /api/v1/docs");
        return Err(Problem::missing("unknown_route", detail));
    };
    let headers = [
        (header::CONTENT_TYPE, found.content_type.as_str()),
        (header::CACHE_CONTROL, "max-age=3600"),
    ];
    Ok((headers, found.bytes.into_owned()).into_response())
}

/// What became of a request's events.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the documentation of what the collector answers")]
struct Answers {
    /// One for each event, in their order.
    results: Vec<Answer>,
}

/// What became of one event.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the documentation of what the collector answers")]
struct Answer {
    /// `accepted`, `duplicate`, `rejected`, or with Kafka `queued`.
    status: String,
    /// The rejection's code.
    code: Option<String>,
    /// What is wrong with the event.
    message: Option<String>,
}

macro_rules! described {
    ($($(#[$attribute:meta])* $name:ident)+) => {$(
        $(#[$attribute])*
        #[allow(dead_code, reason = "the route is another crate's; this is its documentation")]
        fn $name() {}
    )+};
}

described! {
    /// Takes events.
    ///
    /// One CloudEvent (structured or in binary mode), or a batch of them. The answer comes when they are
    /// durable.
    #[utoipa::path(
        post,
        path = "/api/v1/events",
        tag = "events",
        request_body(content((serde_json::Value = "application/cloudevents+json"),
            (Vec<serde_json::Value> = "application/cloudevents-batch+json"))),
        responses(
            (status = ACCEPTED, body = Answers, content_type = "application/json"),
            (status = BAD_REQUEST, body = Problem, content_type = "application/problem+json",
                description = "`malformed_batch`, `unreadable_body`"),
            (status = PAYLOAD_TOO_LARGE, body = Problem, content_type = "application/problem+json",
                description = "`body_too_large`, `batch_too_large`"),
            (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json",
                description = "`not_durable`: send the events again, resends are recognised"),
        )
    )]
    events
    /// Whether the process lives.
    #[utoipa::path(get, path = "/healthz", tag = "operations",
        responses((status = OK, body = String, content_type = "text/plain")))]
    healthz
    /// Whether it takes work.
    #[utoipa::path(get, path = "/readyz", tag = "operations",
        responses(
            (status = OK, body = String, content_type = "text/plain"),
            (status = SERVICE_UNAVAILABLE, body = String, content_type = "text/plain")))]
    readyz
    /// Metrics.
    #[utoipa::path(get, path = "/metrics", tag = "operations",
        responses((status = OK, body = String, content_type = "text/plain")))]
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds the description against the program, or writes it when `ONRAMP_BLESS=1`.
    #[test]
    fn the_description_in_docs_is_that_of_the_routes() {
        let file =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/generated/openapi.json");
        let text = openapi().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("ONRAMP_BLESS").is_some_and(|bless| bless == "1") {
            std::fs::write(&file, &text).unwrap();
        }
        assert!(
            std::fs::read_to_string(&file).unwrap_or_default() == text,
            "docs/generated/openapi.json is not what its definition says; run \
             `ONRAMP_BLESS=1 cargo test --workspace --lib docs` and commit it"
        );
    }
}
