//! From what a caller shows to who that is.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use onramp_lake::Lake;
use onramp_schemas::clock::Clock;
use thiserror::Error;

use super::Caller;
use super::limits::{Limits, Rates};
use super::oidc::{OidcError, Provider, Settings};
use super::tokens::{Known, PREFIX};
use crate::postgres::Authenticate;

/// The longest token or JWT that is looked at, in bytes.
const MAX_BEARER: usize = 16 << 10;

/// How callers are told apart.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Callers must show who they are even where no token exists and no provider is configured.
    pub required: bool,
    /// The identity provider whose JWTs are taken.
    pub oidc: Option<Settings>,
    /// How often callers may ask, and peers may show what does not count.
    pub rates: Rates,
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Denied {
    /// Nothing was shown.
    #[error("show who you are with a token: `Authorization: Bearer …`")]
    Missing,
    /// What was shown does not count; tells nothing that the caller does not know.
    #[error("{0}")]
    Invalid(&'static str),
    /// Nothing that does not count is looked at any more.
    #[error("too many failed logins; try again in {} s", .wait.as_secs() + 1)]
    TooMany {
        /// How long.
        wait: Duration,
    },
    /// It cannot be known now.
    #[error("whether the token is valid cannot be known now; try again in a moment")]
    Unavailable,
}

/// Tells who callers are, for all ways in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authenticator {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Set once it is known that callers must show who they are; nothing undoes it.
    required: AtomicBool,
    tokens: Known,
    oidc: Option<Provider>,
    limits: Limits,
    clock: Arc<dyn Clock>,
}

impl Authenticator {
    /// Takes the tokens of `lake`, and JWTs where a provider is configured. Nothing is read yet.
    ///
    /// # Errors
    /// A provider that cannot be used.
    pub fn new(lake: &Lake, options: Options, clock: Arc<dyn Clock>) -> Result<Self, OidcError> {
        let oidc = options.oidc.map(Provider::new).transpose()?;
        let inner = Inner {
            required: AtomicBool::new(options.required || oidc.is_some()),
            tokens: Known::new(lake.clone()),
            oidc,
            limits: Limits::new(&options.rates),
            clock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether callers must show who they are: it is configured, a provider is, or a token was ever
    /// made. Once so, it stays so for as long as this process runs.
    ///
    /// # Errors
    /// [`Denied::Unavailable`] when the lake cannot be read.
    pub async fn required(&self) -> Result<bool, Denied> {
        if self.inner.required.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let required = self.inner.tokens.any().await?;
        self.inner.required.fetch_or(required, Ordering::Relaxed);
        Ok(required)
    }

    /// Who holds a token or JWT that `peer` shows.
    ///
    /// # Errors
    /// It does not count, or cannot be checked now.
    pub async fn caller(&self, bearer: &str, peer: IpAddr) -> Result<Caller, Denied> {
        self.known(bearer).await.map_err(|denied| self.refused(denied, peer))
    }

    /// Counts and logs what does not count, whichever way `peer` came.
    pub(super) fn refused(&self, denied: Denied, peer: IpAddr) -> Denied {
        let Denied::Invalid(reason) = denied else { return denied };
        if let Err(wait) = self.inner.limits.failure(peer) {
            return Denied::TooMany { wait };
        }
        tracing::info!(%peer, reason, "login refused");
        denied
    }

    /// Counts a caller's request.
    ///
    /// # Errors
    /// It is one too many; how long to wait.
    pub(super) fn request(&self, caller: &Caller) -> Result<(), Duration> {
        self.inner.limits.request(&caller.name)
    }

    async fn known(&self, bearer: &str) -> Result<Caller, Denied> {
        if bearer.len() > MAX_BEARER {
            return Err(Denied::Invalid("the token is longer than any that is read here"));
        }
        let now = self.now();
        match &self.inner.oidc {
            _ if bearer.starts_with(PREFIX) => self.inner.tokens.caller(bearer, now).await,
            Some(provider) => provider.caller(bearer, now).await,
            None => Err(Denied::Invalid("this is no token of Onramp, and no other kind is taken")),
        }
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.inner.clock.now()).unwrap_or_default()
    }
}

#[async_trait]
impl Authenticate for Authenticator {
    async fn authenticate(&self, token: &str, peer: IpAddr) -> Result<Caller, Denied> {
        self.caller(token, peer).await
    }
}
