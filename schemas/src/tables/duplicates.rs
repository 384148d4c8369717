//! `duplicates`: resends that were dropped.

use super::Kind::{Bool, Date, Int64, Text, Timestamp};
use super::{Column, Table, required};

/// One row is one run of dropped resends.
pub static DUPLICATES: Table = Table {
    name: "duplicates",
    doc: "One row is one run of neighbouring resends that were dropped. With `events` and \
          `dead_letters` it accounts for every sequence once.",
    partition_by: &["duplicate_date"],
    stats: &["first_sequence", "last_sequence"],
    columns: &COLUMNS,
};

static COLUMNS: [Column; 6] = [
    required("duplicate_date", Date, "UTC date of `received_at`; the partition."),
    required("source_partition", Text, "Where they were read."),
    required("first_sequence", Int64, "First offset or line of the run."),
    required("last_sequence", Int64, "Last offset or line of the run."),
    required("content_differs", Bool, "Whether they say something else than the accepted event."),
    required("received_at", Timestamp, "The first one's own or its arrival time."),
];
