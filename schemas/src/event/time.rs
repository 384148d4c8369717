//! RFC 3339 instants as microseconds.

use chrono::{DateTime, Datelike};

/// Reads an RFC 3339 instant with an offset; digits past microseconds are cut off.
///
/// `None` for anything else, and for years outside 0000–9999, as sent or in UTC. A leap second
/// counts as the last microsecond of its minute.
pub fn parse_time(text: &str) -> Option<i64> {
    let separated = text.as_bytes().get(10).is_some_and(|b| matches!(b, b'T' | b't'));
    // The parser takes the minus sign of typography too.
    if !separated || !text.is_ascii() {
        return None;
    }
    let time = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    // Days outside have five digits or a sign, which readers of the lake do not understand.
    if !(0..=9_999).contains(&time.year()) {
        return None;
    }
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
        assert_eq!(parse_time("1970-01-01T00:00:00-00:00"), Some(0));
        assert_eq!(parse_time("1970-01-01T00:00:00.0000009999999999Z"), Some(0));
        assert_eq!(parse_time("0000-01-01T00:00:00z"), Some(-62_167_219_200_000_000));
        assert_eq!(parse_time("9999-12-31T23:59:59.999999Z"), Some(253_402_300_799_999_999));
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
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00,5Z",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00\u{2212}01:00",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00Z ",
            "+2026-01-01T00:00:00Z",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
