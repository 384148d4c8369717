//! A world of sessions to try Onramp on: seeded, so that the same arguments give the same bytes.
//!
//! Three clients follow the rhythm of their own days and weeks; people differ in language, kind,
//! channel and device, and convert accordingly; in the last week something breaks on mobiles just
//! before the approval. About 2 % of the events arrive late, 1 % twice, 0.3 % broken.

mod defects;
mod random;
mod render;
mod rhythm;
mod session;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use defects::Defect;
use random::{Quantiles, Random};
use rhythm::Rhythm;
use session::{Happening, Visit};

/// Of 10,000 events, how many arrive late, that is after others of their session.
const LATE: i64 = 200;
/// Of 10,000 events, how many are sent a second time.
const RESENT: i64 = 100;
/// For how many of 10,000 events a broken record arrives besides.
const BROKEN: i64 = 30;

/// Milliseconds from an event to its arrival.
const TRANSIT: Quantiles = [5, 18, 35, 70, 140, 320, 1_900, 9_000];
/// The same for an event that waited in an app which was offline, and for a resend.
const DELAY: Quantiles =
    [1_000, 20_000, 60_000, 300_000, 1_800_000, 9_000_000, 79_000_000, 170_000_000];

const DAY_US: i64 = 86_400_000_000;

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerateOptions {
    /// Sessions that start.
    pub sessions: u64,
    /// Another seed is another world.
    pub seed: u64,
    /// Days over which they start, the last of which ends at `until_us`.
    pub days: u32,
    /// Nothing happens or arrives later than this; microseconds UTC.
    pub until_us: i64,
}

/// One record as it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The session's id, a good Kafka key.
    pub key: String,
    /// When it arrives, microseconds UTC; never less than that of the record before.
    pub arrival_us: i64,
    /// A structured-mode CloudEvent as JSON on one line – or, for a few, something broken.
    pub value: Vec<u8>,
}

/// All records in the order of their arrival.
///
/// Memory holds the sessions of one hour and what has happened but not yet arrived.
pub struct Generator {
    random: Random,
    rhythm: Rhythm,
    starts: VecDeque<(i64, u8)>,
    on_the_way: BinaryHeap<Reverse<OnTheWay>>,
    sent: u64,
    until_us: i64,
    regression_us: i64,
}

impl Generator {
    /// The world of `options`.
    pub fn new(options: GenerateOptions) -> Self {
        let GenerateOptions { sessions, seed, days, until_us } = options;
        let week = (7 * DAY_US).min(i64::from(days) * DAY_US / 4);
        Self {
            // All of them, so that two worlds in one lake never share an id.
            random: Random::new([seed, sessions, u64::from(days), until_us as u64]),
            rhythm: Rhythm::new(sessions, days, until_us),
            starts: VecDeque::new(),
            on_the_way: BinaryHeap::new(),
            sent: 0,
            until_us,
            regression_us: until_us - week,
        }
    }

    /// When the next session starts, if one still does.
    fn next_start(&mut self) -> Option<i64> {
        while self.starts.is_empty() {
            self.starts = self.rhythm.next_hour(&mut self.random)?.into();
        }
        self.starts.front().map(|start| start.0)
    }

    fn begin_session(&mut self) {
        let Some((started_us, client)) = self.starts.pop_front() else {
            return;
        };
        let visit = session::visit(&mut self.random, client);
        let story = session::tell(&mut self.random, &visit, started_us, self.regression_us);
        for happening in story.happenings {
            if happening.occurred_us > self.until_us {
                break;
            }
            self.send(visit, happening);
        }
    }

    fn send(&mut self, visit: Visit, happening: Happening) {
        let late = self.random.chance(LATE);
        let transit = self.random.draw(if late { &DELAY } else { &TRANSIT }) as i64 * 1_000;
        let mut arrival_us = happening.occurred_us + transit;
        if !late {
            arrival_us = arrival_us.min(self.until_us);
        }
        self.put(arrival_us, visit, happening, None);
        if self.random.chance(RESENT) {
            let again_us = arrival_us + self.random.draw(&DELAY) as i64 * 1_000;
            self.put(again_us, visit, happening, None);
        }
        if self.random.chance(BROKEN) {
            let defect = defects::draw(&mut self.random);
            let broken = Happening { id: self.random.id(), ..happening };
            self.put(arrival_us, visit, broken, Some(defect));
        }
    }

    fn put(&mut self, arrival_us: i64, visit: Visit, happening: Happening, defect: Option<Defect>) {
        if arrival_us > self.until_us {
            return;
        }
        let order = (arrival_us, self.sent);
        self.sent += 1;
        self.on_the_way.push(Reverse(OnTheWay { order, visit, happening, defect }));
    }
}

impl Iterator for Generator {
    type Item = Generated;

    fn next(&mut self) -> Option<Generated> {
        // Nothing arrives before it happens, so what arrives by the next start is complete.
        while let Some(start) = self.next_start() {
            if self.on_the_way.peek().is_some_and(|Reverse(first)| first.order.0 < start) {
                break;
            }
            self.begin_session();
        }
        let Reverse(OnTheWay { order, visit, happening, defect }) = self.on_the_way.pop()?;
        let mut key = Vec::with_capacity(36);
        crate::json::uuid(&mut key, visit.id);
        let mut value = Vec::with_capacity(512);
        render::event(&mut value, &visit, &happening, defect);
        let key = String::from_utf8(key).expect("hexadecimal digits and dashes are ASCII");
        Some(Generated { key, arrival_us: order.0, value })
    }
}

/// A record that has been sent; ordered by its arrival, then by when it was sent.
struct OnTheWay {
    order: (i64, u64),
    visit: Visit,
    happening: Happening,
    defect: Option<Defect>,
}

impl PartialEq for OnTheWay {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for OnTheWay {}

impl PartialOrd for OnTheWay {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OnTheWay {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}

#[cfg(test)]
mod tests;
