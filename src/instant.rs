//! Points in time as people read them.

use chrono::{DateTime, SecondsFormat};

/// RFC 3339 in UTC, with as many digits as there is something to say.
pub fn format(at_us: i64) -> String {
    DateTime::from_timestamp_micros(at_us)
        .map_or_else(|| format!("{at_us} µs"), |at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}
