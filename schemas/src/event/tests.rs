mod names;
mod reference;

use proptest::prelude::*;

use super::*;
use crate::rejection::{Rejection, RejectionCode as Code};

/// 2026-03-01T00:00:00Z.
const NOW: i64 = 1_772_323_200_000_000;

fn context(namespaces: &[String]) -> RecordContext<'_> {
    RecordContext {
        timestamp: NOW,
        max_future_us: 300_000_000,
        horizon_us: Some(30 * 86_400_000_000),
        max_bytes: 1 << 20,
        namespaces,
    }
}

/// A valid event with some members replaced (`null` takes one away).
fn event(changes: &str) -> Vec<u8> {
    let mut event = serde_json::json!({
        "specversion": "1.0", "id": "1", "source": "/app", "type": "onboarding.input.submitted",
        "subject": "s", "time": "2026-03-01T00:00:00Z", "clientid": "acme", "data": {"step": "a"}
    });
    let changes: serde_json::Value = serde_json::from_str(changes).unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            event.as_object_mut().unwrap().remove(name);
        } else {
            event[name] = value.clone();
        }
    }
    event.to_string().into_bytes()
}

fn rejected(bytes: &[u8]) -> Rejection {
    decode(bytes, &context(&["com.acme".to_owned()])).expect_err("it must be rejected")
}

#[track_caller]
fn code(changes: &str, expected: Code) {
    let rejection = rejected(&event(changes));
    assert_eq!(rejection.code, expected, "{changes}: {rejection}");
}

#[test]
fn an_event_borrows_what_it_can() {
    let bytes =
        event(r#"{"userid": "u", "x": [1, "y"], "data": {"step": "ä\n", "characters": 3.0}}"#);
    let decoded = decode(&bytes, &context(&[])).unwrap();
    assert!(matches!(decoded.client_id, Cow::Borrowed("acme")));
    assert_eq!(decoded.fields.step.as_deref(), Some("ä\n"));
    assert_eq!(decoded.fields.characters, Some(3));
    assert_eq!((decoded.occurred_at, &*decoded.correlation_id), (NOW, "s"));
    assert_eq!(decoded.extensions.as_deref(), Some(r#"{"x":[1,"y"]}"#));
    assert_eq!(decoded.user_id.as_deref(), Some("u"));
    assert!(decoded.data.unwrap().contains("\"step\""));
}

#[test]
fn malformed_json() {
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    let not_text = b"{\"id\": \"\xFF\"}";
    let texts: [&[u8]; 9] = [
        b"",
        b"  ",
        b"{",
        br#"{"id": "1"} x"#,
        br#"{"id": tru}"#,
        br#"{"id": "\ud800"}"#,
        not_text,
        br#"{"id":"1","id":"2"}"#,
        deep.as_bytes(),
    ];
    for bytes in texts {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        assert_eq!(rejected(bytes).code, Code::MalformedJson, "{shown}");
    }
    let truncated = event("{}");
    for end in 0..truncated.len() {
        assert_eq!(rejected(&truncated[..end]).code, Code::MalformedJson, "cut at {end}");
    }
    let twice = br#"{"specversion":"1.0","id":"1","source":"s","type":"onboarding.input.submitted","subject":"s","time":"2026-03-01T00:00:00Z","clientid":"c","data":{"step":"a","step":"b"}}"#;
    assert_eq!(rejected(twice).message, "data.step is given twice");
}

#[test]
fn deep_nesting_within_the_bound_is_read() {
    let nested = format!(r#"{{"x": {}1{}}}"#, "[".repeat(100), "]".repeat(100));
    assert!(decode(&event(&nested), &context(&[])).is_ok());
}

#[test]
fn not_cloudevents() {
    assert_eq!(rejected(b"[1]").code, Code::NotCloudevents);
    assert_eq!(rejected(b"{}").code, Code::NotCloudevents);
    for name in ["id", "source", "type", "clientid"] {
        for value in ["null", "\"\"", "7", "[]"] {
            code(&format!(r#"{{"{name}": {value}}}"#), Code::NotCloudevents);
        }
    }
    code(r#"{"userid": 7}"#, Code::NotCloudevents);
    code(r#"{"specversion": null}"#, Code::NotCloudevents);
}

#[test]
fn missing_session_bad_timestamp_unknown_type() {
    for value in ["null", "\"\"", "7"] {
        code(&format!(r#"{{"subject": {value}}}"#), Code::MissingSession);
        code(&format!(r#"{{"time": {value}}}"#), Code::BadTimestamp);
    }
    code(r#"{"time": "yesterday"}"#, Code::BadTimestamp);
    code(r#"{"time": "2026-03-01T00:00:00"}"#, Code::BadTimestamp);
    for name in
        ["onboarding.other", "com.acme", "com.acmeX.y", "com.acme.", "com.acme.a b", "x.com.acme.y"]
    {
        code(&format!(r#"{{"type": "{name}"}}"#), Code::UnknownType);
    }
    assert!(decode(&event(r#"{"type": "com.acme.a_b"}"#), &context(&["com.acme".into()])).is_ok());
}

#[test]
fn unsupported_version() {
    code(r#"{"specversion": "0.3"}"#, Code::UnsupportedVersion);
    code(r#"{"specversion": 1.0}"#, Code::UnsupportedVersion);
    code(r#"{"dataschema": "https://x/onboarding.input.submitted/v2"}"#, Code::UnsupportedVersion);
    code(r#"{"dataschema": "https://x/onboarding.input.submitted"}"#, Code::UnsupportedVersion);
    let old = r#"{"dataschema": "x/onboarding.input.submitted/v0", "data": {"text_length": 12}}"#;
    let old = event(old);
    let decoded = decode(&old, &context(&[])).unwrap();
    assert_eq!(decoded.fields.characters, Some(12));
    assert_eq!(decoded.data.as_deref(), Some(r#"{"text_length":12}"#), "the lake keeps what came");
}

#[test]
fn times_against_the_record() {
    let at = |time: &str| event(&format!(r#"{{"time": "{time}"}}"#));
    assert!(decode(&at("2026-03-01T00:05:00Z"), &context(&[])).is_ok());
    assert_eq!(rejected(&at("2026-03-01T00:05:00.000001Z")).code, Code::FromTheFuture);
    assert!(decode(&at("2026-01-30T00:00:00Z"), &context(&[])).is_ok());
    assert_eq!(rejected(&at("2026-01-29T23:59:59.999999Z")).code, Code::TooOld);
    for absurd in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
        assert!(matches!(rejected(&at(absurd)).code, Code::TooOld | Code::FromTheFuture));
    }
}

#[test]
fn too_large_is_judged_before_anything_else() {
    assert_eq!(rejected(&vec![b'x'; (1 << 20) + 1]).code, Code::TooLarge);
    assert_eq!(rejected(&vec![b'x'; 1 << 20]).code, Code::MalformedJson);
}

#[test]
fn schema_violation_names_field_expectation_and_kind() {
    let cases = [
        (r#"{"data": []}"#, "data must be an object, found a list"),
        (r#"{"data": {"step": 1}}"#, "data.step must be text, found a number"),
        (r#"{"data": {"meaningful": "yes"}}"#, "data.meaningful must be true or false, found text"),
        (r#"{"data": {"characters": -1}}"#, "data.characters must be a 64-bit integer"),
        (r#"{"data": {"characters": 1.5}}"#, "data.characters must be a 64-bit integer"),
        (r#"{"data": {"characters": 18446744073709551615}}"#, "data.characters must be"),
        (r#"{"data": {"characters": 1e300}}"#, "data.characters must be"),
        (r#"{"data_base64": "AA=="}"#, "data_base64 is not read"),
    ];
    for (changes, words) in cases {
        let rejection = rejected(&event(changes));
        assert_eq!(rejection.code, Code::SchemaViolation, "{changes}");
        assert!(rejection.message.contains(words), "{changes}: {rejection}");
    }
    let kind = |kind: &str, data: &str| {
        event(&format!(r#"{{"type": "onboarding.{kind}", "data": {data}}}"#))
    };
    for (name, data) in [
        ("recommendations.generated", r#"{"confidence": 1.01}"#),
        ("approval.decided", r#"{"seconds_reviewing": -0.1}"#),
        ("approval.decided", r#"{"decision": "maybe"}"#),
        ("checkpoint.saved", r#"{"state": 1}"#),
    ] {
        assert_eq!(rejected(&kind(name, data)).code, Code::SchemaViolation, "{data}");
    }
    assert!(
        decode(
            &event(r#"{"data": {"step": 1, "x": {}}, "type": "com.acme.x"}"#),
            &context(&["com.acme".into()])
        )
        .unwrap()
        .fields
        .step
        .is_none()
    );
}

#[test]
fn binary_mode() {
    let headers: [(&str, &[u8]); 8] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", b"/app"),
        ("ce_type", b"onboarding.session.completed"),
        ("ce_subject", b"s"),
        ("ce_time", b"2026-03-01T00:00:00Z"),
        ("ce_clientid", b"acme"),
        ("content-type", b"application/json"),
    ];
    let decoded = decode_binary(&headers, br#"{"outcome": "ok"}"#, &context(&[])).unwrap();
    assert_eq!(decoded.fields.outcome.as_deref(), Some("ok"));
    assert_eq!(decoded.extensions.as_deref(), Some(r#"{"datacontenttype":"application/json"}"#));
    let expected = [
        Code::NotCloudevents,
        Code::NotCloudevents,
        Code::NotCloudevents,
        Code::NotCloudevents,
        Code::MissingSession,
        Code::BadTimestamp,
        Code::NotCloudevents,
    ];
    for (left_out, expected) in expected.into_iter().enumerate() {
        let mut fewer = headers.to_vec();
        fewer.remove(left_out);
        assert_eq!(decode_binary(&fewer, b"{}", &context(&[])).unwrap_err().code, expected);
    }
    let mut broken = headers;
    broken[6].1 = b"\xFF";
    assert_eq!(decode_binary(&broken, b"", &context(&[])).unwrap_err().code, Code::NotCloudevents);
}

#[test]
fn a_failed_task_is_told_apart() {
    let task = event(
        r#"{"type": "onboarding.task.failed", "data": {"task_name": "mail", "message": "no route"}}"#,
    );
    let task = decode(&task, &context(&[])).unwrap().task.unwrap();
    assert_eq!(
        (task.task_name.as_deref(), task.message.as_deref()),
        (Some("mail"), Some("no route"))
    );
}

#[test]
fn identities_do_not_run_into_each_other() {
    assert_ne!(identity("a", "b\u{1f}c", "d"), identity("a\u{1f}b", "c", "d"));
    assert_eq!(session_key("a", "s"), session_key("a", "s"));
    assert_ne!(session_key("a", &"s".repeat(300)), session_key("b", &"s".repeat(300)));
}

/// The columns of a custom event whose `confidence` and `count` are `number` as it stands.
fn custom(number: &str) -> Fields<'static> {
    let text = format!(
        r#"{{"specversion":"1.0","id":"1","source":"/a","type":"com.acme.x","subject":"s","time":"2026-03-01T00:00:00Z","clientid":"c","data":{{"confidence":{number},"count":{number}}}}}"#
    );
    let fields = decode(text.as_bytes(), &context(&["com.acme".into()])).unwrap().fields;
    Fields { confidence: fields.confidence, count: fields.count, ..Fields::default() }
}

proptest! {
    #[test]
    fn any_bytes_give_an_event_or_a_rejection(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes, &context(&[]));
    }

    #[test]
    fn texts_arrive_as_they_were_sent(id in ".{1,40}", step in ".{0,40}", client in "\\PC{1,20}") {
        let changes = serde_json::json!({"id": id, "clientid": client, "data": {"step": step}});
        let bytes = event(&changes.to_string());
        let decoded = decode(&bytes, &context(&[])).unwrap();
        prop_assert_eq!(&*decoded.id, id);
        prop_assert_eq!(&*decoded.client_id, client);
        prop_assert_eq!(decoded.fields.step.as_deref(), Some(step.as_str()));
    }

    #[test]
    fn numbers_are_read_to_the_last_bit(number in any::<f64>().prop_filter("JSON has no other", |n| n.is_finite())) {
        prop_assert_eq!(custom(&format!("{number:?}")).confidence, Some(number));
    }

    #[test]
    fn integers_are_read_however_they_are_written(number: i64, zeros in 0_usize..3) {
        for written in [format!("{number}"), format!("{number}.{:0<1$}", "0", zeros + 1), format!("{number}0e-1")] {
            prop_assert_eq!(custom(&written).count, Some(number), "{}", written);
        }
    }
}
