//! Rows into files: one file per partition and key range, sorted by key, written as they come.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::error::ArrowError;
use onramp_lake::{PendingFile, Rewriter};
use onramp_schemas::tables::SESSIONS;

use super::Settings;
use super::definition::Definition;
use super::encode::encode;
use super::row::Row;
use crate::error::ComputeError;

/// Rows that wait in their roomy form before they are packed into columns.
const UNPACKED_ROWS: usize = 20_000;

/// Writes rows of one funnel, holding a bounded number of bytes.
pub(crate) struct Writer<'a> {
    rewriter: &'a Rewriter,
    definition: &'a Definition,
    settings: &'a Settings,
    unpacked: BTreeMap<i32, Vec<Row>>,
    unpacked_rows: usize,
    packed: BTreeMap<i32, Vec<RecordBatch>>,
    packed_bytes: usize,
    files: Vec<PendingFile>,
}

impl<'a> Writer<'a> {
    pub fn new(rewriter: &'a Rewriter, definition: &'a Definition, settings: &'a Settings) -> Self {
        Self {
            rewriter,
            definition,
            settings,
            unpacked: BTreeMap::new(),
            unpacked_rows: 0,
            packed: BTreeMap::new(),
            packed_bytes: 0,
            files: Vec::new(),
        }
    }

    /// Takes a row; ranges of keys are disjoint between files if rows come in the order of keys.
    pub async fn push(&mut self, row: Row) -> Result<(), ComputeError> {
        self.unpacked.entry(row.started_date()).or_default().push(row);
        self.unpacked_rows += 1;
        if self.unpacked_rows >= UNPACKED_ROWS.min(self.settings.file_rows) {
            self.pack()?;
        }
        if self.packed_bytes >= self.settings.buffered_bytes {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes what waits and gives all files.
    pub async fn finish(mut self) -> Result<Vec<PendingFile>, ComputeError> {
        self.pack()?;
        self.flush().await?;
        Ok(self.files)
    }

    fn pack(&mut self) -> Result<(), ComputeError> {
        for (date, rows) in std::mem::take(&mut self.unpacked) {
            let batch = encode(self.definition, &rows).map_err(damaged)?;
            self.packed_bytes += batch.get_array_memory_size();
            self.packed.entry(date).or_default().push(batch);
        }
        self.unpacked_rows = 0;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ComputeError> {
        for batches in std::mem::take(&mut self.packed).into_values() {
            let rows = sorted(&batches).map_err(damaged)?;
            for start in (0..rows.num_rows()).step_by(self.settings.file_rows) {
                let length = self.settings.file_rows.min(rows.num_rows() - start);
                self.files.extend(self.rewriter.write(rows.slice(start, length)).await?);
            }
        }
        self.packed_bytes = 0;
        Ok(())
    }
}

/// All rows of some batches of `sessions` in the order of a file.
pub(crate) fn sorted(batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let schema = SESSIONS.arrow_schema();
    // What was read may differ in metadata of nested fields only.
    let batches = batches
        .iter()
        .map(|batch| batch.clone().with_schema(Arc::clone(&schema)))
        .collect::<Result<Vec<_>, _>>()?;
    let rows = concat_batches(&schema, &batches)?;
    let by = ["session_key", "client_id", "session_id"]
        .iter()
        .filter_map(|name| rows.column_by_name(name))
        .map(|column| SortColumn { values: Arc::clone(column), options: None })
        .collect::<Vec<_>>();
    take_record_batch(&rows, &lexsort_to_indices(&by, None)?)
}

/// Rows that do not fit the table's own schema.
pub(crate) fn damaged(error: ArrowError) -> ComputeError {
    ComputeError::Damaged { reason: error.to_string() }
}
