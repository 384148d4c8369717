//! RFC 3339 instants as microseconds.

use chrono::DateTime;

/// Reads an RFC 3339 instant with an offset; digits past microseconds are cut off.
///
/// `None` for anything else, and for years outside 0000–9999. A leap second counts as the last
/// microsecond of its minute.
pub fn parse_time(text: &str) -> Option<i64> {
    let separated = text.as_bytes().get(10).is_some_and(|b| matches!(b, b'T' | b't'));
    if !separated {
        return None;
    }
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    // A leap second has nanoseconds past a second; it must not spill into the next minute.
    let micros = i64::from(time.timestamp_subsec_nanos() / 1_000).min(999_999);
    time.timestamp().checked_mul(1_000_000)?.checked_add(micros)
}

#[cfg(test)]
mod tests {
    use super::parse_time;

    #[test]
    fn offsets_and_fractions() {
        assert_eq!(parse_time("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_time("1970-01-01t01:00:00.5+01:00"), Some(500_000));
        assert_eq!(parse_time("1970-01-01T00:00:00.123456789Z"), Some(123_456));
        assert_eq!(parse_time("1969-12-31T23:59:59.9999999Z"), Some(-1));
        assert_eq!(parse_time("2016-12-31T23:59:60Z"), parse_time("2016-12-31T23:59:59.999999Z"));
    }

    #[test]
    fn what_is_no_instant() {
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
            "2026-02-30T00:00:00Z",
            "20260101T000000Z",
            "2026-01-01T24:00:00Z",
            "tomorrow",
            "12026-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
