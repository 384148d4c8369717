//! Listening: loopback only while there is no access control, and a stop that lets requests end.

use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::IngestError;
use crate::health::Health;

/// Listens on `address`.
///
/// # Errors
/// An address that is not loopback, or that something else uses.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, IngestError> {
    if !address.ip().is_loopback() {
        return Err(IngestError::NotLoopback { address: address.to_string() });
    }
    TcpListener::bind(address)
        .await
        .map_err(|source| IngestError::Listen { address: address.to_string(), source })
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn operations(health: Health, prometheus: PrometheusHandle) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route(
            "/readyz",
            get(async move || match health.trouble() {
                None => (StatusCode::OK, "ready\n".to_owned()),
                Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
            }),
        )
        .route("/metrics", get(async move || prometheus.render()))
}

/// Serves until `shutdown`, then lets the requests under way end.
///
/// # Errors
/// The listener broke.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> Result<(), IngestError> {
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .map_err(|source| IngestError::Listen { address: "the open socket".to_owned(), source })
}
