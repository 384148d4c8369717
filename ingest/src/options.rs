//! What every pipeline is told, whatever its source.

use std::time::Duration;

use onramp_schemas::event::RecordContext;

use crate::pseudonyms::Pseudonyms;

/// What the program holds before it reads anything, and while it encodes a column.
const PROGRAM_BYTES: usize = 64 << 20;

/// What is buffered takes up to so many times the bytes of its payload, as columns that grow and are
/// encoded.
const BUFFERED_TIMES: usize = 4;

/// Limits and habits shared by the three sources.
#[derive(Clone, Debug)]
pub struct PipelineOptions {
    /// Reverse-DNS names under which custom event types are accepted, e.g. `com.acme`.
    pub namespaces: Vec<String>,
    /// How far an event may lie after its record's own timestamp, in microseconds.
    pub max_future_us: i64,
    /// How far it may lie before it, in microseconds; none: history is welcome.
    pub horizon_us: Option<i64>,
    /// A record's greatest size in bytes.
    pub max_bytes: usize,
    /// A flush is due at this many buffered rows,
    pub flush_rows: usize,
    /// or at this many bytes of payload,
    pub flush_bytes: usize,
    /// or at this age of the oldest buffered record.
    pub flush_interval: Duration,
    /// Bytes that the process may hold: the program itself, the client's queue, the duplicate
    /// windows and what is buffered. What the others leave bounds a flush.
    pub memory_limit_bytes: usize,
    /// With these `userid` is kept as a pseudonym; none: as it comes.
    pub pseudonyms: Option<Pseudonyms>,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            max_future_us: 5 * 60 * 1_000_000,
            horizon_us: None,
            max_bytes: 1 << 20,
            flush_rows: 200_000,
            flush_bytes: 64 << 20,
            flush_interval: Duration::from_secs(1),
            memory_limit_bytes: 448 << 20,
            pseudonyms: None,
        }
    }
}

impl PipelineOptions {
    /// The judging of one record whose own timestamp is `timestamp` (microseconds UTC).
    pub fn context(&self, timestamp: i64) -> RecordContext<'_> {
        RecordContext {
            timestamp,
            max_future_us: self.max_future_us,
            horizon_us: self.horizon_us,
            max_bytes: self.max_bytes,
            namespaces: &self.namespaces,
        }
    }

    /// Bytes that a source may fetch ahead; it holds about as much again to keep them apart.
    pub fn queue_bytes(&self) -> usize {
        self.memory_limit_bytes / 16
    }

    /// Bytes that duplicate windows and buffers share.
    pub(crate) fn shared_bytes(&self) -> usize {
        self.memory_limit_bytes.saturating_sub(PROGRAM_BYTES + 2 * self.queue_bytes())
    }

    /// Payload bytes of a flush: as configured, or what `bytes` of memory leave for each of
    /// `flushes` that are held at once.
    pub(crate) fn flush_bytes_within(&self, bytes: usize, flushes: usize) -> usize {
        self.flush_bytes.min(bytes / flushes / BUFFERED_TIMES)
    }
}
