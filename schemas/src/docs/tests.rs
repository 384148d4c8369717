use std::fs;
use std::path::{Path, PathBuf};

use schemars::Schema;
use serde_json::{Value, json};

use super::*;
use crate::catalogue::{self, Check, EventType};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Holds a file against what it is generated from, or writes it when `ONRAMP_BLESS=1`.
#[track_caller]
fn same(path: &str, generated: &str) {
    let file = root().join(path);
    if std::env::var_os("ONRAMP_BLESS").is_some_and(|bless| bless == "1") {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, generated).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == generated,
        "{path} is not what its definition says; run \
         `ONRAMP_BLESS=1 cargo test --workspace --lib docs` and commit it"
    );
}

fn pretty(schema: &Schema) -> String {
    serde_json::to_string_pretty(schema).unwrap() + "\n"
}

#[test]
fn pages_are_what_the_definitions_say() {
    same("docs/generated/tables.md", &tables());
    same("docs/generated/events.md", &events());
    same("docs/generated/funnels.md", &funnel());
}

#[test]
fn schema_files_are_what_the_definitions_say() {
    for (name, schema) in catalogue::schemas() {
        let version = catalogue::event_type(name).unwrap().version;
        same(&format!("schemas/events/{name}.v{version}.json"), &pretty(&schema));
    }
    same("schemas/events/envelope.json", &pretty(&crate::envelope::schema()));
    same("schemas/funnels/funnel.schema.json", &pretty(&funnel_schema()));
}

#[test]
fn no_schema_file_is_left_over() {
    let files = fs::read_dir(root().join("schemas/events")).unwrap();
    let schemas = catalogue::schemas();
    for file in files {
        let name = file.unwrap().file_name().into_string().unwrap();
        let known = name.rsplit_once(".v").is_some_and(|(name, _)| schemas.contains_key(name));
        assert!(known || name == "envelope.json", "{name} belongs to no type");
    }
}

/// The alternatives of a schema that are not null.
fn alternatives(schema: &Value) -> Vec<&Value> {
    match schema["anyOf"].as_array() {
        Some(choices) => choices.iter().filter(|choice| choice["type"] != "null").collect(),
        None => vec![schema],
    }
}

fn texts(schema: &Value) -> Vec<&str> {
    let Some(listed) = schema["enum"].as_array().or(schema["oneOf"].as_array()) else {
        return Vec::new();
    };
    listed.iter().filter_map(|text| text.as_str().or(text["const"].as_str())).collect()
}

#[track_caller]
fn agrees(known: &EventType, name: &str, check: Check, schema: &Value) {
    let [schema] = alternatives(schema)[..] else { panic!("{} {name}: {schema}", known.name) };
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds[0].as_str(),
        kind => kind.as_str(),
    };
    let (minimum, maximum) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
    let expected = match check {
        Check::Text => (Some("string"), None, None),
        Check::OneOf(_) => (Some("string"), None, None),
        Check::Bool => (Some("boolean"), None, None),
        Check::Count => (Some("integer"), Some(0.0), None),
        Check::Share => (Some("number"), Some(0.0), Some(1.0)),
        Check::NonNegative => (Some("number"), Some(0.0), None),
        Check::Object => (Some("object"), None, None),
        Check::Any => (None, None, None),
    };
    assert_eq!((kind, minimum, maximum), expected, "{} {name}", known.name);
    let allowed = if let Check::OneOf(allowed) = check { allowed } else { &[] };
    assert_eq!(texts(schema), allowed, "{} {name}", known.name);
}

#[test]
fn payload_types_and_the_catalogue_agree() {
    let schemas = catalogue::schemas();
    assert_eq!(schemas.len(), catalogue::list().len());
    for known in catalogue::list() {
        let schema = schemas[known.name].clone().to_value();
        assert_eq!(schema["description"], known.doc);
        assert_eq!(schema.get("required"), None, "{}: every field may be missing", known.name);
        let fields = schema["properties"].as_object().unwrap();
        assert_eq!(fields.len(), known.fields.len(), "{}", known.name);
        for field in known.fields {
            agrees(known, field.name, field.check, &fields[field.name]);
        }
    }
}

#[test]
fn the_envelope_names_what_decoding_requires() {
    let schema = crate::envelope::schema().to_value();
    let fields = schema["properties"].as_object().unwrap();
    let mut known = crate::envelope::ATTRIBUTES;
    known.sort_unstable();
    let mut named: Vec<&str> = fields.keys().map(String::as_str).collect();
    named.sort_unstable();
    assert_eq!(named, known);
    let record = crate::event::RecordContext {
        timestamp: 0,
        max_future_us: 0,
        horizon_us: None,
        max_bytes: 1_000,
        namespaces: &[],
    };
    let mut event = json!({
        "specversion": "1.0", "id": "1", "source": "/a", "type": "onboarding.session.started",
        "subject": "s", "time": "1970-01-01T00:00:00Z", "clientid": "c", "userid": "u",
        "correlationid": "x", "causationid": "y", "dataschema": "x/v1", "data": {},
    });
    for name in known {
        let taken = event.as_object_mut().unwrap().remove(name).unwrap();
        let valid = crate::event::decode(event.to_string().as_bytes(), &record).is_ok();
        let required = schema["required"].as_array().unwrap().iter().any(|n| n == name);
        assert_eq!(valid, !required, "without {name}");
        event[name] = taken;
    }
}
