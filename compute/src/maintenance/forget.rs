//! Forgetting a person: every row of theirs taken out of every file that holds one.
//!
//! Dead letters go first, then sessions, then events: whoever is interrupted can start again, for the
//! events tell until the end whose the rest is. Other people's rows are written again as they were.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use onramp_lake::{DataFile, FileWriter, Lake, Outcome, RewriteKind, Rewriter, Snapshot, Table};
use onramp_schemas::tables::{self, DEAD_LETTERS, EVENTS, SESSIONS};
use serde::Serialize;

use super::{OnProgress, Progress};
use crate::engine::Engine;
use crate::error::ComputeError;
use crate::scan::{FILE_COLUMN, LakeTable};

mod letters;
mod traces;

use traces::Traces;

/// How often a table is begun again because another rewrite was faster.
const ATTEMPTS: usize = 8;

/// Somebody who is to be forgotten, as events name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The tenant; people of one name under two tenants are two.
    pub client_id: String,
    /// The `userid` that their apps send.
    pub user: String,
    /// What ingest keeps in its place, where it does.
    pub pseudonym: Option<String>,
}

impl Person {
    /// Whether an event names them.
    fn named(&self) -> Expr {
        let names = std::iter::once(&self.user).chain(&self.pseudonym);
        col("user_id").in_list(names.map(lit).collect(), false)
    }
}

/// What was taken out of a table; after a dry run, what would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// The table.
    pub table: &'static str,
    /// Rows that are gone.
    pub rows: u64,
    /// Files that held one, and were written again without.
    pub files: u64,
}

/// Removes a person's events, sessions and dead letters.
///
/// Theirs are the events that name them, and those without a name of sessions that name nobody else; the
/// sessions of either; dead letters of these sessions, and those whose record names them. A session that
/// names others too is folded anew from what is left. What is ingested meanwhile may escape, and the
/// replaced files stay until vacuum takes them away: forget when the person's apps are silent, vacuum
/// after the retention.
///
/// # Errors
/// When the lake or the engine fails, or other rewrites were faster each time. What was forgotten by
/// then stays so, and another run goes on.
pub async fn forget(
    lake: &Lake,
    engine: &Engine,
    person: &Person,
    dry_run: bool,
    progress: OnProgress<'_>,
) -> Result<Vec<Forgotten>, ComputeError> {
    let context = engine.session(lake);
    let Some(events) = lake.open_table(&EVENTS).await? else { return Ok(Vec::new()) };
    let traces = Traces::find(lake, &context, &events.snapshot().await?, person).await?;
    let work = Work { lake, context: &context, dry_run, progress };
    let mut forgotten = Vec::new();
    for definition in [&DEAD_LETTERS, &SESSIONS, &EVENTS] {
        let Some(table) = lake.open_table(definition).await? else { continue };
        forgotten.push(work.table(definition, &table, &traces).await?);
    }
    Ok(forgotten)
}

struct Work<'a> {
    lake: &'a Lake,
    context: &'a SessionContext,
    dry_run: bool,
    progress: OnProgress<'a>,
}

impl Work<'_> {
    async fn table(
        &self,
        definition: &'static tables::Table,
        table: &Table,
        traces: &Traces,
    ) -> Result<Forgotten, ComputeError> {
        for _ in 0..ATTEMPTS {
            let snapshot = table.snapshot().await?;
            let theirs = match definition.name {
                name if name == EVENTS.name => Some(traces.events()),
                name if name == SESSIONS.name => Some(traces.sessions()),
                _ => letters::find(self.lake, self.context, &snapshot, traces).await?,
            };
            let due = match &theirs {
                Some(theirs) => self.holding(definition, &snapshot, theirs).await?,
                None => Vec::new(),
            };
            let forgotten = Forgotten {
                table: definition.name,
                rows: due.iter().map(|(_, rows)| rows).sum(),
                files: due.len() as u64,
            };
            let Some(theirs) = theirs.filter(|_| !self.dry_run && !due.is_empty()) else {
                return Ok(forgotten);
            };
            let due = due.into_iter().map(|(file, _)| file).collect();
            if self.rewrite(definition, table, &snapshot, due, theirs).await? {
                return Ok(forgotten);
            }
        }
        Err(ComputeError::Forgetting { table: definition.name, attempts: ATTEMPTS })
    }

    /// The files that hold rows of this kind, and how many each.
    async fn holding(
        &self,
        definition: &'static tables::Table,
        snapshot: &Snapshot,
        theirs: &Expr,
    ) -> Result<Vec<(DataFile, u64)>, ComputeError> {
        let table = LakeTable::new(self.lake, definition, Some(snapshot)).with_file_column();
        let found = async {
            let rows = self.context.read_table(Arc::new(table))?.filter(theirs.clone())?;
            let counted =
                rows.aggregate(vec![col(FILE_COLUMN)], vec![count(lit(1)).alias("rows")])?;
            traces::pairs(counted).await
        };
        let found = found.await.map_err(|source| failed(definition, source))?;
        let file = |(at, rows): (i64, i64)| {
            let file = usize::try_from(at).ok().and_then(|at| snapshot.files.get(at))?;
            Some((file.clone(), rows.unsigned_abs()))
        };
        Ok(found.into_iter().filter_map(file).collect())
    }

    /// Writes each file again without these rows and commits all; false: another writer was faster.
    async fn rewrite(
        &self,
        definition: &'static tables::Table,
        table: &Table,
        snapshot: &Snapshot,
        due: Vec<DataFile>,
        theirs: Expr,
    ) -> Result<bool, ComputeError> {
        let rewriter = Rewriter::open(table.clone());
        let size = |file: &DataFile| file.rows.and_then(|rows| u64::try_from(rows).ok());
        let mut at = Progress { rows: 0, rows_total: due.iter().filter_map(size).sum() };
        let mut adds = Vec::new();
        for file in &due {
            let kept = self.kept(definition, file, &theirs);
            let kept = kept.map_err(|source| failed(definition, source))?;
            adds.extend(copied(definition, kept, rewriter.file_writer(), file).await?);
            at.rows += size(file).unwrap_or(0);
            (self.progress)(at);
        }
        let change = RewriteKind::Change;
        let outcome = rewriter.rewrite(snapshot, due, adds, Vec::new(), change).await?;
        Ok(matches!(outcome, Outcome::Committed { .. }))
    }

    /// The other rows of a file, in its order.
    fn kept(
        &self,
        definition: &'static tables::Table,
        file: &DataFile,
        theirs: &Expr,
    ) -> Result<DataFrame, DataFusionError> {
        let table = LakeTable::of_files(self.lake, definition, vec![file.clone()]);
        let order = match definition.name {
            name if name == EVENTS.name => &["session_key", "occurred_at", "id"][..],
            name if name == SESSIONS.name => &["session_key", "client_id", "session_id"],
            _ => &["source_partition", "sequence"],
        };
        let rows = self.context.read_table(Arc::new(table))?;
        let kept = rows.filter(theirs.clone().is_not_true())?;
        kept.sort(order.iter().map(|column| col(*column).sort(true, false)).collect())
    }
}

/// Rows as a file in the place of another, whose sequences it stands for.
async fn copied(
    definition: &'static tables::Table,
    rows: DataFrame,
    mut writer: FileWriter,
    file: &DataFile,
) -> Result<Option<onramp_lake::PendingFile>, ComputeError> {
    use futures::TryStreamExt;
    let broken = |source| failed(definition, source);
    let mut stream = rows.execute_stream().await.map_err(broken)?;
    while let Some(batch) = stream.try_next().await.map_err(broken)? {
        writer.write(batch).await?;
    }
    Ok(writer.finish_with(&file.sequences()).await?)
}

fn failed(definition: &tables::Table, source: DataFusionError) -> ComputeError {
    ComputeError::query(format!("forget rows of {}", definition.name), source)
}
