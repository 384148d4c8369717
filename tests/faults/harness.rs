//! The harness: a group at work, hurt at random, and the figures of what it took.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::blows::{DISK_FULL, Fault};
use super::dice::Dice;
use super::figures::Figures;
use super::ledger::{self, Ledger, Log, Offsets};
use super::members::{Barracks, Ended, Member};
use super::place::Place;
use super::topics::create;
use super::world::World;
use crate::support::broker::Broker;
use crate::support::eventually;

pub const GROUP: &str = "onramp";
const FIRST_PARTITIONS: i32 = 4;

/// Why a member may give up, in words of its own that are the same each time.
const REASONS: [&str; 1] = [DISK_FULL];

/// One topic, one lake, one group.
pub struct Round<'a> {
    pub(super) dice: Dice,
    pub(super) broker: &'a mut Broker,
    pub(super) place: &'a Place,
    /// With the library that deletes; none where there is no Python.
    pub(super) python: Option<&'a PathBuf>,
    pub(super) barracks: Barracks<'a>,
    pub(super) asker: BaseConsumer,
    /// None once it is stopped.
    pub(super) world: Option<World>,
    pub(super) partitions: i32,
    pub(super) members: Vec<Member>,
    /// Up to where the doomed client's events may have been deleted.
    pub(super) erased: Offsets,
    pub(super) figures: &'a mut Figures,
    log: Log,
}

impl<'a> Round<'a> {
    pub fn start(
        seed: u64,
        broker: &'a mut Broker,
        place: &'a Place,
        python: Option<&'a PathBuf>,
        figures: &'a mut Figures,
    ) -> Self {
        let (brokers, topic) = (broker.address(), format!("onboarding.faults-{seed}"));
        create(&brokers, &topic, FIRST_PARTITIONS, &[]);
        let mut barracks = Barracks::new(&place.scene, brokers.clone(), topic.clone());
        let members = (0..2).map(|_| barracks.start(GROUP, None)).collect();
        figures.members_started += 2;
        Self {
            dice: Dice::new(seed),
            broker,
            place,
            python,
            barracks,
            asker: ledger::consumer(&brokers),
            world: Some(World::start(&brokers, &topic, FIRST_PARTITIONS, seed)),
            partitions: FIRST_PARTITIONS,
            members,
            erased: Offsets::new(),
            figures,
            log: Log::new(&place.lake, "events"),
        }
    }

    /// Hurts the group so many times: first by those of `first` that are possible, then at random.
    pub fn hurt(&mut self, times: u32, first: &[Fault]) {
        self.recover();
        let until = self.figures.total() + times;
        let first: Vec<Fault> = first.iter().copied().filter(|f| self.is_possible(*f)).collect();
        let mut first = first.into_iter();
        while self.figures.total() < until {
            self.revive();
            let fault = first.next().unwrap_or_else(|| self.choose());
            println!("{:>4} {fault:?}", self.figures.total() + 1);
            self.inflict(fault);
            // Now and then the next blow comes before the group has recovered.
            if !self.dice.once_in(4) {
                self.recover();
            }
        }
    }

    /// How many faults there were so far, in all rounds.
    pub fn inflicted(&self) -> u32 {
        self.figures.total()
    }

    /// Lets the group finish its work, and draws the balance.
    pub fn settle(mut self) -> Ledger {
        let world = self.world.take().expect("the world is stopped once");
        let produced = world.stop();
        self.revive();
        self.recover();
        for member in self.members.drain(..) {
            assert_eq!(member.end(), Ended::Well, "an idle member ends well");
        }
        let scene = self.barracks.scene;
        scene.run(["report"]).succeeded();
        let rebuilt = scene.run(["--format", "json", "rebuild", "--dry-run"]).succeeded().json();
        let differing =
            ["different", "missing", "surplus"].map(|kind| &rebuilt[0]["rebuilt"][kind]);
        assert_eq!(differing, [0, 0, 0], "the sessions are not their rebuild: {rebuilt}");
        let (brokers, topic) = (&self.barracks.brokers, &self.barracks.topic);
        let ledger = ledger::ledger(brokers, topic, &self.place.lake, &self.erased);
        assert_eq!(ledger.records as u64, produced, "the topic holds what was produced");
        self.figures.add(&ledger, self.log.commits());
        ledger
    }

    /// Replaces members that gave up, as whatever supervises them would.
    pub(super) fn revive(&mut self) {
        let (mut members, mut ended) = (Vec::new(), Vec::new());
        for mut member in self.members.drain(..) {
            match member.ended() {
                None => members.push(member),
                Some(how) => ended.push(how),
            }
        }
        self.members = members;
        ended.into_iter().for_each(|how| self.judge(how));
        while self.members.len() < 2 {
            self.add(None);
        }
    }

    pub(super) fn judge(&mut self, ended: Ended) {
        if let Ended::Ill(words) = ended {
            println!("     a member gave up: {words}");
            let known = REASONS.into_iter().find(|reason| words.contains(reason));
            let reason = known.map_or(words, str::to_owned);
            *self.figures.gave_up.entry(reason).or_default() += 1;
        }
    }

    /// Waits until everything that is in the topic now is in the lake.
    pub(super) fn recover(&mut self) {
        let began = Instant::now();
        let ends = self.await_ends();
        let until = began + Duration::from_secs(90);
        loop {
            self.log.advance();
            let behind: Vec<_> =
                ends.iter().filter(|(p, end)| self.position(**p) < **end).collect();
            if behind.is_empty() {
                break;
            }
            assert!(Instant::now() < until, "stuck: partition and end {behind:?}");
            self.revive();
            std::thread::sleep(Duration::from_millis(20));
        }
        self.figures.recoveries.push(began.elapsed());
    }

    /// Where each partition of the topic ends now.
    pub(super) fn await_ends(&self) -> Offsets {
        eventually("the brokers tell the topic's end", 60, || self.ends().ok())
    }

    fn ends(&self) -> Result<Offsets, KafkaError> {
        let topic = &self.barracks.topic;
        let end = |partition| {
            let (_, end) = self.asker.fetch_watermarks(topic, partition, Duration::from_secs(5))?;
            Ok((partition, end))
        };
        (0..self.partitions).map(end).collect()
    }

    fn position(&self, partition: i32) -> i64 {
        let of = format!("/{}@0/{partition}", self.barracks.topic);
        let mut transactions = self.log.transactions.iter();
        transactions.find(|(app_id, _)| app_id.ends_with(&of)).map_or(0, |(_, &next)| next)
    }
}

pub fn within<T>(patience: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if let Some(found) = found() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}
