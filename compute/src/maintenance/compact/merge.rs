//! Merging files: all their rows sorted by the engine within its memory limit, cut into full files.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::col;
use futures::TryStreamExt;
use onramp_lake::{DataFile, FileWriter, PendingFile, Rewriter, SequenceRange};

use super::layout::Layout;
use super::{Job, Settings};
use crate::error::ComputeError;
use crate::scan::LakeTable;

impl Job<'_> {
    /// Writes the rows of these files, `void` ones left out, as files that await their commit.
    pub(super) async fn merge(
        &self,
        rewriter: &Rewriter,
        files: &[DataFile],
        void: bool,
    ) -> Result<Vec<PendingFile>, ComputeError> {
        let name = self.layout.table.name;
        let failed =
            |source: DataFusionError| ComputeError::query(format!("merge files of {name}"), source);
        let table = LakeTable::of_files(self.lake, self.layout.table, files.to_vec());
        let mut rows = self.context.read_table(Arc::new(table)).map_err(failed)?;
        if void {
            rows = self.void.drop_from(rows).map_err(failed)?;
        }
        let order = self.layout.sort.iter().map(|column| col(*column).sort(true, false)).collect();
        let sorted = rows.sort(order).map_err(failed)?;
        let mut stream = sorted.execute_stream().await.map_err(failed)?;
        let mut rolling = Rolling::new(rewriter, self.layout, self.settings, united(files));
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            rolling.push(batch).await?;
        }
        rolling.finish().await
    }
}

/// The ranges of sequences that files hold together.
fn united(files: &[DataFile]) -> Vec<SequenceRange> {
    let mut united: BTreeMap<String, SequenceRange> = BTreeMap::new();
    for range in files.iter().flat_map(DataFile::sequences) {
        let whole = united.entry(range.app_id.clone()).or_insert_with(|| range.clone());
        (whole.first, whole.last) = (whole.first.min(range.first), whole.last.max(range.last));
    }
    united.into_values().collect()
}

/// Sorted rows cut into files: a new one when one is full and, where there is one, the key changes.
struct Rolling<'a> {
    rewriter: &'a Rewriter,
    layout: &'a Layout,
    settings: &'a Settings,
    sequences: Vec<SequenceRange>,
    open: FileWriter,
    rows: usize,
    last_key: Option<i64>,
    files: Vec<PendingFile>,
}

impl<'a> Rolling<'a> {
    fn new(
        rewriter: &'a Rewriter,
        layout: &'a Layout,
        settings: &'a Settings,
        sequences: Vec<SequenceRange>,
    ) -> Self {
        Self {
            rewriter,
            layout,
            settings,
            sequences,
            open: rewriter.file_writer(),
            rows: 0,
            last_key: None,
            files: Vec::new(),
        }
    }

    async fn push(&mut self, batch: RecordBatch) -> Result<(), ComputeError> {
        let mut rest = batch;
        while rest.num_rows() > 0 {
            let cut = self.cut(&rest);
            if cut == 0 {
                self.roll().await?;
                continue;
            }
            self.last_key = self.keys(&rest).map(|keys| keys[cut - 1]);
            self.rows += cut;
            self.open.write(rest.slice(0, cut)).await?;
            rest = rest.slice(cut, rest.num_rows() - cut);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<PendingFile>, ComputeError> {
        self.roll().await?;
        Ok(self.files)
    }

    async fn roll(&mut self) -> Result<(), ComputeError> {
        let full = std::mem::replace(&mut self.open, self.rewriter.file_writer());
        self.files.extend(full.finish_with(&self.sequences).await?);
        self.rows = 0;
        Ok(())
    }

    /// How many of these rows still belong into the open file.
    fn cut(&self, batch: &RecordBatch) -> usize {
        let full = self.open.bytes() >= self.settings.file_bytes.max(1);
        let room = if full { 0 } else { self.settings.file_rows.max(1).saturating_sub(self.rows) };
        let Some(keys) = self.keys(batch) else { return room.min(batch.num_rows()) };
        let changes = |&row: &usize| match row.checked_sub(1) {
            Some(before) => keys[before] != keys[row],
            None => self.last_key != Some(keys[row]),
        };
        (room..keys.len()).find(changes).unwrap_or(keys.len())
    }

    fn keys<'b>(&self, batch: &'b RecordBatch) -> Option<&'b [i64]> {
        let column = batch.column_by_name(self.layout.key?)?;
        column.as_primitive_opt::<Int64Type>().map(|keys| &keys.values()[..])
    }
}
