//! `reports`: what was answered, with all that it takes to answer it again.

use super::Kind::{Date, Int64, Text, Timestamp};
use super::{Column, Table, required};

/// One row is one report that was given.
pub static REPORTS: Table = Table {
    name: "reports",
    doc: "One row is one report that was given; `onramp report --reproduce ID` gives it again. Two \
          rows of one `report_id` say the same.",
    partition_by: &["report_date"],
    stats: &["report_id", "created_at"],
    columns: &COLUMNS,
};

static COLUMNS: [Column; 13] = [
    required("report_date", Date, "UTC date of `created_at`; the partition."),
    required("report_id", Text, "Made from question, funnel, positions and program version."),
    required("created_at", Timestamp, "When it was first given."),
    required("funnel", Text, "The funnel's name."),
    required("funnel_hash", Text, "The hash of its definition."),
    required("funnel_definition", Text, "The definition itself, JSON."),
    required("as_of", Timestamp, "Only events up to here count."),
    required("parameters", Text, "What was asked, in instants; a JSON object."),
    required("positions", Text, "What was read: `source_partition` to next sequence, JSON."),
    required("data_quality", Text, "What the events up to there were like, as in the report."),
    required("events_version", Int64, "The version of `events` that was read, as a hint."),
    required("program_version", Text, "The program's, with that of its time-zone data."),
    required("document_sha256", Text, "SHA-256 of the JSON document as it is printed."),
];
