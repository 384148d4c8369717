//! Tokens: random secrets of which the lake keeps a hash.
//!
//! A token is two objects below `<lake>/_access/tokens/`, each written once and never changed:
//! `<id>.json` when it is made, `<id>.revoked` when it is revoked. So every process sees the same
//! ones, two that act at once cannot undo each other, and what was revoked cannot come back by a
//! late write.

mod known;

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use onramp_lake::{Lake, LakeError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::{Caller, Role, Scope};

pub(super) use known::Known;

/// Where tokens lie in the lake.
const FOLDER: &str = "_access/tokens";
/// How every token begins, so that scanners of code and logs can find one that leaked.
pub const PREFIX: &str = "onr_";
/// Objects that are read at once.
const READERS: usize = 16;
/// The longest name of a token, in bytes.
const MAX_NAME: usize = 64;

/// What the lake knows of a token: nothing with which somebody could log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Names it; the part of the token that may be shown.
    pub id: String,
    /// What it is for; a service rather than a person.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The clients whose data it sees; none: all of them.
    pub clients: Option<BTreeSet<String>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when on it is refused; none: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// SHA-256 of the whole token, in hexadecimal. The secret has 256 random bits, so that a slow
    /// hash would only make logins slow.
    sha256: String,
}

/// A token with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The token.
    pub token: Token,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// What a token is to be.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The clients whose data it sees; none: all of them.
    pub clients: Option<BTreeSet<String>>,
    /// From when on it is refused; none: never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A token as its owner holds it. It is shown once and printed by no formatter.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The token itself, to be shown to its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a token was not made, listed or revoked.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The lake failed.
    #[error("the lake's tokens cannot be reached")]
    Lake(#[from] LakeError),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is no such token.
    #[error("there is no token {id:?}; `onramp token list` shows them")]
    Unknown {
        /// What was given.
        id: String,
    },
}

/// Makes a token that is valid from `now` on. Servers know it within seconds.
///
/// # Errors
/// A name or list of clients that cannot be kept, an expiry in the past, a lake that fails.
pub async fn create(
    lake: &Lake,
    request: Request,
    now: DateTime<Utc>,
) -> Result<(Token, Secret), TokenError> {
    check(&request, now)?;
    let id = format!("{:012x}", rand::random::<u64>() >> 16);
    let [high, low] = rand::random::<[u128; 2]>();
    let secret = Secret(format!("{PREFIX}{id}_{high:032x}{low:032x}"));
    let Request { name, role, clients, expires_at } = request;
    let sha256 = hash(secret.reveal());
    let token = Token { id, name, role, clients, created_at: now, expires_at, sha256 };
    let text =
        serde_json::to_vec(&token).map_err(|error| TokenError::Invalid(error.to_string()))?;
    // The name is random: where it is taken, our own put went through although no answer came.
    lake.put_new(&object(&token.id, "json"), text.into()).await?;
    Ok((token, secret))
}

/// All tokens, the newest first; with those that were revoked or have expired.
///
/// # Errors
/// A lake that fails.
pub async fn list(lake: &Lake) -> Result<Vec<Listed>, TokenError> {
    let mut found = Vec::new();
    for (meta, revoked) in stored(lake).await? {
        if let Some(token) = read(lake, &meta).await? {
            found.push(Listed { token, revoked });
        }
    }
    found.sort_by_key(|listed| std::cmp::Reverse(listed.token.created_at));
    Ok(found)
}

/// Revokes a token; servers refuse it within seconds. Doing so again changes nothing.
///
/// # Errors
/// No token of that id, a lake that fails.
pub async fn revoke(lake: &Lake, id: &str, now: DateTime<Utc>) -> Result<(), TokenError> {
    let known =
        stored(lake).await?.into_iter().any(|(meta, _)| meta.location == object(id, "json"));
    if !known {
        return Err(TokenError::Unknown { id: id.to_owned() });
    }
    let text = serde_json::json!({ "revoked_at": now }).to_string();
    lake.put_new(&object(id, "revoked"), text.into()).await?;
    Ok(())
}

impl Token {
    /// Whether `shown` is this very token. Takes as long for any other.
    fn is(&self, shown: &str) -> bool {
        hash(shown).as_bytes().ct_eq(self.sha256.as_bytes()).into()
    }

    /// Whether it is refused at an instant, for its age alone.
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Whoever holds it.
    fn caller(&self) -> Caller {
        Caller {
            name: format!("token/{}/{}", self.id, self.name),
            role: self.role,
            scope: Scope::of(self.clients.clone()),
        }
    }
}

/// The id in what looks like a token of ours.
fn id(shown: &str) -> Option<&str> {
    shown.strip_prefix(PREFIX)?.split_once('_').map(|(id, _)| id)
}

/// Whether such a token can be made at `now`.
///
/// # Errors
/// A name or list of clients that cannot be kept, an expiry in the past.
pub fn check(request: &Request, now: DateTime<Utc>) -> Result<(), TokenError> {
    let refuse = |words: &str| Err(TokenError::Invalid(words.to_owned()));
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@ ".contains(c);
    if request.name.trim().is_empty()
        || request.name.len() > MAX_NAME
        || !request.name.chars().all(plain)
    {
        return refuse("a token's name has 1 to 64 letters, digits, spaces and . _ - @");
    }
    if request.expires_at.is_some_and(|end| end <= now) {
        return refuse("the token would have expired already; give a later end");
    }
    match &request.clients {
        Some(clients) if clients.is_empty() || clients.contains("") => {
            refuse("a client id is empty; leave --client-id out for a token that sees everything")
        }
        Some(_) if request.role == Role::Ingest => {
            refuse("a token that sends events sends those of all clients; leave --client-id out")
        }
        _ => Ok(()),
    }
}

fn object(id: &str, kind: &str) -> Path {
    Path::from(format!("{FOLDER}/{id}.{kind}"))
}

fn hash(token: &str) -> String {
    format!("{:x}", Sha256::digest(token))
}

/// Where the tokens are, and which are revoked.
async fn stored(lake: &Lake) -> Result<Vec<(ObjectMeta, bool)>, LakeError> {
    let store = lake.store();
    let folder = Path::from(FOLDER);
    let objects: Vec<ObjectMeta> =
        store.list(Some(&folder)).try_collect().await.map_err(|source| {
            LakeError::store("list", format!("{}{folder}/", lake.url()), source)
        })?;
    let named = |object: &ObjectMeta, kind| object.location.extension() == Some(kind);
    let revoked: BTreeSet<String> = objects
        .iter()
        .filter(|object| named(object, "revoked"))
        .map(|object| object.location.as_ref().replace(".revoked", ".json"))
        .collect();
    let tokens = objects.into_iter().filter(|object| named(object, "json"));
    let told = |meta: ObjectMeta| {
        let revoked = revoked.contains(meta.location.as_ref());
        (meta, revoked)
    };
    Ok(tokens.map(told).collect())
}

/// The token in an object; none where there is none that this version understands: what it does not
/// understand may be a restriction.
async fn read(lake: &Lake, meta: &ObjectMeta) -> Result<Option<Token>, LakeError> {
    let store = lake.store();
    let read = async { store.get(&meta.location).await?.bytes().await };
    let bytes = read.await.map_err(|source| {
        LakeError::store("read", format!("{}{}", lake.url(), meta.location), source)
    })?;
    let token = serde_json::from_slice::<Token>(&bytes);
    let token = token.ok().filter(|token| object(&token.id, "json") == meta.location);
    if token.is_none() {
        tracing::warn!(object = %meta.location, "not a token that this version understands, ignored");
    }
    Ok(token)
}

#[cfg(test)]
mod tests;
