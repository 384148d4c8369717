//! All events of one session, as the fold orders them.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::SessionContext;
use onramp_lake::{Lake, Snapshot};
use onramp_schemas::funnel::Funnel;
use onramp_schemas::tables::{EVENTS, SESSIONS};

use super::CaughtUp;
use super::catch_up::own_files;
use super::columns::Columns;
use super::definition::Definition;
use super::derive::Unclear;
use super::gather::{Gather, RawEvent};
use super::row::{NeedsEvents, distinct};
use crate::engine::Engine;
use crate::error::ComputeError;
use crate::fold::Digest;
use crate::scan::LakeTable;

/// A session's events, each identity once, in the order of the fold.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub client_id: Arc<str>,
    pub session_id: Arc<str>,
    pub events: Vec<StoryEvent>,
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct StoryEvent {
    pub source: Arc<str>,
    pub id: Box<str>,
    pub event_type: Box<str>,
    /// The payload as JSON.
    pub data: Box<str>,
    pub digest: Digest,
}

/// The most clients that a refusal names.
const NAMED: usize = 5;

/// Reads the events of a session; `clients` is a condition on its client, and may be missing where only
/// one has a session of that id.
pub(crate) async fn story(
    lake: &Lake,
    funnel: &Funnel,
    engine: &Engine,
    caught_up: &CaughtUp,
    (clients, session_id): (Option<Expr>, &str),
) -> Result<Story, ComputeError> {
    let none = || ComputeError::NoSession { session_id: session_id.to_owned() };
    let (Some(events), Some(sessions)) = (&caught_up.events, &caught_up.sessions) else {
        return Err(none());
    };
    let context = engine.session(lake);
    let definition = Definition::compile(&context, funnel)?;
    let table = LakeTable::of_files(lake, &SESSIONS, own_files(sessions, &funnel.name));
    let failed = |source| ComputeError::query("look for the session", source);
    let named = col("session_id").eq(lit(session_id));
    let wanted = clients.into_iter().fold(named, Expr::and);
    let columns = ["client_id", "session_id", "session_key", "first_event_at", "last_seen_at"];
    let frame = context.read_table(Arc::new(table)).and_then(|table| table.filter(wanted));
    let frame = frame.and_then(|frame| frame.select(columns.map(col))).map_err(failed)?;
    let (mut clients, mut only) = (Vec::new(), Unclear::default());
    for batch in frame.collect().await.map_err(failed)? {
        let columns = Columns(&batch);
        let (names, keys) = (columns.text("client_id")?, columns.integer("session_key")?);
        let (first, last) = (columns.instant("first_event_at")?, columns.instant("last_seen_at")?);
        for row in 0..batch.num_rows() {
            let client = Arc::<str>::from(names.value(row));
            only.add(
                keys.value(row),
                &client,
                &session_id.into(),
                (first.value(row), last.value(row)),
            );
            clients.push(client);
        }
    }
    clients.sort_unstable();
    if clients.len() > 1 {
        clients.truncate(NAMED);
        let clients = clients.join(", ");
        return Err(ComputeError::AmbiguousSession { session_id: session_id.to_owned(), clients });
    }
    let told = stories(lake, &context, &definition, events, &only).await?;
    told.into_iter().next().ok_or_else(none)
}

/// Reads the events of these sessions.
pub(crate) async fn stories(
    lake: &Lake,
    context: &SessionContext,
    definition: &Definition,
    events: &Snapshot,
    only: &Unclear,
) -> Result<Vec<Story>, ComputeError> {
    let mut stories = Vec::new();
    let events = LakeTable::of_files(lake, &EVENTS, events.files.clone());
    let mut gather = Gather::start(context, events, definition, Some(only.filter())).await?;
    while let Some(some) = gather.next().await? {
        for session in some.into_iter().filter(|session| only.wants(session)) {
            let (client_id, session_id) = (session.client_id, session.session_id);
            let events = distinct(session.events).map_err(|NeedsEvents| ComputeError::Damaged {
                reason: format!("session {session_id:?} of {client_id:?} cannot be folded"),
            })?;
            let events = events.into_iter().map(|event| told(definition, event)).collect();
            stories.push(Story { client_id, session_id, events });
        }
    }
    Ok(stories)
}

fn told(definition: &Definition, event: RawEvent) -> StoryEvent {
    let RawEvent { hash, occurred_at, source, id, flags, reason, code, exact, .. } = event;
    let (event_type, data) = exact.unwrap_or_default();
    let digest = definition.digest(hash, occurred_at, flags, reason, code);
    StoryEvent { source, id, event_type, data, digest }
}
