//! Importing files: every line ends in exactly one table, whatever happens on the way.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::support::{Scene, event, eventually};

const TIME: &str = "2026-03-01T10:00:00Z";

/// Every line of the scene's imports is in one of the three tables, once.
pub fn assert_ledger(scene: &Scene, lines: i64) {
    let rows = scene.sql(
        "WITH ledger AS (
           SELECT source_partition, sequence AS first, sequence AS last FROM events
           UNION ALL SELECT source_partition, sequence, sequence AS last FROM dead_letters
           UNION ALL SELECT source_partition, first_sequence, last_sequence FROM duplicates)
         SELECT sum(last - first + 1) AS lines, count(*) AS ranges,
                count(DISTINCT concat(source_partition, ':', first)) AS distinct_ranges FROM ledger",
    );
    assert_eq!(rows[0]["lines"], json!(lines), "{rows:?}");
    assert_eq!(rows[0]["ranges"], rows[0]["distinct_ranges"], "{rows:?}");
}

#[test]
fn every_rejection_code_goes_from_bytes_to_a_dead_letter() {
    let good = |id: &str| event(id, "s", "input.submitted", TIME, r#"{"step":"a"}"#);
    let mut cases: Vec<(&str, Vec<u8>)> = vec![
        ("malformed_json", b"{\"id\": ".to_vec()),
        ("malformed_json", b"{\"id\": \"\xFF\"}".to_vec()),
        ("malformed_json", format!("{}1{}", "[".repeat(5000), "]".repeat(5000)).into_bytes()),
        ("malformed_json", good("d").replace("\"id\"", "\"id\":\"x\",\"id\"").into_bytes()),
        ("not_cloudevents", b"[]".to_vec()),
        ("not_cloudevents", good("").into_bytes()),
        ("unknown_type", good("u").replace("onboarding.input", "com.else.input").into_bytes()),
        ("unsupported_version", good("v").replace("\"1.0\"", "\"0.3\"").into_bytes()),
        ("schema_violation", good("w").replace("\"a\"", "17").into_bytes()),
        ("missing_session", good("m").replace("\"subject\":\"s\"", "\"x\":1").into_bytes()),
        ("bad_timestamp", good("t").replace(TIME, "yesterday").into_bytes()),
        ("from_the_future", good("f").replace("2026-03", "9999-03").into_bytes()),
        ("too_old", good("o").replace("2026-03", "0001-03").into_bytes()),
    ];
    cases.push(("too_large", vec![b'x'; (1 << 20) + 1]));
    let mut file = good("1").into_bytes();
    for (_, bytes) in &cases {
        file.push(b'\n');
        file.extend_from_slice(bytes);
    }
    let scene = Scene::new();
    let path = scene.write("events.ndjson", &file);
    let mut import = scene.onramp();
    import.env("ONRAMP__INGEST__HORIZON_SECONDS", "3153600000").arg("--format").arg("json");
    import.arg("import").arg("--strict").arg(&path);
    let answer = crate::support::Answer::of(&mut import);
    assert_eq!(answer.code, Some(3), "--strict tells of rejections: {answer:?}");

    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    cases.iter().for_each(|(code, _)| *expected.entry(code).or_default() += 1);
    let summary = answer.json();
    assert_eq!((&summary["accepted"], &summary["rejected"]), (&json!(1), &json!(expected)));
    let letters = scene.sql(
        "SELECT code, kind, sequence, raw_bytes, raw_sha256, message FROM dead_letters ORDER BY sequence",
    );
    let found: Vec<(&str, i64)> = letters
        .iter()
        .map(|l| (l["code"].as_str().unwrap(), l["sequence"].as_i64().unwrap()))
        .collect();
    let lines: Vec<(&str, i64)> = cases.iter().map(|(code, _)| *code).zip(2..).collect();
    assert_eq!(found, lines);
    for (letter, (_, bytes)) in letters.iter().zip(&cases) {
        assert_eq!(letter["raw_bytes"], json!(bytes.len()), "{letter}");
        let hash: String = sha256(bytes);
        assert_eq!(letter["raw_sha256"], json!(hash), "{letter}");
        assert!(!letter["message"].as_str().unwrap().is_empty());
    }
    assert_ledger(&scene, 1 + cases.len() as i64);
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn resends_are_dropped_and_accounted_for() {
    let scene = Scene::new();
    let first = event("1", "s", "session.started", TIME, "{}");
    let other = event("2", "s", "input.submitted", TIME, "{}");
    let differs = event("1", "s", "session.started", TIME, r#"{"channel":"app"}"#);
    let path = scene.write("e.ndjson", [&*first, &first, "", &other, &first, &differs].join("\n"));
    let answer = scene.run(["import".as_ref(), path.as_os_str()]).succeeded();
    assert!(answer.stdout.contains("accepted 2, duplicate 3, rejected 0"), "{answer:?}");
    let runs = scene
        .sql("SELECT first_sequence, last_sequence, content_differs FROM duplicates ORDER BY 1");
    let run = |first, last, differs| json!({"first_sequence": first, "last_sequence": last, "content_differs": differs});
    assert_eq!(runs, [run(2, 2, false), run(5, 5, false), run(6, 6, true)]);
    assert_ledger(&scene, 5);
}

#[test]
fn a_finished_import_is_a_no_op_and_other_content_is_another_import() {
    let scene = Scene::new();
    let path = scene.write("e.ndjson", event("1", "s", "session.started", TIME, "{}"));
    let import =
        || scene.run(["--format".as_ref(), "json".as_ref(), "import".as_ref(), path.as_os_str()]);
    assert_eq!(import().succeeded().json()["accepted"], json!(1));
    let again = import().succeeded().json();
    assert_eq!(
        (&again["accepted"], again["already_imported"].as_array().unwrap().len()),
        (&json!(0), 1)
    );
    std::fs::write(&path, event("2", "s", "input.submitted", TIME, "{}")).unwrap();
    assert_eq!(import().succeeded().json()["accepted"], json!(1));
    assert_eq!(scene.sql("SELECT count(*) AS n FROM events"), [json!({"n": 2})]);
}

#[test]
fn standard_input_is_a_file_too() {
    let scene = Scene::new();
    let path = scene.write("e.ndjson", event("1", "s", "session.started", TIME, "{}"));
    for accepted in [1, 0] {
        let mut command = scene.onramp();
        command.args(["--format", "json", "import", "-"]);
        command.stdin(std::fs::File::open(&path).unwrap());
        let answer = crate::support::Answer::of(&mut command).succeeded();
        assert_eq!(answer.json()["accepted"], json!(accepted));
    }
}

#[test]
fn an_import_that_was_killed_goes_on_where_the_lake_stands() {
    let scene = Scene::new();
    let path = scene.path("events.ndjson");
    let generated = ["generate", "--sessions", "20000", "--until", "2026-03-01", "--to"];
    scene.run(generated.iter().map(AsRef::as_ref).chain([path.as_os_str()])).succeeded();
    let lines = std::fs::read(&path).unwrap().iter().filter(|&&b| b == b'\n').count() as i64;

    let mut kills = 0;
    for attempt in 1..=4 {
        let mut import = scene.onramp();
        import.env("ONRAMP__INGEST__FLUSH_ROWS", "5000").arg("import").arg(&path);
        let mut child = import.stdout(std::process::Stdio::null()).spawn().unwrap();
        let log = scene.lake().join("events/_delta_log");
        let goal = attempt * 3;
        let killed = eventually("a few commits, or the end", 120, || {
            if child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let commits = std::fs::read_dir(&log).map_or(0, Iterator::count);
            (commits > goal).then_some(true)
        });
        if killed {
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
        }
    }
    assert!(kills > 0, "the import was over before it could be killed");
    scene.run(["import".as_ref(), path.as_os_str()]).succeeded();
    assert_ledger(&scene, lines);

    let straight = Scene::new();
    straight.run(["import".as_ref(), path.as_os_str()]).succeeded();
    let rows = "SELECT client_id, source, id, session_id, event_type, occurred_at, data, sequence
                FROM events ORDER BY sequence LIMIT 200000";
    assert_eq!(digest(&scene, rows), digest(&straight, rows));
}

/// A statement's answer, short enough to be shown when it differs.
fn digest(scene: &Scene, statement: &str) -> (usize, u64) {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let rows: Vec<Value> = scene.sql(statement);
    let mut hasher = DefaultHasher::new();
    rows.iter().for_each(|row| row.to_string().hash(&mut hasher));
    (rows.len(), hasher.finish())
}

#[test]
fn csv_rows_become_events_and_a_broken_row_a_dead_letter() {
    let scene = Scene::new();
    let mapping = scene.write(
        "mapping.toml",
        std::fs::read(crate::support::checkout("examples/permit-intake/mapping.toml")).unwrap(),
    );
    let rows = "case:channel,case:concept:name,case:department,case:responsible,concept:name,org:group,org:resource,time:timestamp\n\
        Internet,case-1,General,R1,Confirmation of receipt,Group 1,R2,2011-10-11 13:45:40.276000+02:00\n\
        Internet,case-1,General\n\
        Desk,case-2,General,R1,\"T02 Check, confirmation of receipt\",Group 1,R2,2011-10-12 08:26:25+02:00\n\
        Desk,case-3,General,R1,\"never closed,Group 1,R2,2011-10-12 08:26:25+02:00\n\
        Post,case-4,General,R1,Confirmation of receipt,Group 1,R2,yesterday\n\
        Post,case-5,General,R1,Confirmation of receipt,Group 1,R2,2011-10-13 08:26:25.5+01:00\n";
    let path = scene.write("permits.csv", rows);
    let answer = scene
        .run([
            "--format".as_ref(),
            "json".as_ref(),
            "import".as_ref(),
            path.as_os_str(),
            "--mapping".as_ref(),
            mapping.as_os_str(),
            "--namespace".as_ref(),
            "org.coselog".as_ref(),
        ])
        .succeeded();
    assert_eq!(answer.json()["accepted"], json!(3), "{answer:?}");
    let letters = scene.sql("SELECT sequence, message FROM dead_letters ORDER BY sequence");
    let lines: Vec<i64> = letters.iter().map(|l| l["sequence"].as_i64().unwrap()).collect();
    assert_eq!(lines, [3, 5, 6], "{letters:?}");
    assert_ledger(&scene, 6);
}
