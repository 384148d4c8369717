//! Events grouped by session: a stream of runs of equal session, sorted by the engine within its
//! memory limit.

use std::sync::Arc;

use arrow::array::{
    Array, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{Expr, col};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::TryStreamExt;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::definition::Definition;
use crate::error::ComputeError;
use crate::scan::LakeTable;

/// What is read of one event.
#[derive(Clone, Debug)]
pub(crate) struct RawEvent {
    pub occurred_at: i64,
    pub source: Arc<str>,
    pub id: Box<str>,
    /// xxh3-128 of source, 0x1F, id.
    pub hash: u128,
    pub flags: i64,
    pub reason: Option<Arc<str>>,
    pub code: Option<Arc<str>>,
    /// The payload, if the event meets stage 1.
    pub opening: Option<Box<str>>,
    /// Type and payload with sorted keys, if copies must be told apart exactly.
    pub exact: Option<(Box<str>, Box<str>)>,
}

/// The events of one session, in no order.
#[derive(Clone, Debug)]
pub(crate) struct SessionEvents {
    pub session_key: i64,
    pub client_id: Arc<str>,
    pub session_id: Arc<str>,
    pub events: Vec<RawEvent>,
}

impl SessionEvents {
    /// First and last instant of the events.
    pub fn span(&self) -> (i64, i64) {
        let instants = || self.events.iter().map(|event| event.occurred_at);
        (instants().min().unwrap_or(i64::MAX), instants().max().unwrap_or(i64::MIN))
    }
}

/// Reads `events` session by session.
pub(crate) struct Gather {
    stream: SendableRecordBatchStream,
    /// Sessions of the key that the last batch ended with: usually one.
    open: Vec<SessionEvents>,
    source: Arc<str>,
    /// Events read so far.
    pub events_read: u64,
}

impl Gather {
    /// Starts reading. `only`: these events alone, with what tells copies of one event apart.
    pub async fn start(
        context: &SessionContext,
        events: LakeTable,
        definition: &Definition,
        only: Option<Expr>,
    ) -> Result<Self, ComputeError> {
        let failed = |source| ComputeError::query("read events", source);
        let exact = only.is_some();
        let events = if exact { events.with_row_filter() } else { events };
        let mut frame = context.read_table(Arc::new(events)).map_err(failed)?;
        if let Some(only) = only {
            frame = frame.filter(only).map_err(failed)?;
        }
        let stream = sorted(frame, definition.projection(exact)).map_err(failed)?;
        let stream = stream.execute_stream().await.map_err(failed)?;
        Ok(Self { stream, open: Vec::new(), source: Arc::from(""), events_read: 0 })
    }

    /// The next complete sessions, ordered by key; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<SessionEvents>>, ComputeError> {
        loop {
            let batch = self.stream.try_next().await;
            let batch = batch.map_err(|source| ComputeError::query("read events", source))?;
            let Some(batch) = batch else {
                let last = std::mem::take(&mut self.open);
                return Ok((!last.is_empty()).then_some(last));
            };
            let complete = self.take(&batch);
            if !complete.is_empty() {
                return Ok(Some(complete));
            }
        }
    }

    fn take(&mut self, batch: &RecordBatch) -> Vec<SessionEvents> {
        self.events_read += batch.num_rows() as u64;
        let rows = Rows::new(batch);
        let mut complete = Vec::new();
        for row in 0..batch.num_rows() {
            let key = rows.session_key.value(row);
            if self.open.first().is_some_and(|session| session.session_key != key) {
                complete.append(&mut self.open);
            }
            let event = rows.event(row, &mut self.source);
            let (client, session) = (rows.client_id.value(row), rows.session_id.value(row));
            // Two sessions may share a key: it is a hash.
            let known = self
                .open
                .iter_mut()
                .find(|it| *it.session_id == *session && *it.client_id == *client);
            match known {
                Some(known) => known.events.push(event),
                None => self.open.push(SessionEvents {
                    session_key: key,
                    client_id: client.into(),
                    session_id: session.into(),
                    events: vec![event],
                }),
            }
        }
        complete
    }
}

fn sorted(frame: DataFrame, projection: Vec<Expr>) -> datafusion::error::Result<DataFrame> {
    frame.select(projection)?.sort(vec![col("session_key").sort(true, false)])
}

/// The columns of [`Definition::projection`].
struct Rows<'a> {
    session_key: &'a Int64Array,
    client_id: &'a StringArray,
    session_id: &'a StringArray,
    occurred_at: &'a TimestampMicrosecondArray,
    source: &'a StringArray,
    id: &'a StringArray,
    flags: &'a Int64Array,
    reason: &'a StringArray,
    code: &'a StringArray,
    opening: &'a StringArray,
    exact: Option<(&'a StringArray, &'a StringArray)>,
}

impl<'a> Rows<'a> {
    fn new(batch: &'a RecordBatch) -> Self {
        let text = |index: usize| batch.column(index).as_string::<i32>();
        Self {
            session_key: batch.column(0).as_primitive::<Int64Type>(),
            client_id: text(1),
            session_id: text(2),
            occurred_at: batch.column(3).as_primitive::<TimestampMicrosecondType>(),
            source: text(4),
            id: text(5),
            flags: batch.column(6).as_primitive::<Int64Type>(),
            reason: text(7),
            code: text(8),
            opening: text(9),
            exact: (batch.num_columns() > 10).then(|| (text(10), text(11))),
        }
    }

    fn event(&self, row: usize, last_source: &mut Arc<str>) -> RawEvent {
        let (source, id) = (self.source.value(row), self.id.value(row));
        if **last_source != *source {
            *last_source = Arc::from(source);
        }
        let given = |column: &'a StringArray| column.is_valid(row).then(|| column.value(row));
        RawEvent {
            occurred_at: self.occurred_at.value(row),
            source: Arc::clone(last_source),
            id: id.into(),
            hash: event_hash(source, id),
            flags: self.flags.value(row),
            reason: given(self.reason).map(Arc::from),
            code: given(self.code).map(Arc::from),
            opening: given(self.opening).map(Box::from),
            exact: self.exact.map(|(kind, data)| {
                (kind.value(row).into(), given(data).map(canonical).unwrap_or_default())
            }),
        }
    }
}

/// The identity of an event within its client.
fn event_hash(source: &str, id: &str) -> u128 {
    let mut buffer = [0_u8; 256];
    let length = source.len() + 1 + id.len();
    if length > buffer.len() {
        let mut hasher = Xxh3::new();
        for part in [source.as_bytes(), &[0x1F], id.as_bytes()] {
            hasher.update(part);
        }
        return hasher.digest128();
    }
    buffer[..source.len()].copy_from_slice(source.as_bytes());
    buffer[source.len()] = 0x1F;
    buffer[source.len() + 1..length].copy_from_slice(id.as_bytes());
    xxh3_128(&buffer[..length])
}

/// The payload as JSON with sorted keys.
fn canonical(data: &str) -> Box<str> {
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(data);
    parsed.map_or_else(|_| data.into(), |value| value.to_string().into_boxed_str())
}

/// The greatest of a timestamp column over files, microseconds UTC.
pub(crate) async fn greatest(
    context: &SessionContext,
    table: LakeTable,
    column: &str,
) -> Result<Option<i64>, ComputeError> {
    let failed = |source| ComputeError::query(format!("read the greatest {column}"), source);
    let frame = context.read_table(Arc::new(table)).map_err(failed)?;
    let frame = frame.aggregate(vec![], vec![max(col(column))]).map_err(failed)?;
    let batches = frame.collect().await.map_err(failed)?;
    let column = batches
        .first()
        .map(|batch| batch.column(0).as_primitive::<TimestampMicrosecondType>().clone());
    Ok(column
        .filter(|column| !column.is_empty() && column.is_valid(0))
        .map(|column| column.value(0)))
}
