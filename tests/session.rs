//! `onramp session` and the report's trend, as scripts see them.

use serde_json::Value;

use crate::support::{Scene, event};

fn scene() -> Scene {
    let scene = Scene::new();
    let line = |id: &str, session: &str, kind: &str, time: &str, data: &str| {
        event(id, session, kind, &format!("2026-03-{time}:00Z"), data) + "\n"
    };
    let events = [
        line("1", "a", "session.started", "01T10:00", r#"{"device":"mobile"}"#),
        line("2", "a", "input.submitted", "01T10:05", "{}"),
        line("3", "b", "session.started", "02T10:00", r#"{"device":"desktop"}"#),
        line("4", "b", "session.abandoned", "02T10:01", r#"{"reason":"a, b"}"#),
        line("5", "c", "session.started", "09T10:00", "{}"),
        event("6", "a", "session.started", "2026-03-09T10:30:00Z", "{}").replace("acme", "globex")
            + "\n",
    ];
    let file = scene.write("events.ndjson", events.concat());
    scene.run(["import", file.to_str().unwrap()]).succeeded();
    scene
}

#[test]
fn sessions_are_listed_and_shown() {
    let scene = scene();
    let lost = ["session", "list", "--outcome", "abandoned", "--to", "2026-03-05"];
    let list = scene.run([&lost[..], &["--format", "json"]].concat()).succeeded().json();
    let id = |session: &Value| session["session_id"].as_str().unwrap().to_owned();
    let ids: Vec<String> = list["sessions"].as_array().unwrap().iter().map(id).collect();
    assert_eq!((ids, &list["total"]), (vec!["b".to_owned(), "a".to_owned()], &Value::from(2)));
    let csv = scene.run([&lost[..], &["--dropped-at", "started", "--format", "csv"]].concat());
    let csv = csv.succeeded().stdout;
    let expected = "2026-03-02T10:00:00Z,acme,b,abandoned,1,Started,60,\"a, b\",0,device=desktop\n";
    assert_eq!(csv.lines().count(), 2, "{csv}");
    assert!(csv.ends_with(expected), "{csv}");
    let mobile = scene.run([&lost[..], &["--attribute", "device=mobile"]].concat()).succeeded();
    assert!(mobile.stdout.contains("device=mobile"), "{mobile:?}");
    assert!(!mobile.stdout.contains("device=desktop"), "{mobile:?}");
    let shown = scene.run(["session", "show", "a", "--client-id", "acme"]).succeeded().stdout;
    assert!(shown.contains("abandoned at 2 Engaged (idle: idle)"), "{shown}");
    assert_eq!(shown.matches("in_flight at").count(), 2, "{shown}");
    scene.run(["session", "show", "a"]).failed(1, &["several clients", "acme, globex"]);
    scene.run(["session", "show", "z"]).failed(1, &["no session \"z\"", "session list"]);
    scene.run(["session", "list", "--stage", "6"]).failed(1, &["no stage \"6\"", "Engaged"]);
    scene.run(["session", "list", "--attribute", "=x"]).failed(2, &["NAME=VALUE"]);
}

#[test]
fn a_report_tells_its_trend_and_the_times_between_stages() {
    let scene = scene();
    let asked = ["report", "--from", "2026-03-01", "--to", "2026-03-10", "--trend", "week"];
    let report = scene
        .run(
            [&asked[..], &["--convert-from", "1", "--convert-to", "2", "--format", "json"]]
                .concat(),
        )
        .succeeded()
        .json();
    let buckets = report["funnel_trend"]["buckets"].as_array().unwrap();
    let told: Vec<_> =
        buckets.iter().map(|it| (&it["date"], &it["sessions"], &it["partial"])).collect();
    let [first, second, third] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*first, (&"2026-02-23".into(), &1.into(), &true.into()));
    assert_eq!(*second, (&"2026-03-02".into(), &1.into(), &false.into()));
    assert_eq!(*third, (&"2026-03-09".into(), &2.into(), &true.into()));
    let bins = report["time_to_convert"]["bins"].as_array().unwrap();
    let held: Vec<_> = bins.iter().filter(|bin| bin["sessions"] != 0).collect();
    assert_eq!((held.len(), &held[0]["from_seconds"]), (1, &Value::from(300)));
    let text = scene.run(asked).succeeded().stdout;
    assert!(text.contains("week of") && text.contains("incomplete"), "{text}");
    let wrong = ["report", "--convert-from", "2", "--convert-to", "2"];
    scene.run(wrong).failed(1, &["the second must be the later"]);
}
