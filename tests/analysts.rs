//! The tables as analysts open them, without Onramp: DuckDB, Polars, and pandas by `deltalake`.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::python::python;
use crate::support::{Answer, Scene, checkout};

#[test]
fn duckdb_polars_and_pandas_read_what_onramp_reads() {
    let test = "analysts::duckdb_polars_and_pandas_read_what_onramp_reads";
    let Some(python) = python(test, "analysts") else { return };
    let scene = Scene::new();
    let path = scene.path("events.ndjson");
    let world = ["generate", "--sessions", "500", "--until", "2026-03-01", "--to"];
    scene.run(world.iter().map(AsRef::as_ref).chain([path.as_os_str()])).succeeded();
    scene.run(["import".as_ref(), path.as_os_str()]).succeeded();
    scene.run(["report"]).succeeded();
    for compacted in [false, true] {
        if compacted {
            scene.run(["compact"]).succeeded();
        }
        check(&scene, &python);
    }
}

/// Every reader counts what Onramp counts.
fn check(scene: &Scene, python: &PathBuf) {
    let script = checkout("tests/analysts/read.py");
    let answer = Answer::of(Command::new(python).arg(script).arg(scene.lake())).succeeded();
    let found: Value = answer.json();
    let events = scene.sql(
        "SELECT event_type, count(*) AS n FROM events GROUP BY event_type ORDER BY event_type",
    );
    let started = scene.sql("SELECT count(*) AS n FROM sessions WHERE started_at IS NOT NULL");
    let letters =
        scene.sql("SELECT code, count(*) AS n FROM dead_letters GROUP BY code ORDER BY code");
    for reader in ["duckdb", "polars", "pandas"] {
        assert_eq!(found[reader]["events"], Value::from(events.clone()), "{reader}");
        assert_eq!(found[reader]["dead_letters"], Value::from(letters.clone()), "{reader}");
        assert_eq!(found[reader]["started"], started[0]["n"], "{reader}");
    }
}
