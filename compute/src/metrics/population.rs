//! Which sessions a figure is about, and how far a figure lets them have come.

use std::ops::Range;

use onramp_schemas::funnel::Funnel;

use super::labels::Labelled;
use super::parallel::{self, Job};
use crate::fold::{Fate, LostHow, Outlook, Rules, Session};

/// The stages of a funnel as the figures need them; all stages count from 0 here.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
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
    fn mask(self, population: &Population, row: usize) -> u32 {
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

/// How a session left a required stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Lost there.
    Lost,
    /// Passed on: when it reached the next required stage.
    Passed { at: i64 },
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

impl State {
    pub fn in_flight(self) -> bool {
        matches!(self, State::Active | State::Quiet)
    }
}

/// How a session went from one stage to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage {
    pub started_at: i64,
    /// It was watched for the horizon.
    pub is_watched: bool,
    /// When it reached the one.
    pub since: Option<i64>,
    /// When it reached the other.
    pub until: Option<i64>,
}

/// One session, as it is added to a [`Population`].
pub(crate) struct Entry<'a> {
    /// Bit k: stage k was reached.
    pub reached: u32,
    /// The same by name, which differs in an unordered funnel.
    pub by_name: u32,
    /// Bit k: stage k was reached within the horizon.
    pub in_horizon: u32,
    pub outlook: Outlook,
    /// What it gives as its reason, if it is lost.
    pub reason: Option<&'a str>,
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

/// Sessions by the value of an attribute.
pub(super) struct Groups<'a> {
    /// The values, sorted by their bytes, `None` last.
    pub values: Vec<Option<&'a str>>,
    /// Index of its value, by session.
    pub of_row: Vec<usize>,
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
        self.push_masks((reached, folded.reached), scope.mature(started_at, folded.in_horizon));
        self.push_stages(folded.stage_at.iter().map(|at| at.unwrap_or_default()));
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

    /// Adds a session of the scope by parts; its errors and attributes follow.
    pub(crate) fn add(
        &mut self,
        entry: &Entry<'_>,
        stage_at: impl Iterator<Item = i64>,
        scope: &Scope,
    ) {
        let started_at = entry.outlook.started_at.unwrap_or_default();
        self.push_masks((entry.reached, entry.by_name), scope.mature(started_at, entry.in_horizon));
        self.push_stages(stage_at);
        let outlook = entry.outlook;
        let fate = outlook.fate(&scope.rules, scope.as_of);
        self.push_fate(fate, outlook.furthest, outlook.last_event_at, entry.reason);
    }

    fn push_masks(&mut self, (reached, by_name): (u32, u32), mature: u32) {
        self.reached.push(reached);
        self.mature.push(mature);
        for (stage, count) in self.by_name.iter_mut().enumerate() {
            *count += u64::from(by_name >> stage & 1);
        }
    }

    fn push_stages(&mut self, stage_at: impl Iterator<Item = i64>) {
        self.stage_at.iter_mut().zip(stage_at).for_each(|(column, at)| column.push(at));
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

    pub(super) fn rows(&self) -> Range<usize> {
        0..self.reached.len()
    }

    pub(super) fn stages(&self) -> usize {
        self.stage_at.len()
    }

    /// `t_k` of a session, where it reached the stage.
    pub(super) fn at(&self, row: usize, stage: usize) -> Option<i64> {
        (self.reached[row] >> stage & 1 == 1).then(|| self.stage_at[stage][row])
    }

    /// `t_1`, which every session of a population has.
    pub(super) fn started_at(&self, row: usize) -> i64 {
        self.stage_at[0][row]
    }

    /// Microseconds from one stage to another, where both were reached.
    #[inline]
    pub(super) fn between(&self, row: usize, from: usize, to: usize) -> Option<i64> {
        Some(self.at(row, to)? - self.at(row, from)?)
    }

    /// The same of every session that reached both.
    pub(super) fn durations(&self, from: usize, to: usize) -> Vec<i64> {
        let both = 1 << from | 1 << to;
        let times = self.stage_at[from].iter().zip(&self.stage_at[to]);
        let masked = self.reached.iter().zip(times);
        kept(masked.map(|(mask, (start, end))| (mask & both == both, end.wrapping_sub(*start))))
    }

    /// The sessions that reached one stage and not another.
    pub(super) fn reached_only(&self, stage: usize, other: usize) -> impl Iterator<Item = usize> {
        let either = 1 << stage | 1 << other;
        let masks = self.reached.iter().zip(0..self.reached.len() as u32);
        kept(masks.map(|(mask, row)| (mask & either == 1 << stage, row)))
            .into_iter()
            .map(|row| row as usize)
    }

    /// When the first session reached a stage.
    pub(super) fn earliest(&self, stage: usize) -> Option<i64> {
        let masked = self.reached.iter().zip(&self.stage_at[stage]);
        masked.filter(|(mask, _)| *mask >> stage & 1 == 1).map(|(_, &at)| at).min()
    }

    /// Every session's passage from one stage to another, as far as it came.
    pub(super) fn passages(&self, from: usize, to: usize) -> impl Iterator<Item = Passage> {
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
    pub(super) fn with_errors(&self) -> impl Iterator<Item = usize> {
        let starts = std::iter::once(&0).chain(&self.errors_end);
        let ends = self.errors_end.iter().zip(starts).enumerate();
        ends.filter(|(_, (end, start))| end > start).map(|(row, _)| row)
    }

    /// The sessions lost at a required stage, of which none reached the next one: the session, when it
    /// came to the stage, and its last activity.
    pub(super) fn lost_at_stage(
        &self,
        stage: usize,
        next: usize,
    ) -> impl Iterator<Item = (i64, i64)> {
        let last = self.state.iter().zip(&self.furthest).zip(0..);
        let furthest = last.filter(move |((state, furthest), _)| {
            **state == State::Lost && usize::from(**furthest) == stage + 1
        });
        furthest.filter_map(move |(_, row)| {
            let since = self.at(row, stage).filter(|_| self.at(row, next).is_none())?;
            Some((since, self.last_event_at[row]))
        })
    }

    pub(super) fn state(&self, row: usize) -> State {
        self.state[row]
    }

    /// When the loss of a session was declared, if it was.
    pub(super) fn lost_at(&self, row: usize) -> Option<i64> {
        (self.state[row] == State::Lost).then(|| self.lost_at[row])
    }

    /// Number of the furthest required stage of a session.
    pub(super) fn furthest(&self, row: usize) -> usize {
        usize::from(self.furthest[row])
    }

    /// Sessions without a first stage whose first event lies in `[from, to)`.
    pub(super) fn orphans(&self, from: i64, to: i64) -> u64 {
        self.orphans.iter().filter(|&&at| (from..to).contains(&at)).count() as u64
    }

    fn error_places(&self, row: usize) -> Range<usize> {
        let start = row.checked_sub(1).map_or(0, |before| self.errors_end[before]) as usize;
        start..self.errors_end[row] as usize
    }

    /// Times and codes of a session's errors, in order.
    pub(super) fn errors(&self, row: usize) -> impl Iterator<Item = (i64, &str)> {
        self.error_places(row)
            .filter_map(|place| Some((self.error_at[place], self.error_code.get(place)?)))
    }

    /// Groups the sessions by an attribute; those without it, or all if none has it, by `None`.
    pub(super) fn groups(&self, attribute: &str) -> Groups<'_> {
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
    pub(super) fn left(&self, row: usize, stage: usize, next: usize) -> Option<Left> {
        if let Some(at) = self.at(row, next) {
            return Some(Left::Passed { at });
        }
        let lost = self.furthest(row) == stage + 1 && self.state[row] == State::Lost;
        lost.then_some(Left::Lost)
    }
}

/// Those that are marked, in their order; whether one is cannot be foreseen, so that there is no branch.
fn kept<T: Copy + Default>(all: impl ExactSizeIterator<Item = (bool, T)>) -> Vec<T> {
    // The last place takes what is written after all have been kept.
    let mut kept = vec![T::default(); all.len() + 1];
    let mut count = 0;
    for (is_kept, one) in all {
        kept[count] = one;
        count += usize::from(is_kept);
    }
    kept.truncate(count);
    kept
}

/// Masks that are counted at once.
const BATCH: usize = 8_192;

/// How many sessions there are on a basis, and how many reached each stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub sessions: u64,
    pub reached: Vec<u64>,
}

impl Counts {
    pub fn none(stages: usize) -> Counts {
        Counts { sessions: 0, reached: vec![0; stages] }
    }

    pub(super) fn of(population: &Population, basis: Basis) -> Counts {
        let mut counts = Counts::none(population.stages());
        let masks = basis.masks(population);
        // A batch of them stays in the cache from stage to stage.
        masks.chunks(BATCH).for_each(|batch| counts.add_masks(batch));
        counts
    }

    /// How many sessions of a basis reached each stage up to now, be it within the horizon or not.
    pub(super) fn up_to_now(population: &Population, basis: Basis) -> Counts {
        let mut counts = Counts::none(population.stages());
        let held = basis.masks(population).chunks(BATCH);
        let mut masks = Vec::with_capacity(BATCH);
        for (reached, held) in population.reached.chunks(BATCH).zip(held) {
            masks.clear();
            masks.extend(reached.iter().zip(held).map(|(reached, held)| reached * (held & 1)));
            counts.add_masks(&masks);
        }
        counts
    }

    pub(super) fn add(&mut self, population: &Population, row: usize, basis: Basis) {
        self.add_mask(basis.mask(population, row));
    }

    /// Adds a session by the stages that it reached; one without the first does not count.
    pub fn add_mask(&mut self, mask: u32) {
        self.sessions += u64::from(mask & 1);
        for (stage, reached) in self.reached.iter_mut().enumerate() {
            *reached += u64::from(mask >> stage & 1);
        }
    }

    /// Adds sessions as [`Self::add_mask`] does, stage by stage: many masks at once.
    pub fn add_masks(&mut self, masks: &[u32]) {
        let having = |stage: usize| masks.iter().map(|mask| mask >> stage & 1).sum::<u32>();
        self.sessions += u64::from(having(0));
        for (stage, reached) in self.reached.iter_mut().enumerate() {
            *reached += u64::from(having(stage));
        }
    }

    /// Adds the sessions of another count.
    pub fn append(&mut self, other: &Counts) {
        self.sessions += other.sessions;
        self.reached.iter_mut().zip(&other.reached).for_each(|(count, more)| *count += more);
    }
}
