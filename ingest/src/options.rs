//! What every pipeline is told, whatever its source.

use std::time::Duration;

use onramp_schemas::event::RecordContext;

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
    /// Bytes that the duplicate windows may hold together.
    pub window_memory_bytes: usize,
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
            window_memory_bytes: 512 << 20,
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
}
