//! Sessions as they were before their last event: from their digests, or from their events.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::logical_expr::{Expr, col};
use futures::TryStreamExt;
use onramp_lake::DataFile;
use onramp_schemas::tables::{EVENTS, SESSIONS};

use super::scan::Sink;
use super::{CLIENT_ID, Loader, failed, instant};
use crate::error::ComputeError;
use crate::fold::{Session, fold};
use crate::metrics::population::Scope;
use crate::scan::LakeTable;
use crate::sessions::columns::Columns;
use crate::sessions::definition::Definition;
use crate::sessions::derive::Unclear;
use crate::sessions::gather::{Gather, SessionEvents};
use crate::sessions::row::{Folded, NeedsEvents};

impl Loader<'_> {
    /// Adds the sessions of these files that have events after the scope's instant.
    pub(super) async fn add_past<S: Sink>(
        &self,
        files: Vec<DataFile>,
        scope: &Scope,
        sink: &mut S,
    ) -> Result<(), ComputeError> {
        let table = LakeTable::of_files(self.lake, &SESSIONS, files).with_row_filter();
        let frame = self.context.read_table(Arc::new(table)).map_err(failed)?;
        let frame = frame.filter(self.past_filter(scope)).map_err(failed)?;
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
        let frame = frame.select(wanted.map(col)).map_err(failed)?;
        let mut stream = frame.execute_stream().await.map_err(failed)?;
        let mut unclear = Unclear::default();
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            self.fold_batch(&batch, sink, &mut unclear)?;
        }
        if unclear.is_empty() {
            return Ok(());
        }
        self.add_refolded(&unclear, sink).await
    }

    fn past_filter(&self, scope: &Scope) -> Expr {
        let as_of = instant(scope.as_of);
        let within = |column: &str| {
            let (from, to) = scope.period;
            col(column).gt_eq(instant(from)).and(col(column).lt(instant(to)))
        };
        // As of an instant before its start a session is one without.
        let unstarted = col("started_at").is_null().or(col("started_at").gt(as_of.clone()));
        let filter = col("first_event_at")
            .lt_eq(as_of.clone())
            .and(col("last_seen_at").gt(as_of))
            .and(within("started_at").or(unstarted.and(within("first_event_at"))));
        let clients = self.request.selection.clients_filter(self.request.client_id.as_deref());
        clients.into_iter().fold(filter, Expr::and)
    }

    fn fold_batch<S: Sink>(
        &self,
        batch: &RecordBatch,
        sink: &mut S,
        unclear: &mut Unclear,
    ) -> Result<(), ComputeError> {
        let columns = Columns(batch);
        let (clients, ids) = (columns.text("client_id")?, columns.text("session_id")?);
        let (keys, truncated) = (columns.integer("session_key")?, columns.flag("truncated")?);
        let (lent, digests) = (columns.attributes()?, columns.digests()?);
        let (first, last) = (columns.instant("first_event_at")?, columns.instant("last_seen_at")?);
        for row in 0..batch.num_rows() {
            let name = (Arc::from(clients.value(row)), Arc::from(ids.value(row)));
            let Some(digests) = digests.get(row).filter(|_| !truncated.value(row)) else {
                let span = (first.value(row), last.value(row));
                unclear.add(keys.value(row), &name.0, &name.1, span);
                continue;
            };
            let Some(folded) = fold(&digests, &self.definition.rules, self.request.as_of) else {
                continue;
            };
            let opened = folded.opening.is_some();
            let attributes = attributes(&self.wanted.names, &name.0, |wanted| {
                let mut pairs = lent.pairs(row).filter(|_| opened);
                pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
            });
            let (client_id, session_id) = name;
            self.add(Session { client_id, session_id, attributes, folded }, sink);
        }
        Ok(())
    }

    fn add<S: Sink>(&self, session: Session, sink: &mut S) {
        if self.request.selection.holds(&session, &self.wanted.names) {
            sink.add_session(&session);
        }
    }

    /// Folds sessions from all their events.
    async fn add_refolded<S: Sink>(
        &self,
        unclear: &Unclear,
        sink: &mut S,
    ) -> Result<(), ComputeError> {
        let events = LakeTable::of_files(self.lake, &EVENTS, self.events.files.clone());
        let mut gather =
            Gather::start(&self.context, events, &self.definition, Some(unclear.filter())).await?;
        while let Some(some) = gather.next().await? {
            for session in some.into_iter().filter(|session| unclear.wants(session)) {
                let as_of = self.request.as_of;
                let folded = refold(&self.definition, &self.wanted.names, as_of, session)?;
                folded.into_iter().for_each(|session| self.add(session, sink));
            }
        }
        Ok(())
    }
}

/// Folds a session from all its events, read in full; `None`: none of them is that old.
pub(in crate::sessions) fn refold(
    definition: &Definition,
    names: &[String],
    as_of: i64,
    session: SessionEvents,
) -> Result<Option<Session>, ComputeError> {
    let (client_id, session_id) = (session.client_id, session.session_id);
    let all =
        Folded::new(definition, session.events).map_err(|NeedsEvents| ComputeError::Damaged {
            reason: format!("session {session_id:?} of {client_id:?} cannot be folded"),
        })?;
    let Some(folded) = fold(&all.digests, &definition.rules, as_of) else { return Ok(None) };
    let lent = folded.opening.map(|opening| all.attributes(opening)).unwrap_or_default();
    let find = |wanted: &str| lent.get(wanted).map(String::as_str);
    let attributes = attributes(names, &client_id, find);
    Ok(Some(Session { client_id, session_id, attributes, folded }))
}

fn attributes<'a>(
    names: &[String],
    client: &Arc<str>,
    find: impl Fn(&str) -> Option<&'a str>,
) -> Box<[Option<Arc<str>>]> {
    let one = |name: &String| match name.as_str() {
        CLIENT_ID => Some(Arc::clone(client)),
        name => find(name).map(Arc::from),
    };
    names.iter().map(one).collect()
}
