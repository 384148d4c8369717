//! Sessions folded as of an instant, for those who compute metrics.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::physical_plan::execute_stream_partitioned;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use onramp_lake::{DataFile, Lake, REWRITE_APP_ID};
use onramp_schemas::funnel::Funnel;
use onramp_schemas::tables::{EVENTS, SESSIONS};

use super::CaughtUp;
use super::catch_up::own_files;
use super::columns::Columns;
use super::definition::Definition;
use super::derive::Unclear;
use super::gather::Gather;
use super::row::{Folded, NeedsEvents};
use crate::engine::Engine;
use crate::error::ComputeError;
use crate::fold::{Session, fold};
use crate::scan::LakeTable;

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
    /// Only sessions that start within one of these `[from, to)`, or, without a start, whose first
    /// event lies there; none: all.
    pub periods: Vec<(i64, i64)>,
}

/// Folded sessions and what they were folded from.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Names of [`Session::attributes`], by position.
    pub attribute_names: Vec<String>,
    /// Ordered by client and session id.
    pub sessions: Vec<Session>,
    /// The next sequence of each source: what was read lies before.
    pub positions: BTreeMap<String, i64>,
    /// The version of `events` that was folded.
    pub events_version: i64,
}

/// Folds the sessions of a funnel as of an instant, from the table as it was caught up.
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
    let empty = || ComputeError::EmptyLake { url: lake.root().to_owned() };
    let events = caught_up.events.as_ref().ok_or_else(empty)?;
    let table = caught_up.sessions.as_ref().ok_or_else(empty)?;
    let context = engine.session(lake);
    let definition = Definition::compile(&context, funnel)?;
    let names: Arc<[String]> = distinct(&request.attributes).into();
    let loader = Loader { lake, context: &context, definition: &definition, names, request };
    let files = own_files(table, &funnel.name);
    let (mut sessions, unclear) = loader.folded(&files).await?;
    sessions.extend(loader.refolded(&events.files, &unclear).await?);
    loader.check_names(funnel, &files, &sessions).await?;
    sessions.sort_unstable_by(|left, right| {
        (&left.client_id, &left.session_id).cmp(&(&right.client_id, &right.session_id))
    });
    // A txn with a # tells something else of a source than its position.
    let is_position = |app_id: &str| app_id != REWRITE_APP_ID && !app_id.contains('#');
    let positions = events.txns.iter().filter(|(app_id, _)| is_position(app_id));
    Ok(Dataset {
        attribute_names: loader.names.to_vec(),
        sessions,
        positions: positions.map(|(app_id, next)| (app_id.clone(), *next)).collect(),
        events_version: events.version,
    })
}

struct Loader<'a> {
    lake: &'a Lake,
    context: &'a SessionContext,
    definition: &'a Definition,
    names: Arc<[String]>,
    request: &'a LoadRequest,
}

impl Loader<'_> {
    /// Folds from the digests; gives the sessions for which these do not suffice apart.
    async fn folded(&self, files: &[DataFile]) -> Result<(Vec<Session>, Unclear), ComputeError> {
        let failed = |source| ComputeError::query("read sessions", source);
        let table = LakeTable::of_files(self.lake, &SESSIONS, files.to_vec());
        let mut frame = self.context.read_table(Arc::new(table)).map_err(failed)?;
        frame = frame.filter(self.filter()).map_err(failed)?;
        let wanted = [
            "client_id",
            "session_id",
            "session_key",
            "first_event_at",
            "last_seen_at",
            "attributes",
            "digests",
            "truncated",
        ];
        frame = frame.select(wanted.map(col)).map_err(failed)?;
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await.map_err(failed)?;
        let mut running = tokio::task::JoinSet::new();
        for mut stream in execute_stream_partitioned(plan, task).map_err(failed)? {
            let definition = self.definition.clone();
            let (names, as_of) = (Arc::clone(&self.names), self.request.as_of);
            running.spawn(async move {
                let (mut sessions, mut unclear) = (Vec::new(), Unclear::default());
                let mut pool = Pool::default();
                let failed = |source| ComputeError::query("read sessions", source);
                while let Some(batch) = stream.try_next().await.map_err(failed)? {
                    fold_batch(
                        &batch,
                        &definition,
                        &names,
                        as_of,
                        &mut pool,
                        &mut sessions,
                        &mut unclear,
                    )?;
                }
                Ok::<_, ComputeError>((sessions, unclear))
            });
        }
        let (mut sessions, mut unclear) = (Vec::new(), Unclear::default());
        while let Some(joined) = running.join_next().await {
            let (some, more) = joined.map_err(|error| {
                ComputeError::query(
                    "fold sessions",
                    datafusion::error::DataFusionError::External(Box::new(error)),
                )
            })??;
            sessions.extend(some);
            unclear.extend(more);
        }
        Ok((sessions, unclear))
    }

    fn filter(&self) -> Expr {
        let as_of = instant(self.request.as_of);
        let mut filter = col("first_event_at").lt_eq(as_of.clone());
        if let Some(client) = &self.request.client_id {
            filter = filter.and(col("client_id").eq(lit(client.as_str())));
        }
        let within = |column: &str| {
            let periods = self.request.periods.iter().map(|(from, to)| {
                col(column).gt_eq(instant(*from)).and(col(column).lt(instant(*to)))
            });
            periods.reduce(Expr::or)
        };
        // As of an instant before its start a session is one without.
        let unstarted = col("started_at").is_null().or(col("started_at").gt(as_of));
        match (within("started_at"), within("first_event_at")) {
            (Some(started), Some(first)) => filter.and(started.or(unstarted.and(first))),
            _ => filter,
        }
    }

    /// Folds sessions from all their events.
    async fn refolded(
        &self,
        events: &[DataFile],
        unclear: &Unclear,
    ) -> Result<Vec<Session>, ComputeError> {
        let mut sessions = Vec::new();
        if unclear.is_empty() {
            return Ok(sessions);
        }
        let events = LakeTable::of_files(self.lake, &EVENTS, events.to_vec());
        let mut gather =
            Gather::start(self.context, events, self.definition, Some(unclear)).await?;
        let mut pool = Pool::default();
        while let Some(some) = gather.next().await? {
            for session in some.into_iter().filter(|session| unclear.wants(session)) {
                let (client, name) =
                    (pool.get(&session.client_id), Arc::clone(&session.session_id));
                let all = Folded::new(self.definition, session.events).map_err(|NeedsEvents| {
                    ComputeError::Damaged {
                        reason: format!("session {name:?} of {client:?} cannot be folded"),
                    }
                })?;
                let Some(folded) = fold(&all.digests, &self.definition.rules, self.request.as_of)
                else {
                    continue;
                };
                let lent =
                    folded.opening.map(|opening| all.attributes(opening)).unwrap_or_default();
                let find = |wanted: &str| lent.get(wanted).map(String::as_str);
                let attributes = attributes(&self.names, &client, &mut pool, find);
                sessions.push(Session { client_id: client, session_id: name, attributes, folded });
            }
        }
        Ok(sessions)
    }

    /// Refuses an attribute that is surely a slip of the pen.
    async fn check_names(
        &self,
        funnel: &Funnel,
        files: &[DataFile],
        sessions: &[Session],
    ) -> Result<(), ComputeError> {
        let unseen = |position: &usize| {
            sessions.iter().all(|session| session.attributes[*position].is_none())
        };
        let unknown: Vec<&String> = (0..self.names.len())
            .filter(unseen)
            .map(|position| &self.names[position])
            .filter(|name| {
                *name != CLIENT_ID && !funnel.segments.contains(name) && !is_payload(name)
            })
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let mut known = self.known_names(files).await?;
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

    async fn known_names(&self, files: &[DataFile]) -> Result<BTreeSet<String>, ComputeError> {
        let failed = |source| ComputeError::query("read the attributes of sessions", source);
        let table = LakeTable::of_files(self.lake, &SESSIONS, files.to_vec());
        let frame = self.context.read_table(Arc::new(table)).map_err(failed)?;
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

fn fold_batch(
    batch: &RecordBatch,
    definition: &Definition,
    names: &[String],
    as_of: i64,
    pool: &mut Pool,
    sessions: &mut Vec<Session>,
    unclear: &mut Unclear,
) -> Result<(), ComputeError> {
    let columns = Columns(batch);
    let (clients, ids, keys) =
        (columns.text("client_id")?, columns.text("session_id")?, columns.integer("session_key")?);
    let (lent, digests, truncated) =
        (columns.attributes()?, columns.digests()?, columns.flag("truncated")?);
    let (first, last) = (columns.instant("first_event_at")?, columns.instant("last_seen_at")?);
    for row in 0..batch.num_rows() {
        let (client, id) = (pool.get(clients.value(row)), Arc::<str>::from(ids.value(row)));
        let Some(digests) = digests.get(row).filter(|_| !truncated.value(row)) else {
            let span = (first.value(row), last.value(row));
            unclear.add(keys.value(row), &client, &id, span);
            continue;
        };
        let Some(folded) = fold(&digests, &definition.rules, as_of) else { continue };
        let opened = folded.opening.is_some();
        let find = |wanted: &str| {
            lent.pairs(row).find(|(name, _)| opened && *name == wanted).map(|(_, value)| value)
        };
        let attributes = attributes(names, &client, pool, find);
        sessions.push(Session { client_id: client, session_id: id, attributes, folded });
    }
    Ok(())
}

fn attributes<'a>(
    names: &[String],
    client: &Arc<str>,
    pool: &mut Pool,
    find: impl Fn(&str) -> Option<&'a str>,
) -> Box<[Option<Arc<str>>]> {
    let one = |name: &String| match name.as_str() {
        CLIENT_ID => Some(Arc::clone(client)),
        name => find(name).map(|value| pool.get(value)),
    };
    names.iter().map(one).collect()
}

/// Texts that many sessions share.
#[derive(Default)]
struct Pool(HashMap<Box<str>, Arc<str>>);

/// More distinct texts than this are no longer worth sharing.
const POOL_TEXTS: usize = 10_000;

impl Pool {
    fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(text);
        if self.0.len() < POOL_TEXTS {
            self.0.insert(text.into(), Arc::clone(&new));
        }
        new
    }
}

fn distinct(names: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.iter().filter(|name| seen.insert(name.as_str())).cloned().collect()
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
