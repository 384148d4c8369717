//! `onramp up`.

use std::net::SocketAddr;

use super::postgres::Wire;
use super::serve::{Consumes, serve};
use super::service::Stream;
use super::{Context, Ending};
use crate::config::Overrides;

/// Everything in one process: answer over HTTP, take events there, and from Kafka where brokers are configured
#[derive(clap::Args)]
#[command(
    after_help = "Without brokers, POST /api/v1/events appends to the lake and answers once the \
events are durable there. With brokers it produces them to the topic, from which they are ingested.
The routes are described at /api/v1/docs.

Examples:
  onramp up
  onramp up --listen 127.0.0.1:9000 --brokers 127.0.0.1:9092
  curl -d @event.json -H 'content-type: application/cloudevents+json' \\
    http://127.0.0.1:8080/api/v1/events
  curl http://127.0.0.1:8080/api/v1/onboarding/analytics/funnel/"
)]
pub struct Up {
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

impl Up {
    /// The settings that its flags set.
    pub fn overrides(&self, overrides: &mut Overrides) {
        overrides.set("http.listen", self.listen.map(|address| address.to_string()));
        self.wire.overrides(overrides);
        self.stream.overrides(overrides);
    }

    /// Runs until told to stop.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        serve(context, Consumes::TheStream).await
    }
}
