//! Rows into files: one file per partition and key range, sorted by key, written as they come.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use onramp_lake::{PendingFile, Rewriter};

use super::Settings;
use super::definition::Definition;
use super::encode::encode;
use super::row::Row;
use crate::error::ComputeError;

/// Files that are written at once.
const PARALLEL_WRITES: usize = 4;

/// Writes rows of one funnel, holding a bounded number of them.
pub(crate) struct Writer<'a> {
    rewriter: &'a Rewriter,
    definition: &'a Definition,
    settings: &'a Settings,
    waiting: BTreeMap<i32, Vec<Row>>,
    rows_waiting: usize,
    files: Vec<PendingFile>,
}

impl<'a> Writer<'a> {
    pub fn new(rewriter: &'a Rewriter, definition: &'a Definition, settings: &'a Settings) -> Self {
        Self {
            rewriter,
            definition,
            settings,
            waiting: BTreeMap::new(),
            rows_waiting: 0,
            files: Vec::new(),
        }
    }

    /// Takes a row; ranges of keys are disjoint between files if rows come in the order of keys.
    pub async fn push(&mut self, row: Row) -> Result<(), ComputeError> {
        self.waiting.entry(row.started_date()).or_default().push(row);
        self.rows_waiting += 1;
        if self.rows_waiting >= self.settings.buffered_rows {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes what waits and gives all files.
    pub async fn finish(mut self) -> Result<Vec<PendingFile>, ComputeError> {
        self.flush().await?;
        Ok(self.files)
    }

    async fn flush(&mut self) -> Result<(), ComputeError> {
        let mut batches = Vec::new();
        for mut rows in std::mem::take(&mut self.waiting).into_values() {
            rows.sort_unstable_by(|left, right| left.order().cmp(&right.order()));
            for chunk in rows.chunks(self.settings.file_rows) {
                batches.push(encode(self.definition, chunk).map_err(damaged)?);
            }
        }
        self.rows_waiting = 0;
        let rewriter = self.rewriter;
        let written: Vec<Vec<PendingFile>> = stream::iter(batches)
            .map(|batch| rewriter.write(batch))
            .buffered(PARALLEL_WRITES)
            .try_collect()
            .await?;
        self.files.extend(written.into_iter().flatten());
        Ok(())
    }
}

/// Rows that do not fit the table's own schema.
pub(crate) fn damaged(error: arrow::error::ArrowError) -> ComputeError {
    ComputeError::Damaged { reason: error.to_string() }
}
