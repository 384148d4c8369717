//! Points in time as people read them.

use chrono::{DateTime, SecondsFormat};
use chrono_tz::Tz;

/// RFC 3339 in UTC, with as many digits as there is something to say.
pub fn format(at_us: i64) -> String {
    DateTime::from_timestamp_micros(at_us)
        .map_or_else(|| format!("{at_us} µs"), |at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// Date and time on the clocks of a time zone, to the minute: `2026-03-01 08:30`.
pub fn local(at_us: i64, zone: &str) -> String {
    let zone: Tz = zone.parse().unwrap_or(Tz::UTC);
    DateTime::from_timestamp_micros(at_us).map_or_else(
        || format!("{at_us} µs"),
        |at| at.with_timezone(&zone).format("%Y-%m-%d %H:%M").to_string(),
    )
}
