//! The figures of one population, in the form of the golden documents.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, TimeZone, Timelike};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};

use super::model::{Fate, Session};
use super::statistics::{
    Counts, End, Watched, aalen_johansen, incidence, median, quotient, rate, summary, wilson,
};
use super::world::{DAY, Funnel, SECOND};

/// Whether everybody counts, or those who were watched for the horizon.
#[derive(Clone, Copy, PartialEq)]
pub enum Basis {
    Raw,
    Mature,
}

/// What every figure is of.
pub struct Frame<'a> {
    pub funnel: &'a Funnel,
    pub as_of: i64,
    pub zone: Tz,
}

impl Frame<'_> {
    pub fn stages(&self) -> usize {
        self.funnel.stages.len()
    }

    pub fn holds(&self, basis: Basis, session: &Session) -> bool {
        let started = session.started().expect("members of a population have started");
        basis == Basis::Raw || started <= self.as_of - self.funnel.horizon()
    }

    pub fn reached(&self, basis: Basis, session: &Session, stage: usize) -> bool {
        let age = session.t[stage].zip(session.started()).map(|(at, started)| at - started);
        age.is_some_and(|age| basis == Basis::Raw || age <= self.funnel.horizon())
    }

    /// How many converted, of how many.
    pub fn conversion(&self, basis: Basis, sessions: &[&Session]) -> Counts {
        let held: Vec<_> = sessions.iter().filter(|it| self.holds(basis, it)).collect();
        let last = self.stages() - 1;
        (held.iter().filter(|it| self.reached(basis, it, last)).count(), held.len())
    }

    /// The stages' counts from the start and from the required stage before.
    pub fn stage_counts(&self, basis: Basis, sessions: &[&Session]) -> Vec<[Counts; 2]> {
        let held: Vec<_> = sessions.iter().filter(|it| self.holds(basis, it)).collect();
        let count = |stage| held.iter().filter(|it| self.reached(basis, it, stage)).count();
        let of_stage = |stage: usize| {
            let before = if stage == 0 { 0 } else { count(self.funnel.previous(stage)) };
            [(count(stage), held.len()), (count(stage), before)]
        };
        (0..self.stages()).map(of_stage).collect()
    }

    pub fn stage_rates(&self, basis: Basis, sessions: &[&Session]) -> Vec<Value> {
        let stage = |(stage, [from_start, step]): (usize, [Counts; 2])| {
            json!({
                "stage": stage + 1, "name": self.funnel.stages[stage].name, "sessions": from_start.0,
                "from_start": rate(from_start),
                "from_previous": if stage == 0 { Value::Null } else { rate(step) },
            })
        };
        self.stage_counts(basis, sessions).into_iter().enumerate().map(stage).collect()
    }

    pub fn basis(&self, basis: Basis, sessions: &[&Session]) -> Value {
        let overall = self.conversion(basis, sessions);
        json!({
            "sessions": overall.1, "overall": rate(overall),
            "stages": self.stage_rates(basis, sessions),
        })
    }

    pub fn times(&self, sessions: &[&Session]) -> Vec<Value> {
        (1..self.stages()).map(|stage| self.time(sessions, stage)).collect()
    }

    fn time(&self, sessions: &[&Session], stage: usize) -> Value {
        let previous = self.funnel.previous(stage);
        let (mut alone, mut beside, mut longest) = (Vec::new(), Vec::new(), i64::MIN);
        for session in sessions {
            let Some(from) = session.t[previous] else { continue };
            let until = self.as_of - from;
            longest = longest.max(until);
            let skipped = match self.funnel.stages[stage].optional {
                true => self.funnel.next(stage).and_then(|next| session.t[next]),
                false => None,
            };
            let end: Watched = match (session.t[stage], skipped.or(session.lost_at())) {
                (Some(at), _) => (at - from, End::Reached),
                (None, Some(at)) => (at - from, End::Competing),
                (None, None) => (until, End::Censored),
            };
            beside.push(end);
            alone.push(if end.1 == End::Reached { end } else { (until, End::Censored) });
        }
        let mut at = Map::new();
        for (name, within) in [("5min", 300), ("1h", 3_600), ("1d", 86_400), ("7d", 604_800)] {
            let within = within * SECOND;
            let known = longest >= within;
            let [value, low, high, competing] = match known {
                true => aalen_johansen(&beside, within),
                false => Default::default(),
            };
            let watched = if known { incidence(&alone, within) } else { Value::Null };
            let row = json!({
                "aalen_johansen": value, "low": low, "high": high, "competing": competing,
                "watched": watched,
            });
            at.insert(name.to_owned(), row);
        }
        let count = |kind: End| beside.iter().filter(|it| it.1 == kind).count();
        json!({
            "stage": stage + 1,
            "time_to_stage": summary(&durations(sessions, 0, stage)),
            "step_time": summary(&durations(sessions, previous, stage)),
            "incidence": {
                "at_risk": beside.len(), "reached": count(End::Reached),
                "lost": count(End::Competing), "in_flight": count(End::Censored),
                "at": at, "median": median(&alone),
            },
        })
    }

    /// Stages that sessions can be lost at, each with the required stage after it.
    fn leaving(&self) -> Vec<(usize, usize)> {
        self.funnel.required().windows(2).map(|pair| (pair[0], pair[1])).collect()
    }

    pub fn drop_off(&self, sessions: &[&Session]) -> Value {
        let mut stages = Vec::new();
        for (stage, next) in self.leaving() {
            let lost = sessions.iter().filter(|it| is_lost(it, stage)).count();
            let passed = sessions.iter().filter(|it| it.t[next].is_some()).count();
            let here = |it: &&&Session| {
                matches!(it.fate, Fate::InFlight { .. }) && it.furthest == stage + 1
            };
            let (low, high) = wilson((lost, lost + passed));
            let severity = match low.as_f64() {
                Some(_) if lost + passed < 30 => None,
                Some(low) if low >= 0.5 => Some("critical"),
                Some(low) if low >= 0.3 => Some("high"),
                Some(low) if low >= 0.15 => Some("medium"),
                Some(_) => Some("low"),
                None => None,
            };
            stages.push(json!({
                "stage": stage + 1, "name": self.funnel.stages[stage].name, "lost": lost,
                "passed": passed, "exposed": lost + passed,
                "rate": quotient(lost, lost + passed), "low": low, "high": high,
                "severity": severity, "in_flight_here": sessions.iter().filter(here).count(),
            }));
        }
        let mut top: Vec<&Value> = stages.iter().filter(|stage| stage["lost"] != 0).collect();
        top.sort_by(|one, other| {
            let low = |stage: &Value| stage["low"].as_f64().unwrap_or_default();
            let lost = |stage: &Value| stage["lost"].as_u64();
            low(other).total_cmp(&low(one)).then(lost(other).cmp(&lost(one)))
        });
        let top: Vec<&Value> = top.iter().take(5).map(|stage| &stage["stage"]).collect();
        json!({"stages": stages, "top": top})
    }

    fn hour_of_week(&self, at: i64) -> u32 {
        let local = self.zone.timestamp_micros(at).single().expect("an instant");
        local.weekday().num_days_from_monday() * 24 + local.hour()
    }

    pub fn heatmap(&self, sessions: &[&Session]) -> Vec<Value> {
        let mut cells = Vec::new();
        for (stage, next) in self.leaving() {
            let mut hours: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
            for session in sessions {
                if is_lost(session, stage) {
                    hours.entry(self.hour_of_week(session.last)).or_default().0 += 1;
                }
                if let Some(at) = session.t[next] {
                    hours.entry(self.hour_of_week(at)).or_default().1 += 1;
                }
            }
            let all: usize = hours.values().map(|cell| cell.0).sum();
            cells.extend(hours.into_iter().map(|(hour, (lost, passed))| {
                let (low, high) = wilson((lost, lost + passed));
                json!({
                    "stage": stage + 1, "hour_of_week": hour, "lost": lost, "exposed": lost + passed,
                    "share_of_lost": quotient(lost, all), "rate": quotient(lost, lost + passed),
                    "low": low, "high": high,
                })
            }));
        }
        cells
    }

    pub fn error_patterns(&self, sessions: &[&Session]) -> Vec<Value> {
        let mut patterns = Vec::new();
        for (stage, next) in self.leaving() {
            let mut codes: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
            let (mut lost, mut passed) = (0, 0);
            for session in sessions {
                let Some(from) = session.t[stage] else { continue };
                let seen = |until: i64| -> BTreeSet<&str> {
                    let within = session.errors.iter().filter(|it| (from..until).contains(&it.0));
                    within.map(|it| it.1.as_str()).collect()
                };
                if is_lost(session, stage) {
                    lost += 1;
                    seen(i64::MAX).into_iter().for_each(|it| codes.entry(it).or_default().0 += 1);
                }
                if let Some(until) = session.t[next] {
                    passed += 1;
                    seen(until).into_iter().for_each(|it| codes.entry(it).or_default().1 += 1);
                }
            }
            patterns.extend(codes.into_iter().map(|(code, with)| {
                let lift = (with.1 > 0 && lost > 0)
                    .then(|| (with.0 as f64 / lost as f64) / (with.1 as f64 / passed as f64));
                json!({
                    "stage": stage + 1, "code": code, "lost_with": with.0, "lost": lost,
                    "passed_with": with.1, "passed": passed, "lift": lift,
                })
            }));
        }
        patterns
    }

    pub fn dwell(&self, sessions: &[&Session]) -> Vec<Value> {
        let at_stage = |(stage, next): (usize, usize)| {
            let lost: Vec<i64> = sessions
                .iter()
                .filter(|it| is_lost(it, stage))
                .filter_map(|it| Some(it.last - it.t[stage]?))
                .collect();
            json!({
                "stage": stage + 1, "dropped": summary(&lost),
                "passed": summary(&durations(sessions, stage, next)),
            })
        };
        self.leaving().into_iter().map(at_stage).collect()
    }

    /// Whole days from the start to the end, where it was reached.
    pub fn within_days(&self, sessions: &[&Session], days: i64) -> usize {
        let ages = durations(sessions, 0, self.stages() - 1);
        ages.iter().filter(|&&age| age <= days * DAY).count()
    }
}

pub fn is_lost(session: &Session, stage: usize) -> bool {
    session.lost_at().is_some() && session.furthest == stage + 1
}

/// Microseconds from one stage to another, of those that reached the latter.
pub fn durations(sessions: &[&Session], from: usize, to: usize) -> Vec<i64> {
    sessions.iter().filter_map(|it| Some(it.t[to]? - it.t[from]?)).collect()
}

pub fn reasons(sessions: &[&Session]) -> Vec<Value> {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for session in sessions.iter().filter(|it| it.lost_at().is_some()) {
        *reasons.entry(&session.reason).or_default() += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    reasons.iter().map(|(reason, count)| json!({"reason": reason, "sessions": count})).collect()
}

/// The first instant of a date on the clocks of a zone, searched minute by minute.
pub fn midnight(date: chrono::NaiveDate, zone: Tz) -> i64 {
    let guess = date.and_time(chrono::NaiveTime::MIN).and_utc() - chrono::Duration::days(1);
    let minutes = (0..).map(|minute| guess + chrono::Duration::minutes(minute));
    let local = |at: &DateTime<chrono::Utc>| at.with_timezone(&zone).date_naive();
    let first = minutes.into_iter().find(|at| local(at) >= date).expect("every date begins");
    first.timestamp_micros()
}
