//! The analytic fields of all payloads: the typed columns that funnels and SQL read.

use std::borrow::Cow;

use super::json::Value;

/// Reads a member into a column's type; `None` where it is of another.
trait Column<'a>: Sized {
    fn read(value: Value<'a>) -> Option<Self>;
}

impl<'a> Column<'a> for Cow<'a, str> {
    fn read(value: Value<'a>) -> Option<Self> {
        value.text()
    }
}

impl Column<'_> for i64 {
    fn read(value: Value<'_>) -> Option<Self> {
        value.integer()
    }
}

impl Column<'_> for f64 {
    fn read(value: Value<'_>) -> Option<Self> {
        value.number()
    }
}

impl Column<'_> for bool {
    fn read(value: Value<'_>) -> Option<Self> {
        value.boolean()
    }
}

macro_rules! fields {
    ($($name:ident: $kind:ty,)+) => {
        /// One value a column of `events` that comes from `data`; named as the field is.
        #[derive(Clone, Debug, Default, PartialEq)]
        #[allow(missing_docs)]
        pub struct Fields<'a> {
            $(pub $name: Option<$kind>,)+
        }

        /// The columns' places.
        #[allow(non_camel_case_types)]
        enum Place {
            $($name),+
        }

        impl<'a> Fields<'a> {
            /// The names in the order of the columns.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            /// Fills the column named `name`, if there is one, with NULL where the value is of
            /// another type. Returns the column's place.
            pub(super) fn set(&mut self, name: &str, value: Value<'a>) -> Option<usize> {
                match name {
                    $(stringify!($name) => {
                        self.$name = Column::read(value);
                        Some(Place::$name as usize)
                    })+
                    _ => None,
                }
            }
        }
    };
}

fields! {
    language: Cow<'a, str>,
    user_kind: Cow<'a, str>,
    conversation_type: Cow<'a, str>,
    channel: Cow<'a, str>,
    device: Cow<'a, str>,
    referrer: Cow<'a, str>,
    step: Cow<'a, str>,
    meaningful: bool,
    characters: i64,
    latency_ms: i64,
    count: i64,
    model: Cow<'a, str>,
    confidence: f64,
    consensus_confidence: f64,
    verdict: Cow<'a, str>,
    approver_role: Cow<'a, str>,
    decision: Cow<'a, str>,
    seconds_reviewing: f64,
    applied: i64,
    failed: i64,
    outcome: Cow<'a, str>,
    reason: Cow<'a, str>,
    checkpoint_id: Cow<'a, str>,
    kind: Cow<'a, str>,
    code: Cow<'a, str>,
    message: Cow<'a, str>,
    stage: Cow<'a, str>,
    retryable: bool,
}
