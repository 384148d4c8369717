//! Appending: rows and the sequences that they came from, in one compare-and-set commit.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use deltalake::kernel::Action;
use uuid::Uuid;

use crate::commit::{
    Advance, Info, Judge, Outcome, Position, Verdict, body, check_advances, commit, compare,
};
use crate::error::LakeError;
use crate::file::{PendingFile, SequenceRange};
use crate::log::Commit;
use crate::snapshot::{Replay, Replayed};
use crate::table::Table;

/// Appends to one table. The cost of a commit does not depend on how many files the table has: the txns are loaded once,
/// then only what others committed is read.
#[derive(Debug)]
pub struct Appender {
    table: Table,
    position: Position,
}

impl Appender {
    /// Loads the table's txns.
    ///
    /// # Errors
    /// When the store fails, or the table changed since it was opened.
    pub async fn open(table: Table) -> Result<Self, LakeError> {
        let gone = LakeError::VersionGone { table: table.def.name, version: 0 };
        let replayed = table.replay(None, Replay::Head).await?.ok_or(gone)?;
        table.check_unchanged(&replayed)?;
        Ok(Self { table, position: Position::new(replayed.version, replayed.txns) })
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Where a source partition stands, as far as this appender knows: its next sequence.
    pub fn txn(&self, app_id: &str) -> Option<i64> {
        self.position.txns.get(app_id).copied()
    }

    /// Every txn that this appender knows.
    pub fn txns(&self) -> &BTreeMap<String, i64> {
        &self.position.txns
    }

    /// The version that this appender knows.
    pub fn version(&self) -> i64 {
        self.position.version
    }

    /// Reads what others committed.
    ///
    /// # Errors
    /// When the store fails, or the table's protocol or metadata changed.
    pub async fn refresh(&mut self) -> Result<(), LakeError> {
        self.position
            .follow(&self.table, &mut Append { id: "", advances: &[], landed: None, unseen: false })
            .await
    }

    /// Writes rows as files to be committed: [`Table::write`].
    ///
    /// # Errors
    /// As [`Table::write`].
    pub async fn write(
        &self,
        batch: RecordBatch,
        sequences: &[SequenceRange],
    ) -> Result<Vec<PendingFile>, LakeError> {
        self.table.write(batch, sequences).await
    }

    /// Appends files and moves txns, both or neither. Files may be empty (every record was rejected) and so may the
    /// advances (rows that come from no source partition), not both.
    ///
    /// # Errors
    /// After an error it is open whether the commit was made. The same advances may be committed again, or the buffer
    /// dropped and its partitions started again from the lake after [`Appender::refresh`]; both are safe.
    pub async fn commit(
        &mut self,
        files: Vec<PendingFile>,
        advances: Vec<Advance>,
    ) -> Result<Outcome, LakeError> {
        check_advances(&self.table, &advances)?;
        if files.is_empty() && advances.is_empty() {
            return Err(LakeError::Advance {
                table: self.table.def.name,
                reason: "there is nothing to commit".into(),
            });
        }
        let id = Uuid::new_v4().to_string();
        let info = Info {
            id: &id,
            operation: "WRITE",
            read_version: self.position.version,
            blind_append: true,
        };
        let adds = files.into_iter().map(|file| Action::Add(file.add)).collect();
        let body = body(&self.table, &info, &advances, adds)?;
        let mut judge = Append { id: &id, advances: &advances, landed: None, unseen: false };
        // A caller that is right never loses by what we know; one that lost by it may be wrong only about what is newer.
        if !matches!(judge.verdict(&self.position), Verdict::Put) {
            self.position.forget();
        }
        let outcome = commit(&self.table, &mut self.position, body, &advances, &mut judge).await;
        if let Ok(Outcome::Lost { app_ids }) = &outcome {
            tracing::warn!(
                table = self.table.def.name,
                version = self.position.version,
                ?app_ids,
                "append lost to another writer"
            );
        }
        outcome
    }
}

/// Rule 2: all txns at their next is done, all at their base may be put, anything else is lost.
struct Append<'a> {
    id: &'a str,
    advances: &'a [Advance],
    landed: Option<i64>,
    /// Whether commits passed unseen; without an advance nothing then tells whether ours was among them.
    unseen: bool,
}

impl Judge for Append<'_> {
    fn observe(&mut self, commits: &[Commit]) {
        let own = commits.iter().find(|commit| commit.id.as_deref() == Some(self.id));
        self.landed = self.landed.or(own.map(|commit| commit.version));
    }

    fn lost_sight(&mut self, _: &Replayed) {
        self.unseen = true;
    }

    fn verdict(&self, position: &Position) -> Verdict {
        match self.landed {
            Some(version) => Verdict::Done(version),
            None if self.unseen && self.advances.is_empty() => Verdict::Lost(Vec::new()),
            None => compare(position, self.advances),
        }
    }
}
