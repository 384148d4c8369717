//! What users get wrong, and what machines do to them: a clear message with a next step each time.

use crate::support::{Answer, Scene, event};

const TIME: &str = "2026-03-01T10:00:00Z";

fn one_event(scene: &Scene) -> std::path::PathBuf {
    scene.write("e.ndjson", event("1", "s", "session.started", TIME, "{}"))
}

#[test]
fn a_lake_that_cannot_be_written() {
    let scene = Scene::new();
    let file = one_event(&scene);
    let below_a_file = scene.write("occupied", "").join("lake");
    let mut import = scene.onramp();
    import.arg("--lake").arg(&below_a_file).arg("import").arg(&file);
    let mut import = std::process::Command::new(import.get_program());
    import
        .arg("--lake")
        .arg(&below_a_file)
        .arg("import")
        .arg(&file)
        .env("HOME", scene.path("home"));
    Answer::of(&mut import).failed(1, &["occupied"]);
}

#[test]
fn a_full_disk_loses_nothing_and_says_so() {
    let scene = Scene::new();
    let path = scene.path("events.ndjson");
    let generated = ["generate", "--sessions", "3000", "--until", "2026-03-01", "--to"];
    scene.run(generated.iter().map(AsRef::as_ref).chain([path.as_os_str()])).succeeded();
    // A limit on file size behaves as a full disk does, without needing one: writes fail midway.
    let mut limited = std::process::Command::new("bash");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" --lake \"$1\" import \"$2\""])
        .arg(env!("CARGO_BIN_EXE_onramp"))
        .arg(scene.lake())
        .arg(&path)
        .env("HOME", scene.path("home"));
    Answer::of(&mut limited).failed(1, &["File too large"]);
    scene.run(["import".as_ref(), path.as_os_str()]).succeeded();
    let lines = std::fs::read(&path).unwrap().iter().filter(|&&b| b == b'\n').count() as i64;
    crate::import::assert_ledger(&scene, lines);
}

#[test]
fn a_lake_written_by_a_newer_version() {
    let scene = Scene::new();
    let file = one_event(&scene);
    scene.run(["import".as_ref(), file.as_os_str()]).succeeded();
    let log = scene.lake().join("events/_delta_log");
    let commits = std::fs::read_dir(&log).unwrap().count();
    let newer = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}"#;
    std::fs::write(log.join(format!("{commits:020}.json")), newer).unwrap();
    let more = scene.write("more.ndjson", event("2", "s", "session.started", TIME, "{}"));
    scene.run(["import".as_ref(), more.as_os_str()]).failed(1, &["newer"]);
}

#[test]
fn a_funnel_file_with_a_typo() {
    let scene = Scene::new();
    let file = one_event(&scene);
    scene.run(["import".as_ref(), file.as_os_str()]).succeeded();
    let funnels = scene.path("funnels");
    std::fs::create_dir(&funnels).unwrap();
    let good = std::fs::read_to_string(crate::support::checkout("schemas/funnels/onboarding.toml"))
        .unwrap();
    for (wrong, words) in [
        (good.replacen("[[stages]]\nname", "[[stages]]\nnaem", 1), vec!["broken.toml", "naem"]),
        (good.replace("meaningful IS NOT FALSE", "meaningful IS NOT"), vec!["Engaged"]),
        (good.replace("order = \"ordered\"", "order = \"sorted\""), vec!["broken.toml", "sorted"]),
    ] {
        std::fs::write(funnels.join("broken.toml"), wrong).unwrap();
        let args = ["--funnels".as_ref(), funnels.as_os_str(), "report".as_ref()];
        scene.run(args).failed(1, &words);
    }
}

#[test]
fn files_that_are_not_there_or_not_what_they_seem() {
    let scene = Scene::new();
    scene.run(["import", "nothing.ndjson"]).failed(1, &["nothing.ndjson"]);
    scene.run(["import", "."]).failed(1, &["folder"]);
    scene.write("rows.csv", "a,b\n1,2\n");
    scene.run(["import", "rows.csv"]).failed(1, &["--mapping"]);
    let mapping = crate::support::checkout("examples/permit-intake/mapping.toml");
    let mapped =
        ["import".as_ref(), "rows.csv".as_ref(), "--mapping".as_ref(), mapping.as_os_str()];
    scene.run(mapped).failed(1, &["rows.csv", "case:concept:name", "mapping"]);
    scene.run(["report"]).failed(1, &["import"]);
    scene.run(["import"]).failed(2, &["FILE"]);
}

#[test]
fn an_address_that_everybody_could_reach() {
    let scene = Scene::new();
    scene.run(["up", "--listen", "0.0.0.0:0"]).failed(1, &["loopback"]);
}
