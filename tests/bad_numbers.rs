//! Questions and data at the edge: each has a clear answer, none a panic or a NaN.

use serde_json::{Value, json};

use crate::support::{Scene, event};

const TIME: &str = "2026-03-01T10:00:00Z";
const LATER: &str = "2026-03-02T10:00:00Z";

fn lake(lines: &[String]) -> Scene {
    let scene = Scene::new();
    import(&scene, lines);
    scene
}

fn import(scene: &Scene, lines: &[String]) -> Value {
    let path = scene.write("e.ndjson", lines.join("\n"));
    scene.run(["--format", "json", "import", path.to_str().unwrap()]).succeeded().json()
}

fn report(scene: &Scene, arguments: &[&str]) -> Value {
    scene.run(["--format", "json", "report"].iter().chain(arguments)).succeeded().json()
}

fn started(session: &str, time: &str, data: &str) -> String {
    event(&format!("{session}-1"), session, "session.started", time, data)
}

#[test]
fn a_lake_without_events() {
    let scene = Scene::new();
    scene.run(["report"]).failed(1, &["holds no events", "onramp import"]);
    let counts = import(&scene, &["nonsense".to_owned()]);
    assert_eq!(counts["accepted"], 0);
    scene.run(["report"]).failed(1, &["holds no events"]);
}

#[test]
fn a_single_session_that_completes_nothing() {
    let scene = lake(&[started("s", TIME, "{}")]);
    let asked = ["--segment-by", "device", "--compare-from", "2026-01-01", "--compare-to"];
    let report = report(&scene, &[&asked[..], &["2026-02-01", "--mix-by", "device"]].concat());
    assert_eq!((&report["total_sessions"], &report["completed"]), (&json!(1), &json!(0)));
    let overall = &report["overall_conversion"];
    assert_eq!((&overall["raw"]["rate"], &overall["raw"]["low"]), (&json!(0.0), &json!(0.0)));
    assert_eq!(overall["mature"]["rate"], Value::Null, "nobody was watched long enough");
    assert_eq!(report["stages"][4]["incidence"]["median"]["median_seconds"], Value::Null);
    assert_eq!(report["comparison"]["raw"]["decomposition"], Value::Null);
    assert_eq!(report["trend"]["direction"], "stable");
    scene.run(["report"]).succeeded();
}

#[test]
fn questions_without_an_answer() {
    let scene = lake(&[started("s", TIME, "{}"), started("t", LATER, "{}")]);
    let ask = |arguments: &[&str], code: i32, words: &[&str]| {
        scene.run(["report"].iter().chain(arguments)).failed(code, words);
    };
    ask(&["--from", "2026-03-02", "--to", "2026-03-01"], 1, &["must be later"]);
    ask(&["--from", "2026-03-01", "--to", "2026-03-01"], 1, &["must be later"]);
    let reversed = ["--compare-from", "2026-02-02", "--compare-to", "2026-02-01"];
    ask(&reversed, 1, &["the period to compare with", "must be later"]);
    ask(&["--funnel", "onbording"], 1, &["onbording", "known are onboarding"]);
    ask(&["--client-id", "acne"], 1, &["acne", "SELECT DISTINCT client_id"]);
    ask(&["--timezone", "Mars/Olympus"], 2, &["Mars/Olympus"]);
    ask(&["--segment-by", "colour"], 1, &["colour", "known are"]);
    let mixed =
        ["--compare-from", "2026-01-01", "--compare-to", "2026-01-02", "--mix-by", "colour"];
    ask(&mixed, 1, &["colour", "known are"]);
    ask(&["--as-of", "2026-03-02T10:00:00.000001Z"], 1, &["newest event", "2026-03-02T10:00:00Z"]);
    ask(&["--as-of", "someday"], 2, &["someday"]);
    // A client that has sessions, but none in the period, is known.
    let quiet = report(&scene, &["--client-id", "acme", "--to", "2026-01-01"]);
    assert_eq!(quiet["total_sessions"], 0);
}

#[test]
fn days_of_23_and_25_hours() {
    let at = ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T21:59:59Z"];
    let spring: Vec<String> =
        (0..3).map(|number| started(&format!("spring-{number}"), at[number], "{}")).collect();
    let at = ["2025-10-25T22:00:00Z", "2025-10-26T00:30:00Z", "2025-10-26T01:30:00Z"];
    let autumn: Vec<String> =
        (0..3).map(|number| started(&format!("autumn-{number}"), at[number], "{}")).collect();
    let outside = [
        started("before", "2025-10-25T21:59:59.999999Z", "{}"),
        started("after", "2026-03-29T22:00:00Z", "{}"),
        started("end", "2026-04-02T00:00:00Z", "{}"),
    ];
    let scene = lake(&[spring, autumn, outside.to_vec()].concat());
    let of = |from: &str, to: &str| {
        report(&scene, &["--from", from, "--to", to, "--timezone", "Europe/Berlin"])
    };
    let sunday = 6 * 24;
    let hours = |report: &Value| -> Vec<(i64, i64)> {
        let cells = report["heatmap"].as_array().unwrap();
        let cell = |cell: &Value| {
            (cell["hour_of_week"].as_i64().unwrap() - sunday, cell["lost"].as_i64().unwrap())
        };
        cells.iter().map(cell).collect()
    };
    assert_eq!(hours(&of("2026-03-29", "2026-03-30")), [(1, 1), (3, 1), (23, 1)]);
    assert_eq!(hours(&of("2025-10-26", "2025-10-27")), [(0, 1), (2, 2)], "two o'clock comes twice");
}

#[test]
fn an_attribute_with_ten_thousand_values() {
    let lines = (0..10_000).map(|number| {
        started(&format!("s{number}"), TIME, &format!(r#"{{"referrer":"r{number}"}}"#))
    });
    let scene = lake(&lines.collect::<Vec<_>>());
    let report = report(&scene, &["--segment-by", "referrer"]);
    let values = report["segments"]["attributes"]["referrer"].as_array().unwrap();
    assert_eq!(values.len(), 10_000);
    assert!(values.iter().all(|value| value["sessions"] == 1));
    assert_eq!(report["segments"]["hypotheses"], 0, "nobody has enough sessions");
}

#[test]
fn nothing_but_nulls() {
    let nulls = r#"{"language":null,"device":null,"channel":null,"referrer":"NaN"}"#;
    let input = r#"{"meaningful":null,"characters":null,"step":null}"#;
    let answered = r#"{"count":null,"confidence":null,"model":null,"latency_ms":null}"#;
    let error = r#"{"code":null,"kind":null,"stage":null,"message":null}"#;
    let scene = Scene::new();
    let counts = import(
        &scene,
        &[
            started("s", TIME, nulls),
            event("2", "s", "input.submitted", "2026-03-01T10:01:00Z", input),
            event("3", "s", "recommendations.generated", "2026-03-01T10:02:00Z", answered),
            event("4", "s", "error.occurred", "2026-03-01T10:03:00Z", error),
            event("5", "s", "session.abandoned", "2026-03-01T10:04:00Z", r#"{"reason":null}"#),
            event("6", "s", "input.submitted", TIME, r#"{"confidence":NaN}"#),
            started("t", LATER, "null"),
        ],
    );
    assert_eq!(counts["rejected"], json!({"malformed_json": 1}), "JSON knows no NaN");
    let report = report(&scene, &["--segment-by", "device,referrer"]);
    let reached: Vec<_> =
        report["stages"].as_array().unwrap().iter().map(|it| &it["count"]).collect();
    assert_eq!(reached, [2, 1, 1, 0, 0]);
    assert_eq!(report["common_reasons"], json!([{"reason": "unspecified", "sessions": 1}]));
    assert_eq!(report["error_patterns"], json!([]), "an error without a code is none of a pattern");
    let attributes = &report["segments"]["attributes"];
    assert_eq!(attributes["device"][0]["value"], Value::Null);
    assert_eq!(attributes["referrer"][0]["value"], "NaN", "a text is a text");
}

#[test]
fn a_session_of_fifty_thousand_events() {
    let mut lines = vec![started("long", TIME, r#"{"device":"phone"}"#)];
    let instant = |at: usize| {
        let (minute, second) = (at / 1_000 % 60, at % 1_000 * 60 / 1_000);
        format!("2026-03-01T10:{minute:02}:{second:02}.{:06}Z", at % 1_000)
    };
    lines.extend((1..49_998).map(|number| {
        event(&format!("i{number}"), "long", "input.submitted", &instant(number), "{}")
    }));
    let last = ["recommendations.generated", "approval.decided", "session.completed"];
    lines.extend(last.iter().enumerate().map(|(place, kind)| {
        event(&format!("l{place}"), "long", kind, &format!("2026-03-01T11:0{place}:00Z"), "{}")
    }));
    let scene = lake(&lines);
    let asked = ["--segment-by", "device"];
    let whole = report(&scene, &asked);
    assert_eq!(
        (&whole["completed"], &whole["data_quality"]["events"]),
        (&json!(1), &json!(50_001))
    );
    assert_eq!(whole["stages"][4]["time_to_stage"]["mean_seconds"], 3_720.0);
    assert_eq!(whole["segments"]["attributes"]["device"][0]["value"], "phone");
    let midway = report(&scene, &["--as-of", "2026-03-01T10:30:00Z"]);
    assert_eq!((&midway["stages"][1]["count"], &midway["completed"]), (&json!(1), &json!(0)));
    assert_eq!(midway["active"], 1);
}

#[test]
fn a_window_of_zero() {
    let stages = "[[stages]]\nname = \"A\"\ntype = \"onboarding.session.started\"\n\
                  [[stages]]\nname = \"B\"\ntype = \"onboarding.session.completed\"\n";
    let scene = lake(&[
        started("at-once", TIME, "{}"),
        event("2", "at-once", "session.completed", TIME, "{}"),
        started("next", TIME, "{}"),
        event("3", "next", "session.completed", "2026-03-01T10:00:00.000001Z", "{}"),
    ]);
    std::fs::create_dir(scene.path("funnels")).unwrap();
    for (name, order) in [("zero", "ordered"), ("zero_strict", "strict"), ("zero_any", "unordered")]
    {
        let text = format!("name = \"{name}\"\norder = \"{order}\"\nwindow_seconds = 0\n{stages}");
        scene.write(&format!("funnels/{name}.toml"), text);
        let folder = scene.path("funnels");
        let report = report(&scene, &["--funnels", folder.to_str().unwrap(), "--funnel", name]);
        assert_eq!((&report["completed"], &report["abandoned"]), (&json!(1), &json!(1)), "{order}");
        assert_eq!(report["common_reasons"][0]["reason"], "window");
        assert_eq!(report["horizon_seconds"], 0);
        assert_eq!(report["overall_conversion"]["mature"]["total"], 2);
    }
}
