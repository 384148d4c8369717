use serde_json::{Value, json};

use super::*;

const PERMITS: &str = r#"
[columns]
type = { column = "what", prefix = "org.example.permit." }
subject = { column = "case" }
time = { column = "when" }
clientid = { value = "town" }

[types]
"Done" = "org.example.permit.completed"

[data]
channel = "via"
applied = { column = "n", kind = "integer" }
confidence = { column = "p", kind = "number" }
meaningful = { column = "ok", kind = "boolean" }
"#;

const HEADERS: [&str; 7] = ["case", "what", "when", "via", "n", "p", "ok"];

fn record<const N: usize>(fields: [&str; N]) -> StringRecord {
    StringRecord::from(fields.to_vec())
}

fn event(mapping: &str, fields: [&str; 7]) -> Result<Value, String> {
    let mapping = Mapping::parse(mapping, "test.toml").unwrap();
    let json = mapping.event_json(&record(HEADERS), &record(fields), 2, Some("/import"))?;
    Ok(serde_json::from_slice(&json).unwrap())
}

#[test]
fn a_row_becomes_an_event() {
    let when = "2011-10-11 13:45:40.276000+02:00";
    let fields = ["c-1", "T02 Check, receipt!", when, "e-\"mail\"", "3", "0.5", "yes"];
    let event = event(PERMITS, fields).unwrap();
    assert_eq!(event["type"], "org.example.permit.t02_check_receipt");
    assert_eq!(event["time"], "2011-10-11T11:45:40.276000Z");
    assert_eq!(event["subject"], "c-1");
    assert_eq!(event["source"], "/import");
    assert_eq!(event["clientid"], "town");
    let data =
        json!({"channel": "e-\"mail\"", "applied": 3, "confidence": 0.5, "meaningful": true});
    assert_eq!(event["data"], data);
}

#[test]
fn a_named_value_has_its_own_type_and_an_empty_cell_no_field() {
    let event = event(PERMITS, ["c", "Done", "2011-10-11T13:45:40Z", "", "", "", ""]).unwrap();
    assert_eq!(event["type"], "org.example.permit.completed");
    assert_eq!(event["data"], json!({}));
}

#[test]
fn the_id_is_the_rows_own_and_stable() {
    let mapping = Mapping::parse(PERMITS, "test.toml").unwrap();
    let id = |what: &str, line| {
        let row = record(["c", what, "2011-10-11T13:45:40Z", "", "", "", ""]);
        let json = mapping.event_json(&record(HEADERS), &row, line, None).unwrap();
        serde_json::from_slice::<Value>(&json).unwrap()["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(id("a", 2), id("a", 2));
    assert_ne!(id("a", 2), id("a", 3));
    assert_ne!(id("a", 2), id("b", 2));
}

#[test]
fn a_cell_that_cannot_be_read_is_told_with_its_column() {
    let row = |when, n, p, ok| event(PERMITS, ["c", "Done", when, "", n, p, ok]).unwrap_err();
    let noon = "2011-10-11T12:00:00Z";
    assert!(row("noon", "", "", "").contains("column \"when\""));
    assert!(row(noon, "3.5", "", "").contains("column \"n\": \"3.5\" is no integer"));
    assert!(row(noon, "", "NaN", "").contains("column \"p\""));
    assert!(row(noon, "", "", "maybe").contains("column \"ok\""));
    let unnamed = PERMITS.replace(", prefix = \"org.example.permit.\"", "");
    let error = event(&unnamed, ["c", "Else", noon, "", "", "", ""]).unwrap_err();
    assert!(error.contains("no event type is mapped to \"Else\""), "{error}");
}

#[test]
fn times_are_read_as_told() {
    let time = |format: &str, cell: &str| {
        let with = PERMITS.replace("column = \"when\"", &format!("column = \"when\", {format}"));
        event(&with, ["c", "Done", cell, "", "", "", ""]).map(|e| e["time"].clone())
    };
    let pattern = "format = \"%d.%m.%Y %H:%M\", timezone = \"Europe/Berlin\"";
    assert_eq!(time(pattern, "29.03.2026 01:30").unwrap(), "2026-03-29T00:30:00.000000Z");
    assert_eq!(time(pattern, "25.10.2026 02:30").unwrap(), "2026-10-25T00:30:00.000000Z");
    assert!(time(pattern, "29.03.2026 02:30").unwrap_err().contains("does not exist"));
    let day = time("format = \"%Y-%m-%d\"", "2026-01-02").unwrap();
    assert_eq!(day, "2026-01-02T00:00:00.000000Z");
    let seconds = time("format = \"epoch_seconds\"", "1.2345678").unwrap();
    assert_eq!(seconds, "1970-01-01T00:00:01.234567Z");
    assert_eq!(time("format = \"epoch_millis\"", "1500").unwrap(), "1970-01-01T00:00:01.500000Z");
    assert!(time("format = \"epoch_micros\"", "x").is_err());
}

#[test]
fn a_file_without_a_named_column_is_refused_before_its_first_row() {
    let mapping = Mapping::parse(PERMITS, "test.toml").unwrap();
    assert!(mapping.check(&record(HEADERS)).is_ok());
    let error = mapping.check(&record(["case", "what"])).unwrap_err();
    assert!(error.contains("no column \"when\"") && error.contains("\"what\""), "{error}");
    let error = mapping.check(&record(["case", "case", "when", "what"])).unwrap_err();
    assert!(error.contains("more than one column \"case\""), "{error}");
}

#[test]
fn a_mapping_that_says_nothing_or_two_things_is_refused() {
    let refused = |from: &str, to: &str| {
        let text = PERMITS.replace(from, to);
        assert_ne!(text, PERMITS, "{from:?} is not in the mapping");
        Mapping::parse(&text, "test.toml").unwrap_err().to_string()
    };
    let both = refused("value = \"town\"", "value = \"town\", column = \"via\"");
    assert!(both.starts_with("mapping test.toml: columns.clientid: write either"), "{both}");
    assert!(refused("{ value = \"town\" }", "{}").contains("columns.clientid"));
    assert!(refused("clientid", "client").contains("unknown field `client`"));
    let format = refused("column = \"when\"", "column = \"when\", format = \"iso\"");
    assert!(format.contains("strftime"), "{format}");
    let typo = refused("column = \"when\"", "column = \"when\", formt = \"rfc3339\"");
    assert!(typo.contains("formt"), "{typo}");
    assert!(refused("[columns]", "delimiter = \"é\"\n[columns]").contains("delimiter"));
    let fixed =
        refused("{ column = \"what\", prefix = \"org.example.permit.\" }", "{ value = \"x.y\" }");
    assert!(fixed.contains("columns.type"), "{fixed}");
}
