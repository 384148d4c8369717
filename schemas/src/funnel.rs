//! Funnel definitions: what a user writes in a TOML file, checked before anything runs on it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod load;
#[cfg(test)]
mod tests;

pub use load::{FunnelError, builtin, parse};

/// One funnel: the stages, in the order people are meant to pass them, and what ends a session.
///
/// All durations are whole seconds. Conditions are SQL boolean expressions over the columns of the
/// `events` table; a name that is no column reads that field of the event's `data` as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Funnel {
    /// Lower-case name: letters, digits and `_`, starting with a letter, at most 64 characters.
    pub name: String,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How strictly the order of stages is enforced.
    #[serde(default)]
    pub order: Order,
    /// Conversion window: a stage counts only within this long of the first. None: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u64>,
    /// A session with no activity for this long is abandoned (default 24 h).
    #[serde(default = "default_abandon_after")]
    pub abandon_after_seconds: u64,
    /// An in-flight session with activity within this long is active (default 30 min).
    #[serde(default = "default_active_within")]
    pub active_within_seconds: u64,
    /// How long every session of a mature figure is watched (default: the window, else 7 days).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon_seconds: Option<u64>,
    /// Events that say the person gave up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandonment: Option<Abandonment>,
    /// Events that say something broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorCondition>,
    /// Events that keep a session alive (default: every event).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<Condition>,
    /// Events that take a session out of every count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<Exclusion>,
    /// Attributes of the opening event that reports are segmented by when none are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<String>,
    /// The stages, first to last: 2 to 32 of them.
    pub stages: Vec<Stage>,
}

/// How strictly the order of stages is enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// A stage counts only after the required stage before it; other events may come between.
    #[default]
    Ordered,
    /// As ordered, and an event of any other stage in between interrupts.
    Strict,
    /// The first stage opens; the others count in any order.
    Unordered,
}

/// Which events are meant: by type, by a SQL predicate, or both (then both must hold).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// One event type or a list of them.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<Types>,
    /// A SQL boolean expression; NULL does not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
}

/// One event type, or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Types {
    /// A single type.
    One(String),
    /// Any of these types.
    Many(Vec<String>),
}

impl Types {
    /// The types as a slice.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Types::One(one) => std::slice::from_ref(one),
            Types::Many(many) => many,
        }
    }
}

/// A stage of the funnel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Name for people; unique within the funnel.
    pub name: String,
    /// One event type or a list of them.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<Types>,
    /// A SQL boolean expression; NULL does not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
    /// A stage that may be skipped; never the first or the last, never in an unordered funnel.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// The stage counts only within this long of the required stage before it (in an unordered
    /// funnel: of the stage reached before).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_window_seconds: Option<u64>,
}

/// Events by which a session ends itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Abandonment {
    /// One event type or a list of them.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<Types>,
    /// A SQL boolean expression; NULL does not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
    /// The field of the event that says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_field: Option<String>,
}

/// Events that report a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorCondition {
    /// One event type or a list of them.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<Types>,
    /// A SQL boolean expression; NULL does not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
    /// The field of the event that names the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_field: Option<String>,
}

/// A session with such an event strictly between two stages leaves every count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// One event type or a list of them.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<Types>,
    /// A SQL boolean expression; NULL does not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
    /// Stage number after which it counts, from 1.
    #[serde(alias = "from")]
    pub from_stage: usize,
    /// Stage number before which it counts, greater than `from_stage`.
    #[serde(alias = "to")]
    pub to_stage: usize,
}

macro_rules! condition {
    ($($kind:ty),+) => {$(
        impl $kind {
            /// The events that are meant.
            pub fn condition(&self) -> Condition {
                Condition { event_type: self.event_type.clone(), predicate: self.predicate.clone() }
            }
        }
    )+};
}
condition!(Stage, Abandonment, ErrorCondition, Exclusion);

impl Funnel {
    /// Seconds for which every session of a mature figure is watched.
    pub fn horizon(&self) -> u64 {
        self.horizon_seconds.or(self.window_seconds).unwrap_or(7 * 86_400)
    }

    /// Indices (from 0) of the stages that must be passed.
    pub fn required(&self) -> Vec<usize> {
        (0..self.stages.len()).filter(|&k| !self.stages[k].optional).collect()
    }

    /// The number of a stage, from 1, by its name or its number.
    pub fn stage_number(&self, text: &str) -> Option<usize> {
        let named = self.stages.iter().position(|stage| stage.name.eq_ignore_ascii_case(text));
        let numbered = text.parse().ok().filter(|number| (1..=self.stages.len()).contains(number));
        named.map(|index| index + 1).or(numbered)
    }

    /// The definition in one canonical form (JSON with sorted keys), as it is hashed and kept.
    pub fn canonical(&self) -> String {
        serde_json::to_value(self).expect("a funnel is plain data").to_string()
    }

    /// 16 hexadecimal digits that change when the definition does (xxh3 of [`Self::canonical`]).
    pub fn hash(&self) -> String {
        format!("{:016x}", xxhash_rust::xxh3::xxh3_64(self.canonical().as_bytes()))
    }

    /// Names of all stages, checked unique on loading.
    pub fn stage_names(&self) -> BTreeSet<&str> {
        self.stages.iter().map(|s| s.name.as_str()).collect()
    }
}

fn default_abandon_after() -> u64 {
    86_400
}

fn default_active_within() -> u64 {
    1_800
}
