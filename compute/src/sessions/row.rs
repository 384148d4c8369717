//! One row of `sessions`: made from all events of a session, or from a row and the events that are new.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::definition::Definition;
use super::gather::{RawEvent, SessionEvents};
use crate::fold::{Digest, fold};
use crate::predicate::scalars;

/// Attributes of an opening event: the scalar fields of its payload as text.
pub(crate) type Attributes = BTreeMap<String, String>;

/// One session as the table keeps it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub client_id: Arc<str>,
    pub session_id: Arc<str>,
    pub session_key: i64,
    pub stage_at: Vec<Option<i64>>,
    pub furthest: i32,
    pub first_event_at: i64,
    pub last_event_at: i64,
    pub last_seen_at: i64,
    pub attributes: Attributes,
    /// Ordered by (`occurred_at`, `source`, `id`); `None`: read the events instead.
    pub digests: Option<Vec<Digest>>,
    /// Only the smallest digests are there.
    pub truncated: bool,
}

/// The row cannot be made from what is at hand: read all events of the session, copies in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeedsEvents;

/// A session's digests with the payloads that may have opened it.
pub(crate) struct Folded {
    pub digests: Vec<Digest>,
    /// By the digests' order.
    openings: Vec<Option<Box<str>>>,
}

impl Folded {
    /// Orders the events and drops copies of one identity: of those the smallest (`occurred_at`,
    /// type, payload as sorted JSON) is kept.
    ///
    /// # Errors
    /// When two copies at one instant differ and were read without what tells them apart.
    pub fn new(definition: &Definition, mut events: Vec<RawEvent>) -> Result<Self, NeedsEvents> {
        events.sort_by(order);
        let mut seen: HashSet<u128> = HashSet::with_capacity(events.len());
        let mut kept: Vec<RawEvent> = Vec::with_capacity(events.len());
        for event in events {
            if seen.insert(event.hash) {
                kept.push(event);
                continue;
            }
            let earlier = kept.iter().rev().take_while(|it| it.occurred_at == event.occurred_at);
            let same = earlier.into_iter().find(|it| it.hash == event.hash);
            if same.is_some_and(|same| event.exact.is_none() && !alike(same, &event)) {
                return Err(NeedsEvents);
            }
        }
        let mut folded = Self {
            digests: Vec::with_capacity(kept.len()),
            openings: Vec::with_capacity(kept.len()),
        };
        for event in kept {
            let RawEvent { hash, occurred_at, flags, reason, code, opening, .. } = event;
            folded.digests.push(definition.digest(hash, occurred_at, flags, reason, code));
            folded.openings.push(opening);
        }
        Ok(folded)
    }

    /// The attributes that the event at this place lends the session, if it meets stage 1.
    pub fn attributes(&self, opening: usize) -> Attributes {
        self.openings[opening]
            .as_deref()
            .map(|data| scalars(data).into_iter().collect())
            .unwrap_or_default()
    }
}

fn order(left: &RawEvent, right: &RawEvent) -> Ordering {
    let by_instant = left.occurred_at.cmp(&right.occurred_at);
    by_instant
        .then_with(|| left.source.cmp(&right.source))
        .then_with(|| left.id.cmp(&right.id))
        .then_with(|| left.exact.cmp(&right.exact))
}

/// Whether it makes no difference which of two copies is kept.
fn alike(left: &RawEvent, right: &RawEvent) -> bool {
    left.flags == right.flags
        && left.reason == right.reason
        && left.code == right.code
        && left.opening == right.opening
}

impl Row {
    /// The row of a session from all its events; at most `cap` digests are kept.
    ///
    /// # Errors
    /// As [`Folded::new`].
    pub fn new(
        definition: &Definition,
        session: SessionEvents,
        cap: usize,
    ) -> Result<Self, NeedsEvents> {
        let SessionEvents { session_key, client_id, session_id, events } = session;
        let folded = Folded::new(definition, events)?;
        let lend = |opening: usize| Ok(folded.attributes(opening));
        let mut row = Self {
            client_id,
            session_id,
            session_key,
            stage_at: Vec::new(),
            furthest: 0,
            first_event_at: 0,
            last_event_at: 0,
            last_seen_at: 0,
            attributes: Attributes::new(),
            digests: None,
            truncated: false,
        };
        row.refold(definition, &folded.digests, lend)?;
        row.truncated = folded.digests.len() > cap;
        let mut digests = folded.digests;
        digests.truncate(cap);
        row.digests = Some(digests);
        Ok(row)
    }

    /// The row with further events of its session.
    ///
    /// # Errors
    /// When the digests do not tell the whole: some are missing, one is repeated, or two at one
    /// instant would have to be ordered.
    pub fn merge(
        &self,
        definition: &Definition,
        events: Vec<RawEvent>,
        cap: usize,
    ) -> Result<Self, NeedsEvents> {
        let Some(old) = self.digests.as_ref().filter(|_| !self.truncated) else {
            return Err(NeedsEvents);
        };
        let new = Folded::new(definition, events)?;
        if old.len() + new.digests.len() > cap {
            return Err(NeedsEvents);
        }
        let known: HashSet<u128> = old.iter().map(|digest| digest.id).collect();
        if new.digests.iter().any(|digest| known.contains(&digest.id)) {
            return Err(NeedsEvents);
        }
        let (merged, origin) = interleave(old, &new.digests)?;
        let had_opened = self.stage_at.first().is_some_and(Option::is_some);
        let mut row = self.clone();
        row.refold(definition, &merged, |opening| match origin[opening] {
            Some(index) => Ok(new.attributes(index)),
            None if had_opened => Ok(self.attributes.clone()),
            None => Err(NeedsEvents),
        })?;
        row.digests = Some(merged);
        Ok(row)
    }

    /// Sets what follows from the digests, all of them.
    fn refold(
        &mut self,
        definition: &Definition,
        digests: &[Digest],
        attributes: impl FnOnce(usize) -> Result<Attributes, NeedsEvents>,
    ) -> Result<(), NeedsEvents> {
        let last_seen_at = digests.last().map(|digest| digest.occurred_at).ok_or(NeedsEvents)?;
        let folded = fold(digests, &definition.rules, last_seen_at).ok_or(NeedsEvents)?;
        self.attributes = folded.opening.map_or_else(|| Ok(Attributes::new()), attributes)?;
        self.furthest = folded.furthest as i32;
        self.first_event_at = folded.first_event_at;
        self.last_event_at = folded.last_event_at;
        self.last_seen_at = last_seen_at;
        self.stage_at = folded.stage_at;
        Ok(())
    }

    /// When the session started; `None`: an orphan.
    pub fn started_at(&self) -> Option<i64> {
        self.stage_at.first().copied().flatten()
    }

    /// Days since 1970 of the partition that the row belongs to.
    pub fn started_date(&self) -> i32 {
        self.started_at().unwrap_or(self.first_event_at).div_euclid(86_400_000_000) as i32
    }

    /// A hash of everything in the row.
    pub fn fingerprint(&self) -> u128 {
        let mut bytes = Vec::with_capacity(512);
        let mut text = |value: Option<&str>| {
            bytes.extend_from_slice(&value.map_or(-1, |value| value.len() as i64).to_le_bytes());
            bytes.extend_from_slice(value.unwrap_or_default().as_bytes());
        };
        text(Some(&self.client_id));
        text(Some(&self.session_id));
        for (name, value) in &self.attributes {
            text(Some(name));
            text(Some(value));
        }
        let digests = self.digests.as_deref().unwrap_or_default();
        for digest in digests {
            text(digest.reason.as_deref());
            text(digest.code.as_deref());
        }
        let mut number = |value: i64| bytes.extend_from_slice(&value.to_le_bytes());
        for digest in digests {
            number((digest.id >> 64) as i64);
            number(digest.id as i64);
            number(digest.occurred_at);
            number(i64::from(digest.stages) << 32 | i64::from(digest.exclusions));
            let marks = [digest.abandonment, digest.error, digest.activity];
            number(marks.iter().fold(0, |all, &mark| all << 1 | i64::from(mark)));
        }
        let instants = [self.first_event_at, self.last_event_at, self.last_seen_at];
        instants.into_iter().for_each(&mut number);
        for reached in &self.stage_at {
            number(i64::from(reached.is_some()));
            number(reached.unwrap_or_default());
        }
        [self.session_key, i64::from(self.furthest), i64::from(self.truncated)]
            .into_iter()
            .for_each(&mut number);
        number(self.digests.as_ref().map_or(-1, |digests| digests.len() as i64));
        number(self.attributes.len() as i64);
        xxh3_128(&bytes)
    }
}

/// Merges two ordered sets with distinct ids. The second list gives the index in `new` of each
/// digest that came from there.
fn interleave(
    old: &[Digest],
    new: &[Digest],
) -> Result<(Vec<Digest>, Vec<Option<usize>>), NeedsEvents> {
    let mut merged = Vec::with_capacity(old.len() + new.len());
    let mut origin = Vec::with_capacity(old.len() + new.len());
    let mut rest = old.iter().peekable();
    for (index, digest) in new.iter().enumerate() {
        while let Some(earlier) = rest.next_if(|it| it.occurred_at < digest.occurred_at) {
            merged.push(earlier.clone());
            origin.push(None);
        }
        // The digests do not tell the order of sources and ids.
        if rest.peek().is_some_and(|it| it.occurred_at == digest.occurred_at) {
            return Err(NeedsEvents);
        }
        merged.push(digest.clone());
        origin.push(Some(index));
    }
    for later in rest {
        merged.push(later.clone());
        origin.push(None);
    }
    Ok((merged, origin))
}
