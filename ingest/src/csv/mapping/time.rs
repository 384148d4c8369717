//! Reading the times of a CSV file.

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, de::Error};

/// How a column writes its times.
#[derive(Clone, Copy, Debug)]
pub struct TimeFormat<'a> {
    /// `rfc3339` (the default; a space may stand for the `T`), `epoch_seconds`, `epoch_millis`,
    /// `epoch_micros`, or a `strftime` pattern.
    pub pattern: Option<&'a str>,
    /// Time zone of local times, such as `Europe/Amsterdam`; UTC when absent.
    pub timezone: Option<Tz>,
}

impl TimeFormat<'_> {
    /// Whether the pattern is one.
    pub fn check(&self) -> Result<(), String> {
        let pattern = self.pattern.unwrap_or("rfc3339");
        let named =
            matches!(pattern, "rfc3339" | "epoch_seconds" | "epoch_millis" | "epoch_micros");
        if named
            || (pattern.contains('%') && !StrftimeItems::new(pattern).any(|i| i == Item::Error))
        {
            return Ok(());
        }
        Err(format!(
            "format {pattern:?} is neither rfc3339, epoch_seconds, epoch_millis, epoch_micros nor a \
             strftime pattern such as \"%Y-%m-%d %H:%M:%S\""
        ))
    }

    /// The instant that `cell` names, in RFC 3339, UTC, with microseconds.
    pub fn rfc3339(&self, cell: &str) -> Result<String, String> {
        let unreadable = || {
            let expected = self.pattern.unwrap_or("rfc3339");
            format!("{cell:?} is no time of the format {expected:?}")
        };
        let cell = cell.trim();
        let read = match self.pattern {
            None | Some("rfc3339") => match DateTime::parse_from_rfc3339(cell) {
                Ok(instant) => Some(instant.to_utc()),
                Err(_) => {
                    self.local(cell, "%Y-%m-%dT%H:%M:%S%.f")?.or(self.local(cell, "%F %T%.f")?)
                }
            },
            Some("epoch_seconds") => epoch(cell, 1_000_000),
            Some("epoch_millis") => epoch(cell, 1_000),
            Some("epoch_micros") => epoch(cell, 1),
            Some(pattern) => match DateTime::parse_from_str(cell, pattern) {
                Ok(instant) => Some(instant.to_utc()),
                Err(_) => self.local(cell, pattern)?,
            },
        };
        let instant = read.ok_or_else(unreadable)?;
        Ok(instant.to_rfc3339_opts(SecondsFormat::Micros, true))
    }

    /// A time without an offset; of an hour that occurs twice the first is meant.
    fn local(&self, cell: &str, pattern: &str) -> Result<Option<DateTime<Utc>>, String> {
        let naive = NaiveDateTime::parse_from_str(cell, pattern).or_else(|_| {
            NaiveDate::parse_from_str(cell, pattern).map(|d| d.and_time(Default::default()))
        });
        let Ok(naive) = naive else { return Ok(None) };
        let zone = self.timezone.unwrap_or(Tz::UTC);
        match zone.from_local_datetime(&naive) {
            LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => {
                Ok(Some(instant.to_utc()))
            }
            LocalResult::None => {
                Err(format!("{cell:?} does not exist in {zone}: the clocks were put forward"))
            }
        }
    }
}

/// A decimal number of units since 1970, each of `unit` microseconds; what is finer is cut off.
fn epoch(cell: &str, unit: i64) -> Option<DateTime<Utc>> {
    let (whole, fraction) = cell.split_once('.').unwrap_or((cell, ""));
    let mut micros = whole.parse::<i64>().ok()?.checked_mul(unit)?;
    let mut place = unit / 10;
    for digit in fraction.chars() {
        let part = i64::from(digit.to_digit(10)?) * place;
        micros = micros.checked_add(if cell.starts_with('-') { -part } else { part })?;
        place /= 10;
    }
    DateTime::from_timestamp_micros(micros)
}

/// Reads the name of a time zone.
pub fn zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tz>, D::Error> {
    let name = String::deserialize(deserializer)?;
    let unknown =
        || D::Error::custom(format!("{name:?} is no IANA time zone, as Europe/Berlin is"));
    name.parse().map(Some).map_err(|_| unknown())
}
