//! What the commands share that run until they are told to stop.

use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use onramp_ingest::{Health, IngestError, http, observability};
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

use super::Ending;
use crate::config::Overrides;
use crate::signals::{self, Signal};

/// How often the metrics are tidied up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Which stream of events is read, and as whom.
#[derive(clap::Args)]
pub struct Stream {
    /// host:port of some Kafka brokers, separated by commas
    #[arg(long, value_name = "LIST")]
    brokers: Option<String>,
    /// The topic [default: onboarding.events]
    #[arg(long)]
    topic: Option<String>,
    /// The consumer group [default: onramp]
    #[arg(long)]
    group: Option<String>,
    /// Reverse-DNS name under which custom event types are accepted; may be given more than once
    #[arg(long, value_name = "NAME")]
    namespace: Vec<String>,
}

impl Stream {
    /// The settings that its flags set.
    pub fn overrides(&self, overrides: &mut Overrides) {
        overrides.set("ingest.brokers", self.brokers.clone());
        overrides.set("ingest.topic", self.topic.clone());
        overrides.set("ingest.group", self.group.clone());
        overrides
            .set("ingest.namespaces", (!self.namespace.is_empty()).then(|| self.namespace.clone()));
    }
}

/// The metrics of this process and the pages that show how it is.
pub struct Operations {
    prometheus: PrometheusHandle,
    upkeep: tokio::task::JoinHandle<()>,
}

impl Operations {
    /// Starts counting; once a process.
    pub fn start() -> anyhow::Result<Self> {
        let prometheus =
            PrometheusBuilder::new().install_recorder().context("cannot set up metrics")?;
        observability::describe();
        let handle = prometheus.clone();
        let upkeep = tokio::spawn(async move {
            let mut due = tokio::time::interval(UPKEEP);
            loop {
                due.tick().await;
                handle.run_upkeep();
            }
        });
        Ok(Self { prometheus, upkeep })
    }

    /// `/healthz`, `/readyz` and `/metrics`.
    pub fn router(&self, health: Health) -> axum::Router {
        http::operations(health, self.prometheus.clone())
    }

    /// Stops counting.
    pub fn end(self) {
        self.upkeep.abort();
    }
}

/// A runtime of its own for what keeps cores busy, so that whoever asks how the server is need not wait.
pub struct Workers(Option<Runtime>);

impl Workers {
    /// Starts its threads, at least so many and as many as there are cores.
    pub fn start(threads: usize) -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(cores))
            .thread_name("worker")
            .enable_all()
            .build()
            .context("cannot start the threads that answers are computed on")?;
        Ok(Self(Some(runtime)))
    }

    /// What tasks are started on it by.
    pub fn handle(&self) -> Handle {
        self.0.as_ref().expect("it is taken only when dropped").handle().clone()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // A runtime must not be waited for on the threads of another.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs `service` until it ends by itself or a signal asks it to, and waits for its end.
///
/// # Errors
/// The service's own.
pub async fn until_stopped(
    shutdown: &CancellationToken,
    service: impl Future<Output = Result<(), IngestError>>,
) -> anyhow::Result<Ending> {
    let mut service = std::pin::pin!(service);
    let signal = tokio::select! {
        ended = &mut service => {
            ended?;
            return Ok(Ending::Done);
        }
        signal = signals::next() => signal,
    };
    tracing::info!("stopping");
    shutdown.cancel();
    service.await?;
    tracing::info!("stopped, everything taken is in the lake");
    Ok(match signal {
        Signal::Interrupt => Ending::Interrupted,
        Signal::Terminate => Ending::Done,
    })
}

/// Runs a pipeline and its server; the end of either is the end of both.
///
/// # Errors
/// The pipeline's.
pub async fn both(
    shutdown: &CancellationToken,
    pipeline: impl Future<Output = Result<(), IngestError>>,
    server: impl Future<Output = ()>,
) -> Result<(), IngestError> {
    let pipeline = async {
        let ended = pipeline.await;
        shutdown.cancel();
        ended
    };
    let server = async {
        server.await;
        shutdown.cancel();
    };
    tokio::join!(pipeline, server).0
}
