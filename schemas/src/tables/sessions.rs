//! `sessions`: one session folded from its events, per funnel. Derived; rebuilt at will.

use super::Kind::{Bool, Date, Int32, Int64, List, Struct, Text, TextMap, Timestamp};
use super::{Column, Kind, Table, optional, required};

/// One row is one session as one funnel sees it.
pub static SESSIONS: Table = Table {
    name: "sessions",
    doc: "One row is one session as one funnel sees it, folded from its events. The outcome is not \
          here: it depends on the as-of instant and is computed on reading.",
    partition_by: &["funnel", "started_date"],
    stats: &["session_key", "client_id", "started_at", "first_event_at", "last_seen_at"],
    columns: &COLUMNS,
};

static DIGEST: Kind = Struct(&DIGEST_COLUMNS);

static DIGEST_COLUMNS: [Column; 8] = [
    required("id_high", Int64, "Upper half of the event's identity."),
    required("id_low", Int64, "Lower half of the event's identity."),
    required("occurred_at", Timestamp, "When it happened."),
    required("stages", Int64, "Bit k−1: it meets stage k."),
    required("exclusions", Int64, "Bit k−1: it meets exclusion k."),
    required("flags", Int32, "1 abandonment, 2 error, 4 activity."),
    optional("reason", Text, "Reason of an abandonment."),
    optional("code", Text, "Code of an error."),
];

static STAGE_AT: Kind = Timestamp;

static ERROR: Kind = Struct(&ERROR_COLUMNS);

static ERROR_COLUMNS: [Column; 2] =
    [required("occurred_at", Timestamp, "When it happened."), required("code", Text, "Its code.")];

// What a report reads stands together, and first what the funnel alone needs: of a file one range is read.
// Columns from `furthest_stage` to `errors` hold as of the row's last event and any later instant.
static COLUMNS: [Column; 23] = [
    required("funnel", Text, "The funnel's name; a partition column."),
    required("started_date", Date, "UTC date of `started_at`, else of the first event."),
    required("funnel_hash", Text, "The definition that the row was folded by."),
    required("session_id", Text, "The session."),
    required("session_key", Int64, "xxh3-64 of client and session id: rows are sorted by it."),
    required("client_id", Text, "The tenant."),
    optional("started_at", Timestamp, "First event of stage 1; null: an orphan."),
    required("furthest_stage", Int32, "The last required stage reached, from 1; 0: none."),
    optional("reached", Int32, "Bit k−1: stage k was reached, by its own name."),
    optional("reached_in_horizon", Int32, "Bit k−1: `stage_at[k]` lies within the horizon."),
    optional("excluded", Bool, "Whether an exclusion takes the session out of every count."),
    required("stage_at", List(&STAGE_AT), "When each stage was reached; null: it was not."),
    required("first_event_at", Timestamp, "First event of any kind."),
    required("last_event_at", Timestamp, "Last activity."),
    optional("given_up", Bool, "Whether an abandonment stands that no activity followed."),
    optional("interrupted_at", Timestamp, "In strict order: what interrupted the furthest stage."),
    optional("loss_reason", Text, "The reason that the session gives, should it be lost."),
    optional("errors", List(&ERROR), "Errors with a code, in order."),
    required("last_seen_at", Timestamp, "Last event of any kind."),
    optional("events", Int64, "Distinct events."),
    required("attributes", TextMap, "The opening event's payload fields as text."),
    optional("digests", List(&DIGEST), "What the fold needs of each event; null once sealed."),
    required("truncated", Bool, "Whether digests beyond the bound were left out."),
];
