//! Reading the rows that tell all of their sessions: columns in, a sink out, on all cores.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::col;
use datafusion::physical_plan::execute_stream_partitioned;
use futures::TryStreamExt;
use onramp_lake::DataFile;
use onramp_schemas::tables::SESSIONS;
use tokio::task::JoinSet;

use super::{CLIENT_ID, Loader, failed};
use crate::error::ComputeError;
use crate::fold::Session;
use crate::metrics::population::Scope;
use crate::scan::LakeTable;
use crate::sessions::columns::Columns;
use crate::sessions::writer::damaged;

/// What sessions of a scope are added to, in any order and in parts.
pub(super) trait Sink: Sized + Send + 'static {
    /// One for sessions of this scope, with room for so many, that wants these attributes.
    fn new(scope: &Arc<Scope>, names: &Arc<[String]>, room: usize) -> Self;

    /// The columns that [`Self::add_rows`] needs.
    fn columns(names: &[String]) -> Vec<&'static str>;

    /// Adds those of the rows that the scope holds; they are no newer than its instant.
    fn add_rows(&mut self, rows: &RecordBatch) -> Result<(), ComputeError>;

    /// Adds a folded session if the scope holds it.
    fn add_session(&mut self, session: &Session);

    /// Takes in what another has.
    fn append(&mut self, other: Self);
}

impl Loader<'_> {
    /// The rows of these files. `open`: some may have events after the scope's instant; these are
    /// left out.
    pub(super) async fn rows<S: Sink>(
        &self,
        files: Vec<DataFile>,
        scope: &Arc<Scope>,
        open: bool,
    ) -> Result<S, ComputeError> {
        let room: i64 = files.iter().filter_map(|file| file.rows).sum();
        let room = usize::try_from(room).unwrap_or_default();
        let mut columns = S::columns(&self.names);
        columns.extend(open.then_some("last_seen_at"));
        columns.extend(self.request.client_id.as_ref().map(|_| CLIENT_ID));
        columns.sort_unstable();
        columns.dedup();
        let table = LakeTable::of_files(self.lake, &SESSIONS, files);
        let frame = self.context.read_table(Arc::new(table)).map_err(failed)?;
        let frame = frame.select(columns.into_iter().map(col)).map_err(failed)?;
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await.map_err(failed)?;
        let mut parts: JoinSet<Result<S, ComputeError>> = JoinSet::new();
        for mut stream in execute_stream_partitioned(plan, task).map_err(failed)? {
            let (scope, names) = (Arc::clone(scope), Arc::clone(&self.names));
            let client_id = self.request.client_id.clone();
            parts.spawn(async move {
                let mut sink = S::new(&scope, &names, room);
                while let Some(batch) = stream.try_next().await.map_err(failed)? {
                    let seen_by = open.then_some(scope.as_of);
                    let kept = kept(&batch, seen_by, client_id.as_deref())?;
                    sink.add_rows(kept.as_ref().unwrap_or(&batch))?;
                }
                Ok(sink)
            });
        }
        let mut all: Option<S> = None;
        while let Some(part) = parts.join_next().await {
            let part =
                part.map_err(|error| failed(DataFusionError::External(Box::new(error))))??;
            match &mut all {
                Some(all) => all.append(part),
                None => all = Some(part),
            }
        }
        Ok(all.unwrap_or_else(|| S::new(scope, &self.names, 0)))
    }
}

/// The rows that were last seen by an instant and are of a client; `None`: all of them.
fn kept(
    batch: &RecordBatch,
    seen_by: Option<i64>,
    client_id: Option<&str>,
) -> Result<Option<RecordBatch>, ComputeError> {
    if seen_by.is_none() && client_id.is_none() {
        return Ok(None);
    }
    let columns = Columns(batch);
    let last_seen = match seen_by {
        Some(by) => Some((by, columns.instant("last_seen_at")?)),
        None => None,
    };
    let client = match client_id {
        Some(client) => Some((client, columns.text(CLIENT_ID)?)),
        None => None,
    };
    let keep = |row: usize| {
        last_seen.is_none_or(|(by, column)| column.value(row) <= by)
            && client.is_none_or(|(client, column)| column.value(row) == client)
    };
    let keep: BooleanArray = (0..batch.num_rows()).map(|row| Some(keep(row))).collect();
    filter_record_batch(batch, &keep).map(Some).map_err(damaged)
}
