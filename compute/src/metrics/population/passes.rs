//! Passes over the sessions of a population: what figures ask of them.

use std::ops::Range;

use super::{Basis, Population, STATES, State};
use crate::metrics::labels::Labelled;

/// How a session left a required stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::metrics) enum Left {
    /// Lost there.
    Lost,
    /// Passed on: when it reached the next required stage.
    Passed { at: i64 },
}

/// How a session went from one stage to another.
#[derive(Clone, Copy, Debug)]
pub(in crate::metrics) struct Passage {
    pub started_at: i64,
    /// It was watched for the horizon.
    pub is_watched: bool,
    /// When it reached the one.
    pub since: Option<i64>,
    /// When it reached the other.
    pub until: Option<i64>,
}

/// Sessions by the value of an attribute.
pub(in crate::metrics) struct Groups<'a> {
    /// The values, sorted by their bytes, `None` last.
    pub values: Vec<Option<&'a str>>,
    /// Index of its value, by session.
    pub of_row: Vec<usize>,
}

/// Something for each error code.
pub(in crate::metrics) struct ByCode<'a, T> {
    codes: &'a Labelled,
    values: Vec<T>,
}

impl<'a, T: Clone + Default + PartialEq> ByCode<'a, T> {
    /// For the codes of a population.
    pub fn new(population: &'a Population) -> Self {
        let codes = &population.error_code;
        Self { codes, values: vec![T::default(); codes.texts().len()] }
    }

    /// That of a code by its number.
    pub fn of(&mut self, code: u32) -> &mut T {
        &mut self.values[code as usize]
    }

    /// What is there for each code, by its text and in the order of it.
    pub fn named(self) -> impl Iterator<Item = (&'a str, T)> {
        let texts = self.codes.texts().iter().map(|text| &**text);
        let mut named: Vec<(&str, T)> = texts.zip(self.values).collect();
        named.retain(|(_, value)| *value != T::default());
        named.sort_unstable_by_key(|(text, _)| *text);
        named.into_iter()
    }
}

/// How many sessions are in which state, by the number of the furthest required stage.
pub(in crate::metrics) struct Standing {
    counts: Vec<[u64; STATES.len()]>,
}

impl Standing {
    /// Those at a stage, from 1, in such states.
    pub fn count(&self, furthest: usize, is: fn(State) -> bool) -> u64 {
        STATES
            .into_iter()
            .filter(|&state| is(state))
            .map(|it| self.counts[furthest][it as usize])
            .sum()
    }

    /// All in such states.
    pub fn total(&self, is: fn(State) -> bool) -> u64 {
        (0..self.counts.len()).map(|furthest| self.count(furthest, is)).sum()
    }
}

impl Population {
    pub(in crate::metrics) fn rows(&self) -> Range<usize> {
        0..self.reached.len()
    }

    pub(in crate::metrics) fn stages(&self) -> usize {
        self.stage_at.len()
    }

    /// `t_k` of a session, where it reached the stage.
    pub(in crate::metrics) fn at(&self, row: usize, stage: usize) -> Option<i64> {
        (self.reached[row] >> stage & 1 == 1).then(|| self.stage_at[stage][row])
    }

    /// `t_1`, which every session of a population has.
    pub(in crate::metrics) fn started_at(&self, row: usize) -> i64 {
        self.stage_at[0][row]
    }

    /// Microseconds from one stage to another, where both were reached.
    #[inline]
    pub(in crate::metrics) fn between(&self, row: usize, from: usize, to: usize) -> Option<i64> {
        Some(self.at(row, to)? - self.at(row, from)?)
    }

    /// The same of every session that reached both.
    pub(in crate::metrics) fn durations(&self, from: usize, to: usize) -> Vec<i64> {
        let both = 1 << from | 1 << to;
        let times = self.stage_at[from].iter().zip(&self.stage_at[to]);
        let masked = self.reached.iter().zip(times);
        let took =
            masked.map(|(mask, (start, end))| (mask & both == both, end.wrapping_sub(*start)));
        kept(took)
    }

    /// The sessions that reached one stage and not another.
    pub(in crate::metrics) fn reached_only(
        &self,
        stage: usize,
        other: usize,
    ) -> impl Iterator<Item = usize> {
        let either = 1 << stage | 1 << other;
        let masks = self.reached.iter().zip(0..self.reached.len() as u32);
        kept(masks.map(|(mask, row)| (mask & either == 1 << stage, row)))
            .into_iter()
            .map(|row| row as usize)
    }

    /// When the first session reached a stage.
    pub(in crate::metrics) fn earliest(&self, stage: usize) -> Option<i64> {
        let masked = self.reached.iter().zip(&self.stage_at[stage]);
        masked.filter(|(mask, _)| *mask >> stage & 1 == 1).map(|(_, &at)| at).min()
    }

    /// Every session's passage from one stage to another, as far as it came.
    pub(in crate::metrics) fn passages(
        &self,
        from: usize,
        to: usize,
    ) -> impl Iterator<Item = Passage> {
        let masks = self.reached.iter().zip(&self.mature);
        let times = self.stage_at[from].iter().zip(&self.stage_at[to]);
        masks.zip(times).zip(&self.stage_at[0]).map(
            move |(((reached, mature), (&since, &until)), &started_at)| Passage {
                started_at,
                is_watched: mature & 1 == 1,
                since: (reached >> from & 1 == 1).then_some(since),
                until: (reached >> to & 1 == 1).then_some(until),
            },
        )
    }

    /// Sessions that had errors.
    pub(in crate::metrics) fn with_errors(&self) -> impl Iterator<Item = usize> {
        let starts = std::iter::once(&0).chain(&self.errors_end);
        let ends = self.errors_end.iter().zip(starts).enumerate();
        ends.filter(|(_, (end, start))| end > start).map(|(row, _)| row)
    }

    /// The sessions lost at a required stage, of which none reached the next one: when each came to the
    /// stage, and its last activity.
    pub(in crate::metrics) fn lost_at_stage(
        &self,
        stage: usize,
        next: usize,
    ) -> impl Iterator<Item = (i64, i64)> {
        let (either, here) = (1 << stage | 1 << next, stage as u8 + 1);
        let ends = self.state.iter().zip(&self.furthest).zip(&self.reached).zip(0_u32..);
        let lost = ends.map(|(((&state, &furthest), mask), row)| {
            ((state == State::Lost) & (furthest == here) & (mask & either == 1 << stage), row)
        });
        kept(lost).into_iter().map(move |row| {
            let row = row as usize;
            (self.stage_at[stage][row], self.last_event_at[row])
        })
    }

    /// How many sessions of a basis are in which state, and where.
    pub(in crate::metrics) fn standing(&self, basis: Basis) -> Standing {
        let mut counts = vec![[0; STATES.len()]; self.stages() + 1];
        let ends = self.state.iter().zip(&self.furthest).zip(basis.masks(self));
        for ((&state, &furthest), mask) in ends {
            counts[usize::from(furthest)][state as usize] += u64::from(mask & 1);
        }
        Standing { counts }
    }

    pub(in crate::metrics) fn state(&self, row: usize) -> State {
        self.state[row]
    }

    /// When the loss of a session was declared, if it was.
    pub(in crate::metrics) fn lost_at(&self, row: usize) -> Option<i64> {
        (self.state[row] == State::Lost).then(|| self.lost_at[row])
    }

    /// Number of the furthest required stage of a session.
    pub(in crate::metrics) fn furthest(&self, row: usize) -> usize {
        usize::from(self.furthest[row])
    }

    /// Sessions without a first stage whose first event lies in `[from, to)`.
    pub(in crate::metrics) fn orphans(&self, from: i64, to: i64) -> u64 {
        self.orphans.iter().filter(|&&at| (from..to).contains(&at)).count() as u64
    }

    fn error_places(&self, row: usize) -> Range<usize> {
        let start = row.checked_sub(1).map_or(0, |before| self.errors_end[before]) as usize;
        start..self.errors_end[row] as usize
    }

    /// The distinct codes of a session's errors in a span of time, as numbers for [`ByCode`].
    pub(in crate::metrics) fn codes(&self, row: usize, during: Range<i64>, codes: &mut Vec<u32>) {
        codes.clear();
        let within = self.error_places(row).filter(|&place| during.contains(&self.error_at[place]));
        codes.extend(within.map(|place| self.error_code.number(place)));
        if codes.len() > 1 {
            codes.sort_unstable();
            codes.dedup();
        }
    }

    /// Groups the sessions by an attribute; those without it, or all if none has it, by `None`.
    pub(in crate::metrics) fn groups(&self, attribute: &str) -> Groups<'_> {
        match self.attributes.iter().find(|(name, _)| name == attribute) {
            Some((_, column)) => column.groups(),
            None => Groups {
                values: self.rows().take(1).map(|_| None).collect(),
                of_row: vec![0; self.rows().len()],
            },
        }
    }

    /// How a session left the required stage `stage`, whose next required one is `next`; `None`
    /// when it never came there or is still there.
    pub(in crate::metrics) fn left(&self, row: usize, stage: usize, next: usize) -> Option<Left> {
        if let Some(at) = self.at(row, next) {
            return Some(Left::Passed { at });
        }
        let lost = self.furthest(row) == stage + 1 && self.state[row] == State::Lost;
        lost.then_some(Left::Lost)
    }
}

/// Those that are marked, in their order; whether one is cannot be foreseen, so that there is no branch.
fn kept<T: Copy + Default>(all: impl Iterator<Item = (bool, T)> + Clone) -> Vec<T> {
    let marked = all.clone().map(|(is_kept, _)| u32::from(is_kept)).sum::<u32>();
    // The last place takes what is written after all have been kept.
    let mut kept = vec![T::default(); marked as usize + 1];
    let mut count = 0;
    for (is_kept, one) in all {
        kept[count] = one;
        count += usize::from(is_kept);
    }
    kept.truncate(count);
    kept
}
