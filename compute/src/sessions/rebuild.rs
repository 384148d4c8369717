//! Deriving a funnel's rows anew, and how they differ from those that the table holds.

use std::collections::HashMap;

use futures::TryStreamExt;
use onramp_lake::Lake;
use onramp_schemas::funnel::Funnel;
use onramp_schemas::tables::SESSIONS;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use super::catch_up::Job;
use super::columns::Columns;
use super::definition::Definition;
use super::row::Row;
use super::{OnProgress, Settings, catch_up};
use crate::engine::Engine;
use crate::error::ComputeError;
use crate::scan::LakeTable;

/// How often a rebuild starts again because another writer was faster.
const ATTEMPTS: usize = 8;

/// What a rebuild found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// The version of `events` that was read.
    pub events_version: i64,
    /// Events that were read.
    pub events_read: u64,
    /// Sessions derived from them.
    pub sessions: u64,
    /// Sessions that the table held with other values.
    pub different: u64,
    /// Sessions that the table lacked.
    pub missing: u64,
    /// Rows of the table that no event stands behind.
    pub surplus: u64,
    /// Whether the table was written.
    pub written: bool,
}

/// Derives all rows of a funnel from its events alone and puts them in place of those in the table;
/// with `dry_run` it only tells the difference. The table is caught up first, so that a difference
/// is a fault and not a delay.
///
/// # Errors
/// As [`catch_up`](super::catch_up()).
pub async fn rebuild(
    lake: &Lake,
    funnel: &Funnel,
    engine: &Engine,
    settings: &Settings,
    dry_run: bool,
    progress: OnProgress<'_>,
) -> Result<Rebuilt, ComputeError> {
    for _ in 0..ATTEMPTS {
        let caught_up = catch_up(lake, funnel, engine, settings, progress).await?;
        let (Some(events), Some(sessions)) = (caught_up.events, caught_up.sessions) else {
            return Ok(Rebuilt::default());
        };
        let context = engine.session(lake);
        let definition = Definition::compile(&context, funnel)?;
        let Some(table) = lake.open_table(&SESSIONS).await? else { return Ok(Rebuilt::default()) };
        let sessions = (*sessions).clone();
        let job = Job {
            lake,
            context: &context,
            definition: &definition,
            settings,
            progress,
            events: &events,
            sessions,
            table: &table,
        };
        let mut rebuilt = job.compare().await?;
        if dry_run {
            return Ok(rebuilt);
        }
        if job.whole().await?.is_some() {
            rebuilt.written = true;
            return Ok(rebuilt);
        }
    }
    Err(ComputeError::Contended { funnel: funnel.name.clone(), attempts: ATTEMPTS })
}

impl Job<'_> {
    async fn compare(&self) -> Result<Rebuilt, ComputeError> {
        let mut held = self.fingerprints().await?;
        let mut rebuilt = Rebuilt { events_version: self.events.version, ..Rebuilt::default() };
        let mut rows = self.all_rows().await?;
        while let Some(some) = rows.next(self).await? {
            for row in some {
                rebuilt.sessions += 1;
                match held.remove(&name(&row)) {
                    Some(fingerprint) if fingerprint == row.fingerprint() => {}
                    Some(_) => rebuilt.different += 1,
                    None => rebuilt.missing += 1,
                }
            }
        }
        rebuilt.surplus += held.len() as u64;
        rebuilt.events_read = rows.events_read();
        Ok(rebuilt)
    }

    /// A hash of each row that the table holds, by a hash of its name. A row that stands twice has
    /// a fingerprint that fits none.
    async fn fingerprints(&self) -> Result<HashMap<u128, u128>, ComputeError> {
        let failed = |source| ComputeError::query("read sessions", source);
        let table = LakeTable::of_files(self.lake, &SESSIONS, self.own_files());
        let frame = self.context.read_table(std::sync::Arc::new(table)).map_err(failed)?;
        let mut stream = frame.execute_stream().await.map_err(failed)?;
        let mut held: HashMap<u128, u128> = HashMap::new();
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            for row in Columns(&batch).rows()? {
                let fingerprint = row.fingerprint();
                held.entry(name(&row))
                    .and_modify(|held| *held ^= !fingerprint)
                    .or_insert(fingerprint);
            }
        }
        Ok(held)
    }
}

fn name(row: &Row) -> u128 {
    let mut bytes = Vec::with_capacity(row.client_id.len() + row.session_id.len() + 1);
    bytes.extend_from_slice(row.client_id.as_bytes());
    bytes.push(0x1F);
    bytes.extend_from_slice(row.session_id.as_bytes());
    xxh3_128(&bytes)
}
