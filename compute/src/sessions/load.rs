//! Sessions as of an instant, by columns, for those who compute metrics.
//!
//! A row tells what its session came to by its last event. As of an instant before that the session
//! is folded from its digests, and where these were left out from its events.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, col};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use onramp_lake::{DataFile, Lake, Snapshot};
use onramp_schemas::funnel::Funnel;
use onramp_schemas::tables::{EVENTS, SESSIONS};

use super::CaughtUp;
use super::catch_up::own_files;
use super::columns::Columns;
use super::definition::Definition;
use super::filter::Filter;
use super::positions::Positions;
use crate::engine::Engine;
use crate::error::ComputeError;
use crate::metrics::population::{Counts, Population, Scope};
use crate::metrics::{Needs, Request};
use crate::scan::LakeTable;
use crate::selection::Selection;

mod past;
#[cfg(test)]
mod properties;
mod scan;
mod sinks;
mod starts;

pub(super) use past::refold;
use scan::Sink;
use sinks::{Collected, Counted};
use starts::Listed;
pub(crate) use starts::Starts;

/// The attribute that every session has.
pub const CLIENT_ID: &str = "client_id";

/// Which sessions, and what of them.
#[derive(Clone, Debug, Default)]
pub struct LoadRequest {
    /// Only events up to here count: microseconds UTC.
    pub as_of: i64,
    /// Attributes that are wanted.
    pub attributes: Vec<String>,
    /// Only sessions of this client.
    pub client_id: Option<String>,
    /// Only sessions that meet these conditions.
    pub selection: Selection,
    /// Only sessions that start within one of these `[from, to)`, or, without a start, whose first
    /// event lies there.
    pub periods: Vec<(i64, i64)>,
    /// Errors are wanted.
    pub errors: bool,
}

impl LoadRequest {
    /// The sessions that an answer needs.
    pub(crate) fn of(request: &Request, needs: Needs) -> Self {
        Self {
            as_of: request.as_of,
            attributes: request.attributes(),
            client_id: request.client_id.clone(),
            selection: request.selection.clone(),
            periods: request.periods(needs),
            errors: needs.errors,
        }
    }

    fn first_period(&self) -> (i64, i64) {
        self.periods.first().copied().unwrap_or((i64::MIN, i64::MAX))
    }

    /// The attributes that are wanted, and those that are asked about.
    fn names(&self) -> Vec<String> {
        self.attributes.iter().chain(self.selection.attributes.keys()).cloned().collect()
    }
}

/// Sessions and what they were folded from.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The sessions of each period of the request.
    pub populations: Vec<Population>,
    /// The next sequence of each source: what was read lies before.
    pub positions: Positions,
    /// The version of `events` that was folded.
    pub events_version: i64,
}

/// The sessions of a funnel as of an instant, from the table as it was caught up.
///
/// # Errors
/// When an attribute is asked for that no session has and nothing names; when the lake or the
/// engine fails.
pub async fn load(
    lake: &Lake,
    funnel: &Funnel,
    engine: &Engine,
    caught_up: &CaughtUp,
    request: &LoadRequest,
) -> Result<Dataset, ComputeError> {
    let loader = Loader::new(lake, funnel, engine, caught_up, request)?;
    let mut populations = Vec::with_capacity(request.periods.len());
    for &period in &request.periods {
        let sessions: Collected = loader.sessions(period).await?;
        populations.push(sessions.population);
    }
    loader.check_names(funnel, &populations).await?;
    Ok(Dataset {
        populations,
        positions: caught_up.positions(),
        events_version: loader.events.version,
    })
}

/// How many sessions of the request's first period reached each stage, on the raw and on the mature
/// footing: what [`load`] would find, from few columns.
pub(crate) async fn count(
    lake: &Lake,
    funnel: &Funnel,
    engine: &Engine,
    caught_up: &CaughtUp,
    request: &LoadRequest,
) -> Result<(Counts, Counts), ComputeError> {
    let loader = Loader::new(lake, funnel, engine, caught_up, request)?;
    let counted: Counted = loader.sessions(request.first_period()).await?;
    Ok((counted.raw, counted.mature))
}

/// How many sessions of the request's first period a filter lets through, and from when on the last
/// `most` of them started.
pub(crate) async fn starts(
    lake: &Lake,
    funnel: &Funnel,
    engine: &Engine,
    caught_up: &CaughtUp,
    request: &LoadRequest,
    (filter, most): (Filter, usize),
) -> Result<Starts, ComputeError> {
    let mut loader = Loader::new(lake, funnel, engine, caught_up, request)?;
    loader.wanted =
        Arc::new(Wanted { listed: Listed { filter, most }, ..(*loader.wanted).clone() });
    loader.sessions(request.first_period()).await
}

/// Refuses the first of these attributes that no session has ever had.
///
/// # Errors
/// There is one; and when the lake or the engine fails.
pub(crate) async fn refuse_unknown(
    lake: &Lake,
    funnel: &Funnel,
    engine: &Engine,
    caught_up: &CaughtUp,
    request: &LoadRequest,
    names: &[&String],
) -> Result<(), ComputeError> {
    let loader = Loader::new(lake, funnel, engine, caught_up, request)?;
    loader.refuse_unknown(funnel, names.iter().copied()).await
}

/// What is wanted of sessions beside what every figure needs.
#[derive(Clone)]
struct Wanted {
    /// Attributes, each once.
    names: Vec<String>,
    errors: bool,
    listed: Listed,
}

/// What sessions are read from.
struct Loader<'a> {
    lake: &'a Lake,
    context: SessionContext,
    definition: Definition,
    wanted: Arc<Wanted>,
    request: &'a LoadRequest,
    events: &'a Snapshot,
    files: Vec<DataFile>,
}

impl<'a> Loader<'a> {
    fn new(
        lake: &'a Lake,
        funnel: &Funnel,
        engine: &Engine,
        caught_up: &'a CaughtUp,
        request: &'a LoadRequest,
    ) -> Result<Self, ComputeError> {
        let empty = || ComputeError::EmptyLake { url: lake.root().to_owned() };
        let events = caught_up.events.as_ref().ok_or_else(empty)?;
        let table = caught_up.sessions.as_ref().ok_or_else(empty)?;
        let context = engine.session(lake);
        Ok(Self {
            lake,
            definition: Definition::compile(&context, funnel)?,
            context,
            wanted: Arc::new(Wanted {
                names: distinct(&request.names()),
                errors: request.errors,
                listed: Listed::default(),
            }),
            request,
            events,
            files: own_files(table, &funnel.name),
        })
    }

    /// The sessions of a period, as far as `S` wants to know them.
    async fn sessions<S: Sink>(&self, period: (i64, i64)) -> Result<S, ComputeError> {
        let as_of = self.request.as_of;
        let rules = (*self.definition.rules).clone();
        let scope = Arc::new(Scope { as_of, period, rules });
        let wanted = self.files.iter().filter(|file| may_hold(file, &scope)).cloned();
        let last_seen = |file: &DataFile| file.range("last_seen_at").map(|(_, last)| last);
        let (settled, open): (Vec<_>, Vec<_>) =
            wanted.partition(|file| last_seen(file).is_some_and(|last| last <= as_of));
        let mut sessions: S = self.rows(settled, &scope, false).await?;
        if !open.is_empty() {
            sessions.append(self.rows(open.clone(), &scope, true).await?);
            self.add_past(open, &scope, &mut sessions).await?;
        }
        Ok(sessions)
    }

    /// Refuses an attribute that is surely a slip of the pen.
    async fn check_names(
        &self,
        funnel: &Funnel,
        populations: &[Population],
    ) -> Result<(), ComputeError> {
        let unseen = |place: &usize| !populations.iter().any(|it| it.has_values(*place));
        let unseen = (0..self.wanted.names.len())
            .filter(unseen)
            .map(|position| &self.wanted.names[position]);
        self.refuse_unknown(funnel, unseen).await
    }

    /// Refuses the first of these attributes that no session has ever had.
    async fn refuse_unknown<'n>(
        &self,
        funnel: &Funnel,
        names: impl Iterator<Item = &'n String>,
    ) -> Result<(), ComputeError> {
        let sure =
            |name: &String| name == CLIENT_ID || funnel.segments.contains(name) || is_payload(name);
        let unknown: Vec<&String> = names.filter(|name| !sure(name)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let mut known = self.known_names().await?;
        let Some(name) = unknown.into_iter().find(|name| !known.contains(*name)) else {
            return Ok(());
        };
        known.insert(CLIENT_ID.to_owned());
        known.extend(funnel.segments.iter().cloned());
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        Err(ComputeError::Request(format!(
            "no session has an attribute {name:?}; known are {known}"
        )))
    }

    async fn known_names(&self) -> Result<BTreeSet<String>, ComputeError> {
        let failed = |source| ComputeError::query("read the attributes of sessions", source);
        let table = LakeTable::of_files(self.lake, &SESSIONS, self.files.clone());
        let mut frame = self.context.read_table(Arc::new(table)).map_err(failed)?;
        // What a client's attributes are called is told to those who see the client.
        if let Some(seen) = self.request.selection.clients_filter(None) {
            frame = frame.filter(seen).map_err(failed)?;
        }
        let frame = frame.select(vec![col("attributes")]).map_err(failed)?;
        let mut stream = frame.execute_stream().await.map_err(failed)?;
        let mut known = BTreeSet::new();
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            let attributes = Columns(&batch).attributes()?;
            for row in 0..batch.num_rows() {
                for (name, _) in attributes.pairs(row) {
                    if !known.contains(name) {
                        known.insert(name.to_owned());
                    }
                }
            }
        }
        Ok(known)
    }
}

/// The attributes that are wanted, each once.
pub(super) fn distinct(names: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.iter().filter(|name| seen.insert(name.as_str())).cloned().collect()
}

/// Whether a file may hold sessions of the scope, by what the log says of it.
fn may_hold(file: &DataFile, scope: &Scope) -> bool {
    let (from, to) = scope.period;
    let overlaps = |(least, greatest): (i64, i64)| least < to && greatest >= from;
    let first = file.range("first_event_at");
    let old_enough = first.is_none_or(|(least, _)| least <= scope.as_of);
    // The bounds of `started_at` are missing where all sessions are orphans.
    let started = file.range("started_at").is_some_and(overlaps);
    old_enough && (started || first.is_none_or(overlaps))
}

fn failed(source: DataFusionError) -> ComputeError {
    ComputeError::query("read sessions", source)
}

/// Whether the catalogue knows a payload field of this name.
fn is_payload(name: &str) -> bool {
    const ENVELOPE: [&str; 13] = [
        "event_date",
        "source",
        "id",
        "event_type",
        "session_id",
        "user_id",
        "occurred_at",
        "data",
        "session_key",
        "received_at",
        "source_partition",
        "sequence",
        "extensions",
    ];
    EVENTS.column(name).is_some() && !ENVELOPE.contains(&name)
}

/// An instant as SQL compares it.
pub(crate) fn instant(at: i64) -> Expr {
    Expr::Literal(ScalarValue::TimestampMicrosecond(Some(at), Some("UTC".into())), None)
}
