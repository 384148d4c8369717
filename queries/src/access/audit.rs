//! What administrators did: a line in the log and an object in the lake for every act, written before
//! it is done.
//!
//! `<lake>/_access/audit/<instant>-<random>.json`, each written once and never changed; what an act
//! concerns is named, but no secret and no person's data is kept.

use chrono::{DateTime, SecondsFormat, Utc};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use onramp_lake::{Lake, LakeError};
use serde::{Deserialize, Serialize};

/// Where the record lies in the lake.
const FOLDER: &str = "_access/audit";

/// One act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// When it was asked for.
    pub at: DateTime<Utc>,
    /// Who asked: a caller's name, or `cli/<user>` for the command line.
    pub actor: String,
    /// What, as `token.create` or `compact`.
    pub act: String,
    /// What it concerned.
    pub target: String,
    /// Why, where the actor said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Act {
    /// Keeps the act and logs it under the target `audit`. To be called before it is done, so that
    /// none goes without.
    ///
    /// # Errors
    /// The lake fails: then it must not be done.
    pub async fn record(&self, lake: &Lake) -> Result<(), LakeError> {
        let Self { at, actor, act, target, reason } = self;
        let instant = at.to_rfc3339_opts(SecondsFormat::Micros, true).replace(':', "");
        let name = format!("{FOLDER}/{instant}-{:08x}.json", rand::random::<u32>());
        let text = serde_json::json!(self).to_string();
        lake.put_new(&Path::from(name), text.into()).await?;
        tracing::info!(target: "audit", %at, actor, act, target, reason, "administrative act");
        Ok(())
    }
}

/// The last acts, the newest first, at most `limit`. What is not readable is left out and logged.
///
/// # Errors
/// The lake fails.
pub async fn last(lake: &Lake, limit: usize) -> Result<Vec<Act>, LakeError> {
    let store = lake.store();
    let folder = Path::from(FOLDER);
    let failed =
        |what, path: &Path, source| LakeError::store(what, format!("{}{path}", lake.url()), source);
    let listed = store.list(Some(&folder)).map_ok(|object| object.location);
    let mut paths: Vec<Path> =
        listed.try_collect().await.map_err(|source| failed("list", &folder, source))?;
    // Instants are in the names.
    paths.sort_unstable();
    let mut acts = Vec::new();
    for path in paths.iter().rev().take(limit) {
        let read = async { store.get(path).await?.bytes().await };
        let bytes = read.await.map_err(|source| failed("read", path, source))?;
        match serde_json::from_slice(&bytes) {
            Ok(act) => acts.push(act),
            Err(_) => {
                tracing::warn!(object = %path, "no act that this version understands, left out");
            }
        }
    }
    Ok(acts)
}

#[cfg(test)]
mod tests {
    use onramp_lake::StoreSettings;

    use super::*;

    #[tokio::test]
    async fn acts_are_kept_the_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path().to_str().unwrap(), &StoreSettings::default()).unwrap();
        assert_eq!(last(&lake, 10).await.unwrap(), []);
        let act = |second: i64| Act {
            at: DateTime::from_timestamp(1_780_000_000 + second, 0).unwrap(),
            actor: "cli/ada".to_owned(),
            act: "compact".to_owned(),
            target: "events".to_owned(),
            reason: (second == 1).then(|| "small files".to_owned()),
        };
        for second in [1, 0, 2] {
            act(second).record(&lake).await.unwrap();
        }
        assert_eq!(last(&lake, 2).await.unwrap(), [act(2), act(1)]);
    }
}
