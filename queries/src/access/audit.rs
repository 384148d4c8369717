//! What administrators did: a line in the log and an object in the lake for every act, written before
//! it is done.
//!
//! `<lake>/_access/audit/<instant>-<random>.json`, each written once and never changed; what an act
//! concerns is named, but no secret and no person's data is kept.

use chrono::{DateTime, SecondsFormat, Utc};
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

#[cfg(test)]
mod tests {
    use onramp_lake::StoreSettings;

    use super::*;

    #[tokio::test]
    async fn acts_of_one_instant_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path().to_str().unwrap(), &StoreSettings::default()).unwrap();
        let act = Act {
            at: DateTime::from_timestamp(1_780_000_000, 0).unwrap(),
            actor: "cli/ada".to_owned(),
            act: "compact".to_owned(),
            target: "events".to_owned(),
            reason: Some("small files".to_owned()),
        };
        for _ in 0..3 {
            act.record(&lake).await.unwrap();
        }
        let kept: Vec<Act> = std::fs::read_dir(folder.path().join(FOLDER))
            .unwrap()
            .map(|file| serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()))
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(kept, [act.clone(), act.clone(), act]);
    }
}
