//! What becomes of the rows: a population for every figure, or counts for the funnel alone.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};

use super::scan::Sink;
use super::{CLIENT_ID, Wanted};
use crate::error::ComputeError;
use crate::fold::{Outlook, Session};
use crate::metrics::population::{Counts, Population, Scope};
use crate::sessions::columns::{Columns, StageColumn};

/// Everything that figures are made of.
pub(super) struct Collected {
    pub population: Population,
    wanted: Arc<Wanted>,
    scope: Arc<Scope>,
}

impl Sink for Collected {
    fn new(scope: &Arc<Scope>, wanted: &Arc<Wanted>, room: usize) -> Self {
        let population = Population::empty(scope.rules.count(), &wanted.names, scope.period, room);
        Self { population, wanted: Arc::clone(wanted), scope: Arc::clone(scope) }
    }

    fn columns(wanted: &Wanted) -> Vec<&'static str> {
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
        ];
        columns.extend(wanted.errors.then_some("errors"));
        columns.extend(wanted.names.iter().map(|name| match name.as_str() {
            CLIENT_ID => CLIENT_ID,
            _ => "attributes",
        }));
        columns
    }

    fn add_rows(&mut self, rows: &RecordBatch) -> Result<(), ComputeError> {
        let columns = Columns(rows);
        let stage_at = columns.stage_at()?;
        let chosen = self.choose(&columns, &stage_at)?;
        // What was reached within the horizon counts of those that were watched that long.
        let mature = |one: &Chosen| self.scope.mature(one.started_at, one.mask.in_horizon);
        let masks = chosen.iter().map(|one| (one.mask.reached, one.mask.by_name, mature(one)));
        self.population.add_masks(masks);
        let times = stage_at.at.values();
        self.population.add_stages(|stage| chosen.iter().map(move |one| times[one.stages + stage]));
        let last = columns.instant("last_event_at")?;
        let (given_up, interrupted) =
            (columns.flag("given_up")?, columns.instant("interrupted_at")?);
        let reason = columns.text("loss_reason")?;
        for one in &chosen {
            let row = one.row;
            let outlook = Outlook {
                started_at: Some(one.started_at),
                furthest: one.mask.furthest,
                last_event_at: last.value(row),
                given_up: given_up.value(row),
                interrupted_at: interrupted.is_valid(row).then(|| interrupted.value(row)),
            };
            let reason = reason.is_valid(row).then(|| reason.value(row));
            self.population.add_fate(outlook, reason, &self.scope);
        }
        self.add_errors(&columns, &chosen)?;
        self.add_attributes(&columns, &chosen)
    }

    fn add_session(&mut self, session: &Session) {
        self.population.add_session(session, &self.scope);
    }

    fn append(&mut self, other: Self) {
        self.population.append(other.population);
    }
}
/// A session that becomes one of the population.
struct Chosen {
    row: usize,
    mask: Mask,
    started_at: i64,
    /// Where the times of its stages begin.
    stages: usize,
}

impl Collected {
    /// The sessions of the scope that no exclusion takes out; of the others it is noted that they are there.
    fn choose(
        &mut self,
        columns: &Columns<'_>,
        stage_at: &StageColumn<'_>,
    ) -> Result<Vec<Chosen>, ComputeError> {
        let masks = Masks::of(columns)?;
        let first = columns.instant("first_event_at")?;
        let mut chosen = Vec::with_capacity(columns.0.num_rows());
        for row in 0..columns.0.num_rows() {
            let mask = masks.get(row, &self.scope);
            if mask.reached & 1 == 0 {
                self.population.add_orphan(first.value(row), &self.scope);
                continue;
            }
            let places = stage_at.range(row);
            if places.len() != self.scope.rules.count() {
                let reason =
                    format!("a session has {} stages, its funnel has others", places.len());
                return Err(ComputeError::Damaged { reason });
            }
            let started_at = stage_at.at.value(places.start);
            if !self.scope.holds(started_at) {
                continue;
            }
            if masks.excluded(row) {
                self.population.add_excluded();
                continue;
            }
            chosen.push(Chosen { row, mask, started_at, stages: places.start });
        }
        Ok(chosen)
    }

    fn add_errors(&mut self, columns: &Columns<'_>, chosen: &[Chosen]) -> Result<(), ComputeError> {
        let errors = self.wanted.errors.then(|| columns.errors()).transpose()?;
        for one in chosen {
            if let Some(errors) = &errors {
                for place in errors.range(one.row) {
                    self.population
                        .push_error(errors.occurred_at.value(place), errors.code.value(place));
                }
            }
            self.population.end_errors();
        }
        Ok(())
    }

    fn add_attributes(
        &mut self,
        columns: &Columns<'_>,
        chosen: &[Chosen],
    ) -> Result<(), ComputeError> {
        for (name, values) in self.population.attributes_mut() {
            if name == CLIENT_ID {
                let clients = columns.text(CLIENT_ID)?;
                chosen.iter().for_each(|one| values.push(Some(clients.value(one.row))));
                continue;
            }
            let attributes = columns.attributes()?;
            chosen.iter().for_each(|one| values.push(attributes.get(one.row, name)));
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
    fn new(scope: &Arc<Scope>, _: &Arc<Wanted>, _: usize) -> Self {
        let none = || Counts::none(scope.rules.count());
        Self { raw: none(), mature: none(), scope: Arc::clone(scope) }
    }

    fn columns(_: &Wanted) -> Vec<&'static str> {
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
pub(super) struct Masks<'a> {
    by_name: &'a arrow::array::Int32Array,
    in_horizon: &'a arrow::array::Int32Array,
    furthest: &'a arrow::array::Int32Array,
    excluded: &'a arrow::array::BooleanArray,
}

pub(super) struct Mask {
    pub reached: u32,
    by_name: u32,
    in_horizon: u32,
    pub furthest: usize,
}

impl<'a> Masks<'a> {
    pub fn of(columns: &Columns<'a>) -> Result<Self, ComputeError> {
        Ok(Self {
            by_name: columns.short("reached")?,
            in_horizon: columns.short("reached_in_horizon")?,
            furthest: columns.short("furthest_stage")?,
            excluded: columns.flag("excluded")?,
        })
    }

    #[inline]
    pub fn get(&self, row: usize, scope: &Scope) -> Mask {
        let (by_name, furthest) =
            (self.by_name.values()[row] as u32, self.furthest.values()[row] as usize);
        Mask {
            reached: scope.rules.reached(by_name, furthest),
            by_name,
            in_horizon: self.in_horizon.value(row) as u32,
            furthest,
        }
    }

    pub fn excluded(&self, row: usize) -> bool {
        self.excluded.value(row)
    }
}
