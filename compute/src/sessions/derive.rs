//! Rows straight from events: those of all sessions, and those that need a second, closer look.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::logical_expr::{Expr, col};

use super::catch_up::Job;
use super::definition::Definition;
use super::gather::{Gather, SessionEvents};
use super::keys;
use super::load::instant;
use super::row::{NeedsEvents, Row};
use crate::error::ComputeError;

/// Sessions whose rows cannot be made from what was read of their events.
#[derive(Default)]
pub(crate) struct Unclear {
    keys: HashSet<i64>,
    names: HashSet<(Arc<str>, Arc<str>)>,
    /// First and last instant of their events.
    span: Option<(i64, i64)>,
}

impl Unclear {
    /// Adds a session whose events lie between two instants, both inclusive.
    pub fn add(&mut self, key: i64, client: &Arc<str>, session: &Arc<str>, span: (i64, i64)) {
        self.keys.insert(key);
        self.names.insert((Arc::clone(client), Arc::clone(session)));
        self.widen(span);
    }

    fn widen(&mut self, (first, last): (i64, i64)) {
        let (least, greatest) = self.span.unwrap_or((first, last));
        self.span = Some((least.min(first), greatest.max(last)));
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// True for the events of these sessions, and hardly any other.
    pub fn filter(&self) -> Expr {
        let (first, last) = self.span.unwrap_or_default();
        keys::filter(&Arc::new(self.keys.clone()))
            .and(col("occurred_at").between(instant(first), instant(last)))
    }

    pub fn wants(&self, session: &SessionEvents) -> bool {
        self.names.contains(&(Arc::clone(&session.client_id), Arc::clone(&session.session_id)))
    }
}

/// The rows of all sessions, in the order of their keys except for those that need a second look.
pub(crate) struct AllRows {
    gather: Gather,
    unclear: Unclear,
    exact: Option<Gather>,
    read_before: u64,
}

impl AllRows {
    pub fn new(gather: Gather) -> Self {
        Self { gather, unclear: Unclear::default(), exact: None, read_before: 0 }
    }

    /// Some more rows; `None` at the end.
    pub async fn next(&mut self, job: &Job<'_>) -> Result<Option<Vec<Row>>, ComputeError> {
        let cap = job.settings.digests;
        if self.exact.is_none() {
            if let Some(sessions) = self.gather.next().await? {
                job.report(self.gather.events_read);
                return Ok(Some(self.clear(job.definition, sessions, cap)));
            }
            self.read_before = self.gather.events_read;
            if self.unclear.is_empty() {
                return Ok(None);
            }
            let again = job.gather(job.events.files.clone(), Some(&self.unclear)).await?;
            self.exact = Some(again);
        }
        match &mut self.exact {
            Some(exact) => exact_rows(exact, &self.unclear, job.definition, cap).await,
            None => Ok(None),
        }
    }

    fn clear(
        &mut self,
        definition: &Definition,
        sessions: Vec<SessionEvents>,
        cap: usize,
    ) -> Vec<Row> {
        let mut rows = Vec::with_capacity(sessions.len());
        for session in sessions {
            let (key, span) = (session.session_key, session.span());
            let name = (Arc::clone(&session.client_id), Arc::clone(&session.session_id));
            match Row::new(definition, session, cap) {
                Ok(row) => rows.push(row),
                Err(NeedsEvents) => self.unclear.add(key, &name.0, &name.1, span),
            }
        }
        rows
    }

    /// Events read so far.
    pub fn events_read(&self) -> u64 {
        self.exact
            .as_ref()
            .map_or(self.gather.events_read, |exact| self.read_before + exact.events_read)
    }
}

/// The rows of the sessions that are wanted, from events read in full.
pub(crate) async fn exact_rows(
    gather: &mut Gather,
    wanted: &Unclear,
    definition: &Definition,
    cap: usize,
) -> Result<Option<Vec<Row>>, ComputeError> {
    let Some(sessions) = gather.next().await? else { return Ok(None) };
    let mut rows = Vec::new();
    for session in sessions.into_iter().filter(|session| wanted.wants(session)) {
        let name = format!("session {:?} of {:?}", session.session_id, session.client_id);
        let row = Row::new(definition, session, cap);
        rows.push(row.map_err(|NeedsEvents| ComputeError::Damaged {
            reason: format!("{name} cannot be folded"),
        })?);
    }
    Ok(Some(rows))
}
