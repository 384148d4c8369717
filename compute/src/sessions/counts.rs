//! What the events of a lake are like as a whole: how many, how many twice, up to when.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use datafusion::common::JoinType;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{Expr, col, lit, when};
use datafusion::prelude::{DataFrame, SessionContext};
use onramp_lake::{Lake, Snapshot};
use onramp_schemas::tables::{DUPLICATES, EVENTS, SESSIONS, Table};

use super::CaughtUp;
use super::catch_up::own_files;
use super::gather::greatest;
use super::load::{LoadRequest, instant};
use super::positions::{Positions, before, positions};
use crate::engine::Engine;
use crate::error::ComputeError;
use crate::metrics::{Input, Request};
use crate::scan::LakeTable;
use crate::selection::Selection;

/// The statistics of a timestamp may be cut to milliseconds by other writers.
const STATISTICS_SLACK: i64 = 1_000;

/// The greatest `occurred_at` of all accepted events, microseconds UTC; `None`: there are none.
///
/// # Errors
/// When the lake or the engine fails.
pub async fn watermark(
    lake: &Lake,
    engine: &Engine,
    events: &Snapshot,
) -> Result<Option<i64>, ComputeError> {
    let bound =
        |file: &onramp_lake::DataFile| file.range("occurred_at").map(|(_, greatest)| greatest);
    let best = events.files.iter().filter_map(bound).max();
    let mut candidates = events.files.clone();
    candidates.retain(|file| match (bound(file), best) {
        (Some(bound), Some(best)) => bound.saturating_add(STATISTICS_SLACK) >= best,
        _ => true,
    });
    if candidates.is_empty() {
        return Ok(None);
    }
    let table = LakeTable::of_files(lake, &EVENTS, candidates);
    greatest(&engine.session(lake), table, "occurred_at").await
}

/// Whether there is an event of this client.
///
/// # Errors
/// When the lake or the engine fails.
pub async fn knows_client(
    lake: &Lake,
    engine: &Engine,
    events: &Snapshot,
    client_id: &str,
) -> Result<bool, ComputeError> {
    let table = LakeTable::of_files(lake, &EVENTS, events.files.clone());
    let own = col("client_id").eq(lit(client_id));
    let frame = engine.session(lake).read_table(Arc::new(table)).map_err(failed)?;
    let frame = frame.filter(own).and_then(|frame| frame.limit(0, Some(1))).map_err(failed)?;
    let found = frame.collect().await.map_err(failed)?;
    Ok(found.iter().any(|batch| batch.num_rows() > 0))
}

/// Counts events as a report tells them: over all clients that the asker may see, whatever the period.
///
/// Conflicting duplicates are those that ingest saw within its window. Whose they were is not known
/// any more: who may not see everybody is not told of those that ingest dropped.
///
/// # Errors
/// When the lake or the engine fails.
pub async fn input_counts(
    lake: &Lake,
    funnel: &str,
    engine: &Engine,
    caught_up: &CaughtUp,
    request: &LoadRequest,
) -> Result<Input, ComputeError> {
    let (Some(events), Some(sessions)) = (&caught_up.events, &caught_up.sessions) else {
        return Ok(Input::default());
    };
    let context = engine.session(lake);
    let counter = Counter { lake, context: &context, selection: &request.selection };
    let dropped = counter.dropped(&positions(events)).await?;
    let accepted = counter.table(&EVENTS, events.files.clone())?;
    let [accepted] = counter.row(accepted, vec![count(lit(1))]).await?;
    let folded = counter.table(&SESSIONS, own_files(sessions, funnel))?;
    let [distinct] = counter.row(folded, vec![sum(col("events"))]).await?;
    let events = || counter.table(&EVENTS, events.files.clone());
    let after_as_of = counter.after(events, request.as_of).await?;
    Ok(Input {
        events: accepted + dropped[0],
        duplicates: dropped[0] + accepted.saturating_sub(distinct),
        conflicting_duplicates: dropped[1],
        after_as_of,
    })
}

/// The same of the events before some positions, counted anew.
///
/// # Errors
/// When the lake or the engine fails.
pub async fn replayed_counts(
    lake: &Lake,
    engine: &Engine,
    (events, positions): (&Snapshot, &Positions),
    request: &Request,
) -> Result<Input, ComputeError> {
    let context = engine.session(lake);
    let counter = Counter { lake, context: &context, selection: &request.selection };
    let dropped = counter.dropped(positions).await?;
    let read = before(&Arc::new(positions.clone()), "sequence");
    let events =
        || counter.table(&EVENTS, events.files.clone())?.filter(read.clone()).map_err(failed);
    let [accepted] = counter.row(events()?, vec![count(lit(1))]).await?;
    // As the sessions count them: copies in two sessions are two events.
    let folded = ["client_id", "session_id", "source", "id"].map(col);
    let folded = events()?.select(folded).and_then(DataFrame::distinct).map_err(failed)?;
    let [distinct] = counter.row(folded, vec![count(lit(1))]).await?;
    let after_as_of = counter.after(events, request.as_of).await?;
    Ok(Input {
        events: accepted + dropped[0],
        duplicates: dropped[0] + accepted.saturating_sub(distinct),
        conflicting_duplicates: dropped[1],
        after_as_of,
    })
}

struct Counter<'a> {
    lake: &'a Lake,
    context: &'a SessionContext,
    selection: &'a Selection,
}

impl Counter<'_> {
    /// What the asker may see of a table.
    fn table(
        &self,
        table: &'static Table,
        files: Vec<onramp_lake::DataFile>,
    ) -> Result<DataFrame, ComputeError> {
        let table = LakeTable::of_files(self.lake, table, files);
        let frame = self.context.read_table(Arc::new(table)).map_err(failed)?;
        match self.selection.clients_filter(None) {
            Some(seen) => frame.filter(seen).map_err(failed),
            None => Ok(frame),
        }
    }

    /// Distinct events of which every copy is later than an instant.
    async fn after(
        &self,
        events: impl Fn() -> Result<DataFrame, ComputeError>,
        as_of: i64,
    ) -> Result<u64, ComputeError> {
        const IDENTITY: [&str; 3] = ["client_id", "source", "id"];
        let later = events()?
            .filter(col("occurred_at").gt(instant(as_of)))
            .and_then(|later| later.select(IDENTITY.map(col))?.distinct())
            .map_err(failed)?;
        let [all] = self.row(later.clone(), vec![count(lit(1))]).await?;
        // As of the newest event there are none, and nothing more is read.
        if all == 0 {
            return Ok(0);
        }
        let earlier = events()?
            .filter(col("occurred_at").lt_eq(instant(as_of)))
            .and_then(|earlier| earlier.select(IDENTITY.map(col)))
            .map_err(failed)?;
        let after =
            later.join(earlier, JoinType::LeftAnti, &IDENTITY, &IDENTITY, None).map_err(failed)?;
        let [after] = self.row(after, vec![count(lit(1))]).await?;
        Ok(after)
    }

    /// Resends before these positions that ingest dropped, and those of them that differ.
    async fn dropped(&self, positions: &Positions) -> Result<[u64; 2], ComputeError> {
        if self.selection.clients.is_some() {
            return Ok([0, 0]);
        }
        let Some(table) = self.lake.open_table(&DUPLICATES).await? else { return Ok([0, 0]) };
        let duplicates = table.snapshot().await?;
        let length = col("last_sequence") - col("first_sequence") + lit(1_i64);
        let differing =
            when(col("content_differs"), length.clone()).otherwise(lit(0_i64)).map_err(failed)?;
        // Rows may stand there for which the events do not yet.
        let read = before(&Arc::new(positions.clone()), "last_sequence");
        let frame = self.table(&DUPLICATES, duplicates.files)?.filter(read).map_err(failed)?;
        self.row(frame, vec![sum(length), sum(differing)]).await
    }

    /// The one row of an aggregate.
    async fn row<const N: usize>(
        &self,
        frame: DataFrame,
        aggregates: Vec<Expr>,
    ) -> Result<[u64; N], ComputeError> {
        let batches =
            frame.aggregate(vec![], aggregates).map_err(failed)?.collect().await.map_err(failed)?;
        let mut row = [0; N];
        for (index, value) in row.iter_mut().enumerate() {
            let column =
                batches.first().map(|batch| batch.column(index).as_primitive::<Int64Type>());
            let given = column.filter(|column| !column.is_empty() && column.is_valid(0));
            *value = given.map_or(0, |column| u64::try_from(column.value(0)).unwrap_or_default());
        }
        Ok(row)
    }
}

fn failed(source: datafusion::error::DataFusionError) -> ComputeError {
    ComputeError::query("count events", source)
}
