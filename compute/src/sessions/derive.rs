//! Rows straight from events: those of all sessions, and those that need a second, closer look.

use std::collections::HashSet;
use std::sync::Arc;

use super::catch_up::Job;
use super::definition::Definition;
use super::gather::{Gather, SessionEvents};
use super::row::{NeedsEvents, Row};
use crate::error::ComputeError;

/// Sessions whose rows cannot be made from what was read of their events.
#[derive(Default)]
pub(crate) struct Unclear {
    pub keys: HashSet<i64>,
    pub names: HashSet<(Arc<str>, Arc<str>)>,
}

impl Unclear {
    pub fn add(&mut self, key: i64, client: &Arc<str>, session: &Arc<str>) {
        self.keys.insert(key);
        self.names.insert((Arc::clone(client), Arc::clone(session)));
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
            let keys = Arc::new(std::mem::take(&mut self.unclear.keys));
            if keys.is_empty() {
                return Ok(None);
            }
            self.exact = Some(job.gather(job.events.files.clone(), Some(&keys), true).await?);
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
            let key = session.session_key;
            let name = (Arc::clone(&session.client_id), Arc::clone(&session.session_id));
            match Row::new(definition, session, cap) {
                Ok(row) => rows.push(row),
                Err(NeedsEvents) => self.unclear.add(key, &name.0, &name.1),
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
