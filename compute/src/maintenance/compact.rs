//! Compaction: the files of a partition merged into files of disjoint key ranges, sorted by key.
//!
//! One commit a partition, so that an interruption costs the partition under way and nothing else. Rows
//! stay as they are, but for void dead letters: those whose record was accepted after all.

use std::collections::BTreeMap;

use datafusion::prelude::SessionContext;
use onramp_lake::{DataFile, Lake, Outcome, RewriteKind, Rewriter, Snapshot, Table, Tail};
use serde::Serialize;

use super::{OnProgress, Progress};
use crate::engine::Engine;
use crate::error::ComputeError;

mod layout;
mod merge;
#[cfg(test)]
mod tests;
mod void;

use layout::{LAYOUTS, Layout};
use void::Void;

/// How often a partition is merged again because another rewrite was faster.
const ATTEMPTS: usize = 8;
/// Commits that are followed in one step.
const TAIL_COMMITS: usize = 10_000;

/// When a file is full: the first of these that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of a full file.
    pub file_bytes: usize,
    /// Rows of a full file.
    pub file_rows: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { file_bytes: 128 << 20, file_rows: 1 << 20 }
    }
}

impl Settings {
    fn full(&self, file: &DataFile) -> bool {
        let reached = |value: i64, bound| usize::try_from(value).is_ok_and(|value| value >= bound);
        reached(file.size, self.file_bytes) || reached(file.rows.unwrap_or(0), self.file_rows)
    }
}

/// What compaction did to a table; after a dry run, what it would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// The table.
    pub table: &'static str,
    /// Partitions whose files were merged.
    pub partitions: u64,
    /// Rows of the files that were merged.
    pub rows: u64,
    /// Files that were merged.
    pub files_before: u64,
    /// Files that they were merged into; a dry run does not know.
    pub files_after: Option<u64>,
    /// Size of the files that were merged.
    pub bytes_before: u64,
    /// Size of the files that they were merged into; a dry run does not know.
    pub bytes_after: Option<u64>,
}

/// Merges the files of every partition where it pays: where several are not full, or their ranges of
/// keys overlap. A second run finds nothing to do. Safe beside appends, folds and other compactions.
///
/// # Errors
/// When the lake or the engine fails, or other rewrites were faster each time.
pub async fn compact(
    lake: &Lake,
    engine: &Engine,
    settings: &Settings,
    dry_run: bool,
    progress: OnProgress<'_>,
) -> Result<Vec<Compacted>, ComputeError> {
    let context = engine.session(lake);
    let mut jobs = Vec::new();
    for layout in &LAYOUTS {
        let Some(table) = lake.open_table(layout.table).await? else { continue };
        let snapshot = table.snapshot().await?;
        let void = Void::find(lake, &context, layout.table, &snapshot).await?;
        jobs.push(Job { lake, context: &context, settings, layout, table, snapshot, void });
    }
    let mut at = Progress { rows: 0, rows_total: jobs.iter().map(Job::rows_due).sum() };
    let mut compacted = Vec::new();
    for job in jobs {
        compacted.push(job.run(dry_run, progress, &mut at).await?);
    }
    Ok(compacted)
}

/// The values of the partition columns.
type Values = BTreeMap<String, Option<String>>;

/// One table under compaction.
struct Job<'a> {
    lake: &'a Lake,
    context: &'a SessionContext,
    settings: &'a Settings,
    layout: &'static Layout,
    table: Table,
    snapshot: Snapshot,
    void: Void,
}

impl Job<'_> {
    async fn run(
        mut self,
        dry_run: bool,
        progress: OnProgress<'_>,
        at: &mut Progress,
    ) -> Result<Compacted, ComputeError> {
        let mut done = Compacted { table: self.layout.table.name, ..Compacted::default() };
        if !dry_run {
            (done.files_after, done.bytes_after) = (Some(0), Some(0));
        }
        for values in self.partitions().into_keys() {
            let mut attempts = 0;
            let due = loop {
                let due = self.due(&values, self.partitions().remove(&values).unwrap_or_default());
                if dry_run || due.is_empty() || self.rewrite(&values, &due, &mut done).await? {
                    break due;
                }
                attempts += 1;
                if attempts == ATTEMPTS {
                    return Err(ComputeError::Compaction { table: done.table, attempts });
                }
            };
            done.partitions += u64::from(!due.is_empty());
            done.files_before += due.len() as u64;
            done.bytes_before += due.iter().map(|file| file.size.unsigned_abs()).sum::<u64>();
            done.rows += rows(&due);
            at.rows += rows(&due);
            progress(*at);
        }
        Ok(done)
    }

    /// Puts merged files in the place of these; false: another writer was faster.
    async fn rewrite(
        &mut self,
        values: &Values,
        due: &[DataFile],
        done: &mut Compacted,
    ) -> Result<bool, ComputeError> {
        let rewriter = Rewriter::open(self.table.clone());
        let void = self.void.of(values);
        let kind = if void { RewriteKind::Change } else { RewriteKind::Compaction };
        let adds = self.merge(&rewriter, due, void).await?;
        let files = adds.iter().map(|add| add.file().size.unsigned_abs());
        let (count, bytes) = (files.len() as u64, files.sum::<u64>());
        let outcome = rewriter.rewrite(&self.snapshot, due.to_vec(), adds, vec![], kind).await?;
        self.follow().await?;
        let landed = matches!(outcome, Outcome::Committed { .. });
        tracing::info!(
            table = self.layout.table.name,
            partition = ?values,
            files_before = due.len(),
            files_after = count,
            landed,
            "partition compacted"
        );
        if landed {
            done.files_after = done.files_after.map(|files| files + count);
            done.bytes_after = done.bytes_after.map(|before| before + bytes);
        }
        Ok(landed)
    }

    /// Brings the snapshot up to the newest version.
    async fn follow(&mut self) -> Result<(), ComputeError> {
        match self.table.tail(self.snapshot.version, TAIL_COMMITS).await? {
            Tail::Commits(commits) if commits.len() < TAIL_COMMITS => self.snapshot.apply(&commits),
            Tail::Commits(_) | Tail::Gone => self.snapshot = self.table.snapshot().await?,
        }
        Ok(())
    }

    /// The active files by partition.
    fn partitions(&self) -> BTreeMap<Values, Vec<DataFile>> {
        let mut partitions: BTreeMap<Values, Vec<DataFile>> = BTreeMap::new();
        for file in &self.snapshot.files {
            partitions.entry(file.partition_values.clone()).or_default().push(file.clone());
        }
        partitions
    }

    /// Those of a partition's files that are to be merged; none: it does not pay.
    fn due(&self, values: &Values, files: Vec<DataFile>) -> Vec<DataFile> {
        match self.void.of(values) {
            true => files,
            false => self.layout.due(self.settings, files),
        }
    }

    fn rows_due(&self) -> u64 {
        let partitions = self.partitions().into_iter();
        partitions.map(|(values, files)| rows(&self.due(&values, files))).sum()
    }
}

fn rows(files: &[DataFile]) -> u64 {
    files.iter().filter_map(|file| u64::try_from(file.rows?).ok()).sum()
}
