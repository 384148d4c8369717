//! RFC 3339 instants as microseconds.

use chrono::{DateTime, Datelike};

/// Reads an RFC 3339 instant with an offset; digits past microseconds are cut off.
///
/// `None` for anything else, and for years outside 0000–9999, as sent or in UTC. A leap second
/// counts as the last microsecond of its minute.
pub fn parse_time(text: &str) -> Option<i64> {
    usual(text.as_bytes()).or_else(|| any(text))
}

/// The form that nearly all have: `2026-03-01T08:30:00.25Z`, with up to nine digits of a fraction
/// and `Z` or an offset in minutes. `None` for others, valid or not.
fn usual(text: &[u8]) -> Option<i64> {
    let (fixed, rest) = text.split_first_chunk::<19>()?;
    let number = |from: usize, to: usize| {
        fixed[from..to].iter().try_fold(0, |number, byte| Some(number * 10 + digit(*byte)?))
    };
    let [year, month, day] = [number(0, 4)?, number(5, 7)?, number(8, 10)?];
    let [hour, minute, second] = [number(11, 13)?, number(14, 16)?, number(17, 19)?];
    let separated = [fixed[4], fixed[7], fixed[10], fixed[13], fixed[16]] == *b"--T::";
    let in_month = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    // At the first and the last year an offset may lead outside.
    if !separated || !in_month || !(1..=9_998).contains(&year) || hour > 23 || minute > 59 {
        return None;
    }
    let (micros, zone) = fraction(rest)?;
    let offset = match zone {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h, i, b':', m, n] => {
            let (hours, minutes) = (digit(*h)? * 10 + digit(*i)?, digit(*m)? * 10 + digit(*n)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    if second > 59 {
        return None;
    }
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - offset;
    Some((minutes * 60 + second) * 1_000_000 + micros)
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

/// Microseconds after the second, and what follows them.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    let (digits, zone) = rest.split_at(digits);
    let kept = digits.iter().chain(b"00000").take(6);
    Some((kept.fold(0, |micros, byte| micros * 10 + i64::from(byte - b'0')), zone))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar from 1970-01-01 on; `year` from 1.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    /// Days of a common year before each month.
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    /// Days from 0001-01-01 to 1970-01-01.
    const TO_1970: i64 = 719_162;
    let past = year - 1;
    let leap_day = i64::from(month > 2 && is_leap(year));
    let before = BEFORE[(month - 1) as usize] + leap_day;
    past * 365 + past / 4 - past / 100 + past / 400 + before + day - 1 - TO_1970
}

/// Any form of RFC 3339.
fn any(text: &str) -> Option<i64> {
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
    use proptest::prelude::*;

    use super::{any, parse_time, usual};

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
    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn the_usual_form_is_read_as_any_other(
            date in (0..10_000_i32, 0..14_u8, 0..33_u8),
            time in (0..25_u8, 0..61_u8, 0..62_u8),
            fraction in prop_oneof![Just(String::new()), "\\.[0-9]{0,10}"],
            zone in prop_oneof![3 => Just("Z".to_owned()), 3 => "[+-][0-2][0-9]:[0-6][0-9]", 1 => "[zZ+-]?[0-9]{0,3}"],
        ) {
            let ((year, month, day), (hour, minute, second)) = (date, time);
            let text = format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"
            );
            if let Some(micros) = usual(text.as_bytes()) {
                prop_assert_eq!(Some(micros), any(&text), "{}", text);
            }
        }
    }

    #[test]
    fn the_usual_form_needs_no_other_reader() {
        for text in
            ["2026-03-01T00:00:00Z", "2024-02-29T23:59:59.25Z", "1969-07-20T20:17:40.123456-05:00"]
        {
            assert!(
                usual(text.as_bytes()).is_some_and(|micros| any(text) == Some(micros)),
                "{text}"
            );
        }
    }
}
