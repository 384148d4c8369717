//! Sessions of a period one by one, each with its names, as they were at an instant.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, col};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use onramp_lake::{Lake, Snapshot};
use onramp_schemas::funnel::Funnel;
use onramp_schemas::tables::SESSIONS;

use super::CaughtUp;
use super::catch_up::own_files;
use super::columns::Columns;
use super::definition::Definition;
use super::derive::Unclear;
use super::load::{CLIENT_ID, instant};
use super::story::stories;
use crate::engine::Engine;
use crate::error::ComputeError;
use crate::fold::{Digest, Fate, Summary};
use crate::predicate::scalars;
use crate::scan::LakeTable;

/// A session as of an instant.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub client_id: Arc<str>,
    pub session_id: Arc<str>,
    /// Of the names that were asked for.
    pub attributes: Vec<Option<String>>,
    pub summary: Summary,
    pub fate: Fate,
}

/// A session in passing: what a list keeps of it is made for those that are kept.
pub(crate) struct Glimpse<'a> {
    pub summary: Summary,
    pub fate: Fate,
    client_id: &'a str,
    session_id: &'a str,
    attribute: &'a dyn Fn(&str) -> Option<&'a str>,
}

impl Glimpse<'_> {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        match name {
            CLIENT_ID => Some(self.client_id),
            name => (self.attribute)(name),
        }
    }

    /// The session for keeps, with these attributes.
    pub fn seen(self, names: &[String]) -> Seen {
        let value = |name: &String| self.attribute(name).map(str::to_owned);
        Seen {
            attributes: names.iter().map(value).collect(),
            client_id: self.client_id.into(),
            session_id: self.session_id.into(),
            summary: self.summary,
            fate: self.fate,
        }
    }
}

/// Which sessions.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub as_of: i64,
    /// They started in `[from, to)`.
    pub period: (i64, i64),
    /// The condition on the client.
    pub clients: Option<Expr>,
}

/// Hands over every session of the scope, in no order; for scopes of few sessions.
pub(crate) async fn each_seen(
    lake: &Lake,
    funnel: &Funnel,
    engine: &Engine,
    caught_up: &CaughtUp,
    scope: Scope,
    mut take: impl FnMut(Glimpse<'_>),
) -> Result<(), ComputeError> {
    let (Some(events), Some(table)) = (&caught_up.events, &caught_up.sessions) else {
        return Ok(());
    };
    let context = engine.session(lake);
    let definition = Definition::compile(&context, funnel)?;
    let reader = Reader { lake, context, definition, table, scope };
    reader.settled(&mut take).await?;
    let unclear = reader.past(&mut take).await?;
    if unclear.is_empty() {
        return Ok(());
    }
    for story in stories(lake, &reader.context, &reader.definition, events, &unclear).await? {
        let digests: Vec<Digest> = story.events.iter().map(|event| event.digest.clone()).collect();
        let Some((summary, opening)) = reader.summary(&digests) else { continue };
        let lent = opening.map(|opening| scalars(&story.events[opening].data));
        let lent: BTreeMap<_, _> = lent.into_iter().flatten().collect();
        let attribute = |name: &str| lent.get(name).map(String::as_str);
        take(reader.glimpse((&story.client_id, &story.session_id), summary, &attribute));
    }
    Ok(())
}

struct Reader<'a> {
    lake: &'a Lake,
    context: SessionContext,
    definition: Definition,
    table: &'a Snapshot,
    scope: Scope,
}

impl Reader<'_> {
    /// Sessions without an event after the instant: their rows tell all of them.
    async fn settled(&self, take: &mut impl FnMut(Glimpse<'_>)) -> Result<(), ComputeError> {
        let columns = [
            "client_id",
            "session_id",
            "attributes",
            "first_event_at",
            "last_event_at",
            "reached",
            "reached_in_horizon",
            "furthest_stage",
            "interrupted_at",
            "excluded",
            "given_up",
            "loss_reason",
            "stage_at",
            "errors",
        ];
        let settled = col("last_seen_at").lt_eq(instant(self.scope.as_of));
        self.read(settled, &columns, |batch| {
            let columns = Columns(batch);
            let (clients, ids) = (columns.text("client_id")?, columns.text("session_id")?);
            let lent = columns.attributes()?;
            for (row, summary) in columns.summaries()?.into_iter().enumerate() {
                let attribute = |name: &str| lent.get(row, name);
                take(self.glimpse((clients.value(row), ids.value(row)), summary, &attribute));
            }
            Ok(())
        })
        .await
    }

    /// Sessions with later events, from their digests; gives those for which these do not suffice.
    async fn past(&self, take: &mut impl FnMut(Glimpse<'_>)) -> Result<Unclear, ComputeError> {
        let mut unclear = Unclear::default();
        let columns = [
            "client_id",
            "session_id",
            "session_key",
            "attributes",
            "first_event_at",
            "last_seen_at",
            "digests",
            "truncated",
        ];
        let later = col("last_seen_at").gt(instant(self.scope.as_of));
        self.read(later, &columns, |batch| {
            let columns = Columns(batch);
            let (clients, ids) = (columns.text("client_id")?, columns.text("session_id")?);
            let (keys, truncated) = (columns.integer("session_key")?, columns.flag("truncated")?);
            let (lent, digests) = (columns.attributes()?, columns.digests()?);
            let (first, last) =
                (columns.instant("first_event_at")?, columns.instant("last_seen_at")?);
            for row in 0..batch.num_rows() {
                let name = (clients.value(row), ids.value(row));
                let Some(digests) = digests.get(row).filter(|_| !truncated.value(row)) else {
                    let span = (first.value(row), last.value(row));
                    unclear.add(keys.value(row), &name.0.into(), &name.1.into(), span);
                    continue;
                };
                let Some((summary, opening)) = self.summary(&digests) else { continue };
                let attribute = |name: &str| opening.and_then(|_| lent.get(row, name));
                take(self.glimpse(name, summary, &attribute));
            }
            Ok(())
        })
        .await?;
        Ok(unclear)
    }

    async fn read(
        &self,
        which: Expr,
        columns: &[&str],
        mut each: impl FnMut(&RecordBatch) -> Result<(), ComputeError>,
    ) -> Result<(), ComputeError> {
        let (from, to) = self.scope.period;
        // As of an instant before its start a session is in no funnel.
        let to = to.min(self.scope.as_of.saturating_add(1));
        let started_at = || col("started_at");
        let within = started_at().gt_eq(instant(from)).and(started_at().lt(instant(to)));
        let filter = self.scope.clients.iter().cloned().fold(which.and(within), Expr::and);
        let files = own_files(self.table, &self.definition.name);
        let table = LakeTable::of_files(self.lake, &SESSIONS, files).with_row_filter();
        let frame = self.context.read_table(Arc::new(table)).map_err(failed)?;
        let frame = frame.filter(filter).map_err(failed)?;
        let frame = frame.select(columns.iter().map(|name| col(*name))).map_err(failed)?;
        let mut stream = frame.execute_stream().await.map_err(failed)?;
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            each(&batch)?;
        }
        Ok(())
    }

    /// A session from its digests, with the index of the one that opened it; `None`: none is that old.
    fn summary(&self, digests: &[Digest]) -> Option<(Summary, Option<usize>)> {
        let as_of = self.scope.as_of;
        let known = digests.partition_point(|digest| digest.occurred_at <= as_of);
        Summary::of(&digests[..known], &self.definition.rules)
    }

    fn glimpse<'b>(
        &self,
        (client_id, session_id): (&'b str, &'b str),
        summary: Summary,
        attribute: &'b dyn Fn(&str) -> Option<&'b str>,
    ) -> Glimpse<'b> {
        let fate = summary.outlook().fate(&self.definition.rules, self.scope.as_of);
        Glimpse { summary, fate, client_id, session_id, attribute }
    }
}

fn failed(source: DataFusionError) -> ComputeError {
    ComputeError::query("read sessions", source)
}
