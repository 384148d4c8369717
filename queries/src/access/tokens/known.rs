//! The tokens as a server knows them: read again every few seconds, so that a revocation holds soon.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;
use onramp_lake::{Lake, LakeError};
use tokio::sync::Mutex;

use super::{READERS, Token, id, read, stored};
use crate::access::{Caller, Denied};

/// How old what is known of tokens may be: so long does a revoked one go on.
const FRESH: Duration = Duration::from_secs(5);
/// How soon a token that is not known is looked for again: so long may a new one wait.
const SOON: Duration = Duration::from_secs(1);
/// How long what is known is trusted while the lake cannot be read.
const TRUST: Duration = Duration::from_secs(60);
/// How long the lake may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The tokens of a lake.
#[derive(Debug)]
pub struct Known {
    lake: Lake,
    last: RwLock<Option<Arc<Snapshot>>>,
    /// When the lake last failed; whoever holds it is reading.
    failed: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Snapshot {
    at: Instant,
    /// By id.
    tokens: HashMap<String, Entry>,
    /// Whether there is any object of a token, be it revoked or unreadable.
    any: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    token: Arc<Token>,
    meta: ObjectMeta,
    revoked: bool,
}

impl Known {
    /// Nothing is read yet.
    pub fn new(lake: Lake) -> Self {
        Self { lake, last: RwLock::default(), failed: Mutex::default() }
    }

    /// Whether a token was ever made here. Revoking the last one opens nothing.
    ///
    /// # Errors
    /// [`Denied::Unavailable`].
    pub async fn any(&self) -> Result<bool, Denied> {
        Ok(self.snapshot(FRESH).await?.any)
    }

    /// Whoever holds the token that was shown.
    ///
    /// # Errors
    /// A token that is unknown, revoked or expired; a lake that cannot be read.
    pub async fn caller(&self, shown: &str, now: DateTime<Utc>) -> Result<Caller, Denied> {
        const UNKNOWN: Denied = Denied::Invalid("the token is not known here, or was revoked");
        let id = id(shown).ok_or(UNKNOWN)?;
        let mut snapshot = self.snapshot(FRESH).await?;
        if !snapshot.tokens.contains_key(id) {
            snapshot = self.snapshot(SOON).await?;
        }
        match snapshot.tokens.get(id) {
            Some(entry) if entry.token.is(shown) && !entry.revoked => {
                if entry.token.has_expired(now) {
                    return Err(Denied::Invalid("the token has expired"));
                }
                Ok(entry.token.caller())
            }
            _ => Err(UNKNOWN),
        }
    }

    fn last(&self, age: Duration) -> Option<Arc<Snapshot>> {
        let last = self.last.read().unwrap_or_else(PoisonError::into_inner);
        last.clone().filter(|last| last.at.elapsed() < age)
    }

    /// What is known and younger than `age`; one reader at a time asks the lake.
    async fn snapshot(&self, age: Duration) -> Result<Arc<Snapshot>, Denied> {
        if let Some(last) = self.last(age) {
            return Ok(last);
        }
        let mut failed = self.failed.lock().await;
        if let Some(last) = self.last(age) {
            return Ok(last);
        }
        if failed.is_none_or(|at| at.elapsed() >= SOON) {
            let read = tokio::time::timeout(PATIENCE, self.read()).await;
            match read {
                Ok(Ok(snapshot)) => {
                    let snapshot = Arc::new(snapshot);
                    *self.last.write().unwrap_or_else(PoisonError::into_inner) =
                        Some(Arc::clone(&snapshot));
                    *failed = None;
                    return Ok(snapshot);
                }
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "tokens not read");
                }
                Err(_) => tracing::warn!(seconds = PATIENCE.as_secs(), "tokens not read in time"),
            }
            *failed = Some(Instant::now());
        }
        self.last(TRUST).ok_or(Denied::Unavailable)
    }

    /// Lists the tokens and reads those that are new; they never change.
    async fn read(&self) -> Result<Snapshot, LakeError> {
        let at = Instant::now();
        let last = self.last(Duration::MAX);
        let kept: HashMap<&Path, &Entry> = last
            .iter()
            .flat_map(|last| last.tokens.values())
            .map(|entry| (&entry.meta.location, entry))
            .collect();
        let stored = stored(&self.lake).await?;
        let any = !stored.is_empty();
        let kept = &kept;
        let entries = stream::iter(stored).map(|(meta, revoked)| async move {
            let token = match kept.get(&meta.location).filter(|kept| kept.meta == meta) {
                Some(entry) => Some(Arc::clone(&entry.token)),
                None => read(&self.lake, &meta).await?.map(Arc::new),
            };
            Ok::<_, LakeError>(
                token.map(|token| (token.id.clone(), Entry { token, meta, revoked })),
            )
        });
        let tokens = entries
            .buffer_unordered(READERS)
            .try_filter_map(|entry| async { Ok(entry) })
            .try_collect()
            .await?;
        Ok(Snapshot { at, tokens, any })
    }
}
