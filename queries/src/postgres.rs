//! The PostgreSQL wire: statements from psql, drivers, Grafana and BI tools.
//!
//! A connection is encrypted before it says anything, logs in with a token, sees only its caller's
//! rows, and has a memory pool of its own. Every plan of both protocols passes the rules of
//! [`crate::sql`]; deadline and row limit hold for the rows as they are sent.

mod catalog;
mod command;
mod connection;
mod errors;
mod extended;
mod guard;
mod login;
mod negotiate;
mod rewrite;
mod rows;
mod session;
mod settings;
mod simple;
mod tls;
mod values;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::pgwire::api::{ConnectionManager, RandomPidSecretKeyGenerator};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::sql::{self, SqlError};
use catalog::Catalog;

pub use login::Authenticate;
pub use tls::Certificate;

/// Connections beyond the limit that are told so; further ones are closed without a word.
const REFUSALS: usize = 16;
/// How long the server waits for connections to end when it stops.
const STOP: Duration = Duration::from_secs(5);

/// Why the server did not start, or ended.
#[derive(Debug, Error)]
pub enum PostgresError {
    /// Everybody in the network could read the lake.
    #[error(
        "without access control the PostgreSQL server answers on loopback only, not on {address}; \
         create tokens (onramp token create), or listen on 127.0.0.1"
    )]
    Open {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// Tokens would travel in clear.
    #[error("a login by token needs TLS; set postgres.tls_cert and postgres.tls_key to PEM files")]
    NoTls,
    /// The certificate or its key is no good.
    #[error("TLS cannot start with {path}: {reason}", path = path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The address cannot be used.
    #[error("cannot listen on {address} for PostgreSQL clients")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The views cannot be described.
    #[error("the catalogue of PostgreSQL clients cannot be made")]
    Catalog(#[from] SqlError),
}

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub max_connections: usize,
    /// The longest way from a connection's first byte to its login.
    pub startup_timeout: Duration,
    /// The longest silence of a connection.
    pub idle_timeout: Duration,
    /// The greatest message, in bytes: a statement with its parameters.
    pub max_message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 50,
            startup_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(3_600),
            max_message_bytes: 1 << 20,
        }
    }
}

/// What a server is made of.
#[derive(Debug)]
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The certificate; without one connections are in clear.
    pub certificate: Option<Certificate>,
    /// Who knows the tokens; without one everybody is [`crate::access::Caller::local`].
    pub authenticate: Option<Arc<dyn Authenticate>>,
    /// What statements are asked of.
    pub source: sql::Source,
    /// What a statement may take.
    pub statements: sql::Limits,
    /// What connections may take.
    pub limits: Limits,
    /// The runtime that statements run on: they keep it busy, and connections go on beside it.
    pub workers: tokio::runtime::Handle,
}

/// A server that listens, and answers once it runs.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// What all connections share.
struct Shared {
    source: sql::Source,
    statements: sql::Limits,
    limits: Limits,
    tls: Option<TlsAcceptor>,
    authenticate: Option<Arc<dyn Authenticate>>,
    workers: tokio::runtime::Handle,
    running: Arc<Semaphore>,
    catalog: Catalog,
    parser: PostgresCompatibilityParser,
    cancellations: Arc<ConnectionManager>,
    keys: RandomPidSecretKeyGenerator,
}

impl Server {
    /// Binds the address; refuses a start that would put the lake or a token into the open.
    ///
    /// # Errors
    /// [`PostgresError`]: an open address without access control, a login without TLS, a certificate
    /// that cannot be used, an address that is taken.
    pub async fn bind(options: Options) -> Result<Self, PostgresError> {
        let address = options.listen;
        if options.authenticate.is_none() && !address.ip().is_loopback() {
            return Err(PostgresError::Open { address });
        }
        let tls = options.certificate.as_ref().map(tls::acceptor).transpose()?;
        if options.authenticate.is_some() && tls.is_none() {
            return Err(PostgresError::NoTls);
        }
        let catalog = Catalog::new(&options.source).await?;
        let bound = TcpListener::bind(address).await;
        let listener = bound.map_err(|source| PostgresError::Bind { address, source })?;
        let shared = Arc::new(Shared {
            source: options.source,
            running: Arc::new(Semaphore::new(options.statements.max_concurrent)),
            statements: options.statements,
            limits: options.limits,
            tls,
            authenticate: options.authenticate,
            workers: options.workers,
            catalog,
            parser: PostgresCompatibilityParser::new(),
            cancellations: Arc::new(ConnectionManager::new()),
            keys: RandomPidSecretKeyGenerator::default(),
        });
        Ok(Self { listener, shared })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `shutdown`, then ends what runs and closes the connections.
    pub async fn run(self, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.shared.limits.max_connections));
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            let tcp: TcpStream = match accepted {
                Ok((tcp, _)) => tcp,
                Err(error) => {
                    // Out of file descriptors, most likely: others must end before more can begin.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (permit, admitted) = match Arc::clone(&places).try_acquire_owned() {
                Ok(permit) => (permit, true),
                Err(_) => match Arc::clone(&refusals).try_acquire_owned() {
                    Ok(permit) => (permit, false),
                    Err(_) => continue,
                },
            };
            let (shared, shutdown) = (Arc::clone(&self.shared), shutdown.clone());
            connections.spawn(async move {
                let _permit = permit;
                connection::serve(shared, tcp, admitted, &shutdown).await;
            });
        }
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP, ended).await.is_err() {
            tracing::warn!(left = connections.len(), "connections did not end in time");
        }
    }
}
