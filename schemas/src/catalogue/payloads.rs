//! The payloads as Rust types: their JSON Schemas are generated from here.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// A person's history with the product.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
#[serde(rename_all = "snake_case")]
enum UserKind {
    FirstTime,
    Returning,
}

/// What the validation of recommendations says.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Accept,
    Revise,
    Reject,
}

/// What the approver decided.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
#[serde(rename_all = "snake_case")]
enum Decision {
    Approved,
    Rejected,
    Modified,
    Escalated,
}

/// Which sort of failure it was.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
#[serde(rename_all = "snake_case")]
enum ErrorKind {
    Transient,
    Permanent,
    Configuration,
    External,
    Unknown,
}

/// Gives a payload's schema the name of its type and version.
fn named(name: &str, mut schema: Schema) -> Schema {
    let version = super::event_type(name).map_or(1, |known| known.version);
    schema.insert("$id".into(), format!("urn:onramp:schemas/{name}/v{version}").into());
    schema.insert("title".into(), name.into());
    schema.insert("additionalProperties".into(), true.into());
    schema
}

macro_rules! payloads {
    ($($(#[$doc:meta])* $type:literal $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $kind:ty,)*
    })+) => {
        $(
            $(#[$doc])*
            #[derive(JsonSchema)]
            #[expect(dead_code, reason = "only its schema is used")]
            struct $name {
                $($(#[$field_doc])* #[serde(default)] $field: Option<$kind>,)*
            }
        )+

        /// The JSON Schema (2020-12) of every payload's newest version, by the type's full name.
        pub fn schemas() -> BTreeMap<&'static str, Schema> {
            let generator = || {
                SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into_generator()
            };
            BTreeMap::from([$(
                ($type, named($type, generator().into_root_schema_for::<$name>()))
            ),+])
        }
    };
}

payloads! {
    /// A session began.
    "onboarding.session.started" SessionStarted {
        /// Language of the session, BCP 47 advised.
        language: String,
        /// The person's history with the product.
        user_kind: UserKind,
        /// Kind of conversation.
        conversation_type: String,
        /// Where the session came in.
        channel: String,
        /// Kind of device.
        device: String,
        /// Where the person came from.
        referrer: String,
    }
    /// The person said or entered something.
    "onboarding.input.submitted" InputSubmitted {
        /// Step of the onboarding.
        step: String,
        /// Whether the input said something; not known counts as yes.
        meaningful: bool,
        /// Length of the input, characters (v0: `text_length`).
        #[schemars(range(min = 0))]
        characters: i64,
        /// How long the answer took, milliseconds.
        #[schemars(range(min = 0))]
        latency_ms: i64,
    }
    /// Recommendations were made.
    "onboarding.recommendations.generated" RecommendationsGenerated {
        /// How many.
        #[schemars(range(min = 0))]
        count: i64,
        /// The model that made them.
        model: String,
        /// The model's confidence, 0 to 1.
        #[schemars(range(min = 0, max = 1))]
        confidence: f64,
        /// How long it took, milliseconds.
        #[schemars(range(min = 0))]
        latency_ms: i64,
    }
    /// Recommendations were checked against each other.
    "onboarding.recommendations.validated" RecommendationsValidated {
        /// Confidence of the consensus, 0 to 1.
        #[schemars(range(min = 0, max = 1))]
        consensus_confidence: f64,
        /// What the validation says.
        verdict: Verdict,
    }
    /// Somebody was asked to approve.
    "onboarding.approval.requested" ApprovalRequested {
        /// Who is asked.
        approver_role: String,
    }
    /// The approver decided, one way or the other.
    "onboarding.approval.decided" ApprovalDecided {
        /// What was decided.
        decision: Decision,
        /// How long it took, seconds.
        #[schemars(range(min = 0))]
        seconds_reviewing: f64,
    }
    /// Approved changes were carried out.
    "onboarding.changes.applied" ChangesApplied {
        /// How many succeeded.
        #[schemars(range(min = 0))]
        applied: i64,
        /// How many failed.
        #[schemars(range(min = 0))]
        failed: i64,
    }
    /// The session ended.
    "onboarding.session.completed" SessionCompleted {
        /// How it ended; `failed` is no completion.
        outcome: String,
    }
    /// The person gave up.
    "onboarding.session.abandoned" SessionAbandoned {
        /// Why.
        reason: String,
    }
    /// The person came back to a checkpoint.
    "onboarding.session.resumed" SessionResumed {
        /// The checkpoint.
        checkpoint_id: String,
    }
    /// The state of a session was saved.
    "onboarding.checkpoint.saved" CheckpointSaved {
        /// The checkpoint.
        checkpoint_id: String,
        /// Step of the onboarding.
        step: String,
        /// Whatever the app needs to go on.
        state: Map<String, Value>,
    }
    /// Something failed while the person was there.
    "onboarding.error.occurred" ErrorOccurred {
        /// Which sort of failure.
        kind: ErrorKind,
        /// Its code.
        code: String,
        /// Its words.
        message: String,
        /// The stage that it belongs to.
        stage: String,
        /// Whether trying again may help.
        retryable: bool,
    }
    /// A background task ran out of retries; kept as a dead letter of kind `task`.
    "onboarding.task.failed" TaskFailed {
        /// The task.
        task_name: String,
        /// This run of it.
        task_id: String,
        /// What it was called with.
        args: Value,
        /// The exception's type.
        exception_type: String,
        /// The exception's words.
        message: String,
        /// Where it was raised.
        traceback: String,
        /// How often it was tried again.
        #[schemars(range(min = 0))]
        retries: i64,
    }
}
