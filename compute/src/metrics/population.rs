//! Which sessions a figure is about, and how far a figure lets them have come.

mod counts;
mod passes;
mod shape;

use super::labels::Labelled;
use super::parallel::{self, Job};
use crate::fold::{Fate, LostHow, Outlook, Rules, Session};

pub(crate) use counts::Counts;
pub(super) use passes::{ByCode, Groups, Left, Passage};
pub(crate) use shape::Shape;

/// On what footing sessions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// Every session, whatever it has reached up to the as-of instant.
    Raw,
    /// Sessions that started early enough to have been watched for the horizon, and only what they
    /// reached within it: everyone is watched equally long.
    Mature,
}

impl Basis {
    /// Bit k: the session reached stage k. Bit 0 is set if the basis holds the session.
    pub fn mask(self, population: &Population, row: usize) -> u32 {
        self.masks(population)[row]
    }

    pub fn holds(self, population: &Population, row: usize) -> bool {
        self.mask(population, row) & 1 == 1
    }

    /// The masks of all sessions.
    fn masks(self, population: &Population) -> &[u32] {
        match self {
            Basis::Raw => &population.reached,
            Basis::Mature => &population.mature,
        }
    }

    pub fn reached(self, population: &Population, row: usize, stage: usize) -> bool {
        self.mask(population, row) >> stage & 1 == 1
    }
}

/// Which sessions a population has, and as of when.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// Only events up to here count.
    pub as_of: i64,
    /// Sessions that started in `[from, to)`.
    pub period: (i64, i64),
    /// What the fate follows.
    pub rules: Rules,
}

impl Scope {
    /// The mask on the mature footing, from what was reached within the horizon.
    pub fn mature(&self, started_at: i64, in_horizon: u32) -> u32 {
        let watched = started_at <= self.as_of.saturating_sub(self.rules.horizon());
        if watched { in_horizon } else { 0 }
    }

    pub fn holds(&self, at: i64) -> bool {
        (self.period.0..self.period.1).contains(&at)
    }
}

/// What has become of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Completed,
    Lost,
    /// In flight, with activity of late.
    Active,
    /// In flight, without.
    Quiet,
}

/// All of them.
const STATES: [State; 4] = [State::Completed, State::Lost, State::Active, State::Quiet];

impl State {
    pub fn in_flight(self) -> bool {
        matches!(self, State::Active | State::Quiet)
    }
}

/// The sessions of one period, by columns: figures pass over millions of them many times. It holds
/// sessions in the funnel that were not excluded; of the others it knows how many there are.
///
/// A session takes 37 bytes, 8 for each stage and 4 for each attribute, an error 12.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Population {
    pub(super) period: (i64, i64),
    /// Bit k: the session reached stage k (in an unordered funnel, that many stages).
    reached: Vec<u32>,
    /// The same within the horizon; 0 where the session was not watched that long.
    mature: Vec<u32>,
    /// `t_k` by stage, then by session; meaningless where the stage was not reached.
    stage_at: Vec<Vec<i64>>,
    state: Vec<State>,
    /// When the loss was declared; meaningless where the session was not lost.
    lost_at: Vec<i64>,
    /// Number of the furthest required stage.
    furthest: Vec<u8>,
    last_event_at: Vec<i64>,
    /// Why lost sessions were lost.
    pub(super) reasons: Labelled,
    /// Where the errors of each session end.
    errors_end: Vec<u32>,
    error_at: Vec<i64>,
    error_code: Labelled,
    attributes: Vec<(String, Labelled)>,
    /// Sessions that reached each stage by its own name.
    pub(super) by_name: Vec<u64>,
    /// First events of the sessions without a first stage.
    orphans: Vec<i64>,
    /// Sessions that an exclusion takes out of every count.
    pub(super) excluded: u64,
}

impl Population {
    /// Of these folded sessions those of the scope; `names` are those of their attributes.
    pub(crate) fn of(sessions: &[Session], names: &[String], scope: &Scope) -> Population {
        let stages = scope.rules.count();
        let mut population = Population::empty(stages, names, scope.period, sessions.len());
        sessions.iter().for_each(|session| population.add_session(session, scope));
        population
    }

    /// With room for so many sessions.
    pub(crate) fn empty(
        stages: usize,
        names: &[String],
        period: (i64, i64),
        room: usize,
    ) -> Population {
        Population {
            period,
            reached: Vec::with_capacity(room),
            mature: Vec::with_capacity(room),
            stage_at: (0..stages).map(|_| Vec::with_capacity(room)).collect(),
            state: Vec::with_capacity(room),
            lost_at: Vec::with_capacity(room),
            furthest: Vec::with_capacity(room),
            last_event_at: Vec::with_capacity(room),
            reasons: Labelled::with_capacity(room),
            errors_end: Vec::with_capacity(room),
            by_name: vec![0; stages],
            attributes: names
                .iter()
                .map(|name| (name.clone(), Labelled::with_capacity(room)))
                .collect(),
            ..Population::default()
        }
    }

    /// Adds a session if the scope holds it.
    pub(crate) fn add_session(&mut self, session: &Session, scope: &Scope) {
        let folded = &session.folded;
        let Some(started_at) = folded.started_at() else {
            return self.add_orphan(folded.first_event_at, scope);
        };
        if !scope.holds(started_at) || folded.excluded {
            self.excluded += u64::from(scope.holds(started_at));
            return;
        }
        let by_place = (0..).zip(&folded.stage_at);
        let reached = by_place.fold(0, |mask, (k, at)| mask | u32::from(at.is_some()) << k);
        let mature = scope.mature(started_at, folded.in_horizon);
        self.add_masks(std::iter::once((reached, folded.reached, mature)));
        self.add_stages(|stage| std::iter::once(folded.stage_at[stage].unwrap_or_default()));
        self.push_fate(
            folded.fate,
            folded.furthest,
            folded.last_event_at,
            folded.reason.as_deref(),
        );
        for error in &folded.errors {
            self.push_error(error.occurred_at, &error.code);
        }
        self.end_errors();
        for ((_, column), value) in self.attributes.iter_mut().zip(&session.attributes) {
            column.push(value.as_deref());
        }
    }

    pub(crate) fn add_orphan(&mut self, first_event_at: i64, scope: &Scope) {
        if scope.holds(first_event_at) {
            self.orphans.push(first_event_at);
        }
    }

    pub(crate) fn add_excluded(&mut self) {
        self.excluded += 1;
    }

    /// Adds sessions of the scope: which stages each reached, by place and by name, and on the mature
    /// footing. What is added next has a value for each of them.
    pub(crate) fn add_masks(&mut self, masks: impl Iterator<Item = (u32, u32, u32)> + Clone) {
        self.reached.extend(masks.clone().map(|(reached, _, _)| reached));
        self.mature.extend(masks.clone().map(|(_, _, mature)| mature));
        for (stage, count) in self.by_name.iter_mut().enumerate() {
            *count +=
                masks.clone().map(|(_, by_name, _)| u64::from(by_name >> stage & 1)).sum::<u64>();
        }
    }

    /// When they reached each stage; any time where they did not.
    pub(crate) fn add_stages<I: Iterator<Item = i64>>(&mut self, at: impl Fn(usize) -> I) {
        let columns = self.stage_at.iter_mut().enumerate();
        columns.for_each(|(stage, column)| column.extend(at(stage)));
    }

    /// What becomes of one of them, and its reason should it be lost.
    pub(crate) fn add_fate(&mut self, outlook: Outlook, reason: Option<&str>, scope: &Scope) {
        let fate = outlook.fate(&scope.rules, scope.as_of);
        self.push_fate(fate, outlook.furthest, outlook.last_event_at, reason);
    }

    fn push_fate(&mut self, fate: Fate, furthest: usize, last_event_at: i64, reason: Option<&str>) {
        let lost = |how: LostHow| Some(reason.unwrap_or(how.reason()));
        let (state, lost_at, reason) = match fate {
            Fate::Abandoned { lost_at, how } => (State::Lost, lost_at, lost(how)),
            Fate::InFlight { active: true } => (State::Active, 0, None),
            Fate::InFlight { active: false } => (State::Quiet, 0, None),
            // Orphans are none of a population.
            Fate::Completed | Fate::Orphan => (State::Completed, 0, None),
        };
        self.state.push(state);
        self.lost_at.push(lost_at);
        self.reasons.push(reason);
        self.furthest.push(furthest as u8);
        self.last_event_at.push(last_event_at);
    }

    /// Adds an error of the session that is being added.
    pub(crate) fn push_error(&mut self, at: i64, code: &str) {
        self.error_at.push(at);
        self.error_code.push(Some(code));
    }

    /// No more errors of the session that is being added.
    pub(crate) fn end_errors(&mut self) {
        self.errors_end.push(self.error_at.len() as u32);
    }

    /// The columns of its attributes: each takes a value for every session that is added.
    pub(crate) fn attributes_mut(&mut self) -> impl Iterator<Item = (&str, &mut Labelled)> {
        self.attributes.iter_mut().map(|(name, column)| (name.as_str(), column))
    }

    /// Whether some session has a value of the attribute at this place.
    pub(crate) fn has_values(&self, attribute: usize) -> bool {
        !self.attributes[attribute].1.is_empty()
    }

    /// Takes in the sessions of another population of the same scope.
    pub(crate) fn append(&mut self, other: Population) {
        let errors = self.error_at.len() as u32;
        let mut jobs: Vec<Job> = Vec::new();
        for (column, more) in self.stage_at.iter_mut().zip(other.stage_at) {
            jobs.push(Box::new(|| column.extend(more)));
        }
        jobs.push(Box::new(|| self.lost_at.extend(other.lost_at)));
        jobs.push(Box::new(|| self.last_event_at.extend(other.last_event_at)));
        jobs.push(Box::new(|| self.reasons.append(&other.reasons)));
        jobs.push(Box::new(|| self.reached.extend(other.reached)));
        jobs.push(Box::new(|| self.mature.extend(other.mature)));
        parallel::run(jobs);
        self.state.extend(other.state);
        self.furthest.extend(other.furthest);
        self.errors_end.extend(other.errors_end.iter().map(|end| errors + end));
        self.error_at.extend(other.error_at);
        self.error_code.append(&other.error_code);
        for ((_, column), (_, more)) in self.attributes.iter_mut().zip(&other.attributes) {
            column.append(more);
        }
        self.by_name.iter_mut().zip(other.by_name).for_each(|(count, more)| *count += more);
        self.orphans.extend(other.orphans);
        self.excluded += other.excluded;
    }

    /// Sessions in the funnel that are not excluded.
    pub fn sessions(&self) -> usize {
        self.reached.len()
    }

    /// On the raw and on the mature footing.
    pub(crate) fn counts(&self) -> (Counts, Counts) {
        (Counts::of(self, Basis::Raw), Counts::of(self, Basis::Mature))
    }

    /// Every session in words, and how many orphans there are.
    #[cfg(test)]
    pub(crate) fn in_words(&self) -> Vec<String> {
        let session = |row: usize| {
            let values = self.attributes.iter().map(|(_, column)| column.get(row).unwrap_or("-"));
            let at = |stage| self.at(row, stage).map_or("-".to_owned(), |at| at.to_string());
            let stages: Vec<String> = (0..self.stages()).map(at).collect();
            let values: Vec<&str> = values.collect();
            format!("{}: {} {:?}", values.join(" "), stages.join(" "), self.state[row])
        };
        let orphans = Some(self.orphans.len()).filter(|&orphans| orphans > 0);
        let orphans = orphans.map(|orphans| format!("{orphans} orphans"));
        self.rows().map(session).chain(orphans).collect()
    }
}
