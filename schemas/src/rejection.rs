//! Why a record is not an event: a bounded set of codes, which are metric labels too.

use thiserror::Error;

/// Why a record was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectionCode {
    /// No JSON, or JSON in which a name stands twice.
    MalformedJson,
    /// JSON, but no CloudEvent.
    NotCloudevents,
    /// A type outside the catalogue and the configured namespaces.
    UnknownType,
    /// A version of the envelope or the payload that this program does not know.
    UnsupportedVersion,
    /// A payload field of the wrong type or out of range.
    SchemaViolation,
    /// No session id.
    MissingSession,
    /// No RFC 3339 time with an offset.
    BadTimestamp,
    /// Later than the record itself allows.
    FromTheFuture,
    /// Before the retention horizon.
    TooOld,
    /// Longer than a record may be.
    TooLarge,
}

impl RejectionCode {
    /// Every code.
    pub const ALL: [Self; 10] = [
        Self::MalformedJson,
        Self::NotCloudevents,
        Self::UnknownType,
        Self::UnsupportedVersion,
        Self::SchemaViolation,
        Self::MissingSession,
        Self::BadTimestamp,
        Self::FromTheFuture,
        Self::TooOld,
        Self::TooLarge,
    ];

    /// The code as it is stored and counted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::NotCloudevents => "not_cloudevents",
            Self::UnknownType => "unknown_type",
            Self::UnsupportedVersion => "unsupported_version",
            Self::SchemaViolation => "schema_violation",
            Self::MissingSession => "missing_session",
            Self::BadTimestamp => "bad_timestamp",
            Self::FromTheFuture => "from_the_future",
            Self::TooOld => "too_old",
            Self::TooLarge => "too_large",
        }
    }

    /// What to do about it, in a sentence.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::MalformedJson => {
                "Send one UTF-8 JSON object a record, with every name once and at most 128 levels."
            }
            Self::NotCloudevents => {
                "Send CloudEvents 1.0 with specversion, id, source, type and clientid as non-empty \
                 text."
            }
            Self::UnknownType => {
                "Use a type of the catalogue, or allow your namespace with ingest.namespaces."
            }
            Self::UnsupportedVersion => {
                "Send specversion 1.0 and a dataschema version that `onramp schema list` shows, or \
                 upgrade Onramp."
            }
            Self::SchemaViolation => "Send the payload as `onramp schema show TYPE` describes it.",
            Self::MissingSession => "Set subject to the session id.",
            Self::BadTimestamp => {
                "Set time to an RFC 3339 instant with an offset, e.g. 2026-11-23T08:00:00Z."
            }
            Self::FromTheFuture => {
                "Set the sender's clock, or raise ingest.max_future_seconds and send again."
            }
            Self::TooOld => "Raise ingest.horizon_seconds to take history, and send again.",
            Self::TooLarge => "Send at most 1 MiB a record; keep attachments elsewhere.",
        }
    }
}

/// A rejection: its code, and what is wrong with this very record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{code}: {message}", code = code.as_str())]
pub struct Rejection {
    /// The bounded cause.
    pub code: RejectionCode,
    /// What was found, where, and what was expected.
    pub message: String,
}

impl Rejection {
    /// A rejection with its words.
    pub fn new(code: RejectionCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
