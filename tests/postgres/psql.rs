//! `psql`: statements, `\d` and its kin, errors, transactions.

use serde_json::json;

use super::Wire;

#[test]
fn statements_say_what_onramp_sql_says() {
    let wire = Wire::start();
    for statement in [
        "SELECT event_type, count(*) AS n FROM events GROUP BY event_type ORDER BY event_type",
        "SELECT client_id, count(DISTINCT session_id) AS n FROM events GROUP BY 1 ORDER BY 1",
        "SELECT count(*) AS n, sum(sequence) AS total FROM events WHERE channel IS NOT NULL",
        "SELECT code, count(*) AS n FROM dead_letters GROUP BY code ORDER BY code",
    ] {
        let rows = wire.scene.sql(statement);
        // Out of JSON columns come in the order of their names.
        let columns: Vec<&str> = rows
            .first()
            .map_or(vec!["1"], |row| row.as_object().unwrap().keys().map(|k| &**k).collect());
        let mut expected: Vec<String> = rows
            .iter()
            .map(|row| {
                let values = row.as_object().unwrap().values();
                let text =
                    values.map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
                text.collect::<Vec<_>>().join("|")
            })
            .collect();
        let told = wire.ask(&format!("SELECT {} FROM ({statement})", columns.join(", ")));
        let mut told: Vec<&str> = told.lines().collect();
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected, "{statement}");
    }
    assert_eq!(wire.stop(), Some(0));
}

#[test]
fn values_have_their_types() {
    let wire = Wire::start();
    for (expression, kind, text) in [
        (
            "TIMESTAMP '2026-03-01 10:00:00.5'",
            "timestamp without time zone",
            "2026-03-01 10:00:00.500000",
        ),
        ("DATE '2026-03-01'", "date", "2026-03-01"),
        ("1.5::double precision", "double precision", "1.5"),
        ("7::bigint", "bigint", "7"),
        ("arrow_cast('18446744073709551615', 'UInt64')", "numeric", "18446744073709551615"),
        ("12.50::decimal(10,2)", "numeric", "12.50"),
        ("[1, 2, NULL]", "bigint[]", "{1,2,NULL}"),
        ("['a', 'b c']", "text[]", "{a,\"b c\"}"),
        ("arrow_cast('ab', 'Binary')", "bytea", "\\x6162"),
        ("true", "boolean", "t"),
        ("NULL::bigint", "bigint", ""),
        ("INTERVAL '1 day 2 hours'", "interval", "1 day 02:00:00"),
        ("CASE WHEN false THEN INTERVAL '1 day' END", "interval", ""),
    ] {
        let statement = format!("SELECT {expression} AS v");
        assert_eq!(wire.ask(&statement), text, "{expression}");
        let file = wire.scene.write("type.sql", format!("{statement} \\gdesc"));
        let described = wire.psql(&["-At", "-f", file.to_str().unwrap()]).succeeded();
        assert_eq!(described.stdout.trim_end(), format!("v|{kind}"), "{expression}");
    }
    let first = "SELECT occurred_at FROM events ORDER BY occurred_at, id LIMIT 1";
    let seen = wire.ask(first);
    assert!(seen.ends_with("+00"), "times tell their offset: {seen}");
    let told = wire.scene.sql(first)[0]["occurred_at"].as_str().unwrap().to_owned();
    assert_eq!(seen.replace(' ', "T")[..19], told[..19], "{seen}, {told}");
}

#[test]
fn a_look_around_shows_views_columns_and_what_they_mean() {
    let wire = Wire::start();
    let list = wire.psql(&["-At", "-c", "\\d"]).succeeded().stdout;
    for view in ["events", "sessions", "dead_letters", "duplicates"] {
        assert!(list.contains(&format!("public|{view}|")), "{view}: {list}");
    }
    assert!(!list.contains("pg_catalog"), "{list}");
    assert_eq!(wire.psql(&["-At", "-c", "\\dt"]).succeeded().stdout, list);
    let columns = wire.psql(&["-At", "-c", "\\d events"]).succeeded().stdout;
    assert!(columns.contains("occurred_at|timestamp with time zone||not null"), "{columns}");
    assert!(columns.contains("event_type|text||not null"), "{columns}");
    let sessions = wire.psql(&["-At", "-c", "\\d sessions"]).succeeded().stdout;
    assert!(sessions.contains("[]"), "lists are arrays: {sessions}");
    for (table, column) in [
        ("events", "occurred_at"),
        ("sessions_onboarding", "dwell_seconds"),
        ("funnel_daily", "mature_reached"),
    ] {
        let meaning = wire.psql(&["-At", "-c", &format!("\\d+ {table}")]).succeeded().stdout;
        let doc = onramp_doc(table, column);
        assert!(meaning.contains(&doc), "{doc}: {meaning}");
    }
    assert!(wire.psql(&["-At", "-c", "\\dt+"]).succeeded().stdout.contains("public|events"));
    let databases = wire.psql(&["-At", "-c", "\\l"]).succeeded().stdout;
    assert!(databases.starts_with("onramp|"), "{databases}");
    let schemas = wire.psql(&["-At", "-c", "\\dn"]).succeeded().stdout;
    assert!(schemas.contains("public|"), "{schemas}");
    wire.psql(&["-c", "\\conninfo"]).succeeded();
    assert_eq!(wire.ask("SELECT current_database(), current_schema()"), "onramp|public");
    assert!(wire.ask("SELECT version()").starts_with("PostgreSQL 16"));
}

/// What the generated reference says of a column.
fn onramp_doc(table: &str, column: &str) -> String {
    let text = std::fs::read_to_string(crate::support::checkout("docs/generated/sql.md")).unwrap();
    let section = text.split(&format!("\n## {table}\n")).nth(1).expect("the table's section");
    let line = section.lines().find(|line| line.starts_with(&format!("| `{column}`")));
    let line = line.expect("the column's line").trim_end_matches(" |");
    line.rsplit(" | ").next().expect("its last cell").trim().to_owned()
}

#[test]
fn refusals_have_their_states() {
    let wire = Wire::start();
    for (statement, code) in [
        ("COPY events TO '/tmp/onramp-wire.csv'", "42501"),
        ("COPY (SELECT 1) TO STDOUT", "42501"),
        ("COPY events FROM STDIN", "42501"),
        ("CREATE TABLE t AS SELECT 1", "42501"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "42601"),
        ("DROP TABLE events", "42501"),
        ("INSERT INTO events SELECT * FROM events", "42501"),
        ("UPDATE events SET id = '1'", "42501"),
        ("DELETE FROM events", "42501"),
        ("TRUNCATE events", "42501"),
        ("PREPARE p AS SELECT 1", "42501"),
        ("EXPLAIN ANALYZE DELETE FROM events", "42501"),
        ("SET datafusion.execution.target_partitions = 1", "42501"),
        ("SET ROLE admin", "42501"),
        ("SELEC 1", "42601"),
        ("SELECT 1 FROM nowhere", "42P01"),
        ("SELECT nothing FROM events", "42703"),
        ("SELECT no_such_function(1)", "42883"),
        ("SELECT 1 / 0", "22012"),
        ("SELECT 'x'::bigint", "22P02"),
        ("SHOW no_such_setting", "42704"),
        ("SET client_encoding = 'LATIN1'", "22023"),
    ] {
        assert_eq!(wire.refused(statement).0, code, "{statement}: {:?}", wire.refused(statement).1);
    }
    assert!(!std::path::Path::new("/tmp/onramp-wire.csv").exists());
    let two = wire.psql(&["-At", "-v", "VERBOSITY=verbose", "-c", "SELECT 1; SELECT 2"]);
    assert!(two.stderr.contains("42601"), "{two:?}");
}

#[test]
fn a_transaction_sees_one_state_and_a_connection_sees_what_is_new() {
    let wire = Wire::start();
    let more = crate::support::event("new", "new", "session.started", "2026-03-01T10:00:00Z", "{}");
    let path = wire.scene.write("more.ndjson", more + "\n");
    let import = format!(
        "\\! {} --lake {} import {}",
        env!("CARGO_BIN_EXE_onramp"),
        wire.scene.lake().display(),
        path.display()
    );
    let count = "SELECT 'n=' || count(*) FROM events";
    let told = wire.psql(&[
        "-Atq",
        "-v",
        "ON_ERROR_STOP=1",
        "-c",
        "BEGIN",
        "-c",
        count,
        "-c",
        &import,
        "-c",
        count,
        "-c",
        "COMMIT",
        "-c",
        count,
    ]);
    let told = told.succeeded().stdout;
    let seen: Vec<&str> = told.lines().filter(|line| line.starts_with("n=")).collect();
    let now = wire.scene.sql("SELECT count(*) AS n FROM events")[0]["n"].as_i64().unwrap();
    let (before, after) = (format!("n={}", now - 1), format!("n={now}"));
    assert_eq!(seen, [&before, &before, &after]);

    let failed = wire.psql(&[
        "-At",
        "-v",
        "VERBOSITY=verbose",
        "-c",
        "BEGIN",
        "-c",
        "SELECT 1/0",
        "-c",
        "SELECT 1",
        "-c",
        "ROLLBACK",
        "-c",
        "SELECT 7",
    ]);
    assert!(failed.stderr.contains("25P02"), "{failed:?}");
    assert!(failed.stdout.trim_end().ends_with('7'), "{failed:?}");
}

#[test]
fn settings_are_answered() {
    let wire = Wire::start();
    let told = wire.psql(&[
        "-Atq",
        "-c",
        "SET application_name = 'bi'",
        "-c",
        "SHOW application_name",
        "-c",
        "SELECT current_setting('application_name')",
        "-c",
        "SET statement_timeout = '1500ms'",
        "-c",
        "SELECT count(*) FROM events a, events b, events c, events d WHERE a.id < b.data",
        "-c",
        "RESET statement_timeout",
        "-c",
        "SET TIME ZONE 'Europe/Berlin'",
        "-c",
        "SHOW timezone",
        "-c",
        "SHOW transaction_isolation",
        "-c",
        "DISCARD ALL",
        "-c",
        "SHOW application_name",
    ]);
    assert_eq!(told.stdout, "bi\nbi\nUTC\nrepeatable read\n\n", "{told:?}");
    assert!(told.stderr.contains("more than 1.5s"), "{told:?}");
    assert_eq!(wire.scene.sql("SELECT 1 AS n"), [json!({"n": 1})]);
}
