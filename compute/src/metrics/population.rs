//! Which sessions a figure is about, and how far a figure lets them have come.

use onramp_schemas::funnel::Funnel;

use crate::fold::{Folded, Session};

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

    pub fn holds(self, folded: &Folded) -> bool {
        match self {
            Basis::Raw => true,
            Basis::Mature { latest_start, .. } => {
                folded.started_at().is_some_and(|at| at <= latest_start)
            }
        }
    }

    pub fn reached(self, folded: &Folded, stage: usize) -> bool {
        match (self, folded.stage_at[stage], folded.started_at()) {
            (Basis::Raw, at, _) => at.is_some(),
            (Basis::Mature { horizon, .. }, Some(at), Some(started_at)) => {
                at.saturating_sub(started_at) <= horizon
            }
            _ => false,
        }
    }
}

/// Sessions in the funnel that started in `[from, to)` and were not excluded.
pub(super) fn members(sessions: &[Session], from: i64, to: i64) -> Vec<&Session> {
    let within =
        |session: &&Session| !session.folded.excluded && started_within(&session.folded, from, to);
    sessions.iter().filter(within).collect()
}

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

    pub fn of(members: &[&Session], stages: usize, basis: Basis) -> Counts {
        let mut counts = Counts::none(stages);
        members.iter().for_each(|session| counts.add(&session.folded, basis));
        counts
    }

    pub fn add(&mut self, folded: &Folded, basis: Basis) {
        if !basis.holds(folded) {
            return;
        }
        self.sessions += 1;
        for (stage, reached) in self.reached.iter_mut().enumerate() {
            *reached += u64::from(basis.reached(folded, stage));
        }
    }
}

/// Microseconds from one stage to another, where both were reached.
pub(super) fn between(folded: &Folded, from: usize, to: usize) -> Option<i64> {
    Some(folded.stage_at[to]? - folded.stage_at[from]?)
}
