//! What each fault does to the group, its brokers, its store or its tables.

use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::consumer::Consumer;

use super::harness::{GROUP, Round, within};
use super::ledger;
use super::members::{Ended, Member, SESSION_TIMEOUT_MS};
use super::place::Upset;
use super::topics::widen;
use super::world::DOOMED;
use crate::support::{Answer, checkout, eventually};

const MOST_PARTITIONS: i32 = 8;

/// What a member says that cannot write.
pub const DISK_FULL: &str = "the disk is full; free some space";

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

/// What is done.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    KillAtPoint,
    Kill,
    Zombie,
    Terminate,
    Add,
    Remove,
    Intruder,
    RestartBroker,
    KillBroker,
    AddPartitions,
    Rewrite,
    Compact,
    Delete,
    UpsetStore,
    FillDisk,
}

/// How often each is chosen where all are possible, of 100.
const WEIGHTS: [(Fault, u64); 15] = [
    (Fault::KillAtPoint, 22),
    (Fault::Kill, 8),
    (Fault::Zombie, 9),
    (Fault::Terminate, 4),
    (Fault::Add, 4),
    (Fault::Remove, 4),
    (Fault::Intruder, 7),
    (Fault::RestartBroker, 3),
    (Fault::KillBroker, 5),
    (Fault::AddPartitions, 2),
    (Fault::Rewrite, 5),
    (Fault::Compact, 5),
    (Fault::Delete, 5),
    (Fault::UpsetStore, 12),
    (Fault::FillDisk, 5),
];

impl Round<'_> {
    /// One of the faults that are possible here and now.
    pub fn choose(&mut self) -> Fault {
        let possible: Vec<_> =
            WEIGHTS.into_iter().filter(|(fault, _)| self.is_possible(*fault)).collect();
        let mut throw = self.dice.below(possible.iter().map(|(_, weight)| weight).sum());
        for (fault, weight) in possible {
            match throw.checked_sub(weight) {
                Some(rest) => throw = rest,
                None => return fault,
            }
        }
        unreachable!("the throw is less than the sum")
    }

    pub fn is_possible(&self, fault: Fault) -> bool {
        match fault {
            Fault::KillBroker => self.broker.count() > 1,
            Fault::AddPartitions => self.partitions < MOST_PARTITIONS,
            Fault::Delete => self.python.is_some(),
            Fault::UpsetStore => self.place.proxy.is_some(),
            Fault::FillDisk => self.place.disk.is_some(),
            _ => true,
        }
    }

    pub fn inflict(&mut self, fault: Fault) {
        match fault {
            Fault::KillAtPoint => return self.kill_at_point(),
            Fault::UpsetStore => return self.upset_store(),
            Fault::Kill => self.take_one().kill(),
            Fault::Zombie => self.freeze_one(),
            Fault::Terminate | Fault::Remove => {
                let member = self.take_one();
                let ended = member.end();
                self.judge(ended);
            }
            Fault::Add => self.add(None),
            Fault::Intruder => self.intrude(),
            Fault::RestartBroker => {
                self.kill_broker();
                self.broker.up();
            }
            Fault::KillBroker => self.go_on_with_two_brokers(),
            Fault::AddPartitions => self.add_partitions(),
            Fault::Rewrite => {
                let command = self.dice.one(&["report", "rebuild"]);
                self.beside(self.onramp(command));
            }
            Fault::Compact => self.beside(self.onramp("compact")),
            Fault::Delete => self.delete(),
            Fault::FillDisk => self.fill_disk(),
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
        self.pause(SESSION_TIMEOUT_MS + 300, 2_000);
        self.members[chosen].wake();
    }

    /// A process of another group reads the same partitions into the same lake.
    fn intrude(&mut self) {
        let mut intruder = self.enlist("intruder", None);
        self.await_assignment(&intruder);
        self.pause(500, 2_500);
        if let Some(ended) = intruder.ended() {
            self.judge(ended);
        } else if self.dice.once_in(2) {
            intruder.kill();
        } else {
            let ended = intruder.end();
            self.judge(ended);
        }
    }

    fn kill_broker(&mut self) {
        let chosen = self.dice.below(self.broker.count() as u64) as usize;
        self.broker.kill(chosen);
    }

    /// One of three goes, everything goes on with two, and it comes back.
    fn go_on_with_two_brokers(&mut self) {
        eventually("all replicas are in sync", 60, || self.is_in_sync().then_some(()));
        self.kill_broker();
        self.recover();
        self.broker.up();
    }

    fn is_in_sync(&self) -> bool {
        let topic = &self.barracks.topic;
        let metadata = self.asker.fetch_metadata(Some(topic), Duration::from_secs(5));
        let in_sync = |partition: &rdkafka::metadata::MetadataPartition| {
            partition.isr().len() == partition.replicas().len()
        };
        metadata.is_ok_and(|told| told.topics()[0].partitions().iter().all(in_sync))
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

    /// Another program deletes a client's events while others are appended.
    fn delete(&mut self) {
        let mut delete = Command::new(self.python.expect("it was asked for"));
        delete.arg(checkout("tests/faults/erase.py"));
        self.place.scene.reach(&mut delete);
        delete.arg(DOOMED);
        self.beside(delete);
        // What is produced from here on was in no version that the delete has seen.
        self.erased.extend(self.await_ends());
    }

    fn onramp(&self, command: &str) -> Command {
        let mut onramp = self.place.scene.onramp();
        onramp.arg(command);
        onramp
    }

    /// Runs something that writes the tables anew while events are appended, and kills one in three.
    fn beside(&mut self, mut work: Command) {
        if self.dice.once_in(3) {
            let mut child = work.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            self.pause(200, 2_500);
            // It may have ended in time.
            let _ = child.kill();
            child.wait().unwrap();
            self.figures.killed_beside += 1;
        } else {
            Answer::of(&mut work).succeeded();
        }
    }

    /// The store answers wrongly for a while; those that read it most are those that start.
    fn upset_store(&mut self) {
        let proxy = self.place.proxy.as_ref().expect("it was asked for");
        let upset = self.dice.one(&Upset::ALL);
        let before = proxy.met();
        proxy.follow(Some(upset.plan(&mut self.dice)));
        if upset.hurts_readers() || self.dice.once_in(2) {
            self.take_one().kill();
            self.add(None);
        }
        let met = within(Duration::from_secs(20), || {
            self.revive();
            (proxy.met() > before).then_some(())
        });
        match met {
            Some(()) => {
                self.pause(500, 3_000);
                self.figures.count(format!("the store {upset:?}").to_lowercase());
            }
            None => self.figures.unfired += 1,
        }
        proxy.follow(None);
        self.figures.store_faults_met += proxy.met() - before;
    }

    /// No byte is left: members give up and say so, those that replace them too, until there is room.
    fn fill_disk(&mut self) {
        let disk = self.place.disk.as_ref().expect("it was asked for");
        let gave_up = |round: &Self| round.figures.gave_up.get(DISK_FULL).copied();
        let before = gave_up(self);
        eventually("a member says that the disk is full", 60, || {
            disk.fill();
            self.revive();
            (gave_up(self) > before).then_some(())
        });
        self.pause(0, 2_000);
        disk.free();
    }

    /// Takes a member out of the group's list, leaving one at least.
    fn take_one(&mut self) -> Member {
        if self.members.len() < 2 {
            self.add(None);
        }
        let chosen = self.dice.below(self.members.len() as u64) as usize;
        self.members.remove(chosen)
    }

    pub fn add(&mut self, fault: Option<&str>) {
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

    fn await_assignment(&self, member: &Member) {
        within(Duration::from_secs(20), || member.holds_partitions().then_some(()));
    }

    fn pause(&mut self, at_least: u64, more: u64) {
        std::thread::sleep(Duration::from_millis(at_least + self.dice.below(more)));
    }
}
