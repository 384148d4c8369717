//! `onramp serve`, and the HTTP side of `onramp up`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use onramp_ingest::http::{self, Collector, CollectorOptions, GroupCommit, ServerOptions, Sink};
use onramp_ingest::{Health, kafka};
use onramp_queries::access::Guard;
use onramp_queries::http as api;
use onramp_queries::sql::{self, Source};
use tokio_util::sync::CancellationToken;

use super::postgres::{self, Wire};
use super::service::{self, Operations, Stream, Workers};
use super::{Context, Ending, kafka_options, pipeline_options};
use crate::config::{Config, Overrides};

/// Answer over HTTP: analytics, SQL, and the collector of events
#[derive(clap::Args)]
#[command(
    after_help = "The routes are described at /api/v1/docs. Events that are sent here go to the topic \
where brokers are configured, from which `onramp ingest` reads them, else into the lake.

Examples:
  onramp serve
  onramp serve --listen 127.0.0.1:9000 --brokers 127.0.0.1:9092
  curl http://127.0.0.1:8080/api/v1/onboarding/analytics/funnel/"
)]
pub struct Serve {
    /// Where to listen; loopback only as long as there is no access control [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The PostgreSQL wire
    #[command(flatten)]
    wire: Wire,
    /// The stream
    #[command(flatten)]
    stream: Stream,
}

impl Serve {
    /// The settings that its flags set.
    pub fn overrides(&self, overrides: &mut Overrides) {
        overrides.set("http.listen", self.listen.map(|address| address.to_string()));
        self.wire.overrides(overrides);
        self.stream.overrides(overrides);
    }

    /// Serves until told to stop.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        serve(context, Consumes::Nothing).await
    }
}

/// Whether a server reads the stream too, where brokers are configured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Consumes {
    /// Somebody else does.
    Nothing,
    /// It does.
    TheStream,
}

/// Serves until told to stop.
///
/// # Errors
/// An address that cannot be listened on, a lake that cannot be opened, a funnel that is none.
pub async fn serve(context: &Context, consumes: Consumes) -> anyhow::Result<Ending> {
    let config = context.config();
    let address: SocketAddr = config.http.listen.parse().with_context(|| {
        format!("http.listen {:?} is no address; write 127.0.0.1:8080", config.http.listen)
    })?;
    let lake = context.lake()?;
    let authenticator = context.authenticator(&lake)?;
    let controlled = authenticator.required().await?;
    let listener = http::bind(address, controlled).await?;
    let health = Health::default();
    let shutdown = CancellationToken::new();
    let operations = Operations::start()?;
    let workers = Workers::start(0)?;
    // A statement's work may not give way for as long as its deadline lets it: there is a thread for each.
    let limits = config.sql.http.limits("http")?;
    let running = limits.max_concurrent + config.sql.postgres.limits("postgres")?.max_concurrent;
    let statements = Workers::start(running * context.engine_options().target_partitions)?;
    let login = controlled.then(|| authenticator.clone());
    let funnels = context.funnels(&lake).await?;
    funnels.get(&config.report.funnel)?;
    let source = context.source(lake.clone(), &funnels)?;
    let wire = postgres::start(context, &source, statements.handle(), login, &shutdown).await?;
    let guard = Guard::new(authenticator);
    let statements = sql::Service::new(source.clone(), limits, statements.handle());
    let routes = analytics(context, source, &workers, statements)?;
    let routes = routes.merge(operations.router(health.clone()));
    let address = listener.local_addr()?;
    tracing::info!(%address, controlled, lake = lake.root(), "serving at /api/v1");
    let limits = server_options(config);
    let serving = |sink| {
        let routes = Collector::router(sink, collector_options(config)).merge(routes);
        let routes = guard.protect(routes);
        let wrapped = api::wrap(routes, Duration::from_secs(config.http.request_timeout_seconds));
        http::serve(listener, wrapped, limits, shutdown.clone())
    };
    let ended = if config.ingest.brokers.is_some() {
        let options = kafka_options(config)?;
        let serving = serving(Sink::Kafka(kafka::Producer::new(&options)?));
        let consuming = async {
            if consumes == Consumes::TheStream {
                return kafka::run(&lake, options, health.clone(), shutdown.clone()).await;
            }
            health.ready();
            shutdown.cancelled().await;
            Ok(())
        };
        service::until_stopped(&shutdown, service::both(&shutdown, consuming, serving)).await
    } else {
        // The collector outlives the server: requests under way wait for their commit.
        let served = CancellationToken::new();
        let (sink, committing) = GroupCommit::start(
            &lake,
            &config.ingest.instance,
            pipeline_options(config)?,
            context.clock.clone(),
            health.clone(),
            served.clone(),
        )
        .await?;
        let serving = async {
            serving(Sink::Lake(sink)).await;
            served.cancel();
        };
        let committing = async {
            committing.await.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
        };
        service::until_stopped(&shutdown, service::both(&shutdown, committing, serving)).await
    };
    if let Some(wire) = wire {
        wire.await?;
    }
    operations.end();
    ended
}

/// The routes of analytics and SQL.
fn analytics(
    context: &Context,
    source: Source,
    workers: &Workers,
    statements: sql::Service,
) -> anyhow::Result<Router> {
    let config = context.config();
    Ok(api::router(api::Options {
        funnels: source.funnels.iter().map(|it| (it.name.clone(), it.clone())).collect(),
        lake: source.lake,
        engine: source.engine,
        funnel: config.report.funnel.clone(),
        timezone: context.timezone(None)?,
        clock: context.clock.clone(),
        deadline: Duration::from_secs(config.http.deadline_seconds),
        max_concurrent: config.http.max_concurrent,
        sql: statements,
        workers: workers.handle(),
    }))
}

/// What clients may cost, as configured.
pub fn server_options(config: &Config) -> ServerOptions {
    ServerOptions {
        max_connections: config.http.max_connections,
        head_timeout: Duration::from_secs(config.http.head_timeout_seconds),
        drain_timeout: Duration::from_millis(config.ingest.shutdown_timeout_ms),
    }
}

fn collector_options(config: &Config) -> CollectorOptions {
    CollectorOptions {
        max_body_bytes: config.http.max_body_mb << 20,
        max_events: config.http.max_events,
    }
}
