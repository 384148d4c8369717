//! `onramp up`.

use std::net::SocketAddr;

use anyhow::Context as _;
use onramp_ingest::http::{self, Collector, CollectorOptions, GroupCommit, Sink};
use onramp_ingest::{Health, kafka};
use tokio_util::sync::CancellationToken;

use super::service::{self, Operations, Stream};
use super::{Context, Ending, kafka_options, pipeline_options};
use crate::config::Overrides;

/// Everything in one process: take events over HTTP, from Kafka too where brokers are configured
#[derive(clap::Args)]
#[command(
    after_help = "Without brokers, POST /api/v1/events appends to the lake and answers once the \
events are durable there. With brokers it produces them to the topic, from which they are ingested.

Examples:
  onramp up
  onramp up --listen 127.0.0.1:9000 --brokers 127.0.0.1:9092
  curl -d @event.json -H 'content-type: application/cloudevents+json' \\
    http://127.0.0.1:8080/api/v1/events"
)]
pub struct Up {
    /// Where to listen; loopback only as long as there is no access control [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The stream
    #[command(flatten)]
    stream: Stream,
}

impl Up {
    /// The settings that its flags set.
    pub fn overrides(&self, overrides: &mut Overrides) {
        overrides.set("http.listen", self.listen.map(|address| address.to_string()));
        self.stream.overrides(overrides);
    }

    /// Runs until told to stop.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        let config = context.config();
        let address: SocketAddr = config.http.listen.parse().with_context(|| {
            format!("http.listen {:?} is no address; write 127.0.0.1:8080", config.http.listen)
        })?;
        let listener = http::bind(address).await?;
        let lake = context.lake()?;
        let health = Health::default();
        let shutdown = CancellationToken::new();
        let operations = Operations::start()?;
        let limits = CollectorOptions {
            max_body_bytes: config.http.max_body_mb << 20,
            max_events: config.http.max_events,
        };
        let address = listener.local_addr()?;
        tracing::info!(%address, lake = lake.root(), "taking events at /api/v1/events");
        let router =
            |sink| Collector::router(sink, limits).merge(operations.router(health.clone()));
        let ended = if config.ingest.brokers.is_some() {
            let options = kafka_options(config)?;
            let sink = Sink::Kafka(kafka::Producer::new(&options)?);
            let serving = http::serve(listener, router(sink), shutdown.clone());
            let consuming = kafka::run(&lake, options, health.clone(), shutdown.clone());
            service::until_stopped(&shutdown, service::both(&shutdown, consuming, serving)).await
        } else {
            // The collector outlives the server: requests under way wait for their commit.
            let served = CancellationToken::new();
            let (sink, committing) = GroupCommit::start(
                &lake,
                &config.ingest.instance,
                pipeline_options(config),
                context.clock.clone(),
                health.clone(),
                served.clone(),
            )
            .await?;
            let serving = async {
                let ended = http::serve(listener, router(Sink::Lake(sink)), shutdown.clone()).await;
                served.cancel();
                ended
            };
            let committing = async {
                committing.await.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
            };
            service::until_stopped(&shutdown, service::both(&shutdown, committing, serving)).await
        };
        operations.end();
        ended
    }
}
