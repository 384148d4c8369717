//! Instants and local calendars.

use chrono::{
    DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

const DAY_MICROS: i64 = 86_400_000_000;
const HOUR_MICROS: i64 = 3_600_000_000;
/// All offsets from UTC have been multiples of it for decades.
const QUARTER_MICROS: i64 = HOUR_MICROS / 4;
/// No hour of a week.
const UNKNOWN: u8 = u8::MAX;
/// Hours whose offset is worked out beforehand, at most: 22 years.
const KNOWN_HOURS: i64 = 200_000;

/// Microseconds UTC, written as RFC 3339 with six digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct Instant(pub i64);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&utc(self.0).format("%Y-%m-%dT%H:%M:%S%.6fZ"))
    }
}

/// The instant as a date and time; the calendar's end beyond the years it knows.
fn utc(micros: i64) -> DateTime<Utc> {
    let end = if micros < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    DateTime::from_timestamp_micros(micros).unwrap_or(end)
}

fn local(micros: i64, timezone: Tz) -> NaiveDateTime {
    utc(micros).with_timezone(&timezone).naive_local()
}

/// The calendar date at an instant.
pub fn local_date(micros: i64, timezone: Tz) -> NaiveDate {
    local(micros, timezone).date()
}

/// The local hour of the week, Monday 00 = 0, to 167.
pub fn hour_of_week(micros: i64, timezone: Tz) -> u32 {
    let local = local(micros, timezone);
    local.weekday().num_days_from_monday() * 24 + local.hour()
}

/// [`hour_of_week`] for many instants of one span: worked out once for each quarter of an hour.
pub(super) struct HoursOfWeek {
    timezone: Tz,
    /// The beginning of the first quarter that is known.
    first: i64,
    /// By quarter; [`UNKNOWN`] where it differs within one.
    hours: Vec<u8>,
}

impl HoursOfWeek {
    /// For instants between two.
    pub fn new(from: i64, to: i64, timezone: Tz) -> HoursOfWeek {
        let first = from.div_euclid(HOUR_MICROS);
        let hours = to.div_euclid(HOUR_MICROS).saturating_sub(first).saturating_add(1);
        let offset = |hour: i64| {
            let at = hour.saturating_mul(HOUR_MICROS);
            local(at, timezone).and_utc().timestamp_micros() - utc(at).timestamp_micros()
        };
        let quarters = |hour: i64| {
            let offset = Some(offset(hour)).filter(|&same| same == offset(hour + 1));
            let offset = offset.filter(|offset| offset % QUARTER_MICROS == 0);
            [0, 1, 2, 3].map(|quarter| {
                let Some(offset) = offset else { return UNKNOWN };
                let at = hour * HOUR_MICROS + quarter * QUARTER_MICROS + offset;
                // The first of January 1970 was a Thursday.
                (at.div_euclid(HOUR_MICROS) + 3 * 24).rem_euclid(7 * 24) as u8
            })
        };
        let known = first..first.saturating_add(hours.clamp(0, KNOWN_HOURS));
        let first = first.saturating_mul(HOUR_MICROS);
        HoursOfWeek { timezone, first, hours: known.flat_map(quarters).collect() }
    }

    /// How many of those instants that are marked lie in each hour of the week. Whether one is marked cannot be
    /// foreseen, so that the others are counted too, beyond the week.
    pub fn counts(&self, instants: impl Iterator<Item = (bool, i64)>) -> [u64; 168] {
        let mut counts = [0; 168 + 2];
        for (is_marked, at) in instants {
            let hour =
                self.hours.get(self.quarter(at)).map_or(168, |&hour| usize::from(hour).min(168));
            let hour = if is_marked { hour } else { 169 };
            if hour == 168 {
                counts[hour_of_week(at, self.timezone) as usize] += 1;
            } else {
                counts[hour] += 1;
            }
        }
        std::array::from_fn(|hour| counts[hour])
    }

    /// As [`hour_of_week`].
    pub fn of(&self, at: i64) -> u32 {
        match self.hours.get(self.quarter(at)) {
            Some(&hour) if hour != UNKNOWN => u32::from(hour),
            _ => hour_of_week(at, self.timezone),
        }
    }

    /// The place of an instant's quarter; one before the first lies beyond the last.
    fn quarter(&self, at: i64) -> usize {
        (at.wrapping_sub(self.first) as u64 / QUARTER_MICROS as u64) as usize
    }
}

/// The first instant of a date, in microseconds UTC: local midnight, the earlier one where the
/// clock is set back across it, the end of the gap where it is set forward across it.
pub fn local_midnight(date: NaiveDate, timezone: Tz) -> i64 {
    let midnight = date.and_time(NaiveTime::MIN);
    let guess = midnight.and_utc().timestamp_micros();
    // No zone is a full day away from UTC, so that the date begins between these two.
    let (mut before, mut reached) = (guess - DAY_MICROS, guess + DAY_MICROS);
    while reached - before > 1 {
        let middle = before + (reached - before) / 2;
        if local(middle, timezone) >= midnight {
            reached = middle;
        } else {
            before = middle;
        }
    }
    reached
}

/// A stretch of the local calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A date.
    Day,
    /// Monday to Sunday.
    Week,
    /// A month.
    Month,
}

impl Unit {
    /// The first date of the stretch that holds a date.
    fn first(self, date: NaiveDate) -> NaiveDate {
        match self {
            Unit::Day => date,
            Unit::Week => monday_of(date),
            Unit::Month => date.with_day(1).unwrap_or(date),
        }
    }

    /// The first date of the next one; `None` at the calendar's end.
    fn next(self, first: NaiveDate) -> Option<NaiveDate> {
        match self {
            Unit::Day => first.checked_add_days(Days::new(1)),
            Unit::Week => first.checked_add_days(Days::new(7)),
            Unit::Month => first.checked_add_months(Months::new(1)),
        }
    }
}

/// One day, week or month on the clocks of a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its first date.
    pub date: NaiveDate,
    /// Its first instant, microseconds UTC.
    pub start: i64,
    /// Its end, exclusive: the first instant of the next one.
    pub end: i64,
}

impl Bucket {
    /// Whether a period or the as-of instant cuts it.
    pub fn is_cut(&self, (from, to): (i64, i64), as_of: i64) -> bool {
        self.start < from || self.end > to || self.end > as_of
    }
}

/// Every bucket that the period `[from, to)` touches, in order.
pub fn buckets((from, to): (i64, i64), timezone: Tz, unit: Unit) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    if to <= from {
        return buckets;
    }
    let mut date = unit.first(local_date(from, timezone));
    let mut start = local_midnight(date, timezone);
    let last = local_date(to - 1, timezone);
    while date <= last {
        let Some(next) = unit.next(date) else { break };
        let end = local_midnight(next, timezone);
        buckets.push(Bucket { date, start, end });
        (date, start) = (next, end);
    }
    buckets
}

/// The Monday of the ISO week that holds a date.
pub fn monday_of(date: NaiveDate) -> NaiveDate {
    let days = u64::from(date.weekday().num_days_from_monday());
    date.checked_sub_days(Days::new(days)).unwrap_or(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    fn at(text: &str) -> i64 {
        text.parse::<DateTime<Utc>>().unwrap().timestamp_micros()
    }

    #[test]
    fn midnights_follow_the_clock() {
        let cases = [
            (chrono_tz::Europe::Berlin, date(2026, 3, 29), "2026-03-28T23:00:00Z"),
            (chrono_tz::Europe::Berlin, date(2026, 3, 30), "2026-03-29T22:00:00Z"),
            (chrono_tz::UTC, date(2026, 3, 30), "2026-03-30T00:00:00Z"),
            // Set forward at midnight: the day begins at 01:00.
            (chrono_tz::America::Sao_Paulo, date(2018, 11, 4), "2018-11-04T03:00:00Z"),
            // Set back at midnight, into the day before: midnight comes once more.
            (chrono_tz::America::Havana, date(2025, 11, 2), "2025-11-02T04:00:00Z"),
            (chrono_tz::Pacific::Kiritimati, date(2026, 1, 1), "2025-12-31T10:00:00Z"),
        ];
        for (zone, day, expected) in cases {
            assert_eq!(local_midnight(day, zone), at(expected), "{zone} {day}");
        }
    }

    #[test]
    fn hours_of_the_week_are_local() {
        let berlin = chrono_tz::Europe::Berlin;
        assert_eq!(hour_of_week(at("2026-03-29T22:00:00Z"), berlin), 0);
        assert_eq!(hour_of_week(at("2026-03-29T21:59:59.999999Z"), berlin), 167);
        assert_eq!(hour_of_week(at("2026-03-29T01:30:00Z"), berlin), 6 * 24 + 3);
        assert_eq!(hour_of_week(at("1969-12-29T00:00:00Z"), chrono_tz::UTC), 0);
    }

    #[test]
    fn hours_of_a_span_are_those_of_its_instants() {
        // With jumps of an hour and of half an hour, and an offset of minutes and seconds.
        for zone in [
            chrono_tz::Europe::Berlin,
            chrono_tz::Australia::Lord_Howe,
            chrono_tz::Africa::Monrovia,
            chrono_tz::Asia::Kathmandu,
            chrono_tz::UTC,
        ] {
            for year in [1850, 1971, 2026] {
                let from = at(&format!("{year}-01-01T00:00:00Z"));
                let hours = HoursOfWeek::new(from, from + 300 * DAY_MICROS, zone);
                for step in 0..3_000 {
                    let at = from - DAY_MICROS + step * 8_999_999_999;
                    let hour = hour_of_week(at, zone);
                    assert_eq!(hours.of(at), hour, "{zone} {at}");
                    let counts = hours.counts([(true, at), (false, at)].into_iter());
                    let expected = std::array::from_fn(|place| u64::from(place as u32 == hour));
                    assert_eq!(counts, expected, "{zone} {at}");
                }
            }
        }
        assert!(HoursOfWeek::new(0, i64::MAX, chrono_tz::UTC).hours.len() == 800_000);
        assert!(HoursOfWeek::new(5, 0, chrono_tz::UTC).hours.len() <= 4);
    }

    #[test]
    fn buckets_cover_the_period_without_a_gap() {
        let berlin = chrono_tz::Europe::Berlin;
        let period = (at("2026-03-28T12:00:00Z"), at("2026-03-30T22:00:00Z"));
        let listed = |unit| buckets(period, berlin, unit);
        let hours = |bucket: &Bucket| (bucket.end - bucket.start) / 3_600_000_000;
        let days = listed(Unit::Day);
        assert_eq!(days.iter().map(hours).collect::<Vec<_>>(), [24, 23, 24], "a short Sunday");
        assert!(days.windows(2).all(|pair| pair[0].end == pair[1].start));
        let cut: Vec<bool> = days.iter().map(|day| day.is_cut(period, period.1)).collect();
        assert_eq!(cut, [true, false, false]);
        assert!(days[2].is_cut(period, period.1 - 1), "by the as-of instant");
        let weeks: Vec<NaiveDate> = listed(Unit::Week).iter().map(|week| week.date).collect();
        assert_eq!(weeks, [date(2026, 3, 23), date(2026, 3, 30)]);
        let months = listed(Unit::Month);
        assert_eq!((months.len(), months[0].date), (1, date(2026, 3, 1)));
        assert_eq!(hours(&months[0]), 31 * 24 - 1);
        assert!(buckets((5, 5), berlin, Unit::Day).is_empty());
    }

    #[test]
    fn instants_keep_their_microseconds() {
        let text = serde_json::to_string(&Instant(at("2026-04-13T01:00:00.000001Z"))).unwrap();
        assert_eq!(text, "\"2026-04-13T01:00:00.000001Z\"");
        assert_eq!(monday_of(date(2026, 1, 1)), date(2025, 12, 29));
    }
}
