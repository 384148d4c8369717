//! One source partition as the pipeline reads it: where it stands and what it has accepted lately.

use std::sync::Arc;

use super::window::Window;

/// A source partition (`app_id` of the lake's transactions) with its place and duplicate window.
#[derive(Debug)]
pub struct Partition {
    /// The identity of the source partition in the lake.
    pub app_id: Arc<str>,
    /// The first sequence that the lake does not hold yet, as its transaction says; none if it has
    /// no transaction of this partition.
    pub base: Option<i64>,
    /// The next sequence to be read.
    pub next: i64,
    /// What was accepted within the last W sequences.
    pub window: Window,
    /// The last event that the lake held of it when it was started: its sequence and identity. None
    /// if there was none within the last W sequences.
    pub last: Option<(i64, u128)>,
}

/// A record as a source hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Offset, line or counter within the partition; increases from record to record.
    pub sequence: i64,
    /// The record's own or its arrival time, microseconds UTC.
    pub timestamp: i64,
    /// The bytes that arrived; none for a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Transport headers: CloudEvents binary mode lives here.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Set when the source itself could not read the record.
    pub unreadable: Option<Unreadable<'a>>,
}

/// A record that its source could read only in part.
#[derive(Clone, Copy, Debug)]
pub struct Unreadable<'a> {
    /// The rejection that it earns.
    pub rejection: &'a onramp_schemas::rejection::Rejection,
    /// The record's true size, when the payload is only its beginning.
    pub bytes: u64,
    /// SHA-256 of the whole record, when the payload is only its beginning.
    pub sha256: Option<[u8; 32]>,
}
