//! Which sessions a figure is about, and how far a figure lets them have come.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use onramp_schemas::funnel::Funnel;

use crate::fold::{CodedError, Fate, Folded, Session};

/// The stages of a funnel as the figures need them; all stages count from 0 here.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub names: Vec<String>,
    pub optional: Vec<bool>,
    pub required: Vec<usize>,
}

impl Shape {
    pub fn new(funnel: &Funnel) -> Shape {
        Shape {
            names: funnel.stages.iter().map(|stage| stage.name.clone()).collect(),
            optional: funnel.stages.iter().map(|stage| stage.optional).collect(),
            required: funnel.required(),
        }
    }

    pub fn count(&self) -> usize {
        self.names.len()
    }

    pub fn last(&self) -> usize {
        self.count() - 1
    }

    /// The required stage before, to which step figures refer; `None` for the first.
    pub fn previous(&self, stage: usize) -> Option<usize> {
        self.required.iter().copied().rfind(|&required| required < stage)
    }

    /// Required stages with the required stage after each.
    pub fn steps(&self) -> impl Iterator<Item = (usize, usize)> {
        self.required.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// The required stage after.
    pub fn next(&self, stage: usize) -> Option<usize> {
        self.required.iter().copied().find(|&required| required > stage)
    }
}

/// On what footing sessions are counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Basis {
    /// Every session, whatever it has reached up to the as-of instant.
    Raw,
    /// Sessions that started early enough to have been watched for the horizon, and only what they
    /// reached within it: everyone is watched equally long.
    Mature { latest_start: i64, horizon: i64 },
}

impl Basis {
    pub fn mature(as_of: i64, horizon: i64) -> Basis {
        Basis::Mature { latest_start: as_of.saturating_sub(horizon), horizon }
    }

    pub fn holds(self, population: &Population, row: usize) -> bool {
        match self {
            Basis::Raw => true,
            Basis::Mature { latest_start, .. } => population.started_at(row) <= latest_start,
        }
    }

    pub fn reached(self, population: &Population, row: usize, stage: usize) -> bool {
        let age = population.between(row, 0, stage);
        match self {
            Basis::Raw => age.is_some(),
            Basis::Mature { horizon, .. } => age.is_some_and(|age| age <= horizon),
        }
    }
}

/// How a session left a required stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Lost: its last activity.
    Lost { at: i64 },
    /// Passed on: when it reached the next required stage.
    Passed { at: i64 },
}

/// The sessions of one period, by columns: figures pass over millions of them many times.
pub(super) struct Population<'a> {
    /// The sessions themselves, for what is seldom asked.
    pub sessions: Vec<&'a Session>,
    /// Bit k: the session reached stage k (in an unordered funnel, that many stages).
    reached: Vec<u32>,
    /// `t_k` by stage, then by session; meaningless where the stage was not reached.
    stage_at: Vec<Vec<i64>>,
    pub fate: Vec<Fate>,
    /// Number of the furthest required stage.
    pub furthest: Vec<usize>,
    last_event_at: Vec<i64>,
    pub errors: Vec<&'a [CodedError]>,
}

/// Sessions by the value of an attribute.
pub(super) struct Groups<'a> {
    /// The values, sorted by their bytes, `None` last.
    pub values: Vec<Option<&'a Arc<str>>>,
    /// Index of its value, by session.
    pub of_row: Vec<usize>,
}

impl<'a> Population<'a> {
    /// Sessions in the funnel that started in `[from, to)` and were not excluded.
    pub fn new(sessions: &'a [Session], stages: usize, from: i64, to: i64) -> Population<'a> {
        let within = |session: &&Session| {
            !session.folded.excluded && started_within(&session.folded, from, to)
        };
        let sessions: Vec<&Session> = sessions.iter().filter(within).collect();
        let mut population = Population {
            reached: Vec::with_capacity(sessions.len()),
            stage_at: vec![Vec::with_capacity(sessions.len()); stages],
            fate: Vec::with_capacity(sessions.len()),
            furthest: Vec::with_capacity(sessions.len()),
            last_event_at: Vec::with_capacity(sessions.len()),
            errors: sessions.iter().map(|session| session.folded.errors.as_slice()).collect(),
            sessions,
        };
        for session in &population.sessions {
            let folded = &session.folded;
            let mut reached = 0;
            for (stage, column) in population.stage_at.iter_mut().enumerate() {
                let at = folded.stage_at[stage];
                reached |= u32::from(at.is_some()) << stage;
                column.push(at.unwrap_or_default());
            }
            population.reached.push(reached);
            population.fate.push(folded.fate);
            population.furthest.push(folded.furthest);
            population.last_event_at.push(folded.last_event_at);
        }
        population
    }

    pub fn rows(&self) -> Range<usize> {
        0..self.sessions.len()
    }

    pub fn stages(&self) -> usize {
        self.stage_at.len()
    }

    /// `t_k` of a session, where it reached the stage.
    pub fn at(&self, row: usize, stage: usize) -> Option<i64> {
        (self.reached[row] >> stage & 1 == 1).then(|| self.stage_at[stage][row])
    }

    /// `t_1`, which every session of a population has.
    pub fn started_at(&self, row: usize) -> i64 {
        self.stage_at[0][row]
    }

    /// Microseconds from one stage to another, where both were reached.
    pub fn between(&self, row: usize, from: usize, to: usize) -> Option<i64> {
        Some(self.at(row, to)? - self.at(row, from)?)
    }

    /// The same of every session that reached both.
    pub fn durations(&self, from: usize, to: usize) -> Vec<i64> {
        self.rows().filter_map(|row| self.between(row, from, to)).collect()
    }

    /// Groups the sessions by what `value` says of each.
    pub fn groups(&self, value: impl Fn(&'a Session) -> Option<&'a Arc<str>>) -> Groups<'a> {
        let mut seen: HashMap<Option<&Arc<str>>, usize> = HashMap::new();
        let mut group = |session: &&'a Session| {
            let next = seen.len();
            *seen.entry(value(session)).or_insert(next)
        };
        let mut of_row: Vec<usize> = self.sessions.iter().map(&mut group).collect();
        let mut sorted: Vec<_> = seen.into_iter().collect();
        sorted.sort_by_key(|(value, _)| (value.is_none(), *value));
        let mut rank = vec![0; sorted.len()];
        sorted.iter().enumerate().for_each(|(place, &(_, group))| rank[group] = place);
        of_row.iter_mut().for_each(|group| *group = rank[*group]);
        Groups { values: sorted.into_iter().map(|(value, _)| value).collect(), of_row }
    }

    /// How a session left the required stage `stage`, whose next required one is `next`; `None`
    /// when it never came there or is still there.
    pub fn left(&self, row: usize, stage: usize, next: usize) -> Option<Left> {
        if let Some(at) = self.at(row, next) {
            return Some(Left::Passed { at });
        }
        let here = self.furthest[row] == stage + 1;
        let lost = here && matches!(self.fate[row], Fate::Abandoned { .. });
        lost.then(|| Left::Lost { at: self.last_event_at[row] })
    }
}

/// Whether a session is in the funnel and started in `[from, to)`.
pub(super) fn started_within(folded: &Folded, from: i64, to: i64) -> bool {
    folded.started_at().is_some_and(|at| (from..to).contains(&at))
}

/// How many sessions there are on a basis, and how many reached each stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub sessions: u64,
    pub reached: Vec<u64>,
}

impl Counts {
    pub fn none(stages: usize) -> Counts {
        Counts { sessions: 0, reached: vec![0; stages] }
    }

    pub fn of(population: &Population, basis: Basis) -> Counts {
        let mut counts = Counts::none(population.stages());
        population.rows().for_each(|row| counts.add(population, row, basis));
        counts
    }

    pub fn add(&mut self, population: &Population, row: usize, basis: Basis) {
        if !basis.holds(population, row) {
            return;
        }
        self.sessions += 1;
        for (stage, reached) in self.reached.iter_mut().enumerate() {
            *reached += u64::from(basis.reached(population, row, stage));
        }
    }
}
