//! The compare-and-set commit: put the next version, and after any error let the log tell what became of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use deltalake::kernel::{Action, Transaction};
use object_store::{ObjectStore, PutMode};
use serde_json::json;

use crate::error::LakeError;
use crate::log::{Commit, Tail, commit_path};
use crate::snapshot::{Replay, Replayed};
use crate::table::{ENGINE, Table};

/// Commits read at once while catching up.
const TAIL_LIMIT: usize = 1024;
/// Lost races in a row before giving up; every one of them is another writer's commit.
const MAX_RACES: u32 = 1000;
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// A txn to be moved: the commit is made only while it stands at `base`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// The source partition, or the name of a fold.
    pub app_id: String,
    /// The next sequence that the work was based on; `None` when there was no txn.
    pub base: Option<i64>,
    /// The next sequence after it; above `base`.
    pub next: i64,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The table holds it, exactly once.
    Committed {
        /// The version that holds it; when another writer committed the same range, the version at which that was seen.
        version: i64,
    },
    /// The table does not hold it and never will: drop the buffer and start again from the lake.
    Lost {
        /// The txns that are not at their base. Empty when a file to be replaced is gone.
        app_ids: Vec<String>,
    },
}

/// What the state of the table means for a commit.
pub(crate) enum Verdict {
    Done(i64),
    Put,
    Lost(Vec<String>),
}

/// Judges a commit against what the log has come to hold.
pub(crate) trait Judge: Send {
    /// Takes note of commits that were made after the state that the work was based on.
    fn observe(&mut self, commits: &[Commit]);
    /// What a log that was cleaned up past us means: nothing is known of the commits in between.
    fn lost_sight(&mut self, replayed: &Replayed);
    /// Whether the next version may be put.
    fn verdict(&self, position: &Position) -> Verdict;
}

/// How far a writer knows the log.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    pub version: i64,
    pub txns: BTreeMap<String, i64>,
    /// When the log was last looked at; `None`: it must be before anything is decided.
    synced: Option<Instant>,
}

impl Position {
    pub(crate) fn new(version: i64, txns: BTreeMap<String, i64>) -> Self {
        Self { version, txns, synced: Some(Instant::now()) }
    }

    pub(crate) fn forget(&mut self) {
        self.synced = None;
    }

    /// Reads the log up to its end.
    pub(crate) async fn follow(
        &mut self,
        table: &Table,
        judge: &mut dyn Judge,
    ) -> Result<(), LakeError> {
        let changed = |version| LakeError::TableChanged { table: table.def.name, version };
        self.synced = None;
        let started = Instant::now();
        loop {
            match table.tail(self.version, TAIL_LIMIT).await? {
                Tail::Commits(commits) if commits.is_empty() => break,
                Tail::Commits(commits) => {
                    for commit in &commits {
                        if commit.metadata_or_protocol_changed {
                            return Err(changed(commit.version));
                        }
                        self.version = commit.version;
                        self.txns.extend(commit.txns.clone());
                    }
                    judge.observe(&commits);
                    if commits.len() < TAIL_LIMIT {
                        break;
                    }
                }
                Tail::Gone => {
                    let gone =
                        LakeError::VersionGone { table: table.def.name, version: self.version };
                    let replayed = table.replay(None, Replay::Head).await?.ok_or(gone)?;
                    table.check_unchanged(&replayed)?;
                    (self.version, self.txns) = (replayed.version, replayed.txns.clone());
                    judge.lost_sight(&replayed);
                    break;
                }
            }
        }
        self.synced = Some(started);
        Ok(())
    }

    fn is_older_than(&self, age: Duration) -> bool {
        self.synced.is_none_or(|synced| synced.elapsed() > age)
    }
}

/// Puts `body` as the next version of the table as long as the judge lets it.
///
/// Dropping the future half-way is safe: the position is then looked up anew before the next commit.
pub(crate) async fn commit(
    table: &Table,
    position: &mut Position,
    body: Bytes,
    advances: &[Advance],
    judge: &mut dyn Judge,
) -> Result<Outcome, LakeError> {
    let settings = table.lake().settings().clone();
    let (mut races, mut failures) = (0, 0);
    loop {
        if position.is_older_than(settings.log_trust) {
            position.follow(table, judge).await?;
        }
        match judge.verdict(position) {
            Verdict::Done(version) => return Ok(Outcome::Committed { version }),
            Verdict::Lost(app_ids) => return Ok(Outcome::Lost { app_ids }),
            Verdict::Put => {}
        }
        let version = position.version + 1;
        let synced = position.synced.take();
        match put(table, version, body.clone(), settings.put_timeout).await {
            Ok(true) if synced.is_some_and(|synced| synced.elapsed() <= settings.log_trust) => {
                position.synced = synced;
                position.version = version;
                position
                    .txns
                    .extend(advances.iter().map(|advance| (advance.app_id.clone(), advance.next)));
                return Ok(Outcome::Committed { version });
            }
            // We slept so long that the log may have been cleaned up past `version`, which is why its name was free.
            // The commit then counts for nothing, and only a replay tells.
            Ok(true) => return settle(table, position, version, advances).await,
            Ok(false) if races < MAX_RACES => races += 1,
            Ok(false) => {
                return Err(LakeError::Contended { table: table.def.name, attempts: races });
            }
            Err(error) if failures + 1 < settings.put_attempts => {
                tracing::warn!(
                    table = table.def.name,
                    version,
                    error = &error as &dyn std::error::Error,
                    "commit failed, reading the log"
                );
                tokio::time::sleep(FIRST_WAIT * 2_u32.pow(failures.min(6))).await;
                failures += 1;
            }
            Err(error) => {
                // The last word is the log's as well: it may hold the commit.
                position.follow(table, judge).await?;
                return match judge.verdict(position) {
                    Verdict::Done(version) => Ok(Outcome::Committed { version }),
                    Verdict::Lost(app_ids) => Ok(Outcome::Lost { app_ids }),
                    Verdict::Put => Err(error),
                };
            }
        }
    }
}

/// Whether the version was free and is ours now; any error leaves that open.
async fn put(table: &Table, version: i64, body: Bytes, limit: Duration) -> Result<bool, LakeError> {
    let path = commit_path(version);
    let put = table.store.put_opts(&path, body.into(), PutMode::Create.into());
    match tokio::time::timeout(limit, put).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(object_store::Error::AlreadyExists { .. })) => Ok(false),
        Ok(Err(source)) => Err(LakeError::store("commit", table.location(&path), source)),
        Err(_) => {
            Err(LakeError::TimedOut { location: table.location(&path), seconds: limit.as_secs() })
        }
    }
}

/// Decides by a replay whether a put that came late is part of the table.
async fn settle(
    table: &Table,
    position: &mut Position,
    version: i64,
    advances: &[Advance],
) -> Result<Outcome, LakeError> {
    let gone = LakeError::VersionGone { table: table.def.name, version };
    let replayed = table.replay(None, Replay::Head).await?.ok_or(gone)?;
    table.check_unchanged(&replayed)?;
    *position = Position::new(replayed.version, replayed.txns);
    let elsewhere: Vec<String> = advances
        .iter()
        .filter(|advance| position.txns.get(&advance.app_id) != Some(&advance.next))
        .map(|advance| advance.app_id.clone())
        .collect();
    if elsewhere.is_empty() {
        Ok(Outcome::Committed { version })
    } else {
        Ok(Outcome::Lost { app_ids: elsewhere })
    }
}

/// The txns that are at neither … nor: see rule 2 of the architecture.
pub(crate) fn compare(position: &Position, advances: &[Advance]) -> Verdict {
    let at = |advance: &Advance| position.txns.get(&advance.app_id).copied();
    if advances.iter().all(|advance| at(advance) == advance.base) {
        return Verdict::Put;
    }
    if advances.iter().all(|advance| at(advance) == Some(advance.next)) {
        return Verdict::Done(position.version);
    }
    let moved = advances.iter().filter(|advance| at(advance) != advance.base);
    Verdict::Lost(moved.map(|advance| advance.app_id.clone()).collect())
}

/// Refuses advances that could not be told from none, or that name a txn twice.
pub(crate) fn check_advances(table: &Table, advances: &[Advance]) -> Result<(), LakeError> {
    let refuse = |reason: String| LakeError::Advance { table: table.def.name, reason };
    for (index, advance) in advances.iter().enumerate() {
        if advance.base.is_some_and(|base| base >= advance.next) {
            return Err(refuse(format!(
                "{} would not move forward from {:?} to {}",
                advance.app_id, advance.base, advance.next
            )));
        }
        if advances[..index].iter().any(|other| other.app_id == advance.app_id) {
            return Err(refuse(format!("{} is advanced twice", advance.app_id)));
        }
    }
    Ok(())
}

/// What a commit's info says of it.
pub(crate) struct Info<'a> {
    pub id: &'a str,
    pub operation: &'a str,
    pub read_version: i64,
    pub blind_append: bool,
}

/// The bytes of a commit: info, txns, removes and adds, one action a line.
pub(crate) fn body(
    table: &Table,
    info: &Info<'_>,
    advances: &[Advance],
    files: Vec<Action>,
) -> Result<Bytes, LakeError> {
    let now = table.now_ms();
    let first = json!({"commitInfo": {
        "timestamp": now,
        "operation": info.operation,
        "operationParameters": {"mode": "Append"},
        "readVersion": info.read_version,
        "isolationLevel": "WriteSerializable",
        "isBlindAppend": info.blind_append,
        "engineInfo": ENGINE,
        "onrampCommitId": info.id,
    }});
    let txns = advances.iter().map(|advance| {
        Action::Txn(Transaction::new_with_last_update(&advance.app_id, advance.next, Some(now)))
    });
    let mut bytes = Vec::with_capacity(512 * (files.len() + advances.len() + 1));
    let broken = |error: serde_json::Error| LakeError::Advance {
        table: table.def.name,
        reason: error.to_string(),
    };
    serde_json::to_writer(&mut bytes, &first).map_err(broken)?;
    for action in txns.chain(files) {
        bytes.push(b'\n');
        serde_json::to_writer(&mut bytes, &action).map_err(broken)?;
    }
    Ok(Bytes::from(bytes))
}
