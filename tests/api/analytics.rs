//! Every route says what the report says.

use serde_json::{Value, json};

use super::World;
use crate::support::event;

/// The report that the command line gives for the same question.
fn report(world: &World, arguments: &str) -> Value {
    let arguments = arguments.split(' ').filter(|word| !word.is_empty());
    let all = ["--format", "json", "report"].into_iter().chain(arguments);
    world.scene.run(all).succeeded().json()
}

const PERIOD: &str = "start=2026-02-01&end=2026-02-22T00:00:00%2B01:00&timezone=Europe/Berlin";
const SAME: &str = "--from 2026-02-01 --to 2026-02-22T00:00:00+01:00 --timezone Europe/Berlin";

#[test]
fn the_funnel_is_the_report() {
    let world = &World::shared();
    assert_eq!(world.analytics("funnel"), report(world, ""));
    let asked =
        "segment_by=device,language&compare_start=2026-01-25&compare_end=2026-02-01&mix_by=device";
    let given =
        world.analytics(&format!("funnel/?{PERIOD}&{asked}&as_of=2026-02-25&client_id=acme"));
    let same = "--segment-by device,language --compare-from 2026-01-25 --compare-to 2026-02-01 --mix-by device";
    assert_eq!(given, report(world, &format!("{SAME} {same} --as-of 2026-02-25 --client-id acme")));
    assert!(given["total_sessions"].as_u64() > Some(100), "{given}");
}

#[test]
fn the_other_routes_are_parts_of_the_report() {
    let world = &World::shared();
    let whole = report(world, &format!("{SAME} --segment-by user_kind"));
    let heatmap = world.analytics(&format!("drop-off-heatmap?{PERIOD}"));
    for part in
        ["heatmap", "error_patterns", "time_analysis", "common_reasons", "positions", "as_of"]
    {
        assert_eq!(heatmap[part], whole[part], "{part}");
        assert!(!heatmap[part].is_null(), "{part}");
    }
    let incomplete =
        whole["total_sessions"].as_u64().unwrap() - whole["completed"].as_u64().unwrap();
    assert_eq!(heatmap["total_incomplete"], incomplete);

    let cohorts = world.analytics(&format!("cohort-comparison?{PERIOD}"));
    assert_eq!(cohorts["cohorts"], whole["cohort_analysis"]);
    let segments = whole["segments"]["attributes"]["user_kind"].as_array().unwrap();
    for segment in segments {
        let name =
            segment["value"].as_str().map_or("none".to_owned(), |kind| format!("{kind}_users"));
        assert_eq!(&cohorts["segments"][&name], segment, "{name}");
    }
    assert_eq!(cohorts["segments"].as_object().unwrap().len(), segments.len());
    let significant = |segment: &&Value| segment["mature"]["against_rest"]["significant"] == true;
    let told = cohorts["insights"].as_array().unwrap();
    let told: Vec<_> =
        told.iter().filter(|it| it["type"] == "segment").map(|it| &it["value"]).collect();
    assert_eq!(told.len(), segments.iter().filter(significant).count(), "{told:?}");
    assert!(cohorts["segments"]["first_time_users"].is_object(), "{cohorts}");

    let compared = report(
        world,
        &format!("{SAME} --compare-from 2026-01-11 --compare-to 2026-02-01 --mix-by device"),
    );
    let comparison = world.analytics(&format!("comparison?{PERIOD}&mix_by=device"));
    let found = &compared["comparison"];
    assert_eq!(comparison["period1"], found["period1"], "the equally long period just before");
    assert_eq!(comparison["period2"], found["period2"]);
    for basis in ["raw", "mature"] {
        assert_eq!(comparison["changes"][basis], found[basis]);
        let last = found[basis]["stages"].as_array().unwrap().last().unwrap();
        assert_eq!(comparison["changes"]["conversion_rate_change"][basis], last["from_start"]);
    }
    assert_eq!(comparison["changes"]["trend"], found["trend"]);
}

#[test]
fn recommendations_are_chosen_by_priority() {
    let world = &World::shared();
    let asked = "segment_by=device,user_kind";
    let all = report(world, "--segment-by device,user_kind")["recommendations"].clone();
    assert_eq!(world.analytics(&format!("recommendations?{asked}"))["recommendations"], all);
    let mut found = 0;
    for priority in ["high", "medium", "low"] {
        let some = world.analytics(&format!("recommendations?{asked}&priority={priority}"));
        let some = some["recommendations"].as_array().unwrap();
        assert!(some.iter().all(|it| it["priority"] == priority), "{some:?}");
        found += some.len();
    }
    assert_eq!(found, all.as_array().unwrap().len());
    assert!(found > 0, "the world holds a regression");
}

#[test]
fn the_present_is_the_last_24_hours() {
    let world = &World::shared();
    let live = world.analytics("realtime");
    let (from, to) =
        (live["period"]["from"].as_str().unwrap(), live["period"]["to"].as_str().unwrap());
    let same = report(world, &format!("--from {from} --to {to}"));
    let now = &live["real_time"];
    assert_eq!(now["last_updated"], same["as_of"]);
    assert_eq!(now["total_sessions"], same["total_sessions"]);
    assert_eq!(now["active_sessions"], same["active"]);
    assert_eq!(now["completion_rate"], same["overall_conversion_rate"]);
    assert_eq!(now["stage_breakdown"][0]["percentage"], json!(100.0));
    assert!(now["recommendations"].as_array().unwrap().len() <= 3);
    let instant = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert_eq!((instant(to) - instant(from)).num_seconds(), 86_400);
}

#[test]
fn every_route_honours_an_attribute() {
    let world = &World::shared();
    let total = |filter: &str| {
        world.analytics(&format!("funnel?{PERIOD}{filter}"))["total_sessions"].clone()
    };
    let segmented = report(world, &format!("{SAME} --segment-by device"));
    for segment in segmented["segments"]["attributes"]["device"].as_array().unwrap() {
        let Some(device) = segment["value"].as_str() else { continue };
        let filter = format!("&device={device}");
        assert_eq!(total(&filter), segment["sessions"], "{device}");
        let listed = world.analytics(&format!("sessions?{PERIOD}{filter}&limit=0"));
        assert_eq!(listed["total"], segment["sessions"], "{device}");
        let compared = world.analytics(&format!("comparison?{PERIOD}{filter}"));
        assert_eq!(compared["period2"]["sessions"], segment["sessions"], "{device}");
    }
    let mobile = world.analytics(&format!("funnel?{PERIOD}&device=mobile"));
    let same = report(world, &format!("{SAME} --attribute device=mobile"));
    assert_eq!(mobile, same);
    let id = same["report_id"].as_str().unwrap();
    assert_eq!(report(world, &format!("--reproduce {id}")), same, "kept with what it was asked");
    assert_eq!(total("&device=abacus"), 0);
    assert!(
        total("&device=mobile&user_kind=returning").as_u64() < total("&device=mobile").as_u64()
    );
    for route in super::REPORTS {
        let path = format!("{}/{route}?colour=red", super::ANALYTICS);
        world.get(&path, &[]).is_problem(400, "invalid_request", "\"colour\"");
    }
}

#[test]
fn sessions_are_those_behind_the_numbers() {
    let world = &World::shared();
    let whole = report(world, SAME);
    let total =
        |filter: &str| world.analytics(&format!("sessions?{PERIOD}&{filter}"))["total"].clone();
    for outcome in ["completed", "abandoned", "in_flight"] {
        assert_eq!(total(&format!("outcome={outcome}")), whole[outcome], "{outcome}");
    }
    for stage in whole["stages"].as_array().unwrap() {
        let (number, name) = (&stage["stage"], stage["name"].as_str().unwrap().replace(' ', "%20"));
        assert_eq!(total(&format!("stage={number}")), stage["count"], "{number}");
        assert_eq!(total(&format!("stage={name}")), stage["count"], "{name}");
    }
    for stage in whole["drop_off"]["all"].as_array().unwrap() {
        assert_eq!(total(&format!("dropped_at={}", stage["stage"])), stage["lost"], "{stage}");
    }
    let page = world.analytics(&format!("sessions?{PERIOD}&limit=2&offset=1"));
    let three = world.analytics(&format!("sessions?{PERIOD}&limit=3"));
    assert_eq!(page["sessions"][1], three["sessions"][2]);
    // A short page of many sessions keeps few of them meanwhile; a long one keeps them all.
    let most = world.analytics("sessions?limit=1000");
    assert!(most["total"].as_u64() > Some(2_000), "{}", most["total"]);
    let few = world.analytics("sessions?limit=5");
    assert_eq!(few["sessions"].as_array().unwrap()[..], most["sessions"].as_array().unwrap()[..5]);

    let session = &three["sessions"][0];
    let (id, client) =
        (session["session_id"].as_str().unwrap(), session["client_id"].as_str().unwrap());
    let timeline = world.analytics(&format!("sessions/{id}/timeline/?client_id={client}"));
    assert_eq!(timeline["session_id"], *id);
    assert_eq!(timeline["total"], timeline["events"].as_array().unwrap().len());
}

#[test]
fn a_timeline_needs_one_session() {
    let world = World::with(&[]);
    let time = "2026-03-01T10:00:00Z";
    let mine = event("1", "twice", "session.started", time, "{}");
    let theirs = mine.replace("acme", "globex");
    world.server.post("application/cloudevents-batch+json", format!("[{mine},{theirs}]"));
    let path = format!("{}/sessions/twice/timeline", super::ANALYTICS);
    world.get(&path, &[]).is_problem(409, "ambiguous_session", "acme, globex");
    let one = world.analytics("sessions/twice/timeline?client_id=globex");
    assert_eq!((&one["client_id"], &one["events"][0]["id"]), (&json!("globex"), &json!("1")));
    let nobody = format!("{}/sessions/nobody/timeline", super::ANALYTICS);
    world.get(&nobody, &[]).is_problem(404, "unknown_session", "nobody");
    let wrong = format!("{path}?device=mobile");
    world.get(&wrong, &[]).is_problem(400, "invalid_request", "device");
}
