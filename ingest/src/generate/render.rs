//! Events as the bytes that an app would send.

use super::defects::Defect;
use super::rhythm::CLIENTS;
use super::session::{Happening, MOBILE, TABLET, Visit, What};
use crate::json;

const LANGUAGES: [&str; 7] = ["en", "de", "fr", "es", "pt-BR", "hi", "ja"];
const CONVERSATION_TYPES: [&str; 3] = ["guided", "free_form", "support"];
const CHANNELS: [&str; 3] = ["web", "mobile_app", "partner"];
const REFERRERS: [&str; 4] = ["search", "newsletter", "campaign", "friend"];
const STEPS: [&str; 5] = ["goals", "team", "data_sources", "permissions", "review"];
const MODELS: [&str; 2] = ["advisor-large", "advisor-small"];
const VERDICTS: [&str; 3] = ["accept", "revise", "reject"];
const ROLES: [&str; 3] = ["owner", "manager", "security"];
const DECISIONS: [&str; 4] = ["approved", "modified", "rejected", "escalated"];
const REASONS: [&str; 4] = ["too_long", "not_now", "unclear_question", "something_broke"];
const STAGES: [&str; 4] = ["Started", "Engaged", "Recommendations generated", "Approval decision"];

/// An error that can occur: its kind, code, message, and whether trying again helps.
const ERRORS: [(&str, &str, &str, bool); 5] = [
    ("transient", "upstream_timeout", "the model did not answer in time", true),
    ("external", "identity_provider_unavailable", "sign-in answered 503", true),
    ("permanent", "unsupported_document", "the uploaded file has no text", false),
    ("configuration", "missing_connector", "no connector for \"crm\\legacy\" is set up", false),
    ("permanent", "approval_sheet_not_rendered", "the approval sheet did not open", false),
];

/// The `type` of a happening.
fn event_type(what: &What) -> &'static str {
    match what {
        What::Started => "onboarding.session.started",
        What::Input { .. } => "onboarding.input.submitted",
        What::Recommended { .. } => "onboarding.recommendations.generated",
        What::Validated { .. } => "onboarding.recommendations.validated",
        What::ApprovalRequested { .. } => "onboarding.approval.requested",
        What::Decided { .. } => "onboarding.approval.decided",
        What::Applied { .. } => "onboarding.changes.applied",
        What::Completed { .. } => "onboarding.session.completed",
        What::Abandoned { .. } => "onboarding.session.abandoned",
        What::Resumed { .. } => "onboarding.session.resumed",
        What::Checkpoint { .. } => "onboarding.checkpoint.saved",
        What::Failed { .. } => "onboarding.error.occurred",
    }
}

/// Appends one CloudEvent as JSON, without a line break, spoilt by `defect` if there is one.
pub fn event(out: &mut Vec<u8>, visit: &Visit, happening: &Happening, defect: Option<Defect>) {
    let start = out.len();
    let client = &CLIENTS[usize::from(visit.client)];
    out.extend_from_slice(b"{\"specversion\":\"");
    out.extend_from_slice(if defect == Some(Defect::OtherVersion) { b"0.3" } else { b"1.0" });
    if defect != Some(Defect::NoId) {
        out.extend_from_slice(b"\",\"id\":\"");
        json::uuid(out, happening.id);
    }
    out.extend_from_slice(b"\",\"source\":\"/apps/");
    out.extend_from_slice(client.name.as_bytes());
    out.push(b'/');
    out.extend_from_slice(CHANNELS[usize::from(visit.channel)].as_bytes());
    out.extend_from_slice(b"\",\"type\":\"");
    let named = event_type(&happening.what);
    let named = if defect == Some(Defect::OtherType) { "onboarding.sesion.strated" } else { named };
    out.extend_from_slice(named.as_bytes());
    out.push(b'"');
    if defect != Some(Defect::NoSession) {
        out.extend_from_slice(b",\"subject\":\"");
        json::uuid(out, visit.id);
        out.push(b'"');
    }
    out.extend_from_slice(b",\"time\":\"");
    match defect {
        Some(Defect::NoTime) => out.extend_from_slice(b"yesterday, about noon"),
        Some(Defect::FarFuture) => out.extend_from_slice(b"2999-12-31T23:59:59Z"),
        _ => time(out, happening.occurred_us, client.offset_minutes),
    }
    out.extend_from_slice(b"\",\"clientid\":\"");
    out.extend_from_slice(client.name.as_bytes());
    out.extend_from_slice(b"\",\"userid\":\"user-");
    json::padded(out, u64::from(visit.user), 5);
    out.push(b'"');
    origin(out, visit, happening);
    data(out, visit, &happening.what, defect);
    out.push(b'}');
    if defect == Some(Defect::Truncated) {
        out.truncate(start + (out.len() - start) * 3 / 4);
    }
}

/// Where the event comes from in a trace, and by which version of its schema it is written.
fn origin(out: &mut Vec<u8>, visit: &Visit, happening: &Happening) {
    if visit.correlated {
        out.extend_from_slice(b",\"correlationid\":\"");
        json::uuid(out, visit.id.rotate_left(64));
        out.push(b'"');
    }
    if let Some(cause) = happening.cause {
        out.extend_from_slice(b",\"causationid\":\"");
        json::uuid(out, cause);
        out.push(b'"');
    }
    if visit.old_app && matches!(happening.what, What::Input { .. }) {
        out.extend_from_slice(b",\"dataschema\":\"/schemas/onboarding.input.submitted/v0\"");
    }
}

/// Appends `at_us` in RFC 3339 with the offset of the client's clocks.
fn time(out: &mut Vec<u8>, at_us: i64, offset_minutes: i64) {
    let local_us = at_us + offset_minutes * 60_000_000;
    let (year, month, day) = civil(local_us.div_euclid(86_400_000_000));
    let of_day = local_us.rem_euclid(86_400_000_000) as u64;
    let seconds = of_day / 1_000_000;
    json::padded(out, year as u64, 4);
    for (separator, value) in [
        (b'-', month),
        (b'-', day),
        (b'T', seconds / 3_600),
        (b':', seconds / 60 % 60),
        (b':', seconds % 60),
    ] {
        out.push(separator);
        json::padded(out, value, 2);
    }
    out.push(b'.');
    json::padded(out, of_day % 1_000_000, 6);
    out.push(if offset_minutes < 0 { b'-' } else { b'+' });
    json::padded(out, offset_minutes.unsigned_abs() / 60, 2);
    out.push(b':');
    json::padded(out, offset_minutes.unsigned_abs() % 60, 2);
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
fn civil(days: i64) -> (i64, u64, u64) {
    use chrono::Datelike;
    let date = i32::try_from(days)
        .ok()
        .and_then(chrono::NaiveDate::from_epoch_days)
        .unwrap_or(chrono::NaiveDate::MAX);
    (i64::from(date.year()), u64::from(date.month()), u64::from(date.day()))
}

/// A JSON object that is being written, field by field.
struct Fields<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Fields<'_> {
    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        json::string(self.out, name);
        self.out.push(b':');
        self.out
    }

    fn text(&mut self, name: &str, value: &str) -> &mut Self {
        json::string(self.name(name), value);
        self
    }

    fn integer(&mut self, name: &str, value: impl Into<u64>) -> &mut Self {
        json::integer(self.name(name), value.into());
        self
    }

    fn boolean(&mut self, name: &str, value: bool) -> &mut Self {
        self.name(name).extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    /// A number given in parts of 10^`digits`.
    fn decimal(&mut self, name: &str, value: impl Into<u64>, digits: u32) -> &mut Self {
        let (value, unit) = (value.into(), 10_u64.pow(digits));
        let out = self.name(name);
        json::integer(out, value / unit);
        out.push(b'.');
        json::padded(out, value % unit, digits as usize);
        self
    }

    fn uuid(&mut self, name: &str, id: u128) -> &mut Self {
        let out = self.name(name);
        out.push(b'"');
        json::uuid(out, id);
        out.push(b'"');
        self
    }
}

fn data(out: &mut Vec<u8>, visit: &Visit, what: &What, defect: Option<Defect>) {
    if defect == Some(Defect::NoObject) {
        out.extend_from_slice(b",\"data\":\"[object Object]\"");
        return;
    }
    out.extend_from_slice(b",\"data\":{");
    let mut fields = Fields { out, first: true };
    match *what {
        What::Started => opening(&mut fields, visit),
        What::Input { step, meaningful, characters, latency_ms } => {
            fields.text("step", STEPS[usize::from(step)]);
            if let Some(meaningful) = meaningful {
                fields.boolean("meaningful", meaningful);
            }
            let characters_name = if visit.old_app { "text_length" } else { "characters" };
            fields.integer(characters_name, characters).integer("latency_ms", latency_ms);
        }
        What::Failed { error, stage } => {
            let (kind, code, message, retryable) = ERRORS[usize::from(error)];
            fields.text("kind", kind).text("code", code).text("message", message);
            fields.text("stage", STAGES[usize::from(stage)]).boolean("retryable", retryable);
        }
        _ => progress(&mut fields, what),
    }
    fields.out.push(b'}');
}

fn opening(fields: &mut Fields<'_>, visit: &Visit) {
    let device = match visit.device {
        MOBILE => "mobile",
        TABLET => "tablet",
        _ => "desktop",
    };
    fields
        .text("language", LANGUAGES[usize::from(visit.language)])
        .text("user_kind", if visit.returning { "returning" } else { "first_time" })
        .text("conversation_type", CONVERSATION_TYPES[usize::from(visit.conversation_type)])
        .text("channel", CHANNELS[usize::from(visit.channel)])
        .text("device", device);
    if let Some(referrer) = visit.referrer {
        fields.text("referrer", REFERRERS[usize::from(referrer)]);
    }
}

fn progress(fields: &mut Fields<'_>, what: &What) {
    match *what {
        What::Recommended { count, model, confidence, latency_ms } => fields
            .integer("count", count)
            .text("model", MODELS[usize::from(model)])
            .decimal("confidence", confidence, 4)
            .integer("latency_ms", latency_ms),
        What::Validated { consensus, verdict } => fields
            .decimal("consensus_confidence", consensus, 4)
            .text("verdict", VERDICTS[usize::from(verdict)]),
        What::ApprovalRequested { role } => fields.text("approver_role", ROLES[usize::from(role)]),
        What::Decided { decision, tenths_reviewing } => fields
            .text("decision", DECISIONS[usize::from(decision)])
            .decimal("seconds_reviewing", tenths_reviewing, 1),
        What::Applied { applied, failed } => {
            fields.integer("applied", applied).integer("failed", failed)
        }
        What::Completed { failed } => {
            fields.text("outcome", if failed { "failed" } else { "completed" })
        }
        What::Abandoned { reason } => fields.text("reason", REASONS[usize::from(reason)]),
        What::Resumed { checkpoint } => fields.uuid("checkpoint_id", checkpoint),
        What::Checkpoint { checkpoint, step } => {
            let step = STEPS[usize::from(step) % STEPS.len()];
            fields.uuid("checkpoint_id", checkpoint).text("step", step);
            fields.name("state").extend_from_slice(b"{\"tab\":\"form\",\"scrolled\":true}");
            fields
        }
        What::Started | What::Input { .. } | What::Failed { .. } => fields,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_local_to_the_client_and_exact() {
        for (at_us, offset) in [
            (0, 0),
            (1_772_409_600_000_001, -300),
            (1_709_251_199_999_999, 330),
            (951_782_400_000_000, 60),
        ] {
            let mut out = Vec::new();
            time(&mut out, at_us, offset);
            let text = String::from_utf8(out).unwrap();
            let read = chrono::DateTime::parse_from_rfc3339(&text).unwrap();
            assert_eq!(read.timestamp_micros(), at_us, "{text}");
            assert_eq!(i64::from(read.offset().local_minus_utc()), offset * 60, "{text}");
        }
    }
}
