//! What a client may set, and what it is told of the server.

use std::collections::BTreeMap;
use std::time::Duration;

use datafusion_postgres::pgwire::error::PgWireResult;

use super::errors::{self, REFUSED, UNKNOWN_SETTING, WRONG_VALUE};

/// The server that clients are to take this one for: what its catalogue looks like.
pub const SERVER_VERSION: &str = concat!("16.6 (Onramp ", env!("CARGO_PKG_VERSION"), ")");

/// Settings that cannot be changed, with their values.
const FIXED: [(&str, &str); 13] = [
    ("server_version", SERVER_VERSION),
    ("server_version_num", "160006"),
    ("server_encoding", "UTF8"),
    ("integer_datetimes", "on"),
    ("in_hot_standby", "off"),
    ("is_superuser", "off"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("transaction_isolation", "repeatable read"),
    ("transaction_read_only", "on"),
    ("session_authorization", ""),
];

/// Which values a setting takes.
#[derive(Clone, Copy)]
enum Takes {
    /// Whatever is written: it changes nothing here.
    Anything,
    /// What begins with one of these, in any case.
    Only(&'static [&'static str]),
    /// Anything, but the value stays: times are UTC and say so.
    Utc,
    /// A duration up to the server's own deadline.
    Timeout,
}

/// Settings that drivers and tools set, with their defaults.
const OPEN: [(&str, &str, Takes); 22] = [
    ("application_name", "", Takes::Anything),
    ("bytea_output", "hex", Takes::Only(&["hex"])),
    ("client_encoding", "UTF8", Takes::Only(&["utf8", "utf-8", "unicode"])),
    ("client_min_messages", "notice", Takes::Anything),
    ("datestyle", "ISO, MDY", Takes::Only(&["iso"])),
    ("default_transaction_isolation", "repeatable read", Takes::Anything),
    ("default_transaction_read_only", "on", Takes::Anything),
    ("enable_seqscan", "on", Takes::Anything),
    ("extra_float_digits", "1", Takes::Anything),
    ("geqo", "on", Takes::Anything),
    ("idle_in_transaction_session_timeout", "0", Takes::Anything),
    ("idle_session_timeout", "0", Takes::Anything),
    ("intervalstyle", "postgres", Takes::Only(&["postgres"])),
    ("jit", "off", Takes::Anything),
    ("lock_timeout", "0", Takes::Anything),
    ("max_parallel_workers_per_gather", "0", Takes::Anything),
    ("row_security", "on", Takes::Anything),
    ("search_path", "public", Takes::Only(&["public", "\"$user\"", "$user", "pg_catalog"])),
    ("standard_conforming_strings", "on", Takes::Only(&["on", "true", "1"])),
    ("statement_timeout", "0", Takes::Timeout),
    ("synchronous_commit", "on", Takes::Anything),
    ("timezone", "UTC", Takes::Utc),
];

/// The settings of a connection.
#[derive(Clone, Debug)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
}

impl Default for Settings {
    fn default() -> Self {
        let fixed = FIXED.iter().map(|&(name, value)| (name, value.to_owned()));
        let open = OPEN.iter().map(|&(name, value, _)| (name, value.to_owned()));
        Self { values: fixed.chain(open).collect() }
    }
}

impl Settings {
    /// Who logged in.
    pub fn set_user(&mut self, user: &str) {
        self.values.insert("session_authorization", user.to_owned());
    }

    /// A setting's value, by its name in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name.to_ascii_lowercase().as_str()).map(String::as_str)
    }

    /// Sets one; whether the value was taken over. `None` is its default.
    ///
    /// # Errors
    /// A setting that is none of a client's, or does not take the value.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> PgWireResult<bool> {
        let lower = name.to_ascii_lowercase();
        let Some(&(name, default, takes)) = OPEN.iter().find(|(open, ..)| *open == lower) else {
            let most = OPEN.map(|(name, ..)| name).join(", ");
            return Err(errors::error(
                REFUSED,
                format!("{name} cannot be set here; a client may set {most}"),
            ));
        };
        let value = value.unwrap_or(default);
        let written = value.trim().to_ascii_lowercase();
        match takes {
            Takes::Anything => {}
            Takes::Only(known) if known.iter().any(|known| written.starts_with(known)) => {}
            Takes::Only(known) => {
                let known = known.join(" or ");
                let message = format!("{name} cannot be {value:?}; it can be {known}");
                return Err(errors::error(WRONG_VALUE, message));
            }
            Takes::Utc if written.ends_with("utc") || written == "gmt" => {}
            Takes::Utc => return Ok(false),
            Takes::Timeout => {
                milliseconds(&written).ok_or_else(|| {
                    let message = format!("{name} cannot be {value:?}; write 500ms, 5s or 1min");
                    errors::error(WRONG_VALUE, message)
                })?;
            }
        }
        self.values.insert(name, value.to_owned());
        Ok(true)
    }

    /// A value for `SHOW`.
    ///
    /// # Errors
    /// There is no such setting.
    pub fn show(&self, name: &str) -> PgWireResult<&str> {
        self.get(name).ok_or_else(|| {
            errors::error(UNKNOWN_SETTING, format!("unrecognized configuration parameter {name:?}"))
        })
    }

    /// The deadline that the client set for its statements, if any.
    pub fn statement_timeout(&self) -> Option<Duration> {
        let set = self.get("statement_timeout").and_then(milliseconds);
        set.filter(|set| *set > 0).map(Duration::from_millis)
    }
}

/// A duration as PostgreSQL writes it: a number of milliseconds, or one with its unit.
fn milliseconds(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
