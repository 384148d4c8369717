//! The forms of an answer: tags, media types, encodings, and problems in place of answers.

use std::io::Cursor;

use arrow::ipc::reader::StreamReader;
use serde_json::json;

use super::{ANALYTICS, REPORTS, World};
use crate::support::event;

const ARROW: &str = "application/vnd.apache.arrow.stream";

#[test]
fn a_trailing_slash_makes_no_difference() {
    let world = &World::shared();
    for route in REPORTS {
        let path = format!("{ANALYTICS}/{route}");
        assert!(world.get(&path, &[]).body == world.get(&format!("{path}/"), &[]).body, "{route}");
    }
}

#[test]
fn a_tag_holds_until_the_positions_move() {
    let world = World::with(&[]);
    for route in REPORTS {
        let path = format!("{ANALYTICS}/{route}");
        let first = world.get(&path, &[]);
        let tag = first.header("etag").to_owned();
        let again = world.get(&path, &[("if-none-match", &format!("\"other\", {tag}"))]);
        assert_eq!(
            (again.status, again.body.len(), again.header("etag")),
            (304, 0, &*tag),
            "{route}"
        );
        let csv = world.get(&path, &[("accept", "text/csv"), ("if-none-match", &tag)]);
        assert_eq!(csv.status, 200, "{route} in another form");
        let other = world.get(&format!("{path}?device=mobile"), &[("if-none-match", &tag)]);
        assert_eq!(other.status, 200, "another question to {route}");
    }
    let path = format!("{ANALYTICS}/funnel");
    let tag = world.get(&path, &[]).header("etag").to_owned();
    let late = event("late", "s", "session.started", "2026-02-20T10:00:00Z", "{}");
    assert_eq!(world.server.post("application/cloudevents+json", late).0, 202);
    let moved = world.get(&path, &[("if-none-match", &tag)]);
    assert_eq!(moved.status, 200, "an event came in");
    assert_ne!(moved.header("etag"), tag);
}

#[test]
fn lists_come_as_csv_and_as_arrow_too() {
    let world = &World::shared();
    for (route, list) in [
        ("funnel", "/stages"),
        ("drop-off-heatmap", "/heatmap"),
        ("realtime", "/real_time/stage_breakdown"),
        ("comparison", "/changes/mature/stages"),
        ("recommendations", "/recommendations"),
        ("sessions", "/sessions"),
    ] {
        let path = format!("{ANALYTICS}/{route}");
        let document = world.get(&path, &[]).json();
        let rows = document.pointer(list).and_then(|list| list.as_array()).unwrap().len();
        let csv = world.get(&path, &[("accept", "text/html, text/csv;q=0.9")]);
        assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8", "{}", csv.text());
        let mut reader = csv::Reader::from_reader(&*csv.body);
        assert_eq!(
            reader.records().map(|row| row.unwrap().len()).filter(|&cells| cells > 1).count(),
            rows,
            "{route}"
        );
        let arrow = world.get(&path, &[("accept", ARROW)]);
        assert_eq!(arrow.header("content-type"), ARROW);
        let batches = StreamReader::try_new(Cursor::new(arrow.body), None).unwrap();
        let read: usize = batches.map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(read, rows, "{route}");
    }
    // An attribute may hold what a spreadsheet would read as cells.
    let csv = world.get(&format!("{ANALYTICS}/sessions?limit=1"), &[("accept", "text/csv")]).text();
    assert!(csv.starts_with("client_id,session_id,started_at,outcome,stage,"), "{csv}");
}

#[test]
fn statements_answer_in_every_form() {
    let world = &World::shared();
    let statement = "SELECT 7 AS n, 'a, b' AS t";
    for (kind, body) in [
        ("application/sql", statement.to_owned()),
        ("text/plain; charset=utf-8", statement.to_owned()),
        ("application/json", json!({ "statement": statement }).to_string()),
    ] {
        let reply = world.sql(kind, &body, &[]);
        assert_eq!((reply.status, reply.json()), (200, json!([{"n": 7, "t": "a, b"}])), "{kind}");
    }
    let csv = world.sql("application/sql", statement, &[("accept", "text/csv")]);
    assert_eq!(csv.text(), "n,t\n7,\"a, b\"\n");
    let arrow = world.sql("application/sql", statement, &[("accept", ARROW)]);
    let batches = StreamReader::try_new(Cursor::new(arrow.body), None).unwrap();
    assert_eq!(batches.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 1);
}

#[test]
fn answers_are_compressed_for_those_who_say_so() {
    let world = &World::shared();
    let path = format!("{ANALYTICS}/funnel");
    let plain = world.get(&path, &[]);
    assert_eq!(plain.header("content-encoding"), "");
    for (encoding, magic) in [("gzip", &[0x1f, 0x8b][..]), ("zstd", &[0x28, 0xb5, 0x2f, 0xfd])] {
        let packed = world.get(&path, &[("accept-encoding", encoding)]);
        assert_eq!(packed.header("content-encoding"), encoding);
        assert!(packed.body.starts_with(magic), "{encoding}");
        assert!(packed.body.len() * 3 < plain.body.len(), "{encoding}: {}", packed.body.len());
        assert_eq!(packed.header("etag"), plain.header("etag"), "a weak tag is of the content");
    }
}

#[test]
fn whatever_is_wrong_is_a_problem_with_a_code() {
    let world = &World::shared();
    let get = |path: &str| world.get(path, &[]);
    get("/nothing/here").is_problem(404, "unknown_route", "/nothing/here");
    get("/api/v1/docs/secret").is_problem(404, "unknown_route", "/api/v1/docs");
    let funnel = format!("{ANALYTICS}/funnel");
    let refused = |query: &str, words: &str| {
        get(&format!("{funnel}?{query}")).is_problem(400, "invalid_request", words);
    };
    refused("start=tomorrow", "start: \"tomorrow\" is no date");
    refused("start=2026-02-02&end=2026-02-01", "must be later");
    refused("timezone=Mars/Olympus", "Europe/Berlin");
    refused("as_of=2099-01-01", "the newest event is of");
    refused("client_id=a&client_id=b", "\"client_id\" is given twice");
    refused("compare_start=2026-01-01", "give both");
    refused("start=0001-01-01&end=9999-01-01", "ask for a shorter one");
    refused(&(0..20).map(|n| format!("a{n}=x&")).collect::<String>(), "at most 16 attributes");
    get(&format!("{funnel}?funnel=other")).is_problem(
        404,
        "unknown_funnel",
        "known are onboarding",
    );
    get(&format!("{funnel}?client_id=nobody")).is_problem(404, "unknown_client", "nobody");
    let list = |query: &str, words: &str| {
        let path = format!("{ANALYTICS}/sessions?{query}");
        get(&path).is_problem(400, "invalid_request", words);
    };
    list("limit=1001", "at most 1000 sessions, not 1001");
    list("limit=-1", "limit: \"-1\" is no whole number");
    list("offset=x", "offset: \"x\"");
    list("offset=100001", "more than 100000");
    list("stage=6", "no stage \"6\"");
    list("outcome=won", "not completed, abandoned or in_flight");
    get(&format!("{ANALYTICS}/recommendations?priority=urgent")).is_problem(
        400,
        "invalid_request",
        "high, medium or low",
    );
    get(&format!("{ANALYTICS}/realtime?start=2026-01-01")).is_problem(
        400,
        "invalid_request",
        "24 hours",
    );

    world.get(&funnel, &[("accept", "text/html")]).is_problem(406, "not_acceptable", "text/csv");
    let posted = world.server.agent().post(world.server.url(&funnel)).send("");
    let posted = super::Reply::of(posted);
    posted.is_problem(405, "method_not_allowed", "does not take POST");
    assert!(posted.header("allow").contains("GET"), "{:?}", posted.headers);
    get("/api/v1/sql").is_problem(405, "method_not_allowed", "does not take GET");
    let sql = |kind: &str, text: &str| world.sql(kind, text, &[]);
    sql("application/x-www-form-urlencoded", "SELECT 1").is_problem(
        415,
        "unsupported_media_type",
        "application/sql",
    );
    sql("application/json", "SELECT 1").is_problem(400, "invalid_request", "statement");
    sql("application/sql", "SELEC 1").is_problem(400, "invalid_statement", "SELEC");
    sql("application/sql", "DELETE FROM events").is_problem(400, "refused_statement", "Delete");
    let long = format!("SELECT '{}'", "x".repeat(300 << 10));
    sql("application/sql", &long).is_problem(413, "statement_too_long", "bytes");
}

#[test]
fn a_lake_without_events_says_how_to_send_some() {
    let scene = crate::support::Scene::new();
    let server = crate::http::Server::of(scene.onramp().arg("serve"), &[]);
    let world = World { scene, server };
    let path = format!("{ANALYTICS}/funnel");
    world.get(&path, &[]).is_problem(404, "empty_lake", "/api/v1/events");
}
