//! The harness: a group at work, hurt at random, and the figures of what it took.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::dice::Dice;
use super::figures::Figures;
use super::ledger::{self, Ledger, Log};
use super::members::{Barracks, Ended, Member, SESSION_TIMEOUT_MS};
use super::world::World;
use crate::support::broker::Broker;
use crate::support::{Answer, Scene, eventually};

const GROUP: &str = "onramp";
const FIRST_PARTITIONS: i32 = 4;
const MOST_PARTITIONS: i32 = 8;

/// Every point at which ingest can be ended.
pub const POINTS: [&str; 7] = [
    "before_flush",
    "after_dead_letters",
    "after_files",
    "after_commit",
    "before_offsets",
    "after_offsets",
    "during_revoke",
];

/// What is done to the group.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KillAtPoint,
    Kill,
    Zombie,
    Terminate,
    Add,
    Remove,
    Intruder,
    RestartBroker,
    AddPartitions,
    Rewrite,
}

/// How often each is chosen, of 100.
const WEIGHTS: [(Fault, u64); 10] = [
    (Fault::KillAtPoint, 36),
    (Fault::Kill, 12),
    (Fault::Zombie, 12),
    (Fault::Terminate, 6),
    (Fault::Add, 6),
    (Fault::Remove, 6),
    (Fault::Intruder, 8),
    (Fault::RestartBroker, 3),
    (Fault::AddPartitions, 3),
    (Fault::Rewrite, 8),
];

/// One topic, one lake, one group.
pub struct Round<'a> {
    dice: Dice,
    broker: &'a mut Broker,
    barracks: Barracks<'a>,
    asker: BaseConsumer,
    /// None once it is stopped.
    world: Option<World>,
    partitions: i32,
    members: Vec<Member>,
    log: Log,
    figures: &'a mut Figures,
}

impl<'a> Round<'a> {
    pub fn start(
        seed: u64,
        broker: &'a mut Broker,
        scene: &'a Scene,
        figures: &'a mut Figures,
    ) -> Self {
        let (brokers, topic) = (broker.address(), format!("onboarding.faults-{seed}"));
        create(&brokers, &topic, FIRST_PARTITIONS, &[]);
        let mut barracks = Barracks::new(scene, brokers.clone(), topic.clone());
        let members = (0..2).map(|_| barracks.start(GROUP, None)).collect();
        figures.members_started += 2;
        Self {
            dice: Dice::new(seed),
            broker,
            barracks,
            asker: ledger::consumer(&brokers),
            world: Some(World::start(&brokers, &topic, FIRST_PARTITIONS, seed)),
            partitions: FIRST_PARTITIONS,
            members,
            log: Log::new(&scene.lake(), "events"),
            figures,
        }
    }

    /// Hurts the group so many times.
    pub fn hurt(&mut self, times: u32) {
        self.recover();
        let until = self.figures.total() + times;
        while self.figures.total() < until {
            self.revive();
            let fault = self.choose();
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
        let ledger = ledger::ledger(&self.barracks.brokers, &self.barracks.topic, &scene.lake());
        assert_eq!(ledger.records as u64, produced, "the topic holds what was produced");
        self.figures.records += ledger.records;
        self.figures.events += ledger.events;
        self.figures.dead_letters += ledger.dead_letters;
        self.figures.duplicates += ledger.duplicates;
        self.figures.commits += self.log.commits();
        ledger
    }

    fn choose(&mut self) -> Fault {
        let mut throw = self.dice.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
        for (fault, weight) in WEIGHTS {
            match throw.checked_sub(weight) {
                Some(rest) => throw = rest,
                None if matches!(fault, Fault::AddPartitions) && self.is_wide() => {
                    return Fault::Kill;
                }
                None => return fault,
            }
        }
        unreachable!("the throw is less than the sum")
    }

    /// Whether the topic has all the partitions that it may get.
    fn is_wide(&self) -> bool {
        self.partitions >= MOST_PARTITIONS
    }

    fn inflict(&mut self, fault: Fault) {
        match fault {
            Fault::KillAtPoint => return self.kill_at_point(),
            Fault::Kill => self.take_one().kill(),
            Fault::Zombie => self.freeze_one(),
            Fault::Terminate | Fault::Remove => {
                let member = self.take_one();
                let ended = member.end();
                self.judge(ended);
            }
            Fault::Add => self.add(None),
            Fault::Intruder => self.intrude(),
            Fault::RestartBroker => self.broker.restart(),
            Fault::AddPartitions => self.add_partitions(),
            Fault::Rewrite => self.rewrite(),
        }
        self.figures.count(format!("{fault:?}"));
        if matches!(fault, Fault::Kill | Fault::Terminate) {
            self.add(None);
        }
    }

    /// A member joins that ends itself at some passing of some point.
    fn kill_at_point(&mut self) {
        while self.members.len() > 2 {
            let ended = self.members.remove(0).end();
            self.judge(ended);
        }
        let (point, passing) = (self.dice.one(&POINTS), 1 + self.dice.below(4));
        let revoking = point == "during_revoke";
        let fault = format!("{point}:{}", if revoking { 1 } else { passing });
        self.add(Some(&fault));
        let mut armed = self.members.pop().expect("it was added just now");
        if revoking {
            // It has to hold something before it can be taken away; then its leave takes it.
            self.await_assignment(&armed);
            armed.ask_to_end();
        }
        let ended = within(Duration::from_secs(20), || armed.ended());
        match ended {
            Some(Ended::Killed) => self.figures.count(format!("killed at {point}")),
            other => {
                println!("     {fault} was not reached: {other:?}");
                self.figures.unfired += 1;
            }
        }
    }

    /// Silent past the session time-out, so that the others take its partitions; then it goes on
    /// with a buffer that is theirs by now.
    fn freeze_one(&mut self) {
        let chosen = self.dice.below(self.members.len() as u64) as usize;
        self.members[chosen].freeze();
        let silent = SESSION_TIMEOUT_MS + 300 + self.dice.below(2_000);
        std::thread::sleep(Duration::from_millis(silent));
        self.members[chosen].wake();
    }

    /// A process of another group reads the same partitions into the same lake.
    fn intrude(&mut self) {
        let mut intruder = self.enlist("intruder", None);
        self.await_assignment(&intruder);
        let stays = 500 + self.dice.below(2_500);
        std::thread::sleep(Duration::from_millis(stays));
        if let Some(ended) = intruder.ended() {
            self.judge(ended);
        } else if self.dice.once_in(2) {
            intruder.kill();
        } else {
            let ended = intruder.end();
            self.judge(ended);
        }
    }

    fn add_partitions(&mut self) {
        self.partitions += 2;
        widen(&self.barracks.brokers, &self.barracks.topic, self.partitions);
        // A client that was there before does not know them at once.
        self.asker = ledger::consumer(&self.barracks.brokers);
        if let Some(world) = &self.world {
            world.spread(self.partitions);
        }
    }

    /// The sessions are folded and written anew while events are appended.
    fn rewrite(&mut self) {
        let command = self.dice.one(&["report", "rebuild"]);
        let mut rewriting = self.barracks.scene.onramp();
        rewriting.arg(command);
        if self.dice.once_in(3) {
            let mut child = rewriting.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(200 + self.dice.below(1_500)));
            // It may have ended in time.
            let _ = child.kill();
            child.wait().unwrap();
        } else {
            Answer::of(&mut rewriting).succeeded();
        }
    }

    /// Takes a member out of the group's list, leaving one at least.
    fn take_one(&mut self) -> Member {
        if self.members.len() < 2 {
            self.add(None);
        }
        let chosen = self.dice.below(self.members.len() as u64) as usize;
        self.members.remove(chosen)
    }

    fn add(&mut self, fault: Option<&str>) {
        if self.members.len() >= 4 {
            let ended = self.members.remove(0).end();
            self.judge(ended);
        }
        let member = self.enlist(GROUP, fault);
        self.members.push(member);
    }

    fn enlist(&mut self, group: &str, fault: Option<&str>) -> Member {
        self.figures.members_started += 1;
        self.barracks.start(group, fault)
    }

    /// Replaces members that gave up, as whatever supervises them would.
    fn revive(&mut self) {
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

    fn judge(&mut self, ended: Ended) {
        if let Ended::Ill(words) = ended {
            println!("     a member gave up: {words}");
            *self.figures.gave_up.entry(words).or_default() += 1;
        }
    }

    fn await_assignment(&self, member: &Member) {
        within(Duration::from_secs(20), || member.says("partitions assigned").then_some(()));
    }

    /// Waits until everything that is in the topic now is in the lake.
    fn recover(&mut self) {
        let began = Instant::now();
        let ends = eventually("the brokers tell the topic's end", 60, || self.ends().ok());
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

    fn ends(&self) -> Result<BTreeMap<i32, i64>, KafkaError> {
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

fn within<T>(patience: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if let Some(found) = found() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

/// Creates a topic with settings of its own.
pub fn create(brokers: &str, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin = admin(brokers);
    eventually("the topic is created", 60, || {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let asked = admin.create_topics([&new], &AdminOptions::new());
        block_on(asked).ok().filter(|answers| answers.iter().all(Result::is_ok))
    });
}

/// Adds partitions to a topic until it has so many.
pub fn widen(brokers: &str, topic: &str, partitions: i32) {
    let admin = admin(brokers);
    let more = [NewPartitions::new(topic, partitions as usize)];
    eventually("partitions are added", 60, || {
        let asked = admin.create_partitions(&more, &AdminOptions::new());
        block_on(asked).ok().filter(|answers| answers.iter().all(Result::is_ok))
    });
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a client")
}
