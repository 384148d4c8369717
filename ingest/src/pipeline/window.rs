//! The duplicate window: which identities were accepted within the last W sequences of a partition.

use std::collections::VecDeque;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;

/// Bytes that one remembered identity costs at most: 24 in the queue, and 5 in the table of places,
/// which is at least 7/16 full. Both are made as large as they will be when the first one comes.
pub const BYTES_PER_IDENTITY: usize = 36;

/// An accepted event, 24 bytes.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    identity: [u64; 2],
    /// The low half of the sequence: within a window the high half is known.
    sequence: u32,
    content: u32,
}

/// Identities accepted within the previous `width` sequences; a function of the log alone.
#[derive(Debug)]
pub struct Window {
    width: u32,
    /// Accepted events in their order.
    accepted: VecDeque<Accepted>,
    /// Ordinal of the first event in `accepted`, counted from the beginning, wrapping.
    first: u32,
    /// Ordinals of the accepted events by identity.
    places: HashTable<u32>,
}

/// Whether a record repeats one that was accepted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The first of its identity within the window; it is remembered now.
    First,
    /// A resend.
    Again {
        /// Whether the resend says something else than the accepted one.
        content_differs: bool,
    },
}

impl Window {
    /// The widest window: ordinals and sequences are kept as 32 bits.
    pub const MAX_WIDTH: u32 = 1 << 30;

    /// An empty window over the previous `width` sequences, at most [`Self::MAX_WIDTH`].
    pub fn new(width: u32) -> Self {
        Self {
            width: width.min(Self::MAX_WIDTH),
            accepted: VecDeque::new(),
            first: 0,
            places: HashTable::new(),
        }
    }

    /// Judges the record at `sequence`; sequences must not decrease. `content` tells whether a
    /// resend says the same as what it repeats.
    pub fn observe(&mut self, sequence: i64, identity: u128, content: u32) -> Seen {
        let identity = [(identity >> 64) as u64, identity as u64];
        if self.accepted.capacity() == 0 {
            self.accepted.reserve_exact(self.width as usize + 1);
            self.places.reserve(self.width as usize + 1, |_| 0);
        }
        self.forget_before(sequence as u32);
        let Self { accepted, first, places, .. } = self;
        let at = |ordinal: u32| accepted[ordinal.wrapping_sub(*first) as usize];
        let slot = places.entry(
            hash(identity),
            |&ordinal| at(ordinal).identity == identity,
            |&ordinal| hash(at(ordinal).identity),
        );
        match slot {
            Slot::Occupied(slot) => {
                Seen::Again { content_differs: at(*slot.get()).content != content }
            }
            Slot::Vacant(slot) => {
                slot.insert(first.wrapping_add(accepted.len() as u32));
                accepted.push_back(Accepted { identity, sequence: sequence as u32, content });
                Seen::First
            }
        }
    }

    /// Brings the place where an identity stands, or would, to where it is at hand when it is observed.
    pub fn expect(&self, identity: u128) {
        let identity = [(identity >> 64) as u64, identity as u64];
        // Found or not: the processor goes on to the next one while it waits for the memory.
        std::hint::black_box(self.places.find(hash(identity), |_| false));
    }

    fn forget_before(&mut self, now: u32) {
        while let Some(oldest) = self.accepted.front()
            && now.wrapping_sub(oldest.sequence) > self.width
        {
            let ordinal = self.first;
            if let Ok(slot) = self.places.find_entry(hash(oldest.identity), |&o| o == ordinal) {
                slot.remove();
            }
            self.accepted.pop_front();
            self.first = ordinal.wrapping_add(1);
        }
    }

    /// How many identities are remembered.
    pub fn len(&self) -> usize {
        self.accepted.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.accepted.is_empty()
    }
}

/// Identities are hashes already; mixing their halves is as good as any other hash of them.
fn hash(identity: [u64; 2]) -> u64 {
    identity[0] ^ identity[1].rotate_left(32)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_resend_within_the_window_is_seen_and_one_beyond_it_is_not() {
        let mut window = Window::new(10);
        assert_eq!(window.observe(1, 7, 1), Seen::First);
        assert_eq!(window.observe(11, 7, 1), Seen::Again { content_differs: false });
        assert_eq!(window.observe(11, 7, 2), Seen::Again { content_differs: true });
        assert_eq!(window.observe(12, 7, 1), Seen::First, "accepted at 1, now 11 sequences ago");
    }

    #[test]
    fn what_left_the_window_is_forgotten() {
        let mut window = Window::new(100);
        for sequence in 0..10_000 {
            window.observe(sequence, sequence as u128, 0);
        }
        assert_eq!((window.len(), window.places.len()), (101, 101));
    }

    proptest! {
        #[test]
        fn equals_the_plain_rule(
            start in prop_oneof![0_i64..10, (u32::MAX as i64 - 20)..(u32::MAX as i64 + 20)],
            records in proptest::collection::vec((0_u128..20, 0_u32..2, 1_i64..4), 0..200),
        ) {
            let mut window = Window::new(15);
            let mut plain: HashMap<u128, (i64, u32)> = HashMap::new();
            let mut sequence = start;
            for (identity, content, step) in records {
                sequence += step;
                let expected = match plain.get(&identity) {
                    Some(&(accepted, first)) if accepted >= sequence - 15 => {
                        Seen::Again { content_differs: first != content }
                    }
                    _ => {
                        plain.insert(identity, (sequence, content));
                        Seen::First
                    }
                };
                prop_assert_eq!(window.observe(sequence, identity, content), expected);
            }
        }
    }
}
