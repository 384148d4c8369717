//! The decoder against slow and plain readings of the same bytes.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::*;
use crate::catalogue::{self, Check};

/// Pieces that JSON is made of and broken by.
const PIECES: [&str; 46] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "\t",
    "\r",
    "\u{c}",
    "\u{a0}",
    "\0",
    "\"",
    "\"a\"",
    "\"\"",
    "\"a\":",
    "\\",
    "\"\\n\"",
    "\"\\x\"",
    "\"\\u0041\"",
    "\"\\u00g1\"",
    "\"\\\"",
    "\"\u{1}\"",
    "\"\n\"",
    "\"\u{7f}é😀\"",
    "0",
    "1",
    "-",
    "-0",
    "01",
    "1.",
    ".5",
    "1.5",
    "1e5",
    "1e",
    "1E+2",
    "+1",
    "--1",
    "NaN",
    "Infinity",
    "true",
    "false",
    "null",
    "nul",
    "tru",
];

/// JSON text with a little space in it, and now and then something that does not belong.
fn nearly_json() -> impl Strategy<Value = String> {
    let piece = select(&PIECES[..]).prop_map(str::to_owned);
    let leaf = prop_oneof![
        8 => select(vec!["1", "-2.5e3", "\"a\"", "\"\\u00e9\\n\"", "true", "null", "{}", "[]"])
            .prop_map(str::to_owned),
        1 => piece.clone(),
    ];
    let tree = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(inner, 0..4).prop_map(|all| {
                let members: Vec<String> = all
                    .iter()
                    .enumerate()
                    .map(|(i, value)| format!("\"k{i}\" : {value}"))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    });
    prop_oneof![
        3 => tree,
        1 => prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat()),
    ]
}

/// A value of a payload: most of them what some field wants.
fn payload_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..100).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-8_i32..24).prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        select(vec!["first_time", "accept", "approved", "external", "reject", "", "Ä\"\\\u{1}"])
            .prop_map(Value::from),
        Just(json!({"a": [1, {"b": null}]})),
        Just(json!([])),
    ]
}

fn payload() -> impl Strategy<Value = Map<String, Value>> {
    let names: Vec<&str> = catalogue::list()
        .iter()
        .flat_map(|known| known.fields)
        .map(|field| field.name)
        .chain(["text_length", "other", "Step", ""])
        .collect();
    prop::collection::btree_map(select(names).prop_map(str::to_owned), payload_value(), 0..6)
        .prop_map(|members| members.into_iter().collect())
}

/// An integer as the contract has it: no fraction, 64 bits.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let float = value.as_f64().filter(|_| value.is_f64())?;
        (float.fract() == 0.0 && float.abs() < 9e18).then_some(float as i64)
    })
}

fn allowed(check: Check, value: &Value) -> bool {
    value.is_null()
        || match check {
            Check::Text => value.is_string(),
            Check::OneOf(texts) => value.as_str().is_some_and(|text| texts.contains(&text)),
            Check::Bool => value.is_boolean(),
            Check::Count => integer(value).is_some_and(|count| count >= 0),
            Check::Share => value.as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)),
            Check::NonNegative => value.as_f64().is_some_and(|number| number >= 0.0),
            Check::Object => value.is_object(),
            Check::Any => true,
        }
}

/// The typed columns, read from a tree: null where there is none or one of another type.
fn columns(data: &Map<String, Value>) -> Vec<Value> {
    let read = |name: &&str| {
        let Some(value) = data.get(*name) else { return Value::Null };
        match *name {
            "meaningful" | "retryable" => value.as_bool().into(),
            "characters" | "latency_ms" | "count" | "applied" | "failed" => integer(value).into(),
            "confidence" | "consensus_confidence" | "seconds_reviewing" => value.as_f64().into(),
            _ => value.as_str().into(),
        }
    };
    Fields::NAMES.iter().map(read).collect()
}

/// The same of a decoded event, by way of its debug form's order: one entry a column.
fn decoded_columns(fields: &Fields<'_>) -> Vec<Value> {
    let texts = |text: &Option<Cow<'_, str>>| Value::from(text.as_deref());
    vec![
        texts(&fields.language),
        texts(&fields.user_kind),
        texts(&fields.conversation_type),
        texts(&fields.channel),
        texts(&fields.device),
        texts(&fields.referrer),
        texts(&fields.step),
        fields.meaningful.into(),
        fields.characters.into(),
        fields.latency_ms.into(),
        fields.count.into(),
        texts(&fields.model),
        fields.confidence.into(),
        fields.consensus_confidence.into(),
        texts(&fields.verdict),
        texts(&fields.approver_role),
        texts(&fields.decision),
        fields.seconds_reviewing.into(),
        fields.applied.into(),
        fields.failed.into(),
        texts(&fields.outcome),
        texts(&fields.reason),
        texts(&fields.checkpoint_id),
        texts(&fields.kind),
        texts(&fields.code),
        texts(&fields.message),
        texts(&fields.stage),
        fields.retryable.into(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn json_is_what_a_plain_parser_takes_for_it(text in nearly_json()) {
        let plain = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(json::parse(text.as_bytes()).is_ok(), plain, "{:?}", text);
    }

    #[test]
    fn members_are_what_a_plain_parser_finds(text in nearly_json()) {
        let Ok(Value::Object(plain)) = serde_json::from_str(&text) else { return Ok(()) };
        let mut found = Map::new();
        json::members(json::parse(text.as_bytes()).unwrap(), |name, value| {
            found.insert(name.into_owned(), serde_json::from_str(value.raw()).unwrap());
            Ok(())
        })
        .unwrap();
        prop_assert_eq!(found, plain);
    }

    #[test]
    fn damage_is_malformed_where_a_plain_parser_stumbles(
        damage in prop::collection::vec((0_usize..400, prop_oneof![any::<u8>(), select(b"\"\\{}[],:0-.e \x00\x1f\xc3".to_vec())]), 1..3),
    ) {
        let mut bytes = event(r#"{"data": {"step": "\u00e4\ud83d\ude00", "characters": 17, "x": [{}, null, -1.5e3]}}"#);
        let length = bytes.len();
        for (at, byte) in damage {
            bytes[at % length] = byte;
        }
        let plain = serde_json::from_slice::<Value>(&bytes).is_ok();
        let malformed = decode(&bytes, &context(&[])).err().filter(|r| r.code == Code::MalformedJson);
        // A plain parser takes the last of two members of one name.
        let twice = malformed.as_ref().is_some_and(|r| r.message.ends_with("is given twice"));
        prop_assert_eq!(malformed.is_none() || twice, plain, "{:?}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn columns_are_what_a_tree_holds(
        name in select(catalogue::list().iter().map(|known| known.name).chain(["com.acme.x"]).collect::<Vec<_>>()),
        data in payload(),
    ) {
        let bytes = event(&json!({"type": name, "data": data}).to_string());
        let decoded = decode(&bytes, &context(&["com.acme".into()]));
        let known = catalogue::event_type(name);
        let fields = known.map_or(&[][..], |known| known.fields);
        let valid = fields
            .iter()
            .all(|field| data.get(field.name).is_none_or(|value| allowed(field.check, value)));
        match decoded {
            Ok(decoded) => {
                prop_assert!(valid, "it was accepted");
                prop_assert_eq!(decoded_columns(&decoded.fields), columns(&data));
                let kept: Value = serde_json::from_str(decoded.data.as_deref().unwrap()).unwrap();
                prop_assert_eq!(kept, Value::Object(data));
                prop_assert_eq!(decoded.task.is_some(), name == catalogue::TASK_FAILED);
            }
            Err(rejection) => {
                prop_assert!(!valid, "{}", rejection);
                prop_assert_eq!(rejection.code, Code::SchemaViolation);
            }
        }
    }
}

#[test]
fn the_golden_events_decode_wholly() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/events.ndjson");
    let golden = std::fs::read(path).unwrap();
    let record = RecordContext {
        timestamp: NOW,
        max_future_us: i64::MAX,
        horizon_us: None,
        max_bytes: 1 << 20,
        namespaces: &["com.acme".to_owned()],
    };
    let mut read = 0;
    for line in golden.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let tree: Value = serde_json::from_slice(line).unwrap();
        let decoded =
            decode(line, &record).unwrap_or_else(|rejection| panic!("{tree}: {rejection}"));
        assert_eq!(
            (&*decoded.id, &*decoded.client_id),
            (text(&tree, "id"), text(&tree, "clientid"))
        );
        assert_eq!(&*decoded.session_id, text(&tree, "subject"));
        let time = chrono::DateTime::parse_from_rfc3339(text(&tree, "time")).unwrap();
        assert_eq!(decoded.occurred_at, time.timestamp_micros());
        let data = tree["data"].as_object().cloned().unwrap_or_default();
        assert_eq!(decoded_columns(&decoded.fields), columns(&data), "{tree}");
        read += 1;
    }
    assert_eq!(read, 280);
}

fn text<'v>(tree: &'v Value, name: &str) -> &'v str {
    tree[name].as_str().unwrap()
}
