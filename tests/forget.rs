//! `onramp forget`: a person is gone from every file, and nobody else is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use onramp_compute::maintenance;
use onramp_lake::{Lake, StoreSettings};
use onramp_schemas::clock::{Clock, FixedClock, SystemClock};
use serde_json::{Value, json};

use crate::support::Scene;

const HOUR: i64 = 3_600_000_000;

/// A world with one person in it who is to be forgotten: the lines of all, and of all the others.
struct World {
    client: String,
    user: String,
    session: String,
    everybody: String,
    others: String,
}

fn world(scene: &Scene) -> World {
    let world = ["generate", "--sessions", "120", "--until", "2026-03-01", "--to", "-"];
    let made = scene.run(world).succeeded().stdout;
    let mut events: Vec<Value> =
        made.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let place = |event: &Value| {
        let member = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        (member("clientid"), member("userid"), member("subject"))
    };
    let mut sizes: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    for event in &events {
        *sizes.entry(place(event)).or_default() += 1;
    }
    let named = sizes.iter().filter(|((_, user, _), _)| !user.is_empty());
    let ((client, user, session), _) = named.max_by_key(|(_, size)| **size).unwrap();
    let mut kept: Vec<Value> = Vec::new();
    let (mut nameless, mut shared) = (false, false);
    for event in &mut events {
        let (of_client, of_user, of_session) = place(event);
        if (&of_client, &of_session) == (client, session) {
            if !nameless {
                event.as_object_mut().unwrap().remove("userid");
                nameless = true;
            }
        } else if of_client == *client && !shared && !of_user.is_empty() {
            event["userid"] = json!(user);
            shared = true;
        } else {
            kept.push(event.clone());
        }
    }
    assert!(nameless && shared);
    let lines =
        |events: &[Value]| events.iter().map(|event| format!("{event}\n")).collect::<String>();
    let letters = format!(
        "{{\"specversion\":\"1.0\",\"clientid\":\"{client}\",\"userid\":\"{user}\"}}\n\
         {{\"userid\":\"{user}\",\"broken\n{{\"userid\":\"{user}1\",\"broken\n"
    );
    World {
        client: client.clone(),
        user: user.clone(),
        session: session.clone(),
        everybody: lines(&events) + &letters,
        others: lines(&kept),
    }
}

fn imported(scene: &Scene, lines: &str) {
    let file = scene.write("events.ndjson", lines);
    scene.run(["import", file.to_str().unwrap()]).succeeded();
}

/// The figures of a report, without what says from which records they come.
fn figures(scene: &Scene) -> Value {
    let report = ["--format", "json", "report", "--as-of", "2026-02-28", "--segment-by", "device"];
    let mut report = scene.run(report).succeeded().json();
    for name in ["positions", "report_id", "data_quality"] {
        report.as_object_mut().unwrap().remove(name).unwrap();
    }
    report
}

fn rows(scene: &Scene, statement: &str) -> i64 {
    scene.sql(&format!("SELECT count(*) AS n FROM {statement}"))[0]["n"].as_i64().unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push(path),
        }
    }
    all
}

/// Files in which a text stands by itself or as a text of some JSON.
fn holding(scene: &Scene, text: &str) -> Vec<PathBuf> {
    let quoted = format!("\"{text}\"");
    let holds = |path: &PathBuf| {
        if path.extension().is_none_or(|it| it != "parquet") {
            return String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains(&quoted);
        }
        let file = std::fs::File::open(path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        reader.map(Result::unwrap).any(|batch| {
            let texts = batch.columns().iter().filter_map(|it| cast(it, &DataType::Utf8).ok());
            texts.into_iter().any(|column| {
                let mut values = column.as_string::<i32>().iter().flatten();
                values.any(|value| value == text || value.contains(&quoted))
            })
        })
    };
    files(&scene.lake()).into_iter().filter(holds).collect()
}

#[test]
fn a_person_is_gone_from_every_file_and_the_others_keep_their_numbers() {
    let scene = Scene::new();
    let World { client, user, session, everybody, others } = world(&scene);
    imported(&scene, &everybody);
    figures(&scene);
    assert!(holding(&scene, &user).len() > 1);
    let forget = ["--format", "json", "forget", "--client-id", &client, "--user", &user];
    let before = (rows(&scene, "events"), rows(&scene, "sessions"), rows(&scene, "dead_letters"));

    let dry = scene.run(forget.iter().chain(&["--dry-run"])).succeeded().json();
    assert_eq!(rows(&scene, "events"), before.0);
    let done = scene.run(forget).succeeded().json();
    assert_eq!(dry, done);
    let gone: BTreeMap<&str, i64> = done
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["table"].as_str().unwrap(), it["rows"].as_i64().unwrap()))
        .collect();
    assert_eq!(gone["dead_letters"], 2, "{done}");
    assert_eq!(gone["sessions"], 2, "theirs, and the one that they share: {done}");
    assert!(gone["events"] > 2, "{done}");
    assert_eq!(rows(&scene, "events"), before.0 - gone["events"]);
    assert_eq!(rows(&scene, "dead_letters"), before.2 - 2);
    assert_eq!(rows(&scene, &format!("events WHERE session_id = '{session}'")), 0);

    let other = Scene::new();
    imported(&other, &others);
    assert_eq!(figures(&scene), figures(&other));
    assert_eq!(rows(&scene, "sessions"), before.1 - 1);
    let again = scene.run(forget).succeeded().json();
    assert!(again.as_array().unwrap().iter().all(|it| it["rows"] == 0), "{again}");

    // As a vacuum does that runs when the retention is over.
    let clock = Arc::new(FixedClock(SystemClock.now() + 7 * HOUR));
    let settings = StoreSettings { clock, ..StoreSettings::default() };
    let lake = Lake::open(scene.lake().to_str().unwrap(), &settings).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(maintenance::vacuum(&lake, false)).unwrap();
    for trace in [&user, &session] {
        assert_eq!(holding(&scene, trace), Vec::<PathBuf>::new(), "{trace} is left");
    }
    assert_eq!(figures(&scene), figures(&other));
}

#[test]
fn nobody_is_forgotten_by_a_wrong_name() {
    let scene = Scene::new();
    imported(&scene, &world(&scene).everybody);
    let before = rows(&scene, "events");
    let answer = scene.run(["forget", "--client-id", "nobody", "--user", "x"]).succeeded();
    assert!(answer.stderr.contains("nothing names this person"), "{answer:?}");
    assert_eq!(rows(&scene, "events"), before);
    let empty = scene.run(["forget", "--client-id", "acme", "--user", ""]);
    assert_eq!(empty.code, Some(1));
    assert!(empty.stderr.contains("--user is empty"), "{empty:?}");
}

#[test]
fn with_a_key_people_are_kept_by_pseudonyms_and_forgotten_by_their_names() {
    let scene = Scene::new();
    let World { client, user, everybody, .. } = world(&scene);
    scene.write("pseudonyms.key", "0123456789abcdef".repeat(4));
    scene.write("onramp.toml", "[privacy]\npseudonym_key_file = \"pseudonyms.key\"\n");
    imported(&scene, &everybody);
    let named = "events WHERE user_id IS NOT NULL";
    assert!(rows(&scene, named) > 0);
    assert_eq!(rows(&scene, &format!("{named} AND NOT starts_with(user_id, 'p_')")), 0);
    // What could not be understood is kept as it came, so that it can be taken in again.
    let letters = scene.lake().join("dead_letters");
    assert!(holding(&scene, &user).iter().all(|path| path.starts_with(&letters)));
    let forget = ["--format", "json", "forget", "--client-id", &client, "--user", &user];
    let gone = scene.run(forget).succeeded().json();
    let of = |document: &Value| -> BTreeMap<String, i64> {
        let tables = document.as_array().unwrap().iter();
        tables
            .map(|it| (it["table"].as_str().unwrap().to_owned(), it["rows"].as_i64().unwrap()))
            .collect()
    };
    assert!(of(&gone).values().all(|rows| *rows > 0), "{gone}");
    assert!(of(&scene.run(forget).succeeded().json()).values().all(|rows| *rows == 0));

    scene.write("pseudonyms.key", "short");
    scene.run(["import", "events.ndjson"]).failed(1, &["pseudonyms.key", "openssl rand -hex 32"]);
}
