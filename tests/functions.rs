//! Funnel functions through `onramp sql`: the numbers of the report, from raw events.

use crate::support::Scene;

const STAGES: &str = "event_type = 'onboarding.session.started',
    event_type = 'onboarding.input.submitted' AND meaningful IS NOT FALSE,
    event_type = 'onboarding.recommendations.generated',
    event_type = 'onboarding.approval.decided',
    event_type = 'onboarding.session.completed' AND outcome IS DISTINCT FROM 'failed'";

fn world() -> Scene {
    let scene = Scene::new();
    let path = scene.path("events.ndjson");
    let path = path.to_str().unwrap();
    scene.run(["generate", "--sessions", "300", "--until", "2026-03-01", "--to", path]).succeeded();
    scene.run(["import", path]).succeeded();
    scene
}

#[test]
fn levels_and_stage_times_of_events_are_those_of_sessions() {
    let scene = world();
    let report = scene.run(["--format", "json", "report"]).succeeded().json();
    let levels = scene.sql(&format!(
        "SELECT level, count(*) AS sessions FROM (
            SELECT window_funnel(INTERVAL '365 days', '', occurred_at, {STAGES}) AS level
            FROM events GROUP BY client_id, session_id
        ) AS l GROUP BY level"
    ));
    for (index, stage) in report["stages"].as_array().unwrap().iter().enumerate() {
        let reached = levels.iter().filter(|row| row["level"].as_u64().unwrap() > index as u64);
        let reached: u64 = reached.map(|row| row["sessions"].as_u64().unwrap()).sum();
        assert_eq!(Some(reached), stage["count"].as_u64(), "{stage}");
    }
    let differs = |stage| format!("(f.stage_at[{stage}] IS DISTINCT FROM s.stage_at[{stage}])");
    let differing = (1..=5).map(differs).collect::<Vec<_>>().join(" OR ");
    let compared = scene.sql(&format!(
        "SELECT count(*) AS sessions, count(*) FILTER (WHERE {differing}) AS differing FROM sessions AS s
         JOIN (
            SELECT client_id, session_id, funnel_steps(occurred_at, {STAGES}) AS stage_at
            FROM events GROUP BY client_id, session_id
         ) AS f ON f.client_id = s.client_id AND f.session_id = s.session_id"
    ));
    assert_eq!(compared[0]["differing"], 0, "{compared:?}");
    assert_eq!(compared[0]["sessions"], report["total_sessions"], "{compared:?}");
}

#[test]
fn a_wrong_call_names_the_function_and_the_mistake() {
    let scene = world();
    let call = "SELECT window_funnel(60, 'strict', occurred_at, session_id = 'x') FROM events";
    scene.run(["sql", call]).failed(1, &["window_funnel", "\"strict\" is no mode"]);
    let call = "SELECT sequence_match('(?1)(?3)', occurred_at, true, true) FROM events";
    scene.run(["sql", call]).failed(1, &["at position 4", "no condition 3"]);
}
