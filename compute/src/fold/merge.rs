//! Union of two digest sets of one session.

use std::collections::HashSet;

use thiserror::Error;

use super::Digest;
use super::rules::bit;

/// Two digests whose order the digests alone do not tell.
///
/// A digest holds only a hash of its source and id. Two events at one instant from different sets
/// that a fold could tell apart therefore need their sources and ids: read the session's events
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("events at {occurred_at} µs have an order that their digests do not tell")]
pub struct Ambiguous {
    /// The instant: microseconds UTC.
    pub occurred_at: i64,
}

/// Unites two ordered digest sets of one session into one ordered set with unique ids.
///
/// Of copies of one id the earlier is kept. Fails only where order could change a fold: at an
/// instant that both sets have different events of.
pub fn merge(left: &[Digest], right: &[Digest]) -> Result<Vec<Digest>, Ambiguous> {
    let mut union: Vec<Digest> = Vec::with_capacity(left.len() + right.len());
    let mut ids = HashSet::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left, right);
    while let Some(occurred_at) = [left, right].iter().filter_map(|set| set.first()).map(at).min() {
        let (mine, rest) = split_instant(left, occurred_at);
        left = rest;
        let (theirs, rest) = split_instant(right, occurred_at);
        right = rest;
        let only_mine = missing_from(mine, theirs)?;
        let only_theirs = missing_from(theirs, mine)?;
        let clash = only_mine
            .iter()
            .any(|one| only_theirs.iter().any(|other| !interchangeable(one, other)));
        let shared = mine.len() - only_mine.len();
        let interleaved = shared > 0 && !only_mine.is_empty() && !only_theirs.is_empty();
        if clash || (interleaved && !all_interchangeable(mine, theirs)) {
            return Err(Ambiguous { occurred_at });
        }
        let (base, added) = match only_mine.is_empty() {
            true => (theirs, Vec::new()),
            false => (mine, only_theirs),
        };
        let instant = base.iter().chain(added);
        union.extend(instant.filter(|digest| ids.insert(digest.id)).cloned());
    }
    Ok(union)
}

fn at(digest: &Digest) -> i64 {
    digest.occurred_at
}

fn split_instant(set: &[Digest], occurred_at: i64) -> (&[Digest], &[Digest]) {
    set.split_at(set.partition_point(|digest| digest.occurred_at <= occurred_at))
}

/// The digests of one instant that another set of that instant lacks; copies that differ are
/// ambiguous, since which to keep depends on more than a digest holds.
fn missing_from<'a>(one: &'a [Digest], other: &[Digest]) -> Result<Vec<&'a Digest>, Ambiguous> {
    let mut missing = Vec::new();
    for digest in one {
        match other.iter().find(|candidate| candidate.id == digest.id) {
            None => missing.push(digest),
            Some(copy) if copy == digest => {}
            Some(_) => {
                return Err(Ambiguous { occurred_at: digest.occurred_at });
            }
        }
    }
    Ok(missing)
}

fn all_interchangeable(mine: &[Digest], theirs: &[Digest]) -> bool {
    mine.iter().all(|one| theirs.iter().all(|other| interchangeable(one, other)))
}

/// Whether no fold can tell the order of two events at one instant: they are alike, and neither
/// could open the session, since the opening event lends it its attributes.
fn interchangeable(one: &Digest, other: &Digest) -> bool {
    let alike = Digest { id: other.id, ..one.clone() };
    one.id == other.id || (alike == *other && one.stages & bit(0) == 0)
}
