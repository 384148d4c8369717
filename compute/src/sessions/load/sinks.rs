//! What becomes of the rows: a population for every figure, or counts for the funnel alone.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};

use super::CLIENT_ID;
use super::scan::Sink;
use crate::error::ComputeError;
use crate::fold::{Outlook, Session};
use crate::metrics::population::{Counts, Entry, Population, Scope};
use crate::sessions::columns::Columns;

/// Everything that figures are made of.
pub(super) struct Collected {
    pub population: Population,
    scope: Arc<Scope>,
}

impl Sink for Collected {
    fn new(scope: &Arc<Scope>, names: &Arc<[String]>, room: usize) -> Self {
        let population = Population::empty(scope.rules.count(), names, scope.period, room);
        Self { population, scope: Arc::clone(scope) }
    }

    fn columns(names: &[String]) -> Vec<&'static str> {
        let mut columns = vec![
            "stage_at",
            "reached",
            "reached_in_horizon",
            "furthest_stage",
            "first_event_at",
            "last_event_at",
            "excluded",
            "given_up",
            "interrupted_at",
            "loss_reason",
            "errors",
        ];
        columns.extend(names.iter().map(|name| match name.as_str() {
            CLIENT_ID => CLIENT_ID,
            _ => "attributes",
        }));
        columns
    }

    fn add_rows(&mut self, rows: &RecordBatch) -> Result<(), ComputeError> {
        let columns = Columns(rows);
        let (stage_at, errors) = (columns.stage_at()?, columns.errors()?);
        let masks = Masks::of(&columns)?;
        let (first, last) = (columns.instant("first_event_at")?, columns.instant("last_event_at")?);
        let (given_up, interrupted) =
            (columns.flag("given_up")?, columns.instant("interrupted_at")?);
        let reason = columns.text("loss_reason")?;
        let mut chosen = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let mask = masks.get(row, &self.scope);
            if mask.reached & 1 == 0 {
                self.population.add_orphan(first.value(row), &self.scope);
                continue;
            }
            let places = stage_at.range(row);
            let started_at = stage_at.at.value(places.start);
            if !self.scope.holds(started_at) {
                continue;
            }
            if masks.excluded(row) {
                self.population.add_excluded();
                continue;
            }
            chosen.push(row);
            let outlook = Outlook {
                started_at: Some(started_at),
                furthest: mask.furthest,
                last_event_at: last.value(row),
                given_up: given_up.value(row),
                interrupted_at: interrupted.is_valid(row).then(|| interrupted.value(row)),
            };
            let entry = Entry {
                reached: mask.reached,
                by_name: mask.by_name,
                in_horizon: mask.in_horizon,
                outlook,
                reason: reason.is_valid(row).then(|| reason.value(row)),
            };
            let stage_at = stage_at.at.values()[places].iter().copied();
            self.population.add(&entry, stage_at, &self.scope);
            for place in errors.range(row) {
                self.population
                    .push_error(errors.occurred_at.value(place), errors.code.value(place));
            }
            self.population.end_errors();
        }
        self.add_attributes(&columns, &chosen)
    }

    fn add_session(&mut self, session: &Session) {
        self.population.add_session(session, &self.scope);
    }

    fn append(&mut self, other: Self) {
        self.population.append(other.population);
    }
}

impl Collected {
    fn add_attributes(
        &mut self,
        columns: &Columns<'_>,
        rows: &[usize],
    ) -> Result<(), ComputeError> {
        for (name, values) in self.population.attributes_mut() {
            if name == CLIENT_ID {
                let clients = columns.text(CLIENT_ID)?;
                rows.iter().for_each(|&row| values.push(Some(clients.value(row))));
                continue;
            }
            let attributes = columns.attributes()?;
            for &row in rows {
                let named = attributes.pairs(row).find(|(known, _)| *known == name);
                values.push(named.map(|(_, value)| value));
            }
        }
        Ok(())
    }
}

/// How many sessions reached each stage.
pub(super) struct Counted {
    pub raw: Counts,
    pub mature: Counts,
    scope: Arc<Scope>,
}

impl Sink for Counted {
    fn new(scope: &Arc<Scope>, _: &Arc<[String]>, _: usize) -> Self {
        let none = || Counts::none(scope.rules.count());
        Self { raw: none(), mature: none(), scope: Arc::clone(scope) }
    }

    fn columns(_: &[String]) -> Vec<&'static str> {
        vec!["started_at", "reached", "reached_in_horizon", "furthest_stage", "excluded"]
    }

    fn add_rows(&mut self, rows: &RecordBatch) -> Result<(), ComputeError> {
        let columns = Columns(rows);
        let (masks, started) = (Masks::of(&columns)?, columns.instant("started_at")?);
        let may_exclude = masks.excluded.true_count() > 0;
        let counted = |row: usize| {
            let mask = masks.get(row, &self.scope);
            let started_at = started.values()[row];
            let counts = mask.reached & 1 == 1
                && self.scope.holds(started_at)
                && !(may_exclude && masks.excluded(row));
            let mature = self.scope.mature(started_at, mask.in_horizon);
            if counts { (mask.reached, mature) } else { (0, 0) }
        };
        let (raw, mature): (Vec<u32>, Vec<u32>) = (0..rows.num_rows()).map(counted).unzip();
        self.raw.add_masks(&raw);
        self.mature.add_masks(&mature);
        Ok(())
    }

    fn add_session(&mut self, session: &Session) {
        let folded = &session.folded;
        let started_at = folded.started_at().filter(|&at| self.scope.holds(at));
        if let Some(started_at) = started_at.filter(|_| !folded.excluded) {
            let reached = self.scope.rules.reached(folded.reached, folded.furthest);
            self.add(reached, self.scope.mature(started_at, folded.in_horizon));
        }
    }

    fn append(&mut self, other: Self) {
        self.raw.append(&other.raw);
        self.mature.append(&other.mature);
    }
}

impl Counted {
    fn add(&mut self, reached: u32, mature: u32) {
        self.raw.add_mask(reached);
        self.mature.add_mask(mature);
    }
}

/// The columns that tell which stages were reached.
struct Masks<'a> {
    by_name: &'a arrow::array::Int32Array,
    in_horizon: &'a arrow::array::Int32Array,
    furthest: &'a arrow::array::Int32Array,
    excluded: &'a arrow::array::BooleanArray,
}

struct Mask {
    reached: u32,
    by_name: u32,
    in_horizon: u32,
    furthest: usize,
}

impl<'a> Masks<'a> {
    fn of(columns: &Columns<'a>) -> Result<Self, ComputeError> {
        Ok(Self {
            by_name: columns.short("reached")?,
            in_horizon: columns.short("reached_in_horizon")?,
            furthest: columns.short("furthest_stage")?,
            excluded: columns.flag("excluded")?,
        })
    }

    #[inline]
    fn get(&self, row: usize, scope: &Scope) -> Mask {
        let (by_name, furthest) =
            (self.by_name.values()[row] as u32, self.furthest.values()[row] as usize);
        Mask {
            reached: scope.rules.reached(by_name, furthest),
            by_name,
            in_horizon: self.in_horizon.value(row) as u32,
            furthest,
        }
    }

    fn excluded(&self, row: usize) -> bool {
        self.excluded.value(row)
    }
}
