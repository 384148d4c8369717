//! The search where one event may stand for several stages.

use std::ops::ControlFlow;

use super::super::arguments::MOST_CONDITIONS;
use super::super::events::Event;
use super::Search;

/// The number of stages of the longest chain in a group's events, which come in their order.
///
/// Conditions that events of one instant meet are gone through by stage, then by event. A stage keeps
/// the chain that reached it last, which is the one with the latest start.
pub(super) fn level(search: &Search, events: &[Event]) -> usize {
    let mut chains =
        Chains { search, reached: 0, chains: [Chain { first: 0, last: 0 }; MOST_CONDITIONS] };
    for instant in events.chunk_by(|one, other| one.at == other.at) {
        if let ControlFlow::Break(level) = chains.instant(instant) {
            return level;
        }
    }
    chains.furthest()
}

/// A chain that ends at a stage.
#[derive(Clone, Copy)]
struct Chain {
    first: i64,
    last: i64,
}

struct Chains<'a> {
    search: &'a Search,
    /// Bit k: `chains[k]` is a chain.
    reached: u64,
    chains: [Chain; MOST_CONDITIONS],
}

impl Chains<'_> {
    fn instant(&mut self, instant: &[Event]) -> ControlFlow<usize> {
        // Without a condition an event comes first, and is there in strict order only.
        if instant[0].conditions == 0 && self.reached & 1 == 1 {
            return ControlFlow::Break(self.furthest());
        }
        let mut stages = instant.iter().fold(0, |stages, event| stages | event.conditions);
        while stages != 0 {
            let stage = stages.trailing_zeros() as usize;
            stages &= stages - 1;
            for event in instant.iter().filter(|event| event.conditions >> stage & 1 == 1) {
                self.meet(stage, event.at)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// An event at `at` meets the condition of `stage`, from 0.
    fn meet(&mut self, stage: usize, at: i64) -> ControlFlow<usize> {
        let mode = self.search.mode;
        if stage == 0 {
            self.reach(0, Chain { first: at, last: at });
            return ControlFlow::Continue(());
        }
        if mode.deduplication && self.has(stage) {
            return ControlFlow::Break(self.furthest());
        }
        if !self.has(stage - 1) {
            let ends = mode.order && !mode.reentry && self.has(0);
            return match ends {
                true => ControlFlow::Break(self.reached.trailing_ones() as usize),
                false => ControlFlow::Continue(()),
            };
        }
        let before = self.chains[stage - 1];
        let later = !mode.increase || before.last < at;
        if later && self.search.within(before.first, at) {
            self.reach(stage, Chain { first: before.first, last: at });
            if stage + 1 == self.search.conditions {
                return ControlFlow::Break(stage + 1);
            }
        }
        ControlFlow::Continue(())
    }

    fn has(&self, stage: usize) -> bool {
        self.reached >> stage & 1 == 1
    }

    fn reach(&mut self, stage: usize, chain: Chain) {
        self.reached |= 1 << stage;
        self.chains[stage] = chain;
    }

    /// The number of the furthest stage that some chain reached.
    fn furthest(&self) -> usize {
        (u64::BITS - self.reached.leading_zeros()) as usize
    }
}
