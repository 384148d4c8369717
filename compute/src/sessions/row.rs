//! One row of `sessions`: made from all events of a session, or from a row and the events that are new.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::definition::Definition;
use super::gather::{RawEvent, SessionEvents};
use crate::fold::{Digest, Summary};
use crate::predicate::scalars;

/// Attributes of an opening event: the scalar fields of its payload as text.
pub(crate) type Attributes = BTreeMap<String, String>;

/// One session as the table keeps it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub client_id: Arc<str>,
    pub session_id: Arc<str>,
    pub session_key: i64,
    /// What all its events make of it.
    pub summary: Summary,
    /// How many they are.
    pub events: i64,
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
    /// The digests of [`distinct`] events.
    ///
    /// # Errors
    /// As [`distinct`].
    pub fn new(definition: &Definition, events: Vec<RawEvent>) -> Result<Self, NeedsEvents> {
        let kept = distinct(events)?;
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

/// Orders the events and drops copies of one identity: of those the smallest (`occurred_at`, type,
/// payload as sorted JSON) is kept.
///
/// # Errors
/// When two copies at one instant differ and were read without what tells them apart.
pub(crate) fn distinct(mut events: Vec<RawEvent>) -> Result<Vec<RawEvent>, NeedsEvents> {
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
    Ok(kept)
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
        let (summary, opening) = summary(definition, &folded.digests)?;
        let mut row = Self {
            client_id,
            session_id,
            session_key,
            summary,
            events: folded.digests.len() as i64,
            last_seen_at: last_seen_at(&folded.digests)?,
            attributes: opening.map(|opening| folded.attributes(opening)).unwrap_or_default(),
            digests: None,
            truncated: folded.digests.len() > cap,
        };
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
        let (summary, opening) = summary(definition, &merged)?;
        let attributes = match opening.map(|opening| origin[opening]) {
            None => Attributes::new(),
            Some(Some(index)) => new.attributes(index),
            Some(None) if self.started_at().is_some() => self.attributes.clone(),
            Some(None) => return Err(NeedsEvents),
        };
        Ok(Self {
            client_id: Arc::clone(&self.client_id),
            session_id: Arc::clone(&self.session_id),
            session_key: self.session_key,
            summary,
            events: merged.len() as i64,
            last_seen_at: last_seen_at(&merged)?,
            attributes,
            digests: Some(merged),
            truncated: false,
        })
    }

    /// When the session started; `None`: an orphan.
    pub fn started_at(&self) -> Option<i64> {
        self.summary.started_at()
    }

    /// Days since 1970 of the partition that the row belongs to.
    pub fn started_date(&self) -> i32 {
        self.started_at().unwrap_or(self.summary.first_event_at).div_euclid(86_400_000_000) as i32
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
        let (summary, digests) = (&self.summary, self.digests.as_deref().unwrap_or_default());
        text(summary.reason.as_deref());
        for error in &summary.errors {
            text(Some(&error.code));
        }
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
        for at in summary.stage_at.iter().chain([&summary.interrupted_at]) {
            number(i64::from(at.is_some()));
            number(at.unwrap_or_default());
        }
        summary.errors.iter().for_each(|error| number(error.occurred_at));
        let marks = [summary.excluded, summary.given_up, self.truncated];
        [
            summary.first_event_at,
            summary.last_event_at,
            summary.furthest as i64,
            i64::from(summary.reached) << 32 | i64::from(summary.in_horizon),
            marks.iter().fold(0, |all, &mark| all << 1 | i64::from(mark)),
            summary.errors.len() as i64,
            self.last_seen_at,
            self.session_key,
            self.events,
            self.digests.as_ref().map_or(-1, |digests| digests.len() as i64),
            self.attributes.len() as i64,
        ]
        .into_iter()
        .for_each(&mut number);
        xxh3_128(&bytes)
    }
}

fn summary(
    definition: &Definition,
    digests: &[Digest],
) -> Result<(Summary, Option<usize>), NeedsEvents> {
    Summary::of(digests, &definition.rules).ok_or(NeedsEvents)
}

fn last_seen_at(digests: &[Digest]) -> Result<i64, NeedsEvents> {
    digests.last().map(|digest| digest.occurred_at).ok_or(NeedsEvents)
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
