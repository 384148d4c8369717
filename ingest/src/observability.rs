//! The metrics of ingest: name, type, labels, unit, and when to worry.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Counter, events accepted into the lake; label `source` (`kafka`, `file`, `http`).
pub const ACCEPTED: &str = "onramp_ingest_accepted_total";
/// Counter, records rejected to dead letters; label `code`. Worry when it grows beside `ACCEPTED`.
pub const REJECTED: &str = "onramp_ingest_rejected_total";
/// Counter, resends dropped. Worry when it nears `ACCEPTED`: a producer retries for ever.
pub const DUPLICATES: &str = "onramp_ingest_duplicates_total";
/// Counter, payload bytes read.
pub const BYTES: &str = "onramp_ingest_bytes_total";
/// Gauge, records behind the end of the partition; labels `topic`, `partition`. Worry when rising.
pub const LAG: &str = "onramp_ingest_lag_records";
/// Histogram, seconds from the decision to flush until the rows are built and durable.
pub const FLUSH_SECONDS: &str = "onramp_ingest_flush_seconds";
/// Histogram, seconds to write and commit a flush to the lake. Worry above the flush interval.
pub const COMMIT_SECONDS: &str = "onramp_ingest_commit_seconds";
/// Gauge, open HTTP connections. Worry near `http.max_connections`: idle ones are closed for new ones.
pub const HTTP_CONNECTIONS: &str = "onramp_http_connections";
/// Counter, buffers dropped because another writer moved a partition. Rare: rebalances only.
pub const LOST_BUFFERS: &str = "onramp_ingest_lost_buffers_total";

/// Gives every metric its description and unit.
pub fn describe() {
    describe_counter!(ACCEPTED, Unit::Count, "events accepted into the lake");
    describe_counter!(REJECTED, Unit::Count, "records rejected to dead letters, by code");
    describe_counter!(DUPLICATES, Unit::Count, "resends dropped");
    describe_counter!(BYTES, Unit::Bytes, "payload bytes read");
    describe_gauge!(LAG, Unit::Count, "records behind the end of the partition");
    describe_histogram!(FLUSH_SECONDS, Unit::Seconds, "time of a flush, rows to durable");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "time to write and commit a flush");
    describe_gauge!(HTTP_CONNECTIONS, Unit::Count, "open HTTP connections");
    describe_counter!(LOST_BUFFERS, Unit::Count, "buffers dropped to another writer");
}

/// Adds what a flush committed to the counters.
pub fn count(counts: &crate::pipeline::Counts, source: &'static str) {
    metrics::counter!(ACCEPTED, "source" => source).increment(counts.accepted);
    metrics::counter!(DUPLICATES).increment(counts.duplicates);
    metrics::counter!(BYTES).increment(counts.bytes);
    for (&code, &rejected) in &counts.rejected {
        metrics::counter!(REJECTED, "code" => code).increment(rejected);
    }
}
