//! The state of an aggregate over events, for all groups: when each happened, and what it meets.
//!
//! Events lie in one list in the order of arrival, each with its group, and are brought together by
//! a counting sort when groups are emitted: nothing is allocated per group. As bytes, an event is its
//! time (8 bytes, little-endian) and its conditions (bit k: condition k + 1; as many bytes, little-endian,
//! as the conditions need), one after the other in no order that matters.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, LargeBinaryArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::EmitTo;

/// One event of a group; the order breaks ties of time, so that no order of arrival matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    /// When, in ticks of its axis.
    pub at: i64,
    /// Bit k: condition k + 1 holds.
    pub conditions: u64,
}

/// The events of all groups.
#[derive(Debug, Default)]
pub(super) struct Events {
    groups: usize,
    owners: Vec<u32>,
    events: Vec<Event>,
}

/// The events of emitted groups, each group's in one piece.
pub(super) struct Emitted {
    offsets: Vec<usize>,
    events: Vec<Event>,
}

/// The events of a batch that are kept.
pub(super) struct Batch {
    times: Int64Array,
    conditions: Vec<u64>,
    kept: BooleanBuffer,
}

impl Batch {
    /// Rows with a time, that the filter lets through, and that meet a condition – or not, if
    /// `unmatched` are to be kept.
    pub fn new(
        times: Int64Array,
        conditions: &[ArrayRef],
        filter: Option<&BooleanArray>,
        unmatched: bool,
    ) -> Self {
        let masks = masks(conditions, times.len());
        let filter = filter.map(holds);
        let valid = times.nulls().map(NullBuffer::inner);
        let kept = BooleanBuffer::collect_bool(times.len(), |row| {
            (unmatched || masks[row] != 0)
                && valid.is_none_or(|valid| valid.value(row))
                && filter.as_ref().is_none_or(|filter| filter.value(row))
        });
        Self { times, conditions: masks, kept }
    }

    fn event(&self, row: usize) -> Event {
        Event { at: self.times.value(row), conditions: self.conditions[row] }
    }

    /// Every row as a group of its own, as bytes.
    pub fn states(&self, width: Width) -> LargeBinaryArray {
        let mut states = StateBuilder::new(width, self.times.len(), self.kept.count_set_bits());
        for row in 0..self.times.len() {
            let event = self.kept.value(row).then(|| self.event(row));
            states.append(event.as_slice());
        }
        states.finish()
    }
}

/// Bit k of a row: condition k + 1 holds.
pub(super) fn masks(conditions: &[ArrayRef], rows: usize) -> Vec<u64> {
    let mut masks = vec![0; rows];
    for (bit, condition) in conditions.iter().enumerate() {
        for row in holds(condition.as_boolean()).set_indices() {
            masks[row] |= 1 << bit;
        }
    }
    masks
}

/// True and not null.
pub(super) fn holds(condition: &BooleanArray) -> BooleanBuffer {
    match condition.nulls() {
        Some(valid) => condition.values() & valid.inner(),
        None => condition.values().clone(),
    }
}

impl Events {
    /// Makes groups known, that may have no events.
    pub fn grow(&mut self, groups: usize) {
        self.groups = self.groups.max(groups);
    }

    /// Takes up the kept events of a batch.
    pub fn push(&mut self, batch: &Batch, groups: &[usize]) -> Result<()> {
        for row in batch.kept.set_indices() {
            self.owners.push(owner(groups[row])?);
            self.events.push(batch.event(row));
        }
        Ok(())
    }

    /// Takes up what [`Emitted::states`] or [`Batch::states`] gave.
    pub fn merge(
        &mut self,
        states: &LargeBinaryArray,
        groups: &[usize],
        width: Width,
    ) -> Result<()> {
        for (state, &group) in states.iter().zip(groups) {
            let owner = owner(group)?;
            let events = width.decode(state.unwrap_or_default())?;
            let before = self.events.len();
            self.events.extend(events);
            self.owners.resize(self.owners.len() + self.events.len() - before, owner);
        }
        Ok(())
    }

    /// Takes out the first groups, or all.
    pub fn emit(&mut self, emit_to: EmitTo) -> Emitted {
        let groups = match emit_to {
            EmitTo::All => self.groups,
            EmitTo::First(groups) => groups,
        };
        let mut offsets = vec![0; groups + 1];
        for &owner in &self.owners {
            if let Some(count) = offsets.get_mut(owner as usize + 1) {
                *count += 1;
            }
        }
        for group in 0..groups {
            offsets[group + 1] += offsets[group];
        }
        let events = self.scatter(&offsets);
        self.groups -= groups;
        Emitted { offsets, events }
    }

    /// The events of the groups that `offsets` have room for; the others stay, with lower numbers.
    fn scatter(&mut self, offsets: &[usize]) -> Vec<Event> {
        let groups = offsets.len() - 1;
        let all = offsets[groups] == self.events.len();
        if all && self.owners.is_sorted() {
            self.owners = Vec::new();
            return std::mem::take(&mut self.events);
        }
        let mut next = offsets.to_vec();
        let mut events = vec![Event { at: 0, conditions: 0 }; offsets[groups]];
        let mut left = 0;
        for index in 0..self.events.len() {
            let (owner, event) = (self.owners[index] as usize, self.events[index]);
            if owner < groups {
                events[next[owner]] = event;
                next[owner] += 1;
            } else {
                self.owners[left] = self.owners[index] - groups as u32;
                self.events[left] = event;
                left += 1;
            }
        }
        if left == 0 {
            (self.owners, self.events) = (Vec::new(), Vec::new());
        }
        self.owners.truncate(left);
        self.events.truncate(left);
        events
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.owners.capacity() * size_of::<u32>() + self.events.capacity() * size_of::<Event>()
    }
}

impl Emitted {
    /// Calls `see` with the events of every group, in their order.
    pub fn for_each(&mut self, mut see: impl FnMut(&[Event]) -> Result<()>) -> Result<()> {
        for bounds in self.offsets.windows(2) {
            let events = &mut self.events[bounds[0]..bounds[1]];
            if !events.is_sorted() {
                events.sort_unstable();
            }
            see(events)?;
        }
        Ok(())
    }

    /// The events of every group as bytes.
    pub fn states(&self, width: Width) -> LargeBinaryArray {
        let groups = self.offsets.len() - 1;
        let mut states = StateBuilder::new(width, groups, self.events.len());
        for bounds in self.offsets.windows(2) {
            states.append(&self.events[bounds[0]..bounds[1]]);
        }
        states.finish()
    }
}

/// How many bytes the conditions of an event take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width(usize);

impl Width {
    pub fn of(conditions: usize) -> Self {
        Self(conditions.div_ceil(8))
    }

    fn encode(self, event: Event, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&event.at.to_le_bytes());
        bytes.extend_from_slice(&event.conditions.to_le_bytes()[..self.0]);
    }

    fn decode(self, state: &[u8]) -> Result<impl Iterator<Item = Event> + '_> {
        let size = 8 + self.0;
        if !state.len().is_multiple_of(size) {
            return exec_err!(
                "a state of {} bytes does not hold events of {size} bytes each; it comes from another call",
                state.len()
            );
        }
        Ok(state.chunks_exact(size).map(move |bytes| {
            let number = |range: Range<usize>| {
                let mut number = [0; 8];
                number[..range.len()].copy_from_slice(&bytes[range]);
                number
            };
            Event {
                at: i64::from_le_bytes(number(0..8)),
                conditions: u64::from_le_bytes(number(8..size)),
            }
        }))
    }
}

struct StateBuilder {
    width: Width,
    offsets: Vec<i64>,
    bytes: Vec<u8>,
}

impl StateBuilder {
    fn new(width: Width, groups: usize, events: usize) -> Self {
        let mut offsets = Vec::with_capacity(groups + 1);
        offsets.push(0);
        Self { width, offsets, bytes: Vec::with_capacity(events * (8 + width.0)) }
    }

    fn append(&mut self, events: &[Event]) {
        for &event in events {
            self.width.encode(event, &mut self.bytes);
        }
        self.offsets.push(self.bytes.len() as i64);
    }

    fn finish(self) -> LargeBinaryArray {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        LargeBinaryArray::new(offsets, Buffer::from_vec(self.bytes), None)
    }
}

fn owner(group: usize) -> Result<u32> {
    match u32::try_from(group) {
        Ok(owner) => Ok(owner),
        Err(_) => exec_err!("there are more than {} groups", u32::MAX),
    }
}
