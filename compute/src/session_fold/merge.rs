//! Merging runs by name, from memory and from spilled files, and folding each session.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, RecordBatchOptions,
    TimestampMicrosecondBuilder, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::spill_file::SpillFile;
use datafusion::physical_plan::SpillManager;
use futures::TryStreamExt;

use super::Fold;
use super::runs::{Name, Point, Runs};
use crate::fold::stage_at;

/// Runs of a spilled batch.
const SPILLED_ROWS: usize = 8_192;

/// Runs that are sorted by name.
pub(super) enum Source {
    /// In memory, with the right to it.
    Held(Runs, MemoryReservation),
    /// In a file.
    Spilled(Arc<dyn SpillFile>),
}

impl Debug for Source {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Source::Held(..) => "Held",
            Source::Spilled(_) => "Spilled",
        })
    }
}

/// The columns of a spilled file: one row is one run.
pub(super) fn spilled_schema() -> SchemaRef {
    let list = |kind| DataType::List(Arc::new(Field::new("item", kind, false)));
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("name", DataType::UInt64, false),
        Field::new("occurred_at", list(DataType::Int64), false),
        Field::new("flags", list(DataType::UInt64), false),
    ]))
}

/// Sorts runs and writes them to a file; none if there are none.
pub(super) fn spill(spiller: &SpillManager, mut runs: Runs) -> Result<Option<Source>> {
    runs.sort();
    let mut file = spiller.create_in_progress_file("session fold")?;
    for some in runs.runs.chunks(SPILLED_ROWS) {
        let points = || some.iter().flat_map(|run| runs.points(run));
        let lengths = || OffsetBuffer::from_lengths(some.iter().map(|run| runs.points(run).len()));
        let list = |kind, values: ArrayRef| {
            let item = Arc::new(Field::new("item", kind, false));
            ListArray::try_new(item, lengths(), values, None).map(|list| Arc::new(list) as ArrayRef)
        };
        let instants = Int64Array::from_iter_values(points().map(|point| point.occurred_at));
        let flags = UInt64Array::from_iter_values(points().map(|point| point.flags));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(some.iter().map(|run| run.name.0))),
            Arc::new(UInt64Array::from_iter_values(some.iter().map(|run| run.name.1))),
            list(DataType::Int64, Arc::new(instants))?,
            list(DataType::UInt64, Arc::new(flags))?,
        ];
        file.append_batch(&RecordBatch::try_new(Arc::clone(spiller.schema()), columns)?)?;
    }
    Ok(file.finish()?.map(Source::Spilled))
}

fn unspilled(batch: &RecordBatch) -> Runs {
    let keys = batch.column(0).as_primitive::<Int64Type>();
    let names = batch.column(1).as_primitive::<UInt64Type>();
    let (instants, flags) = (batch.column(2).as_list::<i32>(), batch.column(3).as_list::<i32>());
    let offsets = instants.value_offsets();
    let (instants, flags) = (instants.values(), flags.values());
    let (instants, flags) =
        (instants.as_primitive::<Int64Type>(), flags.as_primitive::<UInt64Type>());
    let mut runs = Runs::default();
    for row in 0..batch.num_rows() {
        let points = offsets[row] as usize..offsets[row + 1] as usize;
        let point = |at: usize| Point { occurred_at: instants.value(at), flags: flags.value(at) };
        runs.push((keys.value(row), names.value(row)), points.map(point));
    }
    runs
}

/// Reads one source from its start to its end.
struct Cursor {
    runs: Runs,
    next: usize,
    further: Option<SendableRecordBatchStream>,
    _held: Option<MemoryReservation>,
}

impl Cursor {
    fn open(source: Source, spiller: &SpillManager) -> Result<Self> {
        Ok(match source {
            Source::Held(runs, held) => Self { runs, next: 0, further: None, _held: Some(held) },
            Source::Spilled(file) => Self {
                runs: Runs::default(),
                next: 0,
                further: Some(spiller.read_spill_as_stream(file, None)?),
                _held: None,
            },
        })
    }

    /// The name of the next run.
    async fn head(&mut self) -> Result<Option<Name>> {
        while self.next == self.runs.runs.len() {
            let Some(further) = &mut self.further else { return Ok(None) };
            let Some(batch) = further.try_next().await? else { return Ok(None) };
            (self.runs, self.next) = (unspilled(&batch), 0);
        }
        Ok(Some(self.runs.runs[self.next].name))
    }

    /// Takes the points of the next run, and of those of its name that follow.
    fn take(&mut self, points: &mut Vec<Point>) {
        let name = self.runs.runs[self.next].name;
        for run in self.runs.runs[self.next..].iter().take_while(|run| run.name == name) {
            points.extend_from_slice(self.runs.points(run));
            self.next += 1;
        }
    }
}

/// The sessions of one range of keys.
pub(super) struct Merge {
    fold: Arc<Fold>,
    /// Columns of the result, by their place in the schema of all.
    projection: Vec<usize>,
    schema: SchemaRef,
    rows: usize,
    cursors: Vec<Cursor>,
    heads: BinaryHeap<Reverse<(Name, usize)>>,
    points: Vec<Point>,
}

impl Merge {
    pub async fn start(
        fold: Arc<Fold>,
        sources: Vec<Source>,
        spiller: &SpillManager,
        projection: Vec<usize>,
        schema: SchemaRef,
        rows: usize,
    ) -> Result<Self> {
        let (mut cursors, mut heads) = (Vec::new(), BinaryHeap::new());
        for (index, source) in sources.into_iter().enumerate() {
            let mut cursor = Cursor::open(source, spiller)?;
            heads.extend(cursor.head().await?.map(|name| Reverse((name, index))));
            cursors.push(cursor);
        }
        Ok(Self { fold, projection, schema, rows, cursors, heads, points: Vec::new() })
    }

    /// Some more sessions, ordered by key; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let mut columns = Columns::new(self.fold.stages);
        while columns.keys.len() < self.rows {
            let Some((key, _)) = self.gather().await? else { break };
            if !self.points.is_sorted() {
                self.points.sort_unstable();
            }
            if let Some(stages) = stage_at(&self.points, &self.fold.rules) {
                columns.push(key, &stages);
            }
        }
        let any = !columns.keys.is_empty();
        any.then(|| columns.finish(&self.schema, &self.projection)).transpose()
    }

    /// Collects the points of the next session.
    async fn gather(&mut self) -> Result<Option<Name>> {
        self.points.clear();
        let Some(&Reverse((name, _))) = self.heads.peek() else { return Ok(None) };
        while let Some(&Reverse((next, index))) = self.heads.peek()
            && next == name
        {
            self.heads.pop();
            let cursor = &mut self.cursors[index];
            cursor.take(&mut self.points);
            self.heads.extend(cursor.head().await?.map(|name| Reverse((name, index))));
        }
        Ok(Some(name))
    }
}

/// Folded sessions as columns.
struct Columns {
    keys: Vec<i64>,
    stages: Vec<TimestampMicrosecondBuilder>,
}

impl Columns {
    fn new(stages: usize) -> Self {
        let builder = || TimestampMicrosecondBuilder::new().with_timezone("UTC");
        Self { keys: Vec::new(), stages: (0..stages).map(|_| builder()).collect() }
    }

    fn push(&mut self, key: i64, stages: &[Option<i64>]) {
        self.keys.push(key);
        for (column, at) in self.stages.iter_mut().zip(stages) {
            column.append_option(*at);
        }
    }

    fn finish(self, schema: &SchemaRef, projection: &[usize]) -> Result<RecordBatch> {
        let rows = RecordBatchOptions::new().with_row_count(Some(self.keys.len()));
        let keys: ArrayRef = Arc::new(Int64Array::from(self.keys));
        let column = |&index: &usize| -> ArrayRef {
            match index.checked_sub(1) {
                Some(stage) => Arc::new(self.stages[stage].finish_cloned()),
                None => Arc::clone(&keys),
            }
        };
        let columns = projection.iter().map(column).collect();
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &rows)?)
    }
}
