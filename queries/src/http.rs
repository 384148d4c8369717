//! The HTTP API: routes, limits, and the forms of an answer. Figures are `onramp_compute`'s.

mod analytics;
mod parameters;
mod problem;
mod respond;
mod statement;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{get, post};
use chrono_tz::Tz;
use onramp_compute::metrics::Report;
use onramp_compute::sessions::{Settings, silent};
use onramp_compute::{Engine, ReportRequest};
use onramp_lake::Lake;
use onramp_schemas::clock::Clock;
use onramp_schemas::funnel::Funnel;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::Layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::normalize_path::NormalizePathLayer;

pub use problem::Problem;

use crate::access::Caller;
use crate::sql;
use parameters::Filters;

/// Where the analytics routes are.
const ANALYTICS: &str = "/api/v1/onboarding/analytics";

/// What a server is made of.
#[derive(Debug)]
pub struct Options {
    /// The lake.
    pub lake: Lake,
    /// What computes reports.
    pub engine: Engine,
    /// The funnels, by name.
    pub funnels: BTreeMap<String, Funnel>,
    /// The funnel of requests that name none.
    pub funnel: String,
    /// The time zone of requests that name none.
    pub timezone: Tz,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// The longest that a report may take.
    pub deadline: Duration,
    /// Reports that are computed at once; as many again may wait.
    pub max_concurrent: usize,
    /// What answers statements.
    pub sql: sql::Service,
    /// The runtime that reports are computed on: they keep it busy, and requests go on beside it.
    pub workers: tokio::runtime::Handle,
}

/// What the routes share.
struct Api {
    lake: Lake,
    engine: Engine,
    funnels: BTreeMap<String, Arc<Funnel>>,
    default_funnel: String,
    timezone: Tz,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    max_concurrent: usize,
    running: Arc<Semaphore>,
    present: Semaphore,
    sql: sql::Service,
    workers: tokio::runtime::Handle,
}

/// All routes of the API but those of the collector; a trailing slash makes no difference.
pub fn router(options: Options) -> Router {
    let statement_bytes = options.sql.limits().max_statement_bytes;
    let funnels = options.funnels.into_iter();
    let api = Arc::new(Api {
        lake: options.lake,
        engine: options.engine,
        funnels: funnels.map(|(name, funnel)| (name, Arc::new(funnel))).collect(),
        default_funnel: options.funnel,
        timezone: options.timezone,
        clock: options.clock,
        deadline: options.deadline,
        max_concurrent: options.max_concurrent,
        running: Arc::new(Semaphore::new(options.max_concurrent)),
        present: Semaphore::new(options.max_concurrent * 2),
        sql: options.sql,
        workers: options.workers,
    });
    let analytics = Router::new()
        .route("/funnel", get(analytics::funnel))
        .route("/drop-off-heatmap", get(analytics::drop_off_heatmap));
    let routes = Router::new()
        .nest(ANALYTICS, analytics)
        .route("/api/v1/sql", post(statement::statement))
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(statement_bytes))
        .layer(axum::Extension(Caller::local()))
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::new())
        .with_state(api);
    // Paths must be trimmed before they are routed, so the routes stand behind a router that has none.
    Router::new().fallback_service(NormalizePathLayer::trim_trailing_slash().layer(routes))
}

async fn unknown(uri: Uri) -> Problem {
    let detail =
        format!("there is nothing at {}; /api/v1/openapi.json lists the routes", uri.path());
    Problem::missing("unknown_route", detail)
}

async fn not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

impl Api {
    /// The present in microseconds UTC.
    fn now(&self) -> i64 {
        self.clock.now()
    }

    /// The report that a request asks for. Dropping the future, as when the caller hangs up, ends the
    /// work.
    ///
    /// # Errors
    /// No such funnel, a question without an answer, no room, no answer in time, a lake that fails.
    async fn report(&self, filters: &Filters, request: ReportRequest) -> Result<Report, Problem> {
        let name = filters.funnel(&self.default_funnel);
        let Some(funnel) = self.funnels.get(name).cloned() else {
            let known = self.funnels.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let detail = format!("there is no funnel {name:?}; known are {known}");
            return Err(Problem::missing("unknown_funnel", detail));
        };
        let Ok(_present) = self.present.try_acquire() else {
            let most = self.max_concurrent;
            return Err(Problem::busy(format!(
                "{most} reports are being computed and as many are waiting; try again in a moment"
            )));
        };
        let (lake, engine) = (self.lake.clone(), self.engine.clone());
        let running = Arc::clone(&self.running);
        // Dropped with this future, it ends its task.
        let mut computing = JoinSet::new();
        let answer = async move {
            let _running = running.acquire_owned().await;
            let settings = Settings::default();
            onramp_compute::report(&lake, &funnel, &request, &engine, &settings, &silent).await
        };
        computing.spawn_on(answer, &self.workers);
        match tokio::time::timeout(self.deadline, computing.join_next()).await {
            Err(_) | Ok(None) => Err(Problem::overdue(self.deadline.as_secs())),
            Ok(Some(Ok(report))) => Ok(report?),
            Ok(Some(Err(ended))) => Err(Problem::internal(&ended)),
        }
    }
}
