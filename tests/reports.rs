//! Reports given again: to the byte, whatever happened to the lake since.

use std::path::PathBuf;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{Answer, Scene, event};

const AS_OF: &str = "2026-02-20T12:00:00Z";

/// A lake of some hundred sessions, of which the last days are imported later.
fn lake() -> (Scene, PathBuf) {
    let scene = Scene::new();
    let all = scene.path("all.ndjson");
    let generated = ["generate", "--sessions", "400", "--until", "2026-03-01", "--to"];
    scene.run(generated.iter().map(AsRef::as_ref).chain([all.as_os_str()])).succeeded();
    let text = std::fs::read_to_string(&all).expect("the generated events");
    let (mut early, mut late) = (String::new(), String::new());
    for line in text.lines() {
        let time = serde_json::from_str::<Value>(line).ok();
        let time = time.and_then(|event| event["time"].as_str().map(str::to_owned));
        // Broken lines come with the rest.
        let is_late = time.is_none_or(|time| time.as_str() >= "2026-02-21");
        let part = if is_late { &mut late } else { &mut early };
        *part += line;
        part.push('\n');
    }
    import(&scene, "early.ndjson", &early);
    let late = scene.write("late.ndjson", late);
    (scene, late)
}

fn import(scene: &Scene, name: &str, lines: &str) {
    let path = scene.write(name, lines);
    scene.run(["import".as_ref(), path.as_os_str()]).succeeded();
}

fn report(scene: &Scene, arguments: &[&str]) -> Answer {
    scene.run(["--format", "json", "report"].iter().chain(arguments)).succeeded()
}

fn id(report: &Answer) -> String {
    report.json()["report_id"].as_str().expect("a report has an id").to_owned()
}

/// Appends later events, resends, rejected lines and, if so asked, an event before the as-of instant;
/// lays the files out anew, derives the sessions anew.
fn go_on(scene: &Scene, late: &std::path::Path, with_old: bool) {
    scene.run(["import".as_ref(), late.as_os_str()]).succeeded();
    let resent = std::fs::read_to_string(scene.path("early.ndjson")).expect("written above");
    let mut lines: Vec<&str> = resent.lines().take(50).collect();
    let old = event("old-1", "old", "session.started", "2026-02-18T09:00:00Z", "{}");
    if with_old {
        lines.push(&old);
    }
    import(scene, "resent.ndjson", &lines.join("\n"));
    scene.run(["compact"]).succeeded();
    scene.run(["rebuild"]).succeeded();
}

#[test]
fn a_kept_report_is_given_again_to_the_byte() {
    let (scene, late) = lake();
    let asked = ["--segment-by", "device,client_id", "--timezone", "Europe/Berlin"];
    let first = report(&scene, &asked);
    let id = id(&first);
    let rows = scene.sql("SELECT * FROM reports");
    assert_eq!((rows.len(), rows[0]["report_id"].as_str()), (1, Some(&*id)));
    let digest = Sha256::digest(first.stdout.as_bytes());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(rows[0]["document_sha256"], digest);
    assert_eq!(report(&scene, &asked).stdout, first.stdout, "nothing happened in between");
    assert_eq!(scene.sql("SELECT * FROM reports").len(), 1, "the same report is kept once");

    go_on(&scene, &late, true);
    let now = report(&scene, &asked);
    assert_ne!(now.stdout, first.stdout, "much has happened in between");
    let again = |id: &str| report(&scene, &["--reproduce", id]).stdout;
    assert_eq!(again(&id), first.stdout);
    // What is derived does not matter, nor do later reports.
    std::fs::remove_dir_all(scene.lake().join("sessions")).expect("the table of sessions");
    assert_eq!(again(&id), first.stdout);
    assert_eq!(again(&self::id(&now)), now.stdout);
}

#[test]
fn a_kept_report_rests_on_the_funnel_as_it_was() {
    let (scene, _) = lake();
    let funnels = scene.path("funnels");
    std::fs::create_dir(&funnels).unwrap();
    let text = std::fs::read_to_string(crate::support::checkout("schemas/funnels/onboarding.toml"))
        .unwrap()
        .replace("name = \"onboarding\"", "name = \"mine\"");
    std::fs::write(funnels.join("mine.toml"), &text).unwrap();
    let asked = ["--funnels", funnels.to_str().unwrap(), "--funnel", "mine"];
    let first = report(&scene, &asked);
    std::fs::write(funnels.join("mine.toml"), text.replace("\"ordered\"", "\"strict\"")).unwrap();
    assert_ne!(id(&report(&scene, &asked)), id(&first));
    std::fs::remove_dir_all(&funnels).unwrap();
    assert_eq!(report(&scene, &["--reproduce", &id(&first)]).stdout, first.stdout);
}

#[test]
fn a_report_as_of_an_instant_stays_after_later_events() {
    let (scene, late) = lake();
    let asked = ["--as-of", AS_OF, "--segment-by", "device"];
    let first = report(&scene, &asked);
    go_on(&scene, &late, false);
    assert_eq!(report(&scene, &asked).stdout, first.stdout);
    // An event that came late but happened before is news.
    import(
        &scene,
        "old.ndjson",
        &event("o", "old", "session.started", "2026-02-18T09:00:00Z", "{}"),
    );
    let now = report(&scene, &asked);
    let sessions = |report: &Answer| report.json()["total_sessions"].as_u64();
    assert_eq!(sessions(&now), sessions(&first).map(|sessions| sessions + 1));
    assert_eq!(report(&scene, &asked).stdout, now.stdout);
    assert_eq!(report(&scene, &["--reproduce", &id(&first)]).stdout, first.stdout);
}

#[test]
fn a_report_that_is_not_kept_is_refused() {
    let scene = Scene::new();
    scene.run(["report", "--reproduce", "0123"]).failed(1, &["0123", "FROM reports"]);
    let (scene, _) = lake();
    report(&scene, &[]);
    scene.run(["report", "--reproduce", "0123"]).failed(1, &["0123", "FROM reports"]);
    scene.run(["report", "--reproduce", "0123", "--as-of", AS_OF]).failed(2, &["--as-of"]);
}
