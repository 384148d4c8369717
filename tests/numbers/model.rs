//! What becomes of each session, read off its events one definition after the other.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{Event, Funnel, SECOND};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    Orphan,
    Completed,
    Abandoned { at: i64 },
    InFlight { active: bool },
}

/// A session as of an instant.
#[derive(Debug)]
pub struct Session {
    pub client: String,
    /// `t_k`, from stage 0.
    pub t: Vec<Option<i64>>,
    pub by_name: Vec<bool>,
    /// Stage numbers passed, required ones only: the furthest one plus one.
    pub furthest: usize,
    pub first: i64,
    pub last: i64,
    pub excluded: bool,
    pub fate: Fate,
    pub reason: String,
    pub errors: Vec<(i64, String)>,
    pub attributes: BTreeMap<&'static str, Option<String>>,
}

impl Session {
    pub fn started(&self) -> Option<i64> {
        self.t[0]
    }

    pub fn lost_at(&self) -> Option<i64> {
        match self.fate {
            Fate::Abandoned { at } => Some(at),
            _ => None,
        }
    }
}

/// What ingest makes of a log, and how many lines it dropped.
pub struct Kept<'a> {
    /// Each identity once.
    pub events: Vec<&'a Event>,
    /// Copies that say something else than what was kept of them before.
    pub conflicting: usize,
}

/// Within a file ingest keeps the first of an identity; of two files the fold keeps the smaller.
pub fn kept(events: &[Event]) -> Kept<'_> {
    let mut conflicting = 0;
    let mut accepted: Vec<&Event> = Vec::new();
    for event in events {
        let first = accepted
            .iter()
            .find(|it| it.arrival.0 == event.arrival.0 && it.identity() == event.identity());
        match first {
            None => accepted.push(event),
            Some(first) if same(first, event) => {}
            Some(_) => conflicting += 1,
        }
    }
    let mut kept: BTreeMap<_, &Event> = BTreeMap::new();
    for event in accepted {
        let order = |it: &Event| (it.at, it.session.clone(), it.kind.clone(), it.data.to_string());
        match kept.get_mut(&event.identity()) {
            Some(other) => {
                if order(event) < order(other) {
                    *other = event;
                }
            }
            None => drop(kept.insert(event.identity(), event)),
        }
    }
    Kept { events: kept.into_values().collect(), conflicting }
}

fn same(one: &Event, other: &Event) -> bool {
    let content = |it: &Event| (it.at, it.session.clone(), it.kind.clone(), it.data.to_string());
    content(one) == content(other)
}

/// Every session that has begun by `as_of`.
pub fn sessions(events: &[&Event], funnel: &Funnel, as_of: i64) -> Vec<Session> {
    let mut grouped: BTreeMap<(&str, &str), Vec<&Event>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.at <= as_of) {
        grouped.entry((&event.client, &event.session)).or_default().push(event);
    }
    let fold = |mut events: Vec<&Event>| {
        events.sort_by_key(|event| (event.at, event.source, event.id.clone()));
        session(&events, funnel, as_of)
    };
    grouped.into_values().map(fold).collect()
}

/// The events of one session in order, and which stages each meets.
struct Story<'a> {
    funnel: &'a Funnel,
    events: &'a [&'a Event],
    meets: Vec<BTreeSet<usize>>,
    used: BTreeSet<usize>,
}

impl Story<'_> {
    /// The earliest unused event of a stage within two instants, both inclusive: at one instant the
    /// one that meets the fewest later stages.
    fn take(&mut self, stage: usize, from: i64, until: i64) -> Option<i64> {
        let fits = |&place: &usize| {
            let at = self.events[place].at;
            self.meets[place].contains(&stage)
                && !self.used.contains(&place)
                && (from..=until).contains(&at)
        };
        let later = |place: usize| self.meets[place].iter().filter(|&&met| met > stage).count();
        let found = (0..self.events.len())
            .filter(fits)
            .min_by_key(|&place| (self.events[place].at, later(place), place))?;
        self.used.insert(found);
        Some(self.events[found].at)
    }

    /// In strict order, the first event after `from` that would interrupt the way to `next`.
    fn interruption(&self, from: i64, (previous, next): (usize, usize)) -> Option<i64> {
        let strict = self.funnel.order == "strict";
        let breaks = |&place: &usize| {
            let meets = &self.meets[place];
            let allowed = meets.iter().any(|stage| (previous..=next).contains(stage));
            strict && self.events[place].at > from && !meets.is_empty() && !allowed
        };
        (0..self.events.len()).find(breaks).map(|place| self.events[place].at)
    }

    fn step_end(&self, stage: usize, from: i64) -> i64 {
        let window = self.funnel.stages[stage].step_window_seconds;
        window.map_or(i64::MAX, |seconds| from + seconds * SECOND)
    }

    fn window_end(&self, started: i64) -> i64 {
        self.funnel.window_seconds.map_or(i64::MAX, |seconds| started + seconds * SECOND)
    }

    fn unordered(&mut self, t: &mut [Option<i64>], by_name: &mut [bool]) -> usize {
        let Some(started) = t[0] else { return 0 };
        let mut times = vec![started];
        for (stage, reached) in by_name.iter_mut().enumerate().take(t.len()).skip(1) {
            if let Some(at) = self.take(stage, started, self.window_end(started)) {
                times.push(at);
                *reached = true;
            }
        }
        times.sort_unstable();
        let mut furthest = 1;
        for place in 1..times.len() {
            if times[place] > self.step_end(place, times[place - 1]) {
                break;
            }
            t[place] = Some(times[place]);
            furthest = place + 1;
        }
        furthest
    }

    fn ordered(&mut self, t: &mut [Option<i64>]) -> usize {
        let Some(started) = t[0] else { return 0 };
        let required = self.funnel.required();
        let (mut furthest, mut at) = (1, started);
        for pair in required.windows(2) {
            let until = self.window_end(started).min(self.step_end(pair[1], at));
            let interrupted = self.interruption(at, (pair[0], pair[1])).unwrap_or(i64::MAX);
            let used = self.used.clone();
            match self.take(pair[1], at, until) {
                Some(reached) if reached <= interrupted => at = reached,
                _ => {
                    self.used = used;
                    break;
                }
            }
            t[pair[1]] = Some(at);
            furthest = pair[1] + 1;
        }
        for pair in required.windows(2) {
            let Some(previous) = t[pair[0]] else { break };
            let open = || {
                let interrupted = self.interruption(previous, (pair[0], pair[1]));
                self.window_end(started).min(interrupted.unwrap_or(i64::MAX))
            };
            let end = t[pair[1]].unwrap_or_else(open);
            let mut from = previous;
            for (stage, reached) in t.iter_mut().enumerate().take(pair[1]).skip(pair[0] + 1) {
                *reached = self.take(stage, from, end.min(self.step_end(stage, previous)));
                from = reached.unwrap_or(from);
            }
        }
        furthest
    }

    fn excluded(&self, t: &[Option<i64>]) -> bool {
        self.funnel.exclusions.iter().any(|exclusion| {
            let Some(from) = t[exclusion.from_stage - 1] else { return false };
            let inside = |at: i64| match t[exclusion.to_stage - 1] {
                Some(until) => at > from && at < until,
                None => at > from && t[0].is_some_and(|started| at <= self.window_end(started)),
            };
            self.events.iter().any(|event| exclusion.condition.meets(event) && inside(event.at))
        })
    }
}

fn session(events: &[&Event], funnel: &Funnel, as_of: i64) -> Session {
    let count = funnel.stages.len();
    let meets = |event: &&Event| {
        (0..count).filter(|&stage| funnel.stages[stage].condition.meets(event)).collect()
    };
    let mut story =
        Story { funnel, events, meets: events.iter().map(meets).collect(), used: BTreeSet::new() };
    let (mut t, mut by_name) = (vec![None; count], vec![false; count]);
    t[0] = story.take(0, i64::MIN, i64::MAX);
    by_name[0] = t[0].is_some();
    let opening = story.used.first().map(|&place| events[place]);
    let furthest = match funnel.order {
        "unordered" => story.unordered(&mut t, &mut by_name),
        _ => {
            let furthest = story.ordered(&mut t);
            by_name = t.iter().map(Option::is_some).collect();
            furthest
        }
    };
    let attribute = |name: &'static str| {
        let value = opening.and_then(|event| event.field(name)).map(str::to_owned);
        (name, value)
    };
    let mut attributes: BTreeMap<_, _> = ["device", "shade"].map(attribute).into();
    attributes.insert("client_id", Some(events[0].client.clone()));
    let mut session = Session {
        client: events[0].client.clone(),
        excluded: story.excluded(&t),
        t,
        by_name,
        furthest,
        first: events[0].at,
        last: 0,
        fate: Fate::Orphan,
        reason: String::new(),
        errors: errors(events, funnel),
        attributes,
    };
    decide(&mut session, &story, as_of);
    session
}

fn errors(events: &[&Event], funnel: &Funnel) -> Vec<(i64, String)> {
    let Some(error) = &funnel.error else { return Vec::new() };
    let coded = |event: &&&Event| error.condition.meets(event);
    let code = |event: &&Event| Some((event.at, event.field(error.code_field?)?.to_owned()));
    events.iter().filter(coded).filter_map(code).collect()
}

/// The session's fate, with the reason of its loss.
fn decide(session: &mut Session, story: &Story, as_of: i64) {
    let (funnel, events) = (story.funnel, story.events);
    let abandons =
        |event: &Event| funnel.abandonment.as_ref().is_some_and(|it| it.condition.meets(event));
    let is_activity = |place: usize| {
        let by_condition = funnel.activity.as_ref().is_none_or(|it| it.meets(events[place]));
        by_condition || abandons(events[place]) || !story.meets[place].is_empty()
    };
    let active = (0..events.len()).rev().find(|&place| is_activity(place));
    session.last = events[active.unwrap_or(events.len() - 1)].at;
    let Some(started) = session.started() else { return };
    if session.t.last().is_some_and(Option::is_some) {
        session.fate = Fate::Completed;
        return;
    }
    let standing: Vec<&&Event> =
        events.iter().filter(|event| abandons(event) && event.at >= session.last).collect();
    let idle_at = session.last + funnel.abandon_after_seconds * SECOND;
    let window_end = story.window_end(started);
    let mut ends: Vec<(i64, usize, &str)> = Vec::new();
    ends.extend(standing.first().map(|event| (event.at, 0, "unspecified")));
    ends.extend((idle_at <= as_of).then_some((idle_at, 1, "idle")));
    ends.extend((window_end < as_of).then_some((window_end, 2, "window")));
    let here = session.furthest - 1;
    if let (Some(next), Some(at)) = (funnel.next(here), session.t[here]) {
        ends.extend(story.interruption(at, (here, next)).map(|at| (at, 3, "order")));
    }
    let Some(&(at, _, how)) = ends.iter().min() else {
        let active = as_of - session.last < funnel.active_within_seconds * SECOND;
        session.fate = Fate::InFlight { active };
        return;
    };
    session.fate = Fate::Abandoned { at };
    let field = funnel.abandonment.as_ref().and_then(|it| it.reason_field);
    let given = standing.iter().find_map(|event| event.field(field?));
    let reached = session.t[here].unwrap_or(started);
    let error = session.errors.iter().rev().find(|(at, _)| *at >= reached);
    session.reason = given.or(error.map(|error| error.1.as_str())).unwrap_or(how).to_owned();
}
