//! Each kind of recommendation, end to end: a small world with an effect in it, what must come of it
//! by another implementation (`golden.py`), and every statement of its evidence, run.

use chrono::DateTime;
use serde_json::{Value, json};

use crate::golden::compare::compare;
use crate::support::{Scene, checkout};

/// The first Monday, 2026-03-02, from which the cases count their seconds.
const MONDAY: i64 = 1_772_409_600;
const DAY: i64 = 86_400;

fn read(name: &str) -> Value {
    let path = checkout("tests/recommendations").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn time(second: i64) -> String {
    DateTime::from_timestamp(MONDAY + second, 0).unwrap().to_rfc3339()
}

fn funnel(case: &Value) -> String {
    let mut text = "name = \"planted\"\nhorizon_seconds = 86400\n\
        [error]\ntype = \"onboarding.error.occurred\"\ncode_field = \"code\"\n"
        .to_owned();
    if case["exclusion"] == json!(true) {
        text += "[[exclusions]]\ntype = \"onboarding.checkpoint.saved\"\nfrom_stage = 1\nto_stage = 2\n";
    }
    let stages = ["session.started", "input.submitted", "session.completed"];
    for stage in stages.into_iter().filter(|&it| case["stages"] == 3 || it != stages[1]) {
        text += &format!("[[stages]]\nname = \"{stage}\"\ntype = \"onboarding.{stage}\"\n");
    }
    text
}

fn line(client: &str, id: &str, session: &str, kind: &str, at: i64, data: &Value) -> String {
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/app", "type": format!("onboarding.{kind}"),
        "subject": session, "time": time(at), "clientid": client, "data": data,
    });
    format!("{event}\n")
}

/// The events of a case as NDJSON, with one far later that the as-of instant may lie before.
fn events(case: &Value) -> String {
    let mut text = line("acme", "late", "late", "session.resumed", 30 * DAY, &json!({}));
    for (group, part) in case["groups"].as_array().unwrap().iter().enumerate() {
        for number in 0..part["count"].as_i64().unwrap() {
            let session = format!("{group}-{number}");
            let begin = part["start"].as_i64().unwrap() + 60 * number;
            for (index, event) in part["story"].as_array().unwrap().iter().enumerate() {
                let part_of = |name: &str| event[name].as_i64().unwrap();
                let at = begin + part_of("offset") + number % 41 * part_of("jitter");
                let (client, kind) = (part["client"].as_str(), event["type"].as_str());
                let id = format!("{session}-{index}");
                text += &line(client.unwrap(), &id, &session, kind.unwrap(), at, &event["data"]);
            }
        }
    }
    for number in 0..case["conflicts"].as_i64().unwrap_or(0) {
        let id = format!("0-{number}-0");
        text += &line("acme", &id, "conflict", "session.resumed", 10 * DAY, &json!({}));
    }
    text
}

/// What a case expects of a recommendation: everything but its words and statements.
fn figures(recommendation: &Value) -> Value {
    let mut found = recommendation.clone();
    let fields = found.as_object_mut().unwrap();
    for words in ["title", "description", "suggested_actions"] {
        assert!(fields.remove(words).is_some_and(|it| it.to_string().len() > 10), "{words}");
    }
    for evidence in found["evidence"].as_array_mut().unwrap() {
        evidence.as_object_mut().unwrap().remove("sql");
    }
    found
}

/// Runs a statement of evidence and compares its one row with the figure.
fn check_statement(scene: &Scene, evidence: &Value) {
    let rows = scene.sql(evidence["sql"].as_str().unwrap());
    let [row] = &rows[..] else { panic!("{rows:?} from {evidence:#}") };
    let row = row.as_object().unwrap();
    assert_eq!(row.len(), 2, "{row:?}");
    for (name, value) in row {
        assert_eq!(value.as_f64(), evidence[name].as_f64(), "{name} of {evidence:#}");
    }
}

fn check(name: &str) {
    let (cases, expected) = (read("cases.json"), read("expected.json"));
    let case = &cases[name];
    let scene = Scene::new();
    std::fs::create_dir(scene.path("funnels")).unwrap();
    scene.write("funnels/planted.toml", funnel(case));
    let file = scene.write("events.ndjson", events(case));
    scene.run(["import", file.to_str().unwrap(), "--strict"]).succeeded();
    let (from, to, as_of) = (time(7 * DAY), time(14 * DAY), time(18 * DAY));
    let mut arguments = vec!["--funnels", "funnels", "report", "--funnel", "planted"];
    arguments.extend(["--from", &from, "--to", &to, "--as-of", &as_of]);
    if let Some(attributes) = case["segment_by"].as_array() {
        arguments.extend(["--segment-by", attributes[0].as_str().unwrap()]);
    }
    if let Some(client) = case["client"].as_str() {
        arguments.extend(["--client-id", client]);
    }
    let report = scene.run([&arguments[..], &["--format", "json"]].concat()).succeeded().json();
    let found = report["recommendations"].as_array().unwrap();
    let mapped = found.iter().map(figures).collect();
    let comparison = compare(&Value::Array(mapped), &expected[name]);
    assert!(comparison.differences.is_empty(), "{:#?}\n{found:#?}", comparison.differences);
    for evidence in found.iter().flat_map(|it| it["evidence"].as_array().unwrap()) {
        check_statement(&scene, evidence);
    }
    for form in ["table", "markdown"] {
        let text = scene.run([&arguments[..], &["--format", form]].concat()).succeeded().stdout;
        // A terminal breaks a long title.
        let title = found.first().map_or("", |it| it["title"].as_str().unwrap());
        let begin: Vec<&str> = title.split_whitespace().take(3).collect();
        assert!(text.contains(&begin.join(" ")), "{title:?} in {text}");
    }
}

macro_rules! cases {
    ($($name:ident),+ $(,)?) => {$(
        #[test]
        fn $name() {
            check(stringify!($name));
        }
    )+};
}
cases!(
    nothing_wrong,
    conversion_optimization,
    stage_drop_off,
    slow_stage,
    error_driven_drop_off,
    segment_gap,
    regression,
    abandonment_recovery,
    data_quality,
);
