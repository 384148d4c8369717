//! The Delta log of one table: file names, commits as they were written, and the tail after a version.

use std::collections::BTreeMap;

use bytes::Bytes;
use deltalake::kernel::{Add, Remove, Transaction};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use onramp_schemas::tables;
use serde::{Deserialize, Serialize};

use crate::error::LakeError;
use crate::file::DataFile;
use crate::table::Table;

/// The txn that every rewrite advances by one, so that of two racing rewrites the second fails.
pub const REWRITE_APP_ID: &str = "rewrite";
/// Gets in flight while reading a run of commits.
const PARALLEL_GETS: usize = 32;

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitKind {
    /// Rows were added, nothing was read to do so.
    Append,
    /// A rewrite of ours: files were replaced.
    Rewrite,
    /// Anything else: creation, or another program.
    Other,
}

/// One version of a table, as its commit tells it.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The version that this commit made.
    pub version: i64,
    /// The files that it added.
    pub adds: Vec<DataFile>,
    /// The paths of the files that it removed, relative to the table.
    pub removes: Vec<String>,
    /// The txns that it set: app id to next sequence.
    pub txns: BTreeMap<String, i64>,
    /// Whether it changed the set of rows; compaction does not.
    pub data_change: bool,
    /// What it did.
    pub kind: CommitKind,
    /// Whether it touched the table's protocol or metadata.
    pub metadata_or_protocol_changed: bool,
    /// How its writer recognises it.
    pub(crate) id: Option<String>,
}

/// The commits after a version.
#[derive(Debug, Clone)]
pub enum Tail {
    /// In the order of their versions, without a gap; empty when there are none yet.
    Commits(Vec<Commit>),
    /// The log was cleaned up past that version: start again from a snapshot.
    Gone,
}

/// The path of a commit, relative to the table.
pub(crate) fn commit_path(version: i64) -> Path {
    Path::from(format!("_delta_log/{version:020}.json"))
}

/// Everything that a commit says.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    pub adds: Vec<Add>,
    pub removes: Vec<Remove>,
    pub txns: BTreeMap<String, i64>,
    pub protocol: Option<Protocol>,
    pub metadata: Option<Metadata>,
    pub info: CommitInfo,
}

/// The `protocol` action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    pub min_reader_version: i32,
    pub min_writer_version: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader_features: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer_features: Option<Vec<String>>,
}

/// What matters of the `metaData` action.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub id: String,
    pub schema_string: String,
    #[serde(default)]
    pub partition_columns: Vec<String>,
    #[serde(default)]
    pub configuration: BTreeMap<String, String>,
}

/// What matters of the `commitInfo` action.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommitInfo {
    #[serde(default)]
    pub is_blind_append: bool,
    #[serde(rename = "onrampCommitId", default)]
    pub id: Option<String>,
}

/// One line of a commit holds one of these; actions that are not listed do not concern reader 1 / writer 2.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    add: Option<Add>,
    remove: Option<Remove>,
    txn: Option<Transaction>,
    protocol: Option<Protocol>,
    meta_data: Option<Metadata>,
    commit_info: Option<CommitInfo>,
}

/// Parses a commit. `files` unset skips its adds and removes, which are most of it.
pub(crate) fn parse(
    def: &tables::Table,
    version: i64,
    bytes: &[u8],
    files: bool,
) -> Result<Actions, LakeError> {
    let corrupt = |reason: String| LakeError::CorruptLog {
        table: def.name,
        location: commit_path(version).to_string(),
        reason,
    };
    let text = std::str::from_utf8(bytes).map_err(|error| corrupt(error.to_string()))?;
    let mut actions = Actions::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if !files && (line.starts_with("{\"add\"") || line.starts_with("{\"remove\"")) {
            continue;
        }
        let line: Line = serde_json::from_str(line).map_err(|error| corrupt(error.to_string()))?;
        actions.adds.extend(line.add);
        actions.removes.extend(line.remove);
        actions.txns.extend(line.txn.map(|txn| (txn.app_id, txn.version)));
        actions.protocol = line.protocol.or(actions.protocol);
        actions.metadata = line.meta_data.or(actions.metadata);
        actions.info = line.commit_info.unwrap_or(actions.info);
    }
    Ok(actions)
}

impl Commit {
    fn new(table: &Table, version: i64, bytes: &[u8]) -> Result<Self, LakeError> {
        let actions = parse(table.def, version, bytes, true)?;
        let kind = match () {
            () if actions.txns.contains_key(REWRITE_APP_ID) => CommitKind::Rewrite,
            () if actions.info.is_blind_append && actions.removes.is_empty() => CommitKind::Append,
            () => CommitKind::Other,
        };
        Ok(Self {
            version,
            data_change: actions.adds.iter().any(|add| add.data_change)
                || actions.removes.iter().any(|file| file.data_change),
            adds: actions.adds.iter().map(|add| DataFile::new(table.def, add)).collect(),
            removes: actions.removes.into_iter().map(|remove| remove.path).collect(),
            txns: actions.txns,
            kind,
            metadata_or_protocol_changed: actions.protocol.is_some() || actions.metadata.is_some(),
            id: actions.info.id,
        })
    }
}

impl Table {
    /// The commits after `version` (−1: from the first), at most `limit` of them.
    ///
    /// # Errors
    /// When the store fails, or a commit cannot be parsed.
    pub async fn tail(&self, version: i64, limit: usize) -> Result<Tail, LakeError> {
        let mut commits: Vec<Commit> = Vec::new();
        // The usual tail has no commit or one: ask for one, then for twice as many each time.
        let mut window = 1;
        while commits.len() < limit {
            let first = version + 1 + commits.len() as i64;
            let take = window.min(limit - commits.len());
            let read: Vec<Option<Bytes>> = stream::iter(first..first + take as i64)
                .map(|version| self.get_commit(version))
                .buffered(PARALLEL_GETS)
                .try_collect()
                .await?;
            let found = read.iter().take_while(|bytes| bytes.is_some()).count();
            for (version, bytes) in (first..).zip(read.into_iter().flatten().take(found)) {
                commits.push(Commit::new(self, version, &bytes)?);
            }
            if found < take {
                break;
            }
            window = (window * 2).min(2 * PARALLEL_GETS);
        }
        // Nothing after a version whose own commit stands: it is the newest. Is that gone as well, the log was cleaned up.
        let at_end = commits.is_empty() && (limit == 0 || self.has_commit(version).await?);
        if commits.is_empty() && !at_end && self.latest_version().await? != Some(version) {
            return Ok(Tail::Gone);
        }
        Ok(Tail::Commits(commits))
    }

    async fn get_commit(&self, version: i64) -> Result<Option<Bytes>, LakeError> {
        let path = commit_path(version);
        let read = async { self.store.get(&path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(LakeError::store("read", self.location(&path), source)),
        }
    }

    async fn has_commit(&self, version: i64) -> Result<bool, LakeError> {
        if version < 0 {
            return Ok(false);
        }
        let path = commit_path(version);
        match self.store.head(&path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(LakeError::store("read", self.location(&path), source)),
        }
    }
}
