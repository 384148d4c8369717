//! `onramp compact`: other files, the same answers.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::import::assert_ledger;
use crate::support::{Scene, eventually};

/// A world in a file, imported in small flushes.
fn filled(scene: &Scene, sessions: &str, flush_rows: &str) -> usize {
    let path = scene.path("events.ndjson");
    let path = path.to_str().unwrap();
    let world = ["generate", "--sessions", sessions, "--until", "2026-03-01", "--to", path];
    scene.run(world).succeeded();
    let import = scene
        .onramp()
        .env("ONRAMP__INGEST__FLUSH_ROWS", flush_rows)
        .args(["import", path])
        .output()
        .unwrap();
    assert!(import.status.success(), "{import:?}");
    std::fs::read(path).unwrap().iter().filter(|&&byte| byte == b'\n').count()
}

/// Files that were merged, by table.
fn merged(scene: &Scene) -> Vec<u64> {
    let done = scene.run(["--format", "json", "compact"]).succeeded().json();
    done.as_array().unwrap().iter().map(|it| it["files_before"].as_u64().unwrap()).collect()
}

fn checksum(scene: &Scene) -> Vec<Value> {
    scene.sql(
        "SELECT count(*) AS n, count(DISTINCT sequence) AS places, sum(sequence) AS total, \
         min(concat(id, session_id, data)) AS least, max(concat(id, source, event_type)) \
         AS greatest FROM events",
    )
}

#[test]
fn reports_stay_byte_for_byte_and_a_second_run_finds_nothing() {
    let scene = Scene::new();
    let lines = filled(&scene, "600", "300");
    let report = || scene.run(["--format", "json", "report", "--segment-by", "device"]).succeeded();
    let (before, rows) = (report().stdout, checksum(&scene));
    let dry = scene.run(["compact", "--dry-run"]).succeeded().stdout;
    assert!(dry.contains("events") && dry.contains('–'), "{dry}");
    assert!(merged(&scene)[0] > 10);
    assert_eq!(merged(&scene), [0; 4]);
    assert_eq!(report().stdout, before);
    assert_eq!(checksum(&scene), rows);
    assert_ledger(&scene, lines as i64);
    let rebuilt = scene.run(["--format", "json", "rebuild"]).succeeded().json();
    for kind in ["different", "missing", "surplus"] {
        assert_eq!(rebuilt[0]["rebuilt"][kind], 0, "{rebuilt}");
    }
    assert_eq!(report().stdout, before);
}

#[test]
fn vacuum_takes_nothing_that_is_young() {
    let scene = Scene::new();
    filled(&scene, "100", "100");
    merged(&scene);
    let rows = checksum(&scene);
    for args in [&["vacuum", "--dry-run"][..], &["vacuum"]] {
        let done = scene.run([&["--format", "json"][..], args].concat()).succeeded().json();
        let files = done.as_array().unwrap().iter().map(|it| it["files"].as_u64());
        assert_eq!(files.flatten().sum::<u64>(), 0, "{done}");
    }
    assert!(scene.lake().join("events/_delta_log/_last_checkpoint").exists());
    assert_eq!(checksum(&scene), rows);
    scene.run(["report"]).succeeded();
}

#[test]
fn a_killed_compaction_leaves_a_lake_that_the_next_one_finishes() {
    let scene = Scene::new();
    let lines = filled(&scene, "3000", "500");
    let (rows, log) = (checksum(&scene), scene.lake().join("events/_delta_log"));
    let versions = |log: &Path| std::fs::read_dir(log).unwrap().count();
    let before = versions(&log);
    let mut child =
        scene.onramp().arg("compact").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("a date is merged", 60, || (versions(&log) > before).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(checksum(&scene), rows);
    assert!(merged(&scene)[0] > 0, "the kill came too late to be one");
    assert_eq!(checksum(&scene), rows);
    assert_ledger(&scene, lines as i64);
}

#[test]
fn resends_of_merged_events_are_recognised_after_a_restart() {
    let scene = Scene::new();
    let path = scene.path("events.ndjson");
    let world = |path: &str| {
        let args = ["generate", "--sessions", "2000", "--until", "2026-03-01", "--to", path];
        scene.run(args).succeeded();
    };
    world(path.to_str().unwrap());
    // Everything comes twice.
    let once = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&once[..], &once[..]].concat()).unwrap();
    let import = |flush_rows: &str| {
        let mut command = scene.onramp();
        command.env("ONRAMP__INGEST__FLUSH_ROWS", flush_rows).arg("import").arg(&path);
        command
    };
    let mut child = import("200").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let log = scene.lake().join("events/_delta_log/00000000000000000004.json");
    eventually("some commits", 60, || log.exists().then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(merged(&scene)[0] > 1);
    crate::support::Answer::of(&mut import("50000")).succeeded();
    let lines = once.iter().filter(|&&byte| byte == b'\n').count() as i64;
    assert_ledger(&scene, 2 * lines);
    let events = scene.sql(
        "SELECT count(*) AS n, count(DISTINCT concat(client_id, source, id)) AS d FROM events",
    );
    assert_eq!(events[0]["n"], events[0]["d"], "a resend was accepted");
}
