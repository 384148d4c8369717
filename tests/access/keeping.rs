//! What is kept: hashes of tokens, an audit of administrative acts, and in no log a secret or a person.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::{Guarded, UNLIMITED, token};
use crate::support::{Scene, event};

/// The text of every file below a folder.
fn texts(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return texts };
    for entry in entries {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => texts.extend(self::texts(&path)),
            false => texts.push(std::fs::read_to_string(path).unwrap()),
        }
    }
    texts
}

#[test]
fn the_lake_keeps_hashes_of_tokens() {
    let scene = Scene::new();
    let secret = token(&scene, &["--name", "grafana", "--role", "viewer", "--expires", "90d"]);
    let kept = texts(&scene.lake().join("_access"));
    assert_eq!(kept.len(), 2, "the token and the act: {kept:?}");
    let last = secret.rsplit('_').next().unwrap();
    assert!(last.len() >= 32 && kept.iter().all(|text| !text.contains(last)), "{kept:?}");
    let listed = scene.run(["--format", "json", "token", "list"]).succeeded().json();
    let id = secret.split('_').nth(1).unwrap();
    assert_eq!((&listed[0]["id"], &listed[0]["state"]), (&id.into(), &"valid".into()));
    assert!(!listed.to_string().contains(last));
    scene.run(["token", "revoke", "nobody"]).failed(1, &["nobody"]);
    let create =
        |more: &[&str]| scene.run(["token", "create", "--name", "x", "--role"].iter().chain(more));
    create(&["root"]).failed(2, &["viewer, analyst or admin"]);
    create(&["viewer", "--expires", "soon"]).failed(2, &["90d"]);
}

#[test]
fn every_administrative_act_is_kept() {
    let scene = Scene::new();
    scene.run(["demo", "--no-serve", "--sessions", "50", "--until", "2026-03-01"]).succeeded();
    let acts = || {
        let kept = texts(&scene.lake().join("_access/audit")).into_iter();
        let mut acts: Vec<(String, String)> = kept
            .map(|text| {
                let act: Value = serde_json::from_str(&text).unwrap();
                assert!(act["actor"].as_str().unwrap().starts_with("cli/"), "{text}");
                assert!(!text.contains("user-"), "no person is named: {text}");
                (act["at"].to_string(), act["act"].as_str().unwrap().to_owned())
            })
            .collect();
        acts.sort();
        acts.into_iter().map(|(_, act)| act).collect::<Vec<_>>()
    };
    assert_eq!(acts(), Vec::<String>::new());
    let user =
        "SELECT user_id FROM events WHERE client_id = 'acme' AND user_id IS NOT NULL LIMIT 1";
    let user = scene.sql(user)[0]["user_id"].as_str().unwrap().to_owned();
    let person = ["forget", "--client-id", "acme", "--user", &user];
    for command in [&["compact"][..], &["vacuum"], &["rebuild"], &person] {
        scene.run(command.iter().chain(&["--dry-run"])).succeeded();
    }
    assert_eq!(acts(), Vec::<String>::new(), "a look is no act");
    for command in [&["compact"][..], &["vacuum"], &["rebuild"], &person] {
        scene.run(command).succeeded();
    }
    let secret = token(&scene, &["--name", "x", "--role", "viewer"]);
    scene.run(["token", "revoke", secret.split('_').nth(1).unwrap()]).succeeded();
    let expected = ["compact", "vacuum", "rebuild", "forget", "token.create", "token.revoke"];
    assert_eq!(acts(), expected);
}

#[test]
fn no_log_holds_a_secret_or_a_person() {
    let guarded = Guarded::with(UNLIMITED);
    let scene = &guarded.scene;
    let analyst = guarded.token(&["--name", "bi", "--role", "analyst"]);
    let person = "ada.lovelace@example.org";
    let named = event("1", "s-private", "input.submitted", "2026-03-01T10:00:00Z", "{}");
    let named = named.replacen('{', &format!(r#"{{"userid":"{person}","#), 1);
    let broken = named.replace("\"data\":{}", "\"data\":{\"step\":7}");
    scene.write("persons.ndjson", [named.as_str(), &broken, &broken[..90], ""].join("\n"));
    let mut said = String::new();
    for command in [
        &["import", "persons.ndjson"][..],
        &["rebuild"],
        &["report"],
        &["forget", "--client-id", "acme", "--user", person],
        &["token", "list"],
        &["config", "show"],
    ] {
        let mut run = scene.onramp();
        run.args(command).env("ONRAMP__LOG__FILTER", "debug").stdout(Stdio::null());
        said.push_str(&String::from_utf8(run.output().unwrap().stderr).unwrap());
    }
    let forged = "onr_11111111_forgedforgedforged";
    for shown in [analyst.as_str(), forged] {
        guarded.ask(("POST", "/api/v1/sql"), Some(shown));
        guarded.ask(("GET", "/api/v1/onboarding/analytics/sessions?user_id=ada"), Some(shown));
        guarded.psql(shown, &format!("SELECT '{person}'"));
    }
    said.push_str(&guarded.log());
    assert!(said.contains("login refused") && said.lines().count() > 20, "much was said: {said}");
    let key = std::fs::read_to_string(scene.path("server.key")).unwrap();
    let key = key.lines().nth(1).unwrap();
    for secret in [person, &analyst, &guarded.admin, forged, key] {
        let line = said.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
