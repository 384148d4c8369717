//! What all routes of a server share, whoever owns them: limits, compression, and problems instead of
//! empty refusals.

use std::any::Any;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower::Layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::normalize_path::NormalizePathLayer;

use super::problem::Problem;

/// Counter, requests answered; label `status`. Worry when those with 5xx grow.
pub const REQUESTS: &str = "onramp_http_requests_total";
/// Histogram, seconds from a request's head to the head of its answer. Worry near the deadline.
pub const REQUEST_SECONDS: &str = "onramp_http_request_seconds";

/// Wraps all routes of a server. A trailing slash makes no difference, whatever is not there or not
/// allowed is a problem document, and `timeout` bounds a request from its head to the answer's.
pub fn wrap(routes: Router, timeout: Duration) -> Router {
    metrics::describe_counter!(REQUESTS, "requests answered, by status");
    metrics::describe_histogram!(
        REQUEST_SECONDS,
        metrics::Unit::Seconds,
        "time to an answer's head"
    );
    let routes = routes
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn(move |request, next| in_time(timeout, request, next)))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(counted));
    // Paths must be trimmed before they are routed, so the routes stand behind a router that has none.
    Router::new().fallback_service(NormalizePathLayer::trim_trailing_slash().layer(routes))
}

async fn unknown(uri: Uri) -> Problem {
    Problem::unknown_route(&uri)
}

async fn not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::not_allowed(&method, &uri)
}

async fn counted(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let answer = next.run(request).await;
    metrics::histogram!(REQUEST_SECONDS).record(began.elapsed());
    metrics::counter!(REQUESTS, "status" => answer.status().as_str().to_owned()).increment(1);
    answer
}

async fn in_time(timeout: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => {
            let detail = format!(
                "the request was not complete and answered within {} s; send it again",
                timeout.as_secs()
            );
            Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail).into_response()
        }
    }
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
    Problem::broken(&format!("a request panicked: {words}")).into_response()
}
