//! The state of a table at one version: the newest checkpoint and the commits after it, replayed.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::checkpoint;
use crate::error::LakeError;
use crate::file::DataFile;
use crate::log::{Actions, Commit, Metadata, Protocol, commit_path, parse};
use crate::table::Table;

/// Gets in flight while reading the log.
const PARALLEL_GETS: usize = 32;
/// Clean-up may take a file away between the listing and the get; a listing taken then has the newer checkpoint.
const ATTEMPTS: usize = 3;

/// A table at one version.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The version.
    pub version: i64,
    /// The active files, ordered by path.
    pub files: Vec<DataFile>,
    /// App id to next sequence.
    pub txns: BTreeMap<String, i64>,
    /// The table's properties.
    pub properties: BTreeMap<String, String>,
}

impl Snapshot {
    /// Brings the snapshot forward by the commits that follow it (see [`Table::tail`]); properties are left as they are.
    pub fn apply(&mut self, commits: &[Commit]) {
        let mut files: HashMap<String, DataFile> = std::mem::take(&mut self.files)
            .into_iter()
            .map(|file| (file.path.clone(), file))
            .collect();
        for commit in commits.iter().filter(|commit| commit.version > self.version) {
            for path in &commit.removes {
                files.remove(path);
            }
            files.extend(commit.adds.iter().map(|file| (file.path.clone(), file.clone())));
            self.txns.extend(commit.txns.clone());
        }
        self.version =
            commits.last().map_or(self.version, |commit| commit.version.max(self.version));
        self.files = sorted(files);
    }
}

/// How much to replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replay {
    /// Protocol, metadata and txns: the cost does not depend on the number of files.
    Head,
    /// The files as well.
    Files,
}

/// What a table says about itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Head {
    pub protocol: Protocol,
    pub metadata: Metadata,
}

/// A replayed log.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub version: i64,
    pub head: Head,
    pub txns: BTreeMap<String, i64>,
    pub files: HashMap<String, DataFile>,
    /// Removed files to when, milliseconds UTC, as far as the log remembers.
    pub removed: HashMap<String, i64>,
}

impl Table {
    /// The table as it is now.
    ///
    /// # Errors
    /// When the store fails or the log is damaged.
    pub async fn snapshot(&self) -> Result<Snapshot, LakeError> {
        self.snapshot_of(None).await
    }

    /// The table as it was at a version.
    ///
    /// # Errors
    /// [`LakeError::VersionGone`] when the log does not reach to it, and as [`Table::snapshot`].
    pub async fn snapshot_at(&self, version: i64) -> Result<Snapshot, LakeError> {
        self.snapshot_of(Some(version)).await
    }

    async fn snapshot_of(&self, version: Option<i64>) -> Result<Snapshot, LakeError> {
        let gone = LakeError::VersionGone { table: self.def.name, version: version.unwrap_or(0) };
        let replayed = self.replay(version, Replay::Files).await?.ok_or(gone)?;
        Ok(Snapshot {
            version: replayed.version,
            files: sorted(replayed.files),
            txns: replayed.txns,
            properties: replayed.head.metadata.configuration,
        })
    }

    /// Replays the log up to a version (`None`: the newest); `None` when there is no table.
    pub(crate) async fn replay(
        &self,
        version: Option<i64>,
        replay: Replay,
    ) -> Result<Option<Replayed>, LakeError> {
        let mut attempt = 1;
        loop {
            match self.replay_once(version, replay).await {
                Err(
                    LakeError::Store { source: object_store::Error::NotFound { .. }, .. }
                    | LakeError::CorruptLog { .. },
                ) if attempt < ATTEMPTS => {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn replay_once(
        &self,
        version: Option<i64>,
        replay: Replay,
    ) -> Result<Option<Replayed>, LakeError> {
        let Some(listing) = self.list_log(version).await? else { return Ok(None) };
        let segment = listing.segment(version).map_err(|reason| match version {
            Some(version) => LakeError::VersionGone { table: self.def.name, version },
            None => self.corrupt(&Path::from("_delta_log"), reason),
        })?;
        let mut state = State::default();
        for path in &segment.checkpoint {
            let bytes = self.get(path).await?;
            let def = self.def;
            let read = tokio::task::spawn_blocking(move || {
                checkpoint::read(def, bytes, replay == Replay::Files)
            });
            let part = read.await.map_err(|error| self.corrupt(path, error.to_string()))?;
            state.apply(self, part.map_err(|source| self.corrupt(path, source.to_string()))?);
        }
        let mut commits = stream::iter(segment.commits)
            .map(|version| async move {
                self.get(&commit_path(version)).await.map(|bytes| (version, bytes))
            })
            .buffered(PARALLEL_GETS);
        while let Some((version, bytes)) = commits.try_next().await? {
            state.apply(self, parse(self.def, version, &bytes, replay == Replay::Files)?);
        }
        let (Some(protocol), Some(metadata)) = (state.protocol, state.metadata) else {
            return Err(self.corrupt(
                &Path::from("_delta_log"),
                "it holds no protocol and no metadata".into(),
            ));
        };
        let head = Head { protocol, metadata };
        Ok(Some(Replayed {
            version: segment.version,
            head,
            txns: state.txns,
            files: state.files,
            removed: state.removed,
        }))
    }

    /// The newest version, `None` when there is no table.
    pub(crate) async fn latest_version(&self) -> Result<Option<i64>, LakeError> {
        let Some(listing) = self.list_log(None).await? else { return Ok(None) };
        Ok(listing.segment(None).ok().map(|segment| segment.version))
    }

    /// The files of the log, `None` when there are none. For the newest version those before the last checkpoint may be
    /// left out.
    async fn list_log(&self, version: Option<i64>) -> Result<Option<Listing>, LakeError> {
        if version.is_none()
            && let Some(hint) = self.last_checkpoint().await?
        {
            let listing = self.list_log_from(Some(hint)).await?;
            if !listing.checkpoints.is_empty() {
                return Ok(Some(listing));
            }
        }
        let listing = self.list_log_from(None).await?;
        Ok((!listing.commits.is_empty() || !listing.checkpoints.is_empty()).then_some(listing))
    }

    async fn list_log_from(&self, first: Option<i64>) -> Result<Listing, LakeError> {
        let folder = Path::from("_delta_log");
        let entries = match first {
            // Every name of that version is longer than this, and so behind it.
            Some(first) => self
                .store
                .list_with_offset(Some(&folder), &folder.clone().join(format!("{first:020}"))),
            None => self.store.list(Some(&folder)),
        };
        let entries: Vec<_> = entries
            .try_collect()
            .await
            .map_err(|source| LakeError::store("list", self.location(&folder), source))?;
        let mut listing = Listing::default();
        for entry in entries {
            listing.add(entry.location);
        }
        Ok(listing)
    }

    /// The version of the last checkpoint as its writer noted it. Only a hint: it may be missing, old or garbled.
    async fn last_checkpoint(&self) -> Result<Option<i64>, LakeError> {
        let path = Path::from("_delta_log/_last_checkpoint");
        match self.get(&path).await {
            Ok(bytes) => {
                let hint: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
                Ok(hint.and_then(|hint| hint["version"].as_i64()))
            }
            Err(LakeError::Store { source: object_store::Error::NotFound { .. }, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn get(&self, path: &Path) -> Result<Bytes, LakeError> {
        let read = async { self.store.get(path).await?.bytes().await };
        read.await.map_err(|source| LakeError::store("read", self.location(path), source))
    }

    fn corrupt(&self, path: &Path, reason: String) -> LakeError {
        LakeError::CorruptLog { table: self.def.name, location: self.location(path), reason }
    }
}

fn sorted(files: HashMap<String, DataFile>) -> Vec<DataFile> {
    let mut files: Vec<DataFile> = files.into_values().collect();
    files.sort_unstable_by(|left, right| left.path.cmp(&right.path));
    files
}

#[derive(Debug, Default)]
struct State {
    protocol: Option<Protocol>,
    metadata: Option<Metadata>,
    txns: BTreeMap<String, i64>,
    files: HashMap<String, DataFile>,
    removed: HashMap<String, i64>,
}

impl State {
    fn apply(&mut self, table: &Table, actions: Actions) {
        for remove in &actions.removes {
            self.files.remove(&remove.path);
            // Without an instant it may have been just now.
            let at = remove.deletion_timestamp.unwrap_or(i64::MAX);
            self.removed.insert(remove.path.clone(), at);
        }
        for add in &actions.adds {
            self.removed.remove(&add.path);
            self.files.insert(add.path.clone(), DataFile::new(table.def, add));
        }
        self.txns.extend(actions.txns);
        self.protocol = actions.protocol.or(self.protocol.take());
        self.metadata = actions.metadata.or(self.metadata.take());
    }
}

/// The files of a log by what they are.
#[derive(Debug, Default)]
struct Listing {
    commits: Vec<i64>,
    /// (version, number of parts) to the parts that are there.
    checkpoints: BTreeMap<(i64, usize), Vec<Path>>,
}

/// What is read to arrive at a version.
struct Segment {
    version: i64,
    checkpoint: Vec<Path>,
    commits: Vec<i64>,
}

impl Listing {
    fn add(&mut self, path: Path) {
        let Some(name) = path.filename() else { return };
        let parts: Vec<&str> = name.split('.').collect();
        let Ok(version) = parts[0].parse::<i64>() else { return };
        let of = match parts[1..] {
            ["json"] => return self.commits.push(version),
            ["checkpoint", "parquet"] => 1,
            ["checkpoint", _, of, "parquet"] => of.parse().unwrap_or(usize::MAX),
            _ => return,
        };
        self.checkpoints.entry((version, of)).or_default().push(path);
    }

    /// The newest complete checkpoint up to `version`, and every commit from there on, without a gap.
    fn segment(mut self, version: Option<i64>) -> Result<Segment, String> {
        let limit = version.unwrap_or(i64::MAX);
        let newest = self
            .checkpoints
            .iter()
            .rev()
            .find(|((at, of), parts)| *at <= limit && parts.len() == *of);
        let (base, mut checkpoint) =
            newest.map_or((-1, Vec::new()), |((at, _), parts)| (*at, parts.clone()));
        checkpoint.sort_unstable();
        self.commits.retain(|at| *at > base && *at <= limit);
        self.commits.sort_unstable();
        if let Some((expected, _)) =
            (base + 1..).zip(&self.commits).find(|(expected, at)| expected != *at)
        {
            return Err(format!("version {expected} is missing"));
        }
        let reached = self.commits.last().copied().unwrap_or(base);
        if reached < 0 || version.is_some_and(|version| version != reached) {
            return Err(format!("it ends at version {reached}"));
        }
        Ok(Segment { version: reached, checkpoint, commits: self.commits })
    }
}
