//! `dead_letters`: what was rejected, with its bytes and its cause.

use super::Kind::{Binary, Date, Int64, Text, Timestamp};
use super::{Column, Table, optional, required};

/// One row is one rejected record, failed job or failed task of an app.
pub static DEAD_LETTERS: Table = Table {
    name: "dead_letters",
    doc: "One row is one rejected record, failed job or failed task of an app; raw bytes kept. A \
          row whose sequence also stands in `events` is void.",
    partition_by: &["dead_letter_date"],
    stats: &["sequence"],
    columns: &COLUMNS,
};

static COLUMNS: [Column; 16] = [
    required("dead_letter_date", Date, "UTC date of `received_at`; the partition."),
    required("dead_letter_id", Text, "The same for the same record, whoever wrote the row."),
    required("kind", Text, "`record`, `job` or `task`."),
    required("code", Text, "The cause, of a bounded set."),
    required("message", Text, "The cause in words: what, where, and how to mend it."),
    optional("client_id", Text, "The tenant, where it could be read."),
    optional("session_id", Text, "The session, where it could be read."),
    optional("event_type", Text, "The event's type, where it could be read."),
    required("source_partition", Text, "Where it was read: the `app_id` of the transactions."),
    required("sequence", Int64, "Offset or line within `source_partition`."),
    required("raw", Binary, "The record's bytes, at most the first 1 MiB."),
    required("raw_bytes", Int64, "The record's whole size, bytes."),
    required("raw_sha256", Text, "SHA-256 of the whole record, hexadecimal."),
    optional("headers", Text, "Transport headers, a JSON object."),
    optional("correlation_id", Text, "Trace across apps, where it could be read."),
    required("received_at", Timestamp, "The record's own or its arrival time."),
];
