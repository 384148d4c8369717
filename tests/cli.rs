//! The command line as scripts see it: precedence, exit codes, one document on stdout.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Answer, Scene, checkout, event, eventually};

const TIME: &str = "2026-03-01T10:00:00Z";

/// A setting of `config show` and where it came from.
fn setting(scene: &Scene, envs: &[(&str, &str)], args: &[&str], key: &str) -> (Value, String) {
    let mut command = scene.onramp();
    command.envs(envs.iter().copied()).args(args).args(["--format", "json", "config", "show"]);
    let settings = Answer::of(&mut command).succeeded().json();
    let found = settings.as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap();
    (found["value"].clone(), found["source"].as_str().unwrap().to_owned())
}

#[test]
fn a_flag_goes_before_the_environment_before_files_before_the_default() {
    let scene = Scene::new();
    let shown = |envs: &[_], args: &[_], key| setting(&scene, envs, args, key);
    let topic = "ingest.topic";
    assert_eq!(shown(&[], &[], topic), ("onboarding.events".into(), "default".into()));
    std::fs::create_dir_all(scene.path("config/onramp")).unwrap();
    scene.write("config/onramp/onramp.toml", "[ingest]\ntopic = \"user\"\ngroup = \"user\"\n");
    let (value, source) = shown(&[], &[], topic);
    assert_eq!(value, "user");
    assert!(source.ends_with("config/onramp/onramp.toml"), "{source}");
    scene.write("onramp.toml", "[ingest]\ntopic = \"here\"\n");
    let (value, source) = shown(&[], &[], topic);
    assert_eq!(value, "here");
    assert!(source.ends_with("onramp.toml") && !source.contains("config"), "{source}");
    assert_eq!(shown(&[], &[], "ingest.group").0, "user");
    let file = scene.write("other.toml", "[ingest]\ntopic = \"other\"\n");
    let file = ["--config", file.to_str().unwrap()];
    assert_eq!(shown(&[], &file, topic).0, "other");
    let envs = [("ONRAMP__INGEST__TOPIC", "env"), ("ONRAMP_LAKE", "/env")];
    assert_eq!(shown(&envs, &file, topic), ("env".into(), "ONRAMP__INGEST__TOPIC".into()));
    let (lake, source) = shown(&envs, &[], "lake");
    assert_eq!((lake.as_str(), source.as_str()), (scene.lake().to_str(), "command line"));
    let bare = Answer::of(
        Command::new(env!("CARGO_BIN_EXE_onramp"))
            .current_dir(scene.lake().parent().unwrap())
            .env("ONRAMP_LAKE", "/env")
            .args(["--format", "csv", "config", "show"]),
    );
    assert!(bare.succeeded().stdout.contains("lake,/env,ONRAMP_LAKE"));
}

#[test]
fn secrets_are_masked() {
    let scene = Scene::new();
    scene.write("onramp.toml", "[ingest.properties]\n\"sasl.password\" = \"hunter2\"\n");
    let shown = scene.run(["config", "show"]).succeeded();
    assert!(
        shown.stdout.contains("sasl.password") && !shown.stdout.contains("hunter2"),
        "{shown:?}"
    );
}

#[test]
fn an_unknown_setting_is_refused_with_the_likely_one() {
    let scene = Scene::new();
    scene.write("onramp.toml", "[ingest]\ntopik = \"x\"\n");
    scene.run(["config", "show"]).failed(1, &["ingest.topik", "onramp.toml", "did you mean topic"]);
    scene.write("onramp.toml", "[ingest]\nepoch = \"x\"\n");
    scene.run(["config", "show"]).failed(1, &["ingest.epoch", "onramp.toml"]);
    scene.write("onramp.toml", "[ingest\n");
    scene.run(["config", "show"]).failed(1, &["onramp.toml"]);
    scene
        .run(["--config", "missing.toml", "config", "show"])
        .failed(1, &["missing.toml", "--config"]);
}

#[test]
fn limits_with_which_no_statement_is_answered_are_refused() {
    let scene = Scene::new();
    let on = "http.listen = \"127.0.0.1:0\"\n";
    for (line, words) in [
        ("sql.http.deadline_seconds = 0", ["sql.http.deadline_seconds", "at least 1"]),
        ("sql.http.max_rows = 0", ["sql.http.max_rows", "at least 1"]),
        ("sql.http.max_concurrent = 65", ["sql.http.max_concurrent is 65", "1 to 64"]),
        ("sql.http.memory_limit_mb = 1", ["sql.http.memory_limit_mb is 1", "8 to"]),
        ("sql.postgres.max_concurrent = 0", ["sql.postgres.max_concurrent is 0", "1 to 64"]),
        ("sql.http.memory_mb = 64", ["unknown setting sql.http.memory_mb", "memory_limit_mb"]),
    ] {
        scene.write("onramp.toml", format!("{on}{line}\n"));
        scene.run(["serve"]).failed(1, &words);
    }
}

#[test]
fn exit_codes_tell_how_it_ended() {
    let scene = Scene::new();
    scene.run(["import"]).failed(2, &["FILE"]);
    scene.run(["report", "--from", "yesterday"]).failed(2, &["yesterday"]);
    scene.run(["report", "--compare-from", "2026-03-01"]).failed(2, &["--compare-to"]);
    scene.run(["report", "--funnel", "nope"]).failed(1, &["nope", "onboarding", "--funnels"]);
    let file = scene.write("bad.ndjson", "{\n");
    let file = file.to_str().unwrap();
    scene.run(["import", file]).succeeded();
    let answer = scene.run(["--format", "json", "import", "--strict", file]);
    assert_eq!(answer.code, Some(0), "a finished import rejects nothing: {answer:?}");
    let other = scene.write("worse.ndjson", "{\n\n[]\n");
    let answer = scene.run(["--format", "json", "import", "--strict", other.to_str().unwrap()]);
    assert_eq!(answer.code, Some(3), "{answer:?}");
    let document = answer.json();
    assert_eq!(document["rejected"]["malformed_json"], 1);
    assert_eq!(document["rejected"]["not_cloudevents"], 1);
}

#[test]
fn a_mapping_without_a_source_is_refused_before_the_first_row() {
    let scene = Scene::new();
    let mapping = "[columns]\nclientid = {value = \"c\"}\nsubject = {column = \"s\"}\n\
        time = {column = \"t\"}\ntype = {value = \"onboarding.session.started\"}\n";
    scene.write("m.toml", mapping);
    scene.write("r.csv", format!("s,t\n1,{TIME}\n"));
    let import = ["import", "r.csv", "--mapping", "m.toml"];
    scene.run(import).failed(1, &["columns.source", "--source"]);
    let answer = scene.run(import.iter().chain(&["--source", "/app"])).succeeded();
    assert!(answer.stdout.starts_with("accepted 1, duplicate 0, rejected 0"), "{answer:?}");
}

#[test]
fn an_interrupted_import_ends_with_130_and_goes_on() {
    let scene = Scene::new();
    let path = scene.path("events.ndjson");
    let path = path.to_str().unwrap();
    scene
        .run(["generate", "--sessions", "4000", "--until", "2026-03-01", "--to", path])
        .succeeded();
    let mut command = scene.onramp();
    command.env("ONRAMP__INGEST__FLUSH_ROWS", "200").args(["import", path]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = scene.lake().join("events/_delta_log/00000000000000000004.json");
    eventually("some commits", 60, || log.exists().then_some(()));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let code = child.wait().unwrap().code();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("run the same command"), "{said}");
    let again = scene.run(["import", path]).succeeded();
    assert!(again.stdout.contains("taken up again at line"), "{again:?}");
    let lines = std::fs::read(path).unwrap().iter().filter(|&&byte| byte == b'\n').count();
    crate::import::assert_ledger(&scene, lines as i64);
}

#[test]
fn the_same_arguments_generate_the_same_bytes() {
    let scene = Scene::new();
    let world = |seed| {
        let args = ["generate", "--sessions", "50", "--until", "2026-03-01", "--seed", seed];
        scene.run(args).succeeded().stdout
    };
    assert_eq!(world("3"), world("3"));
    assert_ne!(world("3"), world("4"));
    assert!(world("3").lines().count() > 200);
}

#[test]
fn a_demo_ends_in_a_report_and_may_be_repeated() {
    let scene = Scene::new();
    let args = ["demo", "--no-serve", "--sessions", "400", "--until", "2026-03-01"];
    let first = scene.run(args).succeeded();
    assert!(first.stdout.starts_with("Funnel onboarding"), "{first:?}");
    assert!(first.stdout.lines().all(|line| line.chars().count() <= 100), "{first:?}");
    assert!(first.stderr.contains("accepted"), "{first:?}");
    let again = scene.run(args).succeeded();
    assert_eq!(first.stdout, again.stdout);
    let document = scene.run(["--format", "json", "report"]).succeeded().json();
    assert_eq!(document["total_sessions"], 400);
    let stages = scene.run(["--format", "csv", "report"]).succeeded().stdout;
    assert_eq!(stages.lines().count(), 6, "{stages}");
    assert!(stages.starts_with("stage,name,optional,sessions,"), "{stages}");
    let stages = scene.run(["--format", "markdown", "report"]).succeeded().stdout;
    assert!(stages.lines().all(|line| line.starts_with('|')), "{stages}");
    let rebuilt = scene.run(["--format", "json", "rebuild", "--dry-run"]).succeeded().json();
    let rebuilt = &rebuilt[0]["rebuilt"];
    let differing = ["different", "missing", "surplus"].map(|kind| rebuilt[kind].as_u64().unwrap());
    assert_eq!((differing, rebuilt["written"].as_bool()), ([0; 3], Some(false)), "{rebuilt}");
}

#[test]
fn the_readme_shows_what_the_demo_says() {
    let scene = Scene::new();
    let demo = scene.run(["demo", "--until", "2026-03-02"]).succeeded();
    let readme = std::fs::read_to_string(checkout("README.md")).unwrap();
    let (_, shown) = readme.split_once("\nFunnel onboarding").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let shown = format!("Funnel onboarding{shown}");
    assert!(
        demo.stdout.starts_with(&shown),
        "the README shows\n{shown}\nthe demo says\n{}",
        demo.stdout
    );
}

#[test]
fn statements_come_from_arguments_files_and_standard_input() {
    let scene = Scene::new();
    let events = scene.write("e.ndjson", event("1", "s|1", "session.started", TIME, "{}"));
    scene.run(["import".as_ref(), events.as_os_str()]).succeeded();
    let statement = "SELECT session_id, device, 7 AS n FROM events";
    let asked = |format: &str| scene.run(["--format", format, "sql", statement]).succeeded().stdout;
    assert_eq!(asked("csv"), "session_id,device,n\ns|1,,7\n");
    assert_eq!(asked("json"), "[{\"session_id\":\"s|1\",\"device\":null,\"n\":7}]\n");
    assert!(asked("markdown").contains("s\\|1"), "{}", asked("markdown"));
    assert!(asked("table").contains("session_id"));
    let file = scene.write("q.sql", statement);
    let args = ["--format", "csv", "sql", "-f", file.to_str().unwrap()];
    assert_eq!(scene.run(args).succeeded().stdout, asked("csv"));
    let mut command = scene.onramp();
    command.args(["--format", "csv", "sql"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(statement.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), asked("csv"));
    scene.run(["--format", "json", "sql", "SELECT id FROM events WHERE false"]).succeeded();
    scene.run(["sql", "DROP TABLE events"]).failed(1, &["SELECT"]);
    scene.run(["sql", "SELECT nothing FROM events"]).failed(1, &["nothing"]);
    scene.run(["sql"]).failed(1, &["no statement"]);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let scene = Scene::new();
    let mut command = scene.onramp();
    command.args(["generate", "--sessions", "20000", "--until", "2026-03-01"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut beginning = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut beginning).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn the_contract_can_be_read_and_files_held_against_it() {
    let scene = Scene::new();
    let types = scene.run(["--format", "json", "schema", "list"]).succeeded().json();
    assert_eq!(types.as_array().unwrap().len(), 13);
    let schema = scene.run(["schema", "show", "onboarding.approval.decided"]).succeeded().json();
    assert!(schema["properties"]["decision"].is_object(), "{schema}");
    scene.run(["schema", "show", "onboarding.nope"]).failed(1, &["schema list"]);
    let good = event("1", "s", "session.started", TIME, "{}");
    let bad = event("2", "s", "input.submitted", TIME, r#"{"characters":-1}"#);
    let huge = "x".repeat(3 << 20);
    let file = scene.write("mixed.ndjson", format!("{good}\n\n{bad}\n{huge}\n{good}"));
    let file = file.to_str().unwrap();
    let answer = scene.run(["--format", "json", "schema", "validate", file]);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let found = answer.json();
    assert_eq!(found["valid"], 2);
    assert_eq!(
        (&found["rejected"][0]["line"], &found["rejected"][1]["line"]),
        (&3.into(), &4.into())
    );
    assert_eq!(found["by_code"]["schema_violation"], 1);
    assert_eq!(found["by_code"]["too_large"], 1);
}

#[test]
fn funnels_come_from_the_program_the_lake_and_folders() {
    let scene = Scene::new();
    let builtin = scene.run(["funnel", "show", "onboarding"]).succeeded().stdout;
    std::fs::create_dir_all(scene.lake().join("funnels")).unwrap();
    std::fs::create_dir_all(scene.path("mine")).unwrap();
    let named = |name: &str| builtin.replacen("\"onboarding\"", &format!("{name:?}"), 1);
    scene.write("lake/funnels/a.toml", named("of_the_lake"));
    let replaced = builtin.replace("\"Engaged\"", "\"Busy\"");
    let file = scene.write("mine/b.toml", &replaced);
    let listed =
        scene.run(["--format", "json", "--funnels", "mine", "funnel", "list"]).succeeded().json();
    let origins: Vec<(&str, bool)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["name"].as_str().unwrap(), f["origin"].as_str().unwrap().ends_with(".toml")))
        .collect();
    assert_eq!(origins, [("of_the_lake", true), ("onboarding", true)]);
    assert_eq!(listed[1]["stages"][1], "Busy");
    scene.run(["funnel".as_ref(), "validate".as_ref(), file.as_os_str()]).succeeded();
    let broken = scene.write("broken.toml", replaced.replace("IS NOT FALSE", "IS NOT"));
    let answer = scene.run(["funnel".as_ref(), "validate".as_ref(), broken.as_os_str()]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stdout.contains("Busy"), "{answer:?}");
}

#[test]
fn the_doctor_names_what_is_wrong_and_how_to_mend_it() {
    let scene = Scene::new();
    let well = scene.run(["--format", "json", "doctor"]).succeeded().json();
    assert!(well.as_array().unwrap().iter().all(|check| check["ok"] == true), "{well}");
    assert!(!scene.lake().join("_onramp_probe/doctor").exists(), "the probe is removed");
    std::fs::create_dir(scene.path("mine")).unwrap();
    scene.write("mine/f.toml", "name = 3");
    let mut command = scene.onramp();
    command
        .env("ONRAMP__INGEST__BROKERS", "127.0.0.1:1")
        .env("ONRAMP__REPORT__TIMEZONE", "Mars/Olympus")
        .args(["--funnels", "mine", "--format", "json", "doctor"]);
    let ill = Answer::of(&mut command);
    assert_eq!(ill.code, Some(1), "{ill:?}");
    let ill = ill.json();
    let failed: Vec<&str> = ill
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["ok"] == false)
        .map(|check| {
            assert!(!check["mending"].as_str().unwrap().is_empty());
            check["check"].as_str().unwrap()
        })
        .collect();
    assert_eq!(failed, ["funnels", "time zone", "kafka"]);
}

#[test]
fn help_and_completions_are_there_for_every_command() {
    let scene = Scene::new();
    let help = scene.run(["--help"]).succeeded().stdout;
    for command in [
        "demo",
        "up",
        "ingest",
        "import",
        "generate",
        "report",
        "sql",
        "rebuild",
        "doctor",
        "schema",
        "funnel",
        "config",
        "completions",
    ] {
        assert!(help.contains(&format!("  {command}")), "{command} is not in the help");
        let own = scene.run([command, "--help"]).succeeded().stdout;
        assert!(own.contains("Usage:"), "{own}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(scene.run(["completions", shell]).succeeded().stdout.contains("onramp"), "{shell}");
    }
    let readme = std::fs::read_to_string(checkout("README.md")).unwrap();
    assert!(readme.contains("cargo run -- demo"), "the README's main command is the demo");
}
