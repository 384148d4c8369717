//! When the sessions of a list started: how many there are, and from when on the last ones did.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};

use super::Wanted;
use super::scan::Sink;
use super::sinks::Masks;
use crate::error::ComputeError;
use crate::fold::{Outlook, Session};
use crate::metrics::population::Scope;
use crate::sessions::columns::Columns;
use crate::sessions::filter::Filter;

/// Which sessions are listed, and how many of the last ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    pub filter: Filter,
    pub most: usize,
}

/// Sessions that are listed.
pub(crate) struct Starts {
    pub total: u64,
    /// Those of the last ones, the earliest on top.
    last: BinaryHeap<Reverse<i64>>,
    wanted: Arc<Wanted>,
    scope: Arc<Scope>,
}

impl Starts {
    /// The start of the earliest that is among the last ones; `None`: there are no more than are wanted.
    pub fn since(&self) -> Option<i64> {
        let earliest = self.last.peek().map(|&Reverse(at)| at);
        earliest.filter(|_| self.last.len() == self.wanted.listed.most)
    }

    fn add(&mut self, started_at: i64) {
        self.total += 1;
        self.keep(started_at);
    }

    fn keep(&mut self, started_at: i64) {
        if self.last.len() < self.wanted.listed.most {
            self.last.push(Reverse(started_at));
        } else if let Some(mut earliest) = self.last.peek_mut()
            && earliest.0 < started_at
        {
            *earliest = Reverse(started_at);
        }
    }
}

impl Sink for Starts {
    fn new(scope: &Arc<Scope>, wanted: &Arc<Wanted>, _: usize) -> Self {
        let (wanted, scope) = (Arc::clone(wanted), Arc::clone(scope));
        Self { total: 0, last: BinaryHeap::new(), wanted, scope }
    }

    fn columns(_: &Wanted) -> Vec<&'static str> {
        vec![
            "started_at",
            "reached",
            "reached_in_horizon",
            "furthest_stage",
            "last_event_at",
            "excluded",
            "given_up",
            "interrupted_at",
        ]
    }

    fn add_rows(&mut self, rows: &RecordBatch) -> Result<(), ComputeError> {
        let columns = Columns(rows);
        let masks = Masks::of(&columns)?;
        let (started, last) = (columns.instant("started_at")?, columns.instant("last_event_at")?);
        let (given_up, interrupted) =
            (columns.flag("given_up")?, columns.instant("interrupted_at")?);
        for row in 0..rows.num_rows() {
            let (mask, started_at) = (masks.get(row, &self.scope), started.value(row));
            if started.is_null(row) || !self.scope.holds(started_at) || masks.excluded(row) {
                continue;
            }
            let outlook = Outlook {
                started_at: Some(started_at),
                furthest: mask.furthest,
                last_event_at: last.value(row),
                given_up: given_up.value(row),
                interrupted_at: interrupted.is_valid(row).then(|| interrupted.value(row)),
            };
            let fate = outlook.fate(&self.scope.rules, self.scope.as_of);
            if self.wanted.listed.filter.holds(mask.reached, mask.furthest, fate) {
                self.add(started_at);
            }
        }
        Ok(())
    }

    fn add_session(&mut self, session: &Session) {
        let folded = &session.folded;
        let started_at = folded.started_at().filter(|&at| self.scope.holds(at));
        let Some(started_at) = started_at.filter(|_| !folded.excluded) else { return };
        let reached = self.scope.rules.reached(folded.reached, folded.furthest);
        if self.wanted.listed.filter.holds(reached, folded.furthest, folded.fate) {
            self.add(started_at);
        }
    }

    fn append(&mut self, other: Self) {
        self.total += other.total;
        other.last.into_iter().for_each(|Reverse(at)| self.keep(at));
    }
}
