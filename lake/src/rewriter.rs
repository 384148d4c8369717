//! Rewriting: replacing files by others in one commit that fails when any of them is gone or another rewrite was faster.

use std::collections::HashSet;

use arrow::array::RecordBatch;
use deltalake::kernel::Action;
use uuid::Uuid;

use crate::commit::{
    Advance, Info, Judge, Outcome, Position, Verdict, body, check_advances, commit, compare,
};
use crate::error::LakeError;
use crate::file::{DataFile, PendingFile};
use crate::log::{Commit, REWRITE_APP_ID};
use crate::snapshot::{Replayed, Snapshot};
use crate::table::Table;
use crate::write::FileWriter;

/// What a rewrite does to the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewriteKind {
    /// The same rows in other files: followers of the table skip it.
    Compaction,
    /// Other rows: merged, retained or forgotten.
    Change,
}

/// Rewrites one table. Any number may work at once: of two that read the same version the second to commit loses, while
/// appends in between do no harm.
#[derive(Debug, Clone)]
pub struct Rewriter {
    table: Table,
}

impl Rewriter {
    /// A rewriter of a table.
    pub fn open(table: Table) -> Self {
        Self { table }
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Writes rows as files to be committed: [`Table::write`].
    ///
    /// # Errors
    /// As [`Table::write`].
    pub async fn write(&self, batch: RecordBatch) -> Result<Vec<PendingFile>, LakeError> {
        self.table.write(batch, &[]).await
    }

    /// A writer for one large file.
    pub fn file_writer(&self) -> FileWriter {
        self.table.file_writer()
    }

    /// Replaces `removes`, active files of `read`, by `adds`, and moves txns, all or nothing.
    ///
    /// `Outcome::Lost` names the txn `rewrite` when another rewrite was committed since `read`, and no txn at all when only
    /// a file of `removes` is gone.
    ///
    /// # Errors
    /// After an error it is open whether the rewrite was made; a new snapshot tells.
    pub async fn rewrite(
        &self,
        read: &Snapshot,
        removes: Vec<DataFile>,
        adds: Vec<PendingFile>,
        advances: Vec<Advance>,
        kind: RewriteKind,
    ) -> Result<Outcome, LakeError> {
        let base = read.txns.get(REWRITE_APP_ID).copied();
        let mut all = vec![Advance {
            app_id: REWRITE_APP_ID.to_owned(),
            base,
            next: base.map_or(1, |base| base + 1),
        }];
        all.extend(advances);
        check_advances(&self.table, &all)?;
        let id = Uuid::new_v4().to_string();
        let operation = if kind == RewriteKind::Compaction { "OPTIMIZE" } else { "MERGE" };
        let info = Info { id: &id, operation, read_version: read.version, blind_append: false };
        let (change, now) = (kind == RewriteKind::Change, self.table.now_ms());
        let mut files: Vec<Action> =
            removes.iter().map(|file| Action::Remove(file.remove(now, change))).collect();
        files.extend(adds.into_iter().map(|mut file| {
            file.add.data_change = change;
            Action::Add(file.add)
        }));
        let body = body(&self.table, &info, &all, files)?;
        let active: HashSet<&str> = read.files.iter().map(|file| file.path.as_str()).collect();
        let needed: HashSet<String> = removes.into_iter().map(|file| file.path).collect();
        let gone = needed.iter().any(|path| !active.contains(path.as_str()));
        let mut judge = Rewrite { id: &id, advances: &all, needed, gone, landed: None };
        let mut position = Position::new(read.version, read.txns.clone());
        // The snapshot may be old; a look at the tail is cheaper than a put that fails.
        position.forget();
        let outcome = commit(&self.table, &mut position, body, &all, &mut judge).await;
        if let Ok(Outcome::Lost { app_ids }) = &outcome {
            tracing::info!(
                table = self.table.def.name,
                read = read.version,
                ?app_ids,
                "rewrite lost to another writer"
            );
        }
        outcome
    }
}

/// Rule 8. That all txns stand at their next says nothing here, for another rewrite moves the same txn: only our own commit
/// in the log does.
struct Rewrite<'a> {
    id: &'a str,
    advances: &'a [Advance],
    needed: HashSet<String>,
    gone: bool,
    landed: Option<i64>,
}

impl Judge for Rewrite<'_> {
    fn observe(&mut self, commits: &[Commit]) {
        for commit in commits {
            if commit.id.as_deref() == Some(self.id) {
                self.landed = Some(commit.version);
                return;
            }
            self.gone |= commit.removes.iter().any(|path| self.needed.contains(path));
        }
    }

    fn lost_sight(&mut self, _: &Replayed) {
        // Whether the files are still there is unknown now, and a rewrite can always be done again.
        self.gone = true;
    }

    fn verdict(&self, position: &Position) -> Verdict {
        match (self.landed, compare(position, self.advances)) {
            (Some(version), _) => Verdict::Done(version),
            (None, Verdict::Lost(app_ids)) => Verdict::Lost(app_ids),
            (None, Verdict::Done(_)) => {
                Verdict::Lost(self.advances.iter().map(|advance| advance.app_id.clone()).collect())
            }
            (None, Verdict::Put) if self.gone => Verdict::Lost(Vec::new()),
            (None, Verdict::Put) => Verdict::Put,
        }
    }
}
