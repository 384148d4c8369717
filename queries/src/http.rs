//! The HTTP API: routes, limits, and the forms of an answer. Figures are `onramp_compute`'s.

mod accept;
mod analytics;
mod cohorts;
mod comparison;
mod docs;
mod problem;
mod question;
mod realtime;
mod respond;
mod sessions;
mod statement;
mod wrap;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use chrono_tz::Tz;
use onramp_compute::metrics::Answer;
use onramp_compute::sessions::{Settings, silent};
use onramp_compute::{ComputeError, Engine, ReportRequest};
use onramp_lake::Lake;
use onramp_schemas::clock::Clock;
use onramp_schemas::funnel::Funnel;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use docs::openapi;
pub use problem::Problem;
pub use wrap::wrap;

use crate::access::Scope;
use crate::sql;
use analytics::Provenance;
use question::Question;

/// Gauge, reports and lists that are being computed for callers. Worry when it stays at
/// `http.max_concurrent`: callers wait, and then are refused.
pub const COMPUTING: &str = "onramp_http_computing";

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
pub(crate) struct Api {
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

/// The routes of analytics, of SQL and of their documentation, for [`wrap`]. A request carries its
/// [`Caller`](crate::access::Caller) as an extension, and is answered within the caller's scope.
pub fn router(options: Options) -> Router {
    let statement_bytes = options.sql.limits().max_statement_bytes;
    let funnels = options.funnels.into_iter();
    // With no place at all nobody would ever be answered.
    let max_concurrent = options.max_concurrent.max(1);
    let api = Arc::new(Api {
        lake: options.lake,
        engine: options.engine,
        funnels: funnels.map(|(name, funnel)| (name, Arc::new(funnel))).collect(),
        default_funnel: options.funnel,
        timezone: options.timezone,
        clock: options.clock,
        deadline: options.deadline,
        max_concurrent,
        running: Arc::new(Semaphore::new(max_concurrent)),
        present: Semaphore::new(max_concurrent * 2),
        sql: options.sql,
        workers: options.workers,
    });
    metrics::describe_gauge!(COMPUTING, "reports and lists under computation");
    let (routes, _) = documented().split_for_parts();
    let routes = routes.layer(DefaultBodyLimit::max(statement_bytes)).with_state(api);
    routes.merge(docs::router())
}

/// Every route with what the documentation says of it.
fn documented() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(analytics::funnel))
        .routes(routes!(analytics::drop_off_heatmap))
        .routes(routes!(cohorts::cohort_comparison))
        .routes(routes!(analytics::recommendations))
        .routes(routes!(realtime::realtime))
        .routes(routes!(comparison::comparison))
        .routes(routes!(sessions::sessions))
        .routes(routes!(sessions::timeline))
        .routes(routes!(statement::statement))
}

impl Api {
    /// Answers with what `write` makes of the report, or the part of one, that a request asks for; to a caller
    /// that holds the answer already, without computing it.
    ///
    /// # Errors
    /// As [`Api::computed`].
    async fn answered<A: Answer>(
        &self,
        question: &Question,
        funnel: Arc<Funnel>,
        request: ReportRequest,
        write: impl FnOnce(&Provenance, &A, &str) -> Result<Response, Problem>,
    ) -> Result<Response, Problem> {
        let settings = Settings::default();
        if question.holds_any() {
            let (lake, engine) = (self.lake.clone(), self.engine.clone());
            let (funnel, request) = (Arc::clone(&funnel), request.clone());
            let grounds = self.computed(async move {
                onramp_compute::grounds(&lake, &funnel, &request, &engine, &settings, &silent).await
            });
            let tag = question.tag(&grounds.await?);
            if question.holds(&tag) {
                return Ok(question.unchanged(&tag));
            }
        }
        let (lake, engine) = (self.lake.clone(), self.engine.clone());
        let name = funnel.name.clone();
        let answer = self.computed(async move {
            onramp_compute::answer(&lake, &funnel, &request, &engine, &settings, &silent).await
        });
        let (mut grounds, answer) = answer.await?;
        let tag = question.tag(&grounds);
        question.hide(&mut grounds.positions);
        write(&Provenance::of(name, grounds), &answer, &tag)
    }

    /// What `work` comes to, on the runtime of the workers. Dropping the future, as when the caller hangs
    /// up, ends the work.
    ///
    /// # Errors
    /// A question without an answer, no room, no answer in time, a lake that fails.
    async fn computed<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ComputeError>> + Send + 'static,
    ) -> Result<T, Problem> {
        let Ok(_present) = self.present.try_acquire() else {
            let most = self.max_concurrent;
            return Err(Problem::busy(format!(
                "{most} reports are being computed and as many are waiting; try again in a moment"
            )));
        };
        let running = Arc::clone(&self.running);
        // Dropped with this future, it ends its task.
        let mut computing = JoinSet::new();
        let answer = async move {
            let _running = running.acquire_owned().await;
            let _counted = Counted::one();
            work.await
        };
        computing.spawn_on(answer, &self.workers);
        match tokio::time::timeout(self.deadline, computing.join_next()).await {
            Err(_) | Ok(None) => Err(Problem::overdue(self.deadline.as_secs())),
            Ok(Some(Ok(answer))) => Ok(answer?),
            Ok(Some(Err(ended))) => Err(Problem::internal(&ended)),
        }
    }
}

impl Question {
    /// Positions tell how much all clients send; who may not see them all is not told.
    fn hide(&self, positions: &mut BTreeMap<String, i64>) {
        if self.caller.scope != Scope::Everything {
            positions.clear();
        }
    }
}

/// One computation under way.
struct Counted;

impl Counted {
    fn one() -> Self {
        metrics::gauge!(COMPUTING).increment(1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!(COMPUTING).decrement(1);
    }
}
