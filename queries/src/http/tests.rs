//! Every route answers within its caller's scope: as if the lake held nothing else.

use std::path::Path;

use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use onramp_compute::engine;
use onramp_ingest::generate::{GenerateOptions, Generator};
use onramp_ingest::import::{self, ImportOptions, Silent};
use onramp_lake::StoreSettings;
use onramp_schemas::clock::FixedClock;
use onramp_schemas::funnel::builtin;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::access::{Caller, Role};

const ANALYTICS: &str = "/api/v1/onboarding/analytics";
/// 2026-03-01.
const UNTIL: i64 = 1_772_323_200_000_000;

/// Records of a generated world, the last of which is of `acme`.
fn world() -> Vec<String> {
    let options = GenerateOptions { sessions: 400, seed: 3, days: 20, until_us: UNTIL };
    let records = Generator::new(options);
    let mut lines: Vec<String> =
        records.filter_map(|record| String::from_utf8(record.value).ok()).collect();
    lines.push(
        r#"{"specversion":"1.0","id":"last","source":"/app","type":"onboarding.session.started","subject":"last","time":"2026-03-01T00:00:00Z","clientid":"acme","data":{}}"#
            .to_owned(),
    );
    lines
}

fn is_acmes(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|event| event["clientid"] == "acme")
}

async fn lake(folder: &Path, lines: impl Iterator<Item = &String>) -> Lake {
    let file = folder.join("events.ndjson");
    std::fs::write(&file, lines.flat_map(|line| [line, "\n"]).collect::<String>()).unwrap();
    let url = folder.join("lake");
    let lake = Lake::open(url.to_str().unwrap(), &StoreSettings::default()).unwrap();
    let options = ImportOptions { files: vec![file], ..ImportOptions::default() };
    import::run(&lake, &options, &FixedClock(UNTIL), &Silent).await.unwrap();
    lake
}

/// The API as a caller of this scope sees it.
fn api(lake: &Lake, scope: Scope) -> Router {
    let engine = Engine::new(&engine::Options::default()).unwrap();
    let workers = tokio::runtime::Handle::current();
    let options = Options {
        lake: lake.clone(),
        engine: engine.clone(),
        funnels: builtin().into_iter().map(|funnel| (funnel.name.clone(), funnel)).collect(),
        funnel: "onboarding".to_owned(),
        timezone: Tz::UTC,
        clock: Arc::new(FixedClock(UNTIL)),
        deadline: Duration::from_secs(60),
        max_concurrent: 4,
        sql: sql::Service::new(
            sql::Source { lake: lake.clone(), engine, funnels: builtin().into_iter().collect() },
            sql::Limits::default(),
            workers.clone(),
        ),
        workers,
    };
    let caller = Caller { name: "test".to_owned(), role: Role::Viewer, scope };
    wrap(router(options).layer(Extension(caller)), Duration::from_secs(60))
}

async fn asked(api: &Router, path: &str) -> (StatusCode, Value) {
    let request = Request::get(format!("{ANALYTICS}/{path}")).body(Body::empty()).unwrap();
    let answer = api.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// What depends on all events of a lake, whoever may see them.
fn without_whole(mut document: Value) -> Value {
    for name in ["positions", "report_id", "data_quality"] {
        document.as_object_mut().unwrap().remove(name);
    }
    document
}

fn acme_alone() -> Scope {
    Scope::Clients(["acme".to_owned()].into())
}

#[tokio::test]
async fn every_route_confines_its_answer_to_the_callers_clients() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let lines = world();
    let whole = lake(folders[0].path(), lines.iter()).await;
    let part = lake(folders[1].path(), lines.iter().filter(|line| is_acmes(line))).await;
    let (scoped, alone) = (api(&whole, acme_alone()), api(&part, Scope::Everything));
    let everything = api(&whole, Scope::Everything);
    let session = asked(&alone, "sessions?limit=1").await.1["sessions"][0]["session_id"].clone();
    let described = openapi();
    let routes = described.paths.paths.keys().filter_map(|path| path.strip_prefix(ANALYTICS));
    let routes: Vec<String> = routes
        .map(|path| path.replace("{session_id}", session.as_str().unwrap()))
        .map(|path| path.trim_start_matches('/').to_owned())
        .collect();
    assert_eq!(routes.len(), 8);
    for route in &routes {
        let (status, found) = asked(&scoped, route).await;
        assert_eq!(status, StatusCode::OK, "{route}: {found}");
        assert_eq!(found["positions"], serde_json::json!({}), "{route}");
        let (_, expected) = asked(&alone, route).await;
        assert_eq!(without_whole(found.clone()), without_whole(expected), "{route}");
        let text = found.to_string();
        for other in ["globex", "initech"] {
            assert!(!text.contains(other), "{route} tells of {other}");
        }
        // One session is the same for all, and so is nothing to recommend.
        if !route.contains("timeline") && route != "recommendations" {
            let (_, all) = asked(&everything, route).await;
            assert_ne!(without_whole(all), without_whole(found), "{route} sees all");
        }
    }
}

#[tokio::test]
async fn a_client_outside_the_scope_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let lines = world();
    let lake = lake(folder.path(), lines.iter()).await;
    let (scoped, everything) = (api(&lake, acme_alone()), api(&lake, Scope::Everything));
    let all = asked(&everything, "sessions?limit=1000").await.1;
    let theirs = all["sessions"].as_array().unwrap().iter().find(|it| it["client_id"] != "acme");
    let theirs = theirs.expect("other clients have sessions");
    let (client, session) =
        (theirs["client_id"].as_str().unwrap(), theirs["session_id"].as_str().unwrap());
    for route in ["funnel", "sessions", "realtime", "comparison"] {
        let hidden = asked(&scoped, &format!("{route}?client_id={client}")).await;
        let missing = asked(&scoped, &format!("{route}?client_id=nobody")).await;
        assert_eq!(
            (hidden.0, &hidden.1["code"]),
            (StatusCode::NOT_FOUND, &"unknown_client".into())
        );
        assert_eq!(
            hidden.1.to_string(),
            missing.1.to_string().replace("nobody", client),
            "{route}"
        );
    }
    for filter in ["", &format!("?client_id={client}")] {
        let (status, problem) =
            asked(&scoped, &format!("sessions/{session}/timeline{filter}")).await;
        assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &"unknown_session".into()));
    }
    let nobody = api(&lake, Scope::Clients(Default::default()));
    assert_eq!(asked(&nobody, "funnel").await.1["total_sessions"], 0);
}
