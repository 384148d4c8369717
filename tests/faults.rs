//! Exactly once under fire: a group that is killed, frozen, crowded and cut off at random, and a
//! ledger that says what became of every record. See docs/faults.md.

mod blows;
mod changed;
mod dice;
mod figures;
mod harness;
mod ledger;
mod members;
mod place;
pub mod records;
pub mod topics;
mod world;

use std::hash::{BuildHasher, Hasher};
use std::mem::ManuallyDrop;

use blows::Fault;
use figures::Figures;
use harness::Round;
use place::Place;

use crate::support::broker::own_brokers;
use crate::support::left_out;
use crate::support::python::python;
use crate::support::store::store;

/// Faults of a run when nobody asks for more, and of each of its rounds.
const FEW: (u32, u32) = (12, 6);
/// Faults that one topic and lake have to stand, at most: in a folder, and in a bucket, where the log
/// of a lake that nobody checkpoints soon takes long to read.
const ROUND: (u32, u32) = (25, 12);

/// With what every round begins, as far as it is possible there.
const FIRST: [Fault; 4] = [Fault::UpsetStore, Fault::FillDisk, Fault::Compact, Fault::Delete];

/// `ONRAMP_FAULTS` asks for more faults, `ONRAMP_FAULT_SEED` for those of an earlier run.
#[test]
fn nothing_is_lost_or_doubled_whatever_happens_to_the_group() {
    let test = "faults::nothing_is_lost_or_doubled_whatever_happens_to_the_group";
    let Some(mut one) = own_brokers(test, 1) else { return };
    let asked = number("ONRAMP_FAULTS");
    let seed = number("ONRAMP_FAULT_SEED").unwrap_or_else(|| match asked {
        Some(_) => std::hash::RandomState::new().build_hasher().finish() % 1_000_000,
        None => 1,
    });
    // Three brokers take a while to start.
    let mut three = asked.and_then(|_| own_brokers(test, 3));
    let faults = asked.map_or(FEW.0, |asked| asked as u32);
    println!("ONRAMP_FAULT_SEED={seed} ONRAMP_FAULTS={faults}");
    let python = python("deletes in faults::nothing_is_lost", "analysts");
    let store = store("a bucket in faults::nothing_is_lost");
    let mut figures = Figures::default();
    for seed in seed.. {
        // Removed only when all is well: who looks for a defect needs the lake and the logs.
        let place = ManuallyDrop::new(match store {
            Some(store) if seed % 2 == 0 => Place::bucket(store),
            _ => Place::folder(),
        });
        if place.proxy.is_none() && place.disk.is_none() {
            left_out("a full disk in faults::nothing_is_lost", "the right to mount a tmpfs");
        }
        let brokers = three.as_mut().filter(|_| seed % 3 == 0).unwrap_or(&mut one);
        println!("seed {seed} in {} and {}", place.scene.path("").display(), place.lake.display());
        let each = match asked {
            None => FEW.1,
            Some(_) if place.proxy.is_some() => ROUND.1,
            Some(_) => ROUND.0,
        };
        let mut group = Round::start(seed, brokers, &place, python.as_ref(), &mut figures);
        group.hurt(each.min(faults - group.inflicted()), &FIRST);
        let ledger = group.settle();
        assert!(ledger.balances(), "seed {seed}: {ledger:#?}");
        drop(ManuallyDrop::into_inner(place));
        println!("{}", figures.told());
        if figures.total() >= faults {
            break;
        }
    }
}

#[test]
fn three_brokers_are_killed_one_after_the_other() {
    let test = "faults::three_brokers_are_killed_one_after_the_other";
    let Some(mut brokers) = own_brokers(test, 3) else { return };
    let (place, mut figures) = (Place::folder(), Figures::default());
    let mut group = Round::start(3, &mut brokers, &place, None, &mut figures);
    group.hurt(4, &[Fault::KillBroker, Fault::RestartBroker, Fault::Kill, Fault::KillBroker]);
    let ledger = group.settle();
    assert!(ledger.balances(), "{ledger:#?}");
}

fn number(variable: &str) -> Option<u64> {
    let asked = std::env::var(variable).ok().filter(|asked| !asked.is_empty())?;
    Some(asked.parse().unwrap_or_else(|_| panic!("{variable}={asked:?} is no number")))
}
