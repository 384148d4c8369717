//! Rows of `duplicates`: runs of dropped resends.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use onramp_schemas::tables;

use super::super::partition::{Partition, Record};
use super::Placed;

/// Microseconds of a day.
pub(super) const DAY_US: i64 = 86_400_000_000;

struct Run {
    first: i64,
    last: i64,
    content_differs: bool,
    received_at: i64,
}

/// Collects runs of neighbouring resends of one partition.
#[derive(Default)]
pub struct DuplicateRows {
    source_partition: Option<Arc<str>>,
    runs: Vec<Run>,
}

impl DuplicateRows {
    /// Adds a resend.
    pub fn push(&mut self, partition: &Partition, record: &Record<'_>, content_differs: bool) {
        self.source_partition.get_or_insert_with(|| partition.app_id.clone());
        match self.runs.last_mut() {
            Some(run)
                if run.last + 1 == record.sequence && run.content_differs == content_differs =>
            {
                run.last = record.sequence;
            }
            _ => self.runs.push(Run {
                first: record.sequence,
                last: record.sequence,
                content_differs,
                received_at: record.timestamp,
            }),
        }
    }

    /// The sequences of the runs, and the runs as rows; none if there were no resends.
    pub fn finish(&mut self) -> Result<Option<Placed>, ArrowError> {
        let runs = std::mem::take(&mut self.runs);
        let Some(partition) = self.source_partition.as_ref().filter(|_| !runs.is_empty()) else {
            return Ok(None);
        };
        let received = |r: &Run| r.received_at;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Date32Array::from_iter_values(
                runs.iter().map(|r| received(r).div_euclid(DAY_US) as i32),
            )),
            Arc::new(StringArray::from_iter_values(runs.iter().map(|_| &**partition))),
            Arc::new(Int64Array::from_iter_values(runs.iter().map(|r| r.first))),
            Arc::new(Int64Array::from_iter_values(runs.iter().map(|r| r.last))),
            Arc::new(BooleanArray::from_iter(runs.iter().map(|r| Some(r.content_differs)))),
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(runs.iter().map(received))
                    .with_timezone("UTC"),
            ),
        ];
        let rows = RecordBatch::try_new(tables::DUPLICATES.arrow_schema(), columns)?;
        Ok(Some((runs.iter().map(|r| r.first..r.last + 1).collect(), rows)))
    }

    /// The rows, the first of which stands for its run from this sequence on.
    pub fn begin_at(rows: &RecordBatch, sequence: i64) -> Result<RecordBatch, ArrowError> {
        let at = rows.schema().index_of("first_sequence")?;
        let first = rows.column(at).as_primitive::<Int64Type>().values();
        let moved = std::iter::once(sequence).chain(first.iter().skip(1).copied());
        let mut columns = rows.columns().to_vec();
        columns[at] = Arc::new(Int64Array::from_iter_values(moved));
        RecordBatch::try_new(rows.schema(), columns)
    }
}
