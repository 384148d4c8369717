//! The catalogue as data: what decoding checks a payload against.

/// What a field's value must be; missing and null are always allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// Any text.
    Text,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A truth value.
    Bool,
    /// A 64-bit integer ≥ 0 without a fraction.
    Count,
    /// A number from 0 to 1.
    Share,
    /// A number ≥ 0.
    NonNegative,
    /// A JSON object.
    Object,
    /// Any JSON.
    Any,
}

/// A payload field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Its name in `data`.
    pub name: &'static str,
    /// What its value must be.
    pub check: Check,
}

/// A type of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EventType {
    /// Its full name.
    pub name: &'static str,
    /// What happened.
    pub doc: &'static str,
    /// Its payload.
    pub fields: &'static [Field],
    /// The newest version of its payload.
    pub version: u32,
    /// Older versions that are read by way of upcasters.
    pub upcast_from: &'static [u32],
}

impl EventType {
    /// The payload field of that name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The type of a failed background task, which becomes a dead letter.
pub const TASK_FAILED: &str = "onboarding.task.failed";

const fn field(name: &'static str, check: Check) -> Field {
    Field { name, check }
}

const fn event(name: &'static str, doc: &'static str, fields: &'static [Field]) -> EventType {
    EventType { name, doc, fields, version: 1, upcast_from: &[] }
}

use Check::{Any, Bool, Count, NonNegative, Object, OneOf, Share, Text};

/// Every type, in the order in which a session meets them.
pub static CATALOGUE: [EventType; 13] = [
    event(
        "onboarding.session.started",
        "A session began.",
        &[
            field("language", Text),
            field("user_kind", OneOf(&["first_time", "returning"])),
            field("conversation_type", Text),
            field("channel", Text),
            field("device", Text),
            field("referrer", Text),
        ],
    ),
    EventType {
        upcast_from: &[0],
        ..event(
            "onboarding.input.submitted",
            "The person said or entered something.",
            &[
                field("step", Text),
                field("meaningful", Bool),
                field("characters", Count),
                field("latency_ms", Count),
            ],
        )
    },
    event(
        "onboarding.recommendations.generated",
        "Recommendations were made.",
        &[
            field("count", Count),
            field("model", Text),
            field("confidence", Share),
            field("latency_ms", Count),
        ],
    ),
    event(
        "onboarding.recommendations.validated",
        "Recommendations were checked against each other.",
        &[
            field("consensus_confidence", Share),
            field("verdict", OneOf(&["accept", "revise", "reject"])),
        ],
    ),
    event(
        "onboarding.approval.requested",
        "Somebody was asked to approve.",
        &[field("approver_role", Text)],
    ),
    event(
        "onboarding.approval.decided",
        "The approver decided, one way or the other.",
        &[
            field("decision", OneOf(&["approved", "rejected", "modified", "escalated"])),
            field("seconds_reviewing", NonNegative),
        ],
    ),
    event(
        "onboarding.changes.applied",
        "Approved changes were carried out.",
        &[field("applied", Count), field("failed", Count)],
    ),
    event("onboarding.session.completed", "The session ended.", &[field("outcome", Text)]),
    event("onboarding.session.abandoned", "The person gave up.", &[field("reason", Text)]),
    event(
        "onboarding.session.resumed",
        "The person came back to a checkpoint.",
        &[field("checkpoint_id", Text)],
    ),
    event(
        "onboarding.checkpoint.saved",
        "The state of a session was saved.",
        &[field("checkpoint_id", Text), field("step", Text), field("state", Object)],
    ),
    event(
        "onboarding.error.occurred",
        "Something failed while the person was there.",
        &[
            field(
                "kind",
                OneOf(&["transient", "permanent", "configuration", "external", "unknown"]),
            ),
            field("code", Text),
            field("message", Text),
            field("stage", Text),
            field("retryable", Bool),
        ],
    ),
    event(
        TASK_FAILED,
        "A background task ran out of retries; kept as a dead letter of kind `task`.",
        &[
            field("task_name", Text),
            field("task_id", Text),
            field("args", Any),
            field("exception_type", Text),
            field("message", Text),
            field("traceback", Text),
            field("retries", Count),
        ],
    ),
];

/// The type of that full name.
pub fn event_type(name: &str) -> Option<&'static EventType> {
    CATALOGUE.iter().find(|known| known.name == name)
}

/// Every type.
pub fn list() -> &'static [EventType] {
    &CATALOGUE
}
