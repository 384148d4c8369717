//! psycopg and SQLAlchemy.

use std::process::Command;

use serde_json::{Value, json};

use super::Wire;
use crate::support::python::python;
use crate::support::{Answer, checkout};

fn client(script: &str, test: &str) -> Option<(Wire, Value)> {
    let python = python(test, "postgres")?;
    let wire = Wire::start();
    let script = checkout("tests/postgres").join(script);
    let answer = Answer::of(Command::new(python).arg(script).arg(wire.port.to_string()));
    let told = answer.succeeded().json();
    Some((wire, told))
}

/// Event types with their counts, as lists.
fn by_type(wire: &Wire) -> Value {
    let statement = "SELECT event_type, count(*) AS n FROM events GROUP BY 1 ORDER BY 1";
    wire.scene.sql(statement).iter().map(|row| json!([row["event_type"], row["n"]])).collect()
}

#[test]
fn psycopg_gets_values_in_both_formats_parameters_errors_and_cancels() {
    let test =
        "postgres::python::psycopg_gets_values_in_both_formats_parameters_errors_and_cancels";
    let Some((wire, told)) = client("psycopg_client.py", test) else { return };
    let expected = by_type(&wire);
    assert_eq!((&told["text"], &told["binary"]), (&expected, &expected));
    let counts: Value = expected.as_array().unwrap().iter().map(|row| row[1].clone()).collect();
    assert_eq!(told["prepared"], counts);
    let all = &wire.scene.sql("SELECT count(*) AS n FROM events")[0]["n"];
    assert_eq!((&told["filtered"], &told["streamed"]), (all, all));
    assert_eq!((&told["limited"], &told["after"]), (&json!(5), &json!(7)));
    assert_eq!(told["pipeline"], json!([1, 2]));
    assert_eq!(told["server_version"], json!(160_006));
}

#[test]
fn sqlalchemy_reflects_the_views() {
    let Some((wire, told)) =
        client("sqlalchemy_client.py", "postgres::python::sqlalchemy_reflects_the_views")
    else {
        return;
    };
    let tables = told["tables"].as_array().unwrap();
    for table in ["dead_letters", "duplicates", "events", "sessions"] {
        assert!(tables.contains(&json!(table)), "{tables:?}");
    }
    assert_eq!(told["rows"], by_type(&wire));
    assert_eq!(told["columns"]["event_type"], "TEXT");
    assert_eq!(told["columns"]["occurred_at"], "TIMESTAMP");
    assert_eq!(told["columns"]["event_date"], "DATE");
    assert_eq!(told["nullable"]["event_type"], json!(false));
    assert!(told["comments"]["occurred_at"].as_str().is_some_and(|text| text.len() > 10), "{told}");
    assert_eq!(told["stage_at"], "TIMESTAMP[]");
    assert!(told["table_comment"].as_str().is_some_and(|text| !text.is_empty()), "{told}");
}
