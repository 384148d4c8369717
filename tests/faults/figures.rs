//! The figures of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ledger::Ledger;

/// What was counted over all rounds.
#[derive(Debug, Default)]
pub struct Figures {
    pub faults: BTreeMap<String, u32>,
    /// Armed members that ended otherwise before they passed their point, and faults of the store
    /// that no request met.
    pub unfired: u32,
    /// Requests to the store that were answered wrongly.
    pub store_faults_met: usize,
    /// Rewrites and deletes that were killed.
    pub killed_beside: u32,
    /// Members that gave up, by their last words.
    pub gave_up: BTreeMap<String, u32>,
    pub members_started: u32,
    pub records: usize,
    pub events: usize,
    pub dead_letters: usize,
    pub duplicates: usize,
    pub erased: usize,
    pub commits: u64,
    /// From the end of a fault until everything produced before it was in the lake.
    pub recoveries: Vec<Duration>,
}

impl Figures {
    pub fn total(&self) -> u32 {
        self.faults.values().sum()
    }

    /// The figures in lines.
    pub fn told(&self) -> String {
        let mut told = format!("faults: {}\n", self.total());
        for (fault, count) in &self.faults {
            told += &format!("  {fault}: {count}\n");
        }
        told += &format!("not reached: {}\n", self.unfired);
        told += &format!("requests to the store answered wrongly: {}\n", self.store_faults_met);
        told += &format!("rewrites and deletes killed: {}\n", self.killed_beside);
        told += &format!("members started: {}\n", self.members_started);
        for (words, count) in &self.gave_up {
            told += &format!("  gave up: {count} × {words}\n");
        }
        told += &format!(
            "records: {} = {} events + {} dead letters + {} duplicates + {} deleted; commits: {}\n",
            self.records,
            self.events,
            self.dead_letters,
            self.duplicates,
            self.erased,
            self.commits
        );
        let mut recoveries = self.recoveries.clone();
        recoveries.sort_unstable();
        let at = |share: usize| recoveries[(recoveries.len() - 1) * share / 100];
        told += &format!(
            "recoveries: {}, median {:.1?}, 95 % {:.1?}, worst {:.1?}",
            recoveries.len(),
            at(50),
            at(95),
            at(100)
        );
        told
    }

    /// Adds what became of a round's records.
    pub fn add(&mut self, ledger: &Ledger, commits: u64) {
        self.records += ledger.records;
        self.events += ledger.events;
        self.dead_letters += ledger.dead_letters;
        self.duplicates += ledger.duplicates;
        self.erased += ledger.erased;
        self.commits += commits;
    }

    pub fn count(&mut self, fault: impl Into<String>) {
        *self.faults.entry(fault.into()).or_default() += 1;
    }
}
