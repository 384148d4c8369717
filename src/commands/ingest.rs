//! `onramp ingest`.

use onramp_ingest::{Health, http, kafka};
use tokio_util::sync::CancellationToken;

use super::serve::server_options;
use super::service::{self, Operations, Stream};
use super::{Context, Ending, kafka_options};
use crate::config::Overrides;

/// Take events from a Kafka topic into the lake until told to stop
#[derive(clap::Args)]
#[command(
    after_help = "Start as many as there are partitions; they share them. Where each partition \
stands is kept in the lake with its events, so that nothing is lost or doubled, however it ends.
Brokers that do not answer are waited for, at the start and later; /readyz says so.

Examples:
  onramp ingest --brokers 127.0.0.1:9092 --topic onboarding.events
  onramp ingest --brokers kafka:9092 --listen 127.0.0.1:9100"
)]
pub struct Ingest {
    /// The stream
    #[command(flatten)]
    stream: Stream,
    /// Serve /healthz, /readyz and /metrics here
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<std::net::SocketAddr>,
}

impl Ingest {
    /// The settings that its flags set.
    pub fn overrides(&self, overrides: &mut Overrides) {
        self.stream.overrides(overrides);
    }

    /// Ingests.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        let options = kafka_options(context.config())?;
        let lake = context.lake()?;
        let health = Health::default();
        let shutdown = CancellationToken::new();
        let operations = Operations::start()?;
        let listener = match self.listen {
            Some(address) => Some(http::bind(address, false).await?),
            None => None,
        };
        let ended = service::until_stopped(&shutdown, async {
            let consuming = kafka::run(&lake, options, health.clone(), shutdown.clone());
            match listener {
                None => consuming.await,
                Some(listener) => {
                    let router = operations.router(health.clone());
                    let limits = server_options(context.config());
                    let serving = http::serve(listener, router, limits, shutdown.clone());
                    service::both(&shutdown, consuming, serving).await
                }
            }
        })
        .await;
        operations.end();
        ended
    }
}
