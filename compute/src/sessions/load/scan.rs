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

use super::{CLIENT_ID, Loader, Wanted, failed};
use crate::error::ComputeError;
use crate::fold::Session;
use crate::metrics::population::Scope;
use crate::scan::LakeTable;
use crate::selection::Selection;
use crate::sessions::columns::Columns;
use crate::sessions::writer::damaged;

/// What sessions of a scope are added to, in any order and in parts.
pub(super) trait Sink: Sized + Send + 'static {
    /// One for sessions of this scope, with room for so many.
    fn new(scope: &Arc<Scope>, wanted: &Arc<Wanted>, room: usize) -> Self;

    /// The columns that [`Self::add_rows`] needs.
    fn columns(wanted: &Wanted) -> Vec<&'static str>;

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
        let mut columns = S::columns(&self.wanted);
        let chosen = Chosen {
            seen_by: open.then_some(scope.as_of),
            client_id: self.request.client_id.clone(),
            selection: self.request.selection.clone(),
        };
        columns.extend(chosen.columns());
        columns.sort_unstable();
        columns.dedup();
        let table = LakeTable::of_files(self.lake, &SESSIONS, files);
        let frame = self.context.read_table(Arc::new(table)).map_err(failed)?;
        let frame = frame.select(columns.into_iter().map(col)).map_err(failed)?;
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await.map_err(failed)?;
        let mut parts: JoinSet<Result<S, ComputeError>> = JoinSet::new();
        for mut stream in execute_stream_partitioned(plan, task).map_err(failed)? {
            let (scope, wanted) = (Arc::clone(scope), Arc::clone(&self.wanted));
            let chosen = chosen.clone();
            parts.spawn(async move {
                let mut sink = S::new(&scope, &wanted, room);
                while let Some(batch) = stream.try_next().await.map_err(failed)? {
                    let kept = chosen.of(&batch)?;
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
        Ok(all.unwrap_or_else(|| S::new(scope, &self.wanted, 0)))
    }
}

/// Which rows are read into a sink.
#[derive(Clone)]
struct Chosen {
    /// They were last seen by this instant.
    seen_by: Option<i64>,
    client_id: Option<String>,
    selection: Selection,
}

impl Chosen {
    /// The columns that tell which they are.
    fn columns(&self) -> impl Iterator<Item = &'static str> {
        let last_seen = self.seen_by.map(|_| "last_seen_at");
        let attributes = (!self.selection.attributes.is_empty()).then_some("attributes");
        last_seen.into_iter().chain(self.needs_client().then_some(CLIENT_ID)).chain(attributes)
    }

    fn needs_client(&self) -> bool {
        let Selection { clients, attributes } = &self.selection;
        self.client_id.is_some() || clients.is_some() || attributes.contains_key(CLIENT_ID)
    }

    /// The rows; `None`: all of them.
    fn of(&self, batch: &RecordBatch) -> Result<Option<RecordBatch>, ComputeError> {
        if self.columns().next().is_none() {
            return Ok(None);
        }
        let columns = Columns(batch);
        let last_seen = match self.seen_by {
            Some(by) => Some((by, columns.instant("last_seen_at")?)),
            None => None,
        };
        let clients = self.needs_client().then(|| columns.text(CLIENT_ID)).transpose()?;
        let filtered = !self.selection.attributes.is_empty();
        let attributes = filtered.then(|| columns.attributes()).transpose()?;
        let keep = |row: usize| {
            let client = clients.map(|clients| clients.value(row));
            let value = |name: &str| match name {
                CLIENT_ID => client,
                name => attributes.as_ref()?.get(row, name),
            };
            last_seen.is_none_or(|(by, column)| column.value(row) <= by)
                && client.is_none_or(|client| {
                    self.selection.sees(client)
                        && self.client_id.as_ref().is_none_or(|wanted| client == wanted)
                })
                && self.selection.has(value)
        };
        let keep: BooleanArray = (0..batch.num_rows()).map(|row| Some(keep(row))).collect();
        filter_record_batch(batch, &keep).map(Some).map_err(damaged)
    }
}
