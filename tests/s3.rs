//! A lake in a bucket: what holds in a folder holds there, whatever becomes of the answers.

pub mod proxy;

use std::process::Stdio;
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::{Value, json};

use crate::http::Server;
use crate::import::assert_ledger;
use crate::support::store::{Store, store, variables};
use crate::support::{Answer, Scene, event, eventually, free_ports};
use proxy::{Fault, Plan, Proxy};

const TIME: &str = "2026-03-01T10:00:00Z";

/// A scene whose lake is in the store, reached at `endpoint`.
fn bucket(lake: &str, endpoint: &str) -> Scene {
    Scene::remote(lake, variables(endpoint))
}

/// Events of so many sessions in a file of the scene, and how many lines it has.
fn generated(scene: &Scene, sessions: &str, seed: &str) -> (std::path::PathBuf, i64) {
    let path = scene.path(&format!("events-{seed}.ndjson"));
    let args =
        ["generate", "--sessions", sessions, "--seed", seed, "--until", "2026-03-01", "--to"];
    scene.run(args.iter().map(AsRef::as_ref).chain([path.as_os_str()])).succeeded();
    let lines = std::fs::read(&path).unwrap().iter().filter(|&&byte| byte == b'\n').count();
    (path, lines as i64)
}

fn import(scene: &Scene, path: &std::path::Path, settings: &[(&str, &str)]) -> Answer {
    let mut command = scene.onramp();
    command.env("ONRAMP__INGEST__FLUSH_ROWS", "500").envs(settings.iter().copied());
    Answer::of(command.arg("import").arg(path))
}

fn report(scene: &Scene) -> Value {
    let report = scene.run(["--format", "json", "report", "--as-of", "2026-02-27"]).succeeded();
    report.json()
}

#[test]
fn a_bucket_reports_what_a_folder_does() {
    let Some(store) = store("s3::a_bucket_reports_what_a_folder_does") else { return };
    let folder = Scene::new();
    let (path, lines) = generated(&folder, "300", "1");
    import(&folder, &path, &[]).succeeded();
    let bucket = bucket(&store.lake(), &store.endpoint());
    import(&bucket, &path, &[]).succeeded();
    assert_ledger(&bucket, lines);
    assert_eq!(report(&bucket), report(&folder));
}

#[test]
fn an_import_that_was_killed_goes_on_in_the_bucket() {
    let Some(store) = store("s3::an_import_that_was_killed_goes_on_in_the_bucket") else { return };
    let lake = store.lake();
    let scene = bucket(&lake, &store.endpoint());
    let (path, lines) = generated(&scene, "600", "2");
    let log = store.folder(&lake).join("events/_delta_log");
    let mut kills = 0;
    for attempt in 1..=3 {
        let mut command = scene.onramp();
        command.env("ONRAMP__INGEST__FLUSH_ROWS", "500").arg("import").arg(&path);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let running = eventually("a few commits, or the end", 120, || {
            if child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let commits = std::fs::read_dir(&log).map_or(0, Iterator::count);
            (commits > attempt * 3).then_some(true)
        });
        if running {
            child.kill().unwrap();
            kills += 1;
        }
        child.wait().unwrap();
    }
    assert!(kills > 0, "the import was over before it could be killed");
    import(&scene, &path, &[]).succeeded();
    assert_ledger(&scene, lines);
}

#[test]
fn eight_imports_into_one_bucket_all_land() {
    let Some(store) = store("s3::eight_imports_into_one_bucket_all_land") else { return };
    let lake = store.lake();
    let scene = bucket(&lake, &store.endpoint());
    let files: Vec<_> = (10..18).map(|seed| generated(&scene, "20", &seed.to_string())).collect();
    std::thread::scope(|scope| {
        for (path, _) in &files {
            let scene = &scene;
            scope.spawn(move || import(scene, path, &[]).succeeded());
        }
    });
    assert_ledger(&scene, files.iter().map(|(_, lines)| lines).sum());
}

#[test]
fn the_collector_answers_when_the_bucket_holds_it() {
    let Some(store) = store("s3::the_collector_answers_when_the_bucket_holds_it") else { return };
    let lake = store.lake();
    let commits = plan(Fault::FailAfter, Method::PUT, "_delta_log", 40);
    let proxy = Proxy::start(store.port(), Some(commits));
    let scene = bucket(&lake, &store.endpoint());
    let server = Server::start(&bucket(&lake, &proxy.endpoint()), &[]);
    for id in 0..20 {
        let body = event(&id.to_string(), "s", "input.submitted", TIME, "{}");
        let (status, answer) =
            server.post("application/cloudevents-batch+json", format!("[{body}, 7]"));
        let statuses = [&answer["results"][0]["status"], &answer["results"][1]["status"]];
        assert_eq!((status, statuses), (202, [&json!("accepted"), &json!("rejected")]));
    }
    assert_ledger(&scene, 40);
    assert_eq!(server.stop(), Some(0));
    assert!(proxy.met() > 0, "no fault was met");
}

/// A plan without an end whose seed can be given again.
fn plan(fault: Fault, method: Method, part: &'static str, percent: u64) -> Plan {
    let seed = std::env::var("ONRAMP_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    Plan { fault, method, part, percent, times: usize::MAX, seed: seed.unwrap_or(4) }
}

/// An import through a proxy with this plan holds the ledger and reports what one without it does.
fn assert_withstands(store: &Store, plan: Plan) {
    let lake = store.lake();
    let straight = bucket(&lake, &store.endpoint());
    let (path, lines) = generated(&straight, "100", "3");
    let folder = Scene::new();
    import(&folder, &path, &[]).succeeded();
    let what = format!("{plan:?}");
    let proxy = Proxy::start(store.port(), Some(plan));
    let through = bucket(&lake, &proxy.endpoint());
    let impatient = [("AWS_TIMEOUT", "2s"), ("ONRAMP__INGEST__FLUSH_ROWS", "250")];
    import(&through, &path, &impatient).succeeded();
    let mut command = through.onramp();
    command.envs(impatient).args(["--format", "json", "report", "--as-of", "2026-02-27"]);
    let reported = Answer::of(&mut command).succeeded().json();
    assert!(proxy.met() > 0, "no request met {what}");
    assert_ledger(&straight, lines);
    assert_eq!(reported, report(&folder), "{what}");
}

#[test]
fn a_put_that_fails_after_it_went_through_lands_once() {
    let Some(store) = store("s3::a_put_that_fails_after_it_went_through_lands_once") else {
        return;
    };
    assert_withstands(store, plan(Fault::FailAfter, Method::PUT, "", 30));
}

#[test]
fn a_commit_that_is_never_answered_lands_once() {
    let Some(store) = store("s3::a_commit_that_is_never_answered_lands_once") else { return };
    let hang = plan(Fault::HangAfter, Method::PUT, "_delta_log/0000000000000000000", 30);
    assert_withstands(store, Plan { times: 4, ..hang });
}

#[test]
fn the_first_put_of_a_lake_may_fail_after_it_went_through() {
    let Some(store) = store("s3::the_first_put_of_a_lake_may_fail") else { return };
    for fault in [Fault::FailAfter, Fault::HangAfter] {
        for part in ["_onramp_probe", "_delta_log/00000000000000000000.json"] {
            let first = plan(fault, Method::PUT, part, 100);
            assert_withstands(store, Plan { times: 1, ..first });
        }
    }
}

#[test]
fn a_store_that_is_overloaded_is_waited_for() {
    let Some(store) = store("s3::a_store_that_is_overloaded_is_waited_for") else { return };
    for method in [Method::PUT, Method::GET] {
        assert_withstands(store, plan(Fault::SlowDown, method, "", 10));
    }
}

#[test]
fn a_torn_answer_is_read_again() {
    let Some(store) = store("s3::a_torn_answer_is_read_again") else { return };
    for part in ["_delta_log/", ".parquet", "list-type"] {
        let torn = plan(Fault::Torn, Method::GET, part, 30);
        assert_withstands(store, Plan { times: 20, ..torn });
    }
}

#[test]
fn a_stalled_answer_is_read_again() {
    let Some(store) = store("s3::a_stalled_answer_is_read_again") else { return };
    for part in ["_delta_log/", ".parquet", "list-type"] {
        let stalled = plan(Fault::Stalled, Method::GET, part, 30);
        assert_withstands(store, Plan { times: 2, ..stalled });
    }
}

#[test]
fn a_slow_store_is_only_slow() {
    let Some(store) = store("s3::a_slow_store_is_only_slow") else { return };
    let late = Fault::Late(Duration::from_millis(100));
    assert_withstands(store, plan(late, Method::PUT, "", 20));
}

#[test]
fn a_store_that_cannot_be_used_is_told_with_the_next_step() {
    let Some(store) = store("s3::a_store_that_cannot_be_used_is_told") else { return };
    let refused = |lake: &str, endpoint: &str, settings: &[(&str, &str)], words: &[&str]| {
        let scene = bucket(lake, endpoint);
        let path = scene.write("e.ndjson", event("1", "s", "session.started", TIME, "{}"));
        let began = Instant::now();
        import(&scene, &path, settings).failed(1, words);
        let mut report = scene.onramp();
        Answer::of(report.envs(settings.iter().copied()).arg("report")).failed(1, words);
        assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
    };
    let there = store.endpoint();
    let wrong = [("AWS_SECRET_ACCESS_KEY", "wrong")];
    refused(&store.lake(), &there, &wrong, &["credentials", "AWS_SECRET_ACCESS_KEY"]);
    refused("s3://nowhere/lake", &there, &[], &["bucket does not exist", "create it"]);
    let nobody = format!("http://127.0.0.1:{}", free_ports());
    refused(&store.lake(), &nobody, &[], &["does not answer", "AWS_ENDPOINT_URL"]);
}
