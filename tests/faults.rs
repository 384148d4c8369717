//! Exactly once under fire: a group that is killed, frozen, crowded and cut off at random, and a
//! ledger that says what became of every record. See docs/faults.md.

mod dice;
mod figures;
mod harness;
mod ledger;
mod members;
mod records;
mod world;

use std::hash::{BuildHasher, Hasher};
use std::mem::ManuallyDrop;

use figures::Figures;
use harness::Round;

use crate::support::Scene;
use crate::support::broker::own_broker;

/// Faults of a run when nobody asks for more.
const DEFAULT_FAULTS: u32 = 12;
/// Faults that one topic and lake have to stand, at most.
const ROUND: u32 = 25;

/// `ONRAMP_FAULTS` asks for more faults, `ONRAMP_FAULT_SEED` for those of an earlier run.
#[test]
fn nothing_is_lost_or_doubled_whatever_happens_to_the_group() {
    let test = "faults::nothing_is_lost_or_doubled_whatever_happens_to_the_group";
    let Some(mut broker) = own_broker(test) else { return };
    let asked = number("ONRAMP_FAULTS");
    let seed = number("ONRAMP_FAULT_SEED").unwrap_or_else(|| match asked {
        Some(_) => std::hash::RandomState::new().build_hasher().finish() % 1_000_000,
        None => 1,
    });
    let faults = asked.map_or(DEFAULT_FAULTS, |asked| asked as u32);
    println!("ONRAMP_FAULT_SEED={seed} ONRAMP_FAULTS={faults}");
    let mut figures = Figures::default();
    let mut round = 0;
    while figures.total() < faults {
        // Removed only when all is well: who looks for a defect needs the lake and the logs.
        let scene = ManuallyDrop::new(Scene::new());
        println!("seed {} in {}", seed + round, scene.path("").display());
        let mut group = Round::start(seed + round, &mut broker, &scene, &mut figures);
        group.hurt(ROUND.min(faults - group.inflicted()));
        let ledger = group.settle();
        assert!(ledger.balances(), "seed {}: {ledger:#?}", seed + round);
        drop(ManuallyDrop::into_inner(scene));
        println!("{}", figures.told());
        round += 1;
    }
}

fn number(variable: &str) -> Option<u64> {
    let asked = std::env::var(variable).ok().filter(|asked| !asked.is_empty())?;
    Some(asked.parse().unwrap_or_else(|_| panic!("{variable}={asked:?} is no number")))
}
