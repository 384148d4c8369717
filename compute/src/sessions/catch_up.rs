//! Bringing a funnel's sessions up to the newest events.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::object_store::path::Path;
use datafusion::object_store::{Error, ObjectStoreExt};
use datafusion::prelude::SessionContext;
use onramp_lake::{
    Advance, Commit, CommitKind, DataFile, Lake, Outcome, REWRITE_APP_ID, RewriteKind, Rewriter,
    Snapshot, Table, Tail,
};
use onramp_schemas::funnel::Funnel;
use onramp_schemas::tables::{EVENTS, SESSIONS};

use super::definition::Definition;
use super::derive::{AllRows, Unclear};
use super::gather::Gather;
use super::writer::Writer;
use super::{CaughtUp, OnProgress, Progress, Settings};
use crate::engine::Engine;
use crate::error::ComputeError;
use crate::scan::LakeTable;

/// What a row holds: rows of another layout are folded anew, as those of another definition are.
const LAYOUT: u32 = 2;
/// How often a fold starts again because another writer was faster.
const ATTEMPTS: usize = 8;
/// Commits of the events log that are looked at in one step.
const TAIL_COMMITS: usize = 10_000;
/// Commits without a new event that may pass before the position is written down.
const IDLE_COMMITS: usize = 1_000;

/// Folds the events that were appended since the last time into the funnel's rows of `sessions`;
/// all events when there are no rows yet, or they were folded by another definition of the funnel.
///
/// Any number of processes may do so at once; the work of all but one is lost, never the rows.
///
/// # Errors
/// When a condition of the funnel is invalid, the lake or the engine fails, or other writers were
/// faster each time.
pub async fn catch_up(
    lake: &Lake,
    funnel: &Funnel,
    engine: &Engine,
    settings: &Settings,
    progress: OnProgress<'_>,
) -> Result<CaughtUp, ComputeError> {
    let context = engine.session(lake);
    let definition = Definition::compile(&context, funnel)?;
    let mut done = CaughtUp {
        events: None,
        sessions: None,
        sessions_changed: 0,
        events_read: 0,
        whole: false,
    };
    let Some(events_table) = lake.open_table(&EVENTS).await? else { return Ok(done) };
    let events = Arc::new(events_table.snapshot().await?);
    let table = lake.create(&SESSIONS).await?;
    let mut lost = 0;
    loop {
        let sessions = table.snapshot().await?;
        let job = Job {
            lake,
            context: &context,
            definition: &definition,
            settings,
            progress,
            events: &events,
            sessions,
            table: &table,
        };
        let outcome = match job.next_step(&events_table).await? {
            Step::Current => {
                (done.events, done.sessions) =
                    (Some(Arc::clone(&events)), Some(Arc::new(job.sessions)));
                return Ok(done);
            }
            Step::Whole => job.whole().await?,
            Step::Slice { files, upto } => match job.slice(files.clone(), upto).await {
                Err(_) if job.any_gone(&files).await? => {
                    tracing::info!(
                        funnel = funnel.name,
                        upto,
                        "an appended file is gone, folding all"
                    );
                    job.whole().await?
                }
                outcome => outcome?,
            },
        };
        match outcome {
            Some(work) => {
                done.sessions_changed += work.sessions_changed;
                done.events_read += work.events_read;
                done.whole |= work.whole;
            }
            None if lost + 1 == ATTEMPTS => {
                return Err(ComputeError::Contended {
                    funnel: funnel.name.clone(),
                    attempts: ATTEMPTS,
                });
            }
            None => lost += 1,
        }
    }
}

/// One step of a fold, from one version of both tables.
pub(crate) struct Job<'a> {
    pub lake: &'a Lake,
    pub context: &'a SessionContext,
    pub definition: &'a Definition,
    pub settings: &'a Settings,
    pub progress: OnProgress<'a>,
    pub events: &'a Snapshot,
    pub sessions: Snapshot,
    pub table: &'a Table,
}

/// What a step did.
pub(crate) struct Work {
    pub sessions_changed: u64,
    pub events_read: u64,
    pub whole: bool,
}

/// What is to be done.
#[derive(Debug)]
enum Step {
    /// Nothing.
    Current,
    /// Fold all events.
    Whole,
    /// Fold the events of these files; then the rows hold `events` up to this version.
    Slice { files: Vec<DataFile>, upto: i64 },
}

impl Job<'_> {
    async fn next_step(&self, events_table: &Table) -> Result<Step, ComputeError> {
        let Some(folded) = self.position() else { return Ok(Step::Whole) };
        if folded == self.events.version {
            return Ok(Step::Current);
        }
        if folded > self.events.version {
            return Err(ComputeError::Damaged {
                reason: format!(
                    "it holds version {folded} of events, which stands at {} only",
                    self.events.version
                ),
            });
        }
        let commits = match events_table.tail(folded, TAIL_COMMITS).await? {
            Tail::Commits(commits) => commits,
            Tail::Gone => {
                tracing::info!(
                    funnel = self.definition.name,
                    folded,
                    "events log was cleaned up past the fold, folding all"
                );
                return Ok(Step::Whole);
            }
        };
        Ok(self.slice_of(folded, &commits))
    }

    fn slice_of(&self, folded: i64, commits: &[Commit]) -> Step {
        let (mut files, mut rows, mut upto) = (Vec::new(), 0, folded);
        let news = commits.iter().take_while(|commit| commit.version <= self.events.version);
        for commit in news {
            if commit.data_change
                && (commit.kind == CommitKind::Rewrite || !commit.removes.is_empty())
            {
                tracing::info!(
                    funnel = self.definition.name,
                    version = commit.version,
                    "events were removed, folding all"
                );
                return Step::Whole;
            }
            if commit.data_change {
                files.extend(commit.adds.iter().cloned());
                rows += commit
                    .adds
                    .iter()
                    .map(|file| file.rows.unwrap_or(self.settings.slice_events))
                    .sum::<i64>();
            }
            upto = commit.version;
            if rows >= self.settings.slice_events {
                break;
            }
        }
        if files.is_empty() && upto - folded < IDLE_COMMITS as i64 {
            return Step::Current;
        }
        Step::Slice { files, upto }
    }

    /// The version of `events` that this definition's rows hold, if the rows are this definition's.
    fn position(&self) -> Option<i64> {
        let txns = &self.sessions.txns;
        let since = txns.get(&self.since_id())?;
        let family = format!("refold/{}/", self.definition.name);
        let newer = txns.iter().any(|(id, other)| id.starts_with(&family) && other > since);
        txns.get(&self.fold_id()).copied().filter(|_| !newer)
    }

    fn fold_id(&self) -> String {
        format!("fold/{}/{}/{LAYOUT}", self.definition.name, self.definition.hash)
    }

    /// The txn that tells when this definition's rows last replaced all others of the funnel.
    fn since_id(&self) -> String {
        format!("refold/{}/{}/{LAYOUT}", self.definition.name, self.definition.hash)
    }

    /// The files that hold the funnel's rows.
    pub fn own_files(&self) -> Vec<DataFile> {
        own_files(&self.sessions, &self.definition.name)
    }

    /// Folds all events and replaces all rows of the funnel; `None`: another writer was faster.
    pub async fn whole(&self) -> Result<Option<Work>, ComputeError> {
        let rewriter = Rewriter::open(self.table.clone());
        let mut writer = Writer::new(&rewriter, self.definition, self.settings);
        let mut sessions_changed = 0;
        let mut rows = self.all_rows().await?;
        while let Some(some) = rows.next(self).await? {
            sessions_changed += some.len() as u64;
            for row in some {
                writer.push(row).await?;
            }
        }
        let files = writer.finish().await?;
        let txns = &self.sessions.txns;
        let rewrites = txns.get(REWRITE_APP_ID).map_or(1, |rewrites| rewrites + 1);
        let since = Advance {
            app_id: self.since_id(),
            base: txns.get(&self.since_id()).copied(),
            next: rewrites,
        };
        let mut advances = vec![since];
        advances.extend(self.advance(self.events.version));
        let outcome = rewriter
            .rewrite(&self.sessions, self.own_files(), files, advances, RewriteKind::Change)
            .await?;
        let events_read = rows.events_read();
        tracing::info!(
            funnel = self.definition.name,
            sessions_changed,
            events_read,
            ?outcome,
            "all sessions folded"
        );
        Ok(landed(&outcome).then_some(Work { sessions_changed, events_read, whole: true }))
    }

    /// Reads all rows anew from the events.
    pub async fn all_rows(&self) -> Result<AllRows, ComputeError> {
        let gather = self.gather(self.events.files.clone(), None).await?;
        Ok(AllRows::new(gather))
    }

    pub async fn gather(
        &self,
        files: Vec<DataFile>,
        only: Option<&Unclear>,
    ) -> Result<Gather, ComputeError> {
        let events = LakeTable::of_files(self.lake, &EVENTS, files);
        Gather::start(self.context, events, self.definition, only.map(Unclear::filter)).await
    }

    /// Tells how many events of this step were read.
    pub fn report(&self, events_read: u64) {
        let total: i64 = self.events.files.iter().filter_map(|file| file.rows).sum();
        (self.progress)(Progress {
            events_read,
            events_total: u64::try_from(total).unwrap_or_default(),
        });
    }

    /// Whether one of these files was compacted and swept up since: its rows stand in another now.
    async fn any_gone(&self, files: &[DataFile]) -> Result<bool, ComputeError> {
        let active: HashSet<&str> = self.events.files.iter().map(|file| &*file.path).collect();
        for file in files.iter().filter(|file| !active.contains(&*file.path)) {
            let Ok(path) = Path::parse(format!("{}/{}", EVENTS.name, file.path)) else { continue };
            match self.lake.store().head(&path).await {
                Err(Error::NotFound { .. }) => return Ok(true),
                Ok(_) => {}
                Err(error) => {
                    return Err(ComputeError::query("look for a file of events", error.into()));
                }
            }
        }
        Ok(false)
    }

    /// The move of the fold's position to a version of `events`; none when it stands there already.
    pub fn advance(&self, upto: i64) -> Option<Advance> {
        let base = self.sessions.txns.get(&self.fold_id()).copied();
        (base != Some(upto)).then(|| Advance { app_id: self.fold_id(), base, next: upto })
    }
}

/// The files of `sessions` that hold rows of this funnel.
pub(crate) fn own_files(sessions: &Snapshot, funnel: &str) -> Vec<DataFile> {
    let own = |file: &&DataFile| {
        file.partition_values.get("funnel").and_then(Option::as_deref) == Some(funnel)
    };
    sessions.files.iter().filter(own).cloned().collect()
}

/// Whether a rewrite was made.
pub(crate) fn landed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Committed { .. })
}
