//! Listening: loopback only while there is no access control, bounds on what a connection may cost, and
//! a stop that lets requests end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::connections::{Connections, Seat};
use crate::error::IngestError;
use crate::health::Health;

/// Bytes of a request's head, at most.
const HEAD_BYTES: usize = 64 << 10;
/// How long a listener that cannot accept, as without file descriptors, is left alone.
const PAUSE: Duration = Duration::from_millis(50);

/// What clients may cost.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// Connections at once. For one more, the one that is idle longest is closed.
    pub max_connections: usize,
    /// How long the head of a request may take, and a connection be idle.
    pub head_timeout: Duration,
    /// How long a stop waits for requests under way.
    pub drain_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_connections: 512,
            head_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Listens on `address`; elsewhere than on loopback only if access is `controlled`.
///
/// # Errors
/// An address that is not allowed, or that something else uses.
pub async fn bind(address: SocketAddr, controlled: bool) -> Result<TcpListener, IngestError> {
    if !controlled && !address.ip().is_loopback() {
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

/// Serves until `shutdown`, then lets the requests under way end, up to the drain time-out.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ServerOptions,
    shutdown: CancellationToken,
) {
    let connections = Connections::new(options.max_connections);
    let mut serving = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = serving.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "connection not accepted");
                connections.close_longest_idle();
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let seat = tokio::select! {
            () = shutdown.cancelled() => break,
            seat = connections.seat() => seat,
        };
        let connection = connection(stream, router.clone(), options, seat, shutdown.clone());
        serving.spawn(connection);
    }
    drop(listener);
    let drained = async { while serving.join_next().await.is_some() {} };
    if tokio::time::timeout(options.drain_timeout, drained).await.is_err() {
        tracing::warn!(connections = serving.len(), "requests cut off by the stop");
        serving.shutdown().await;
    }
}

/// Serves one connection until either side ends it, or its seat is needed.
async fn connection(
    stream: TcpStream,
    router: Router,
    options: ServerOptions,
    seat: Seat,
    shutdown: CancellationToken,
) {
    // Without it an answer's last packet waits for the client's acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let seat = Arc::new(seat);
    let at = Arc::clone(&seat);
    let peer = stream.peer_addr().ok();
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let (router, busy) = (router.clone(), at.busy());
        async move {
            let answer: Result<Response, Infallible> = router.oneshot(request).await;
            drop(busy);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            // What a client does wrong on its own connection concerns nobody else.
            _ = connection.as_mut() => return,
            () = seat.wanted() => return,
            () = shutdown.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
