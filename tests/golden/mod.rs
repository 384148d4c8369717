//! The golden cases, end to end: imported and reported by the binary, compared field by field.

pub mod compare;
pub mod mapping;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The folder of the case: `ONRAMP_GOLDEN_DIR`, else the copy beside this file.
fn folder() -> PathBuf {
    std::env::var_os("ONRAMP_GOLDEN_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"), PathBuf::from)
}

fn read_json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Names of the files of a folder, without their endings, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let stem = |entry: fs::DirEntry| entry.path().file_stem().unwrap().to_str().unwrap().to_owned();
    let mut names: Vec<String> = entries.map(|entry| stem(entry.unwrap())).collect();
    names.sort();
    names
}

/// Runs the binary in an empty folder, so that nobody's configuration matters.
fn onramp(workspace: &Path, namespaces: &str, arguments: &[String]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_onramp"))
        .current_dir(workspace)
        .env("ONRAMP__INGEST__NAMESPACES", namespaces)
        .args(arguments)
        .output()
        .expect("the binary was built with this test");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "onramp {arguments:?}: {}\n{error}", output.status);
    output.stdout
}

fn texts(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&argument| argument.to_owned()).collect()
}

#[test]
fn golden_reports_agree_in_every_field() {
    let case = fs::canonicalize(folder()).expect("the golden folder exists");
    let calls = read_json(&case.join("calls.json"));
    let allowed = calls["namespaces"].as_array().into_iter().flatten();
    let namespaces: Vec<&str> = allowed.filter_map(Value::as_str).collect();
    let namespaces = namespaces.join(",");
    let asked = calls["calls"].as_object().expect("calls.json has calls");
    let expected = names(&case.join("expected"));
    assert_eq!(asked.keys().cloned().collect::<Vec<_>>(), expected, "calls and expected differ");

    let workspace = tempfile::tempdir().unwrap();
    let path = |path: PathBuf| path.to_str().expect("the path is Unicode").to_owned();
    let funnels = path(case.join("funnels"));
    let lake = path(workspace.path().join("lake"));
    let common = texts(&["--lake", &lake, "--funnels", &funnels]);
    let events = path(case.join("events.ndjson"));
    let import = [common.clone(), texts(&["import", &events])].concat();
    onramp(workspace.path(), &namespaces, &import);

    let (mut compared, mut differences) = (0, Vec::new());
    for (funnel, call) in asked {
        let mut arguments = [common.clone(), texts(&["report", "--funnel", funnel])].concat();
        for (name, value) in call.as_object().expect("a call is an object") {
            let value = value.as_str().expect("arguments are texts");
            arguments.extend([format!("--{name}"), value.to_owned()]);
        }
        arguments.extend(texts(&["--format", "json"]));
        let printed = onramp(workspace.path(), &namespaces, &arguments);
        let report: Value = serde_json::from_slice(&printed).expect("one JSON document");
        let expected = read_json(&case.join("expected").join(format!("{funnel}.json")));
        let found = mapping::mapped(&report, call, &expected);
        let comparison = compare::compare(&found, &expected);
        compared += comparison.compared;
        let named = comparison.differences.iter().map(|line| format!("{funnel} {line}"));
        differences.extend(named);
    }
    println!("golden: compared {compared} values of {} reports", asked.len());
    let shown = differences.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} differences:\n{shown}", differences.len());
}
