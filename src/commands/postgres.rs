//! The PostgreSQL wire of `onramp up` and `onramp serve`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use onramp_compute::{Engine, engine};
use onramp_queries::access::Authenticator;
use onramp_queries::postgres::{Authenticate, Certificate, Limits, Options, Server};
use onramp_queries::sql::Source;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::config::{Overrides, Postgres};

/// Where clients of PostgreSQL are answered.
#[derive(clap::Args)]
pub struct Wire {
    /// Where to answer psql, Grafana and other clients of PostgreSQL, such as 127.0.0.1:5432 [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    pg_listen: Option<SocketAddr>,
}

impl Wire {
    /// The settings that its flags set.
    pub fn overrides(&self, overrides: &mut Overrides) {
        overrides.set("postgres.listen", self.pg_listen.map(|address| address.to_string()));
    }
}

/// Starts the server if an address is configured; it ends with `shutdown`. Statements are asked of
/// `source` with an engine of their own; `login` is who knows the tokens, where callers must show one.
///
/// # Errors
/// An address that cannot be used, a certificate that cannot be read, a start that would put the lake
/// into the open.
pub async fn start(
    context: &Context,
    source: &Source,
    workers: Handle,
    login: Option<Authenticator>,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<JoinHandle<()>>> {
    let config = context.config();
    let postgres = &config.postgres;
    let Some(listen) = &postgres.listen else { return Ok(None) };
    let listen = listen.parse().with_context(|| {
        format!("postgres.listen {listen:?} is no address; write 127.0.0.1:5432")
    })?;
    let statements = config.sql.postgres.limits("postgres")?;
    let engine = Engine::new(&engine::Options {
        memory_limit_bytes: statements.memory_limit_bytes * statements.max_concurrent,
        ..context.engine_options()
    })?;
    let server = Server::bind(Options {
        listen,
        certificate: certificate(postgres)?,
        authenticate: login.map(|login| Arc::new(login) as Arc<dyn Authenticate>),
        source: Source { engine, ..source.clone() },
        statements,
        limits: Limits {
            max_connections: postgres.max_connections,
            startup_timeout: Duration::from_secs(postgres.startup_timeout_seconds),
            idle_timeout: Duration::from_secs(postgres.idle_timeout_seconds),
            ..Limits::default()
        },
        workers,
    })
    .await?;
    let address = server.local_addr()?;
    tracing::info!(%address, "answering clients of PostgreSQL");
    Ok(Some(tokio::spawn(server.run(shutdown.clone()))))
}

fn certificate(postgres: &Postgres) -> anyhow::Result<Option<Certificate>> {
    match (postgres.tls_cert.clone(), postgres.tls_key.clone()) {
        (Some(chain), Some(key)) => Ok(Some(Certificate { chain, key })),
        (None, None) => Ok(None),
        _ => bail!("TLS needs both: postgres.tls_cert and postgres.tls_key"),
    }
}
