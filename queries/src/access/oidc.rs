//! JWTs of an OpenID Connect provider, checked against the keys that it publishes.
//!
//! What a JWT says of itself counts for nothing until its signature was checked with a key of the
//! provider, by an algorithm that belongs to that key.

mod keys;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value};
use thiserror::Error;
use url::{Host, Url};

use super::{Caller, Denied, Role, Scope};
use keys::Keys;

/// Which provider is trusted, and where its JWTs say what somebody may do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The provider's name for itself, as `iss` has it.
    pub issuer: String,
    /// Our own name at the provider, as `aud` has it.
    pub audience: String,
    /// Where its keys are; none: where its discovery document says.
    pub jwks_url: Option<String>,
    /// The claim with the role or roles; dots step into objects.
    pub role_claim: String,
    /// The claim with the list of clients that the caller is confined to; dots step into objects.
    pub clients_claim: String,
    /// How far the provider's clock and ours may differ.
    pub clock_skew: Duration,
}

/// A provider that cannot be used.
#[derive(Debug, Error)]
pub enum OidcError {
    /// An address that is none, or over which keys could be exchanged on the way.
    #[error("{setting} {url:?} cannot be used: {reason}")]
    Address {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The HTTP client could not be made.
    #[error("no HTTPS client could be made for the identity provider")]
    Client(#[source] reqwest::Error),
}

/// A provider and the keys that it publishes.
#[derive(Debug)]
pub struct Provider {
    settings: Settings,
    keys: Keys,
}

impl Provider {
    /// Asks the provider for nothing yet, so that it need not be there at the start.
    ///
    /// # Errors
    /// Addresses that cannot be used.
    pub fn new(settings: Settings) -> Result<Self, OidcError> {
        let keys = Keys::new(&settings)?;
        Ok(Self { settings, keys })
    }

    /// Who a JWT belongs to.
    ///
    /// # Errors
    /// A JWT that does not count, or keys that cannot be had.
    pub async fn caller(&self, jwt: &str, now: DateTime<Utc>) -> Result<Caller, Denied> {
        let header = decode_header(jwt).map_err(|_| {
            Denied::Invalid("this is neither a token of Onramp nor a JWT that is read here")
        })?;
        if header.crit.is_some() {
            return Err(Denied::Invalid("the JWT demands extensions that are not known here"));
        }
        let key = self.keys.find(header.kid.as_deref(), header.alg).await?;
        let mut validation = Validation::new(header.alg);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        // Times are checked below, against the clock that was given to us.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let claims = decode::<Map<String, Value>>(jwt, &key, &validation).map_err(refused)?.claims;
        self.check_times(&claims, now)?;
        let role = self.role(&claims)?;
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        Ok(Caller { name: format!("oidc/{subject}"), role, scope: self.scope(&claims)? })
    }

    fn check_times(&self, claims: &Map<String, Value>, now: DateTime<Utc>) -> Result<(), Denied> {
        let now = now.timestamp() as f64;
        let skew = self.settings.clock_skew.as_secs_f64();
        let time = |name| match claims.get(name) {
            None => Ok(None),
            Some(value) => {
                value.as_f64().map(Some).ok_or(Denied::Invalid("a time of the JWT is no number"))
            }
        };
        match (time("exp")?, time("nbf")?) {
            (Some(end), _) if end + skew <= now => Err(Denied::Invalid("the JWT has expired")),
            (Some(_), Some(begin)) if begin - skew > now => {
                Err(Denied::Invalid("the JWT is not valid yet"))
            }
            (Some(_), _) => Ok(()),
            (None, _) => Err(Denied::Invalid("the JWT never expires")),
        }
    }

    /// The highest of the roles that the claim names; other words in it are for others.
    fn role(&self, claims: &Map<String, Value>) -> Result<Role, Denied> {
        let words: Vec<&str> = match claim(claims, &self.settings.role_claim) {
            Some(Value::String(word)) => vec![word],
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let roles = words.into_iter().filter_map(|word| word.parse().ok());
        roles
            .max()
            .ok_or(Denied::Invalid("the JWT names no role; the provider must be told to add it"))
    }

    fn scope(&self, claims: &Map<String, Value>) -> Result<Scope, Denied> {
        const UNREADABLE: Denied = Denied::Invalid("the JWT's clients are no list of texts");
        let clients: BTreeSet<String> = match claim(claims, &self.settings.clients_claim) {
            None => return Ok(Scope::Everything),
            Some(Value::Array(clients)) => {
                let texts = clients.iter().map(|client| client.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().ok_or(UNREADABLE)?
            }
            Some(_) => return Err(UNREADABLE),
        };
        Ok(Scope::Clients(clients))
    }
}

/// The claim of that very name, or what its dots lead to.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        claim(claims.get(first)?.as_object()?, rest)
    })
}

/// What a caller may know of why a JWT was refused.
fn refused(error: jsonwebtoken::errors::Error) -> Denied {
    use jsonwebtoken::errors::ErrorKind;
    Denied::Invalid(match error.kind() {
        ErrorKind::InvalidIssuer => "the JWT was issued by another provider",
        ErrorKind::InvalidAudience => "the JWT was issued for another audience",
        ErrorKind::MissingRequiredClaim(_) => "the JWT lacks one of exp, iss, aud and sub",
        ErrorKind::InvalidSignature => "the JWT's signature is wrong",
        _ => "the JWT cannot be verified",
    })
}

/// An address over which nobody can exchange what comes back.
fn trusted(setting: &'static str, text: &str) -> Result<Url, OidcError> {
    let refuse = |reason: String| OidcError::Address { setting, url: text.to_owned(), reason };
    let url = Url::parse(text).map_err(|error| refuse(error.to_string()))?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => {
            Err(refuse("it must begin with https://; http:// is for this machine only".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests;
