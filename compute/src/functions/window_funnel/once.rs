//! The search where one event stands for one stage only.
//!
//! Every chain is followed, as the same event may be wanted for two stages. Only events of one instant
//! can be wanted twice, so of the chains that end earlier the one with the latest start stands for
//! all; within an instant, stages are matched to events.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::super::arguments::MOST_CONDITIONS;
use super::super::events::Event;
use super::Search;

/// The number of stages of the longest chain in a group's events, which come in their order.
pub(super) fn level(search: &Search, events: &[Event]) -> usize {
    let mut chains = Chains { search, starts: vec![None; search.conditions] };
    for instant in events.chunk_by(|one, other| one.at == other.at) {
        if let ControlFlow::Break(level) = chains.instant(instant) {
            return level;
        }
    }
    furthest(&chains.starts)
}

/// The number of the furthest stage that some chain reached.
fn furthest(starts: &[Option<i64>]) -> usize {
    starts.iter().rposition(Option::is_some).map_or(0, |stage| stage + 1)
}

/// Nothing is left to find once a chain has all stages.
fn complete(starts: &[Option<i64>]) -> ControlFlow<usize> {
    match starts.last() {
        Some(Some(_)) => ControlFlow::Break(starts.len()),
        _ => ControlFlow::Continue(()),
    }
}

struct Chains<'a> {
    search: &'a Search,
    /// For each stage, the latest start of the chains that reached it before this instant.
    starts: Vec<Option<i64>>,
}

/// A chain that reached its stage at this instant.
#[derive(Clone)]
struct Path {
    first: i64,
    /// Which events of this instant it uses.
    used: Vec<usize>,
}

impl Chains<'_> {
    fn instant(&mut self, instant: &[Event]) -> ControlFlow<usize> {
        // Without a condition an event comes first, and is there in strict order only.
        if instant[0].conditions == 0 && self.starts[0].is_some() {
            return ControlFlow::Break(furthest(&self.starts));
        }
        if let [event] = instant
            && event.conditions.is_power_of_two()
        {
            return self.plain(event.at, event.conditions.trailing_zeros() as usize);
        }
        let mut reached = self.starts.clone();
        let flow = match self.search.mode.deduplication {
            true => self.one_by_one(instant, &mut reached),
            false => self.all_at_once(instant, &mut reached),
        };
        self.starts = reached;
        flow
    }

    /// The usual instant: one event that meets one condition.
    fn plain(&mut self, at: i64, stage: usize) -> ControlFlow<usize> {
        if stage == 0 {
            self.starts[0] = Some(at);
        } else if self.search.mode.deduplication && self.starts[stage].is_some() {
            return ControlFlow::Break(furthest(&self.starts));
        } else if let Some(first) = self.starts[stage - 1] {
            let start = Some(first).filter(|&first| self.search.within(first, at));
            self.starts[stage] = self.starts[stage].max(start);
        } else {
            self.orphan(&self.starts)?;
        }
        complete(&self.starts)
    }

    /// What ends the search at a stage whose predecessor nothing reached.
    fn orphan(&self, reached: &[Option<i64>]) -> ControlFlow<usize> {
        let mode = self.search.mode;
        match mode.order && !mode.reentry && reached[0].is_some() {
            true => ControlFlow::Break(reached.iter().take_while(|start| start.is_some()).count()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Stage by stage, from the chains before this instant and from a start at it.
    fn all_at_once(&self, instant: &[Event], reached: &mut [Option<i64>]) -> ControlFlow<usize> {
        let stages = reached.len();
        let candidates: Vec<Vec<usize>> =
            (0..stages).map(|stage| meeting(instant, stage)).collect();
        for stage in (0..stages).filter(|&stage| !candidates[stage].is_empty()) {
            if stage > 0 && reached[stage - 1].is_none() {
                self.orphan(reached)?;
                continue;
            }
            let start = self.latest_start(instant[0].at, stage, &candidates);
            reached[stage] = reached[stage].max(start);
        }
        complete(reached)
    }

    /// The latest start of a chain that goes from a stage reached earlier, or from nothing, up to
    /// `stage` by different events of this instant.
    fn latest_start(&self, at: i64, stage: usize, candidates: &[Vec<usize>]) -> Option<i64> {
        let mut latest = None;
        let mut matching = Matching { candidates, stage_of: HashMap::new() };
        for from in (0..=stage).rev() {
            if !matching.add(from) {
                break;
            }
            let start = match from.checked_sub(1) {
                None => Some(at),
                Some(before) => self.starts[before].filter(|&first| self.search.within(first, at)),
            };
            latest = latest.max(start);
            if self.search.mode.increase {
                break;
            }
        }
        latest
    }

    /// Event by event: a stage that is met again, once reached, ends the search, so the first event
    /// that can stand for a stage does.
    fn one_by_one(&self, instant: &[Event], reached: &mut [Option<i64>]) -> ControlFlow<usize> {
        let at = instant[0].at;
        let mut before: Vec<Path> = Vec::new();
        for stage in 0..reached.len() {
            let mut paths: Vec<Path> = Vec::new();
            for (index, _) in instant.iter().enumerate().filter(|(_, event)| meets(event, stage)) {
                if stage == 0 {
                    paths.push(Path { first: at, used: vec![index] });
                    reached[0] = Some(at);
                    continue;
                }
                if reached[stage].is_some() {
                    return ControlFlow::Break(furthest(reached));
                }
                if reached[stage - 1].is_none() {
                    self.orphan(reached)?;
                    continue;
                }
                let earlier = self.starts[stage - 1].map(|first| Path { first, used: Vec::new() });
                let open = earlier.into_iter().chain(before.iter().cloned());
                let fits =
                    |path: &Path| self.search.within(path.first, at) && !path.used.contains(&index);
                paths.extend(open.filter(fits).map(|mut path| {
                    path.used.push(index);
                    path
                }));
                reached[stage] = paths.iter().map(|path| path.first).max();
            }
            before = if self.search.mode.increase { Vec::new() } else { paths };
        }
        complete(reached)
    }
}

fn meets(event: &Event, stage: usize) -> bool {
    event.conditions >> stage & 1 == 1
}

/// The events of an instant that can stand for a stage; more than there are stages are never needed.
fn meeting(instant: &[Event], stage: usize) -> Vec<usize> {
    let places = instant.iter().enumerate().filter(|(_, event)| meets(event, stage));
    places.map(|(index, _)| index).take(MOST_CONDITIONS).collect()
}

/// Different events for some stages, found by augmenting paths (Kuhn 1955).
struct Matching<'a> {
    candidates: &'a [Vec<usize>],
    /// By event.
    stage_of: HashMap<usize, usize>,
}

impl Matching<'_> {
    /// Finds an event for one more stage; `false`: there is none, whatever the others take.
    fn add(&mut self, stage: usize) -> bool {
        self.augment(stage, &mut HashSet::new())
    }

    fn augment(&mut self, stage: usize, seen: &mut HashSet<usize>) -> bool {
        for &event in &self.candidates[stage] {
            if !seen.insert(event) {
                continue;
            }
            let holder = self.stage_of.get(&event).copied();
            if holder.is_none_or(|holder| self.augment(holder, seen)) {
                self.stage_of.insert(event, stage);
                return true;
            }
        }
        false
    }
}
