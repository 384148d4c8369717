//! The keys of a provider (JSON Web Key Set), fetched when they are needed and kept while it is away.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use url::Url;

use super::{OidcError, Settings, trusted};
use crate::access::Denied;

/// How old keys may be before they are looked at again: so long may a withdrawn one count.
const FRESH: Duration = Duration::from_secs(600);
/// How soon the provider is asked again, whatever callers show.
const PAUSE: Duration = Duration::from_secs(10);
/// How long the provider may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest document that is read, in bytes.
const MAX_DOCUMENT: usize = 1 << 20;

/// The keys of a provider.
#[derive(Debug)]
pub struct Keys {
    issuer: String,
    jwks_url: Option<Url>,
    discovery: Url,
    client: reqwest::Client,
    /// The last that were had, and when.
    last: RwLock<Option<(Instant, Arc<[Key]>)>>,
    /// When the provider was last asked; whoever holds it is asking.
    asked: Mutex<Option<Instant>>,
    /// [`PAUSE`], but for tests.
    pub(super) pause: Duration,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// What of a discovery document is read.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{url} did not answer")]
    Request {
        url: Url,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} answered {status}")]
    Status { url: Url, status: u16 },
    #[error("{url} answered with more than {MAX_DOCUMENT} bytes")]
    TooLong { url: Url },
    #[error("what {url} answered cannot be read")]
    Unreadable {
        url: Url,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "the discovery document is of the issuer {found:?}; access.oidc_issuer must be the same to the letter"
    )]
    OtherIssuer { found: String },
    #[error(transparent)]
    Address(#[from] OidcError),
    #[error("{url} has no key that is usable here")]
    NoKey { url: Url },
}

impl Keys {
    /// Nothing is fetched yet.
    ///
    /// # Errors
    /// Addresses that cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, OidcError> {
        let issuer = settings.issuer.clone();
        let discovery =
            format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(OidcError::Client)?;
        let jwks_url = settings.jwks_url.as_deref();
        Ok(Self {
            discovery: trusted("access.oidc_issuer", &discovery)?,
            jwks_url: jwks_url.map(|url| trusted("access.jwks_url", url)).transpose()?,
            issuer,
            client,
            last: RwLock::default(),
            asked: Mutex::default(),
            pause: PAUSE,
        })
    }

    /// The key of that id for that algorithm. A key belongs to one algorithm: what the JWT says of
    /// itself can choose among keys, but never how one is used.
    ///
    /// # Errors
    /// There is none, or the provider has never answered.
    pub async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, Denied> {
        if self.last(FRESH).is_none()
            && let Ok(asked) = self.asked.try_lock()
        {
            // Others go on with the old keys, if there are any, while one asks for the new.
            self.fetch(asked).await;
        }
        let keys = self.last(Duration::MAX);
        let found = keys.as_deref().and_then(|keys| pick(keys, id, algorithm));
        if let Some(found) = found {
            return Ok(found);
        }
        // A key that is not known may be a new one.
        self.fetch(self.asked.lock().await).await;
        let keys = self.last(Duration::MAX).ok_or(Denied::Unavailable)?;
        let found = pick(&keys, id, algorithm);
        found.ok_or(Denied::Invalid("the JWT was signed by no key of the provider"))
    }

    fn last(&self, age: Duration) -> Option<Arc<[Key]>> {
        let last = self.last.read().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| at.elapsed() < age).map(|(_, keys)| Arc::clone(keys))
    }

    /// Asks the provider, unless that was done a moment ago. The keys that are known stay if it fails.
    async fn fetch(&self, mut asked: MutexGuard<'_, Option<Instant>>) {
        if asked.is_some_and(|at| at.elapsed() < self.pause) {
            return;
        }
        match self.download().await {
            Ok(keys) => {
                let last = Some((Instant::now(), keys.into()));
                *self.last.write().unwrap_or_else(PoisonError::into_inner) = last;
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "provider's keys not had");
            }
        }
        *asked = Some(Instant::now());
    }

    async fn download(&self) -> Result<Vec<Key>, FetchError> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => {
                let found: Discovery = self.document(&self.discovery).await?;
                if found.issuer != self.issuer {
                    return Err(FetchError::OtherIssuer { found: found.issuer });
                }
                trusted("the provider's jwks_uri", &found.jwks_uri)?
            }
        };
        let set: KeySet = self.document(&url).await?;
        // A key of a kind that is not known here leaves the others as they are.
        let keys: Vec<Key> = set.keys.into_iter().filter_map(usable).collect();
        if keys.is_empty() { Err(FetchError::NoKey { url }) } else { Ok(keys) }
    }

    async fn document<T: serde::de::DeserializeOwned>(&self, url: &Url) -> Result<T, FetchError> {
        let failed = |source| FetchError::Request { url: url.clone(), source };
        let mut answer = self.client.get(url.clone()).send().await.map_err(failed)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(FetchError::Status { url: url.clone(), status: status.as_u16() });
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            body.extend_from_slice(&part);
            if body.len() > MAX_DOCUMENT {
                return Err(FetchError::TooLong { url: url.clone() });
            }
        }
        serde_json::from_slice(&body)
            .map_err(|source| FetchError::Unreadable { url: url.clone(), source })
    }
}

/// The one key of that id; where the JWT names none, the only key there is.
fn pick(keys: &[Key], id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
    let key = match (id, keys) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
    };
    key.filter(|key| key.algorithm == algorithm).map(|key| key.key.clone())
}

/// A key for signatures whose algorithm is asymmetric; none for others.
fn usable(key: Value) -> Option<Key> {
    let key: Jwk = serde_json::from_value(key).ok()?;
    let named = key.common.key_algorithm;
    let algorithm = match (&key.algorithm, named) {
        // Some providers name no algorithm: then it is the usual one of the kind.
        (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Algorithm::RS256,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::RS384)) => Algorithm::RS384,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::RS512)) => Algorithm::RS512,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS256)) => Algorithm::PS256,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS384)) => Algorithm::PS384,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS512)) => Algorithm::PS512,
        (AlgorithmParameters::EllipticCurve(of), None | Some(KeyAlgorithm::ES256))
            if of.curve == EllipticCurve::P256 =>
        {
            Algorithm::ES256
        }
        (AlgorithmParameters::EllipticCurve(of), None | Some(KeyAlgorithm::ES384))
            if of.curve == EllipticCurve::P384 =>
        {
            Algorithm::ES384
        }
        (AlgorithmParameters::OctetKeyPair(of), None | Some(KeyAlgorithm::EdDSA))
            if of.curve == EllipticCurve::Ed25519 =>
        {
            Algorithm::EdDSA
        }
        _ => return None,
    };
    let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let decoding = DecodingKey::from_jwk(&key).ok().filter(|_| signs)?;
    Some(Key { id: key.common.key_id, algorithm, key: decoding })
}

/// The algorithm of a published key; none where the key is not used.
#[cfg(test)]
pub(super) fn algorithm_of(key: Value) -> Option<Algorithm> {
    usable(key).map(|key| key.algorithm)
}
