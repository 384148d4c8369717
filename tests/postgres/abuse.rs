//! Clients that mean ill, or know no better.

use std::net::TcpStream;

use super::{Raw, Wire, state};
use crate::support::eventually;

const ENDLESS: &str =
    "SELECT count(*) FROM events a, events b, events c, events d WHERE a.id < b.data";

/// The body of a simple query.
fn query(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

#[test]
fn a_statement_that_never_ends_ends_at_the_deadline() {
    let wire =
        Wire::with(&[("sql.postgres.deadline_seconds", "1"), ("sql.postgres.max_concurrent", "1")]);
    for _ in 0..2 {
        let (code, message) = wire.refused(ENDLESS);
        assert_eq!(code, "57014", "{message}");
    }
    assert_eq!(wire.ask("SELECT 7"), "7");
}

#[test]
fn a_cancel_request_ends_what_runs_and_only_with_its_secret() {
    let wire = Wire::with(&[("sql.postgres.max_concurrent", "1")]);
    let mut running = wire.raw();
    let key = running.ready();
    running.message(b'Q', &query(ENDLESS));
    let cancel = |key: &[u8]| {
        let length = u32::try_from(8 + key.len()).unwrap();
        let code = 80_877_102_u32.to_be_bytes();
        wire.raw().send(&[&length.to_be_bytes()[..], &code, key].concat());
    };
    let mut wrong = key.clone();
    *wrong.last_mut().unwrap() ^= 1;
    cancel(&wrong);
    running.0.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    assert!(running.next().is_none(), "it runs on after a forged request");
    running.0.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    cancel(&key);
    assert_eq!(state(&running.until(b'E')), "57014");
    running.until(b'Z');
    running.message(b'Q', &query("SELECT 7"));
    assert!(running.until(b'D').ends_with(b"7"));
}

#[test]
fn a_client_that_vanishes_takes_its_statement_along() {
    // With room for one statement, the next can only run when the last has ended.
    let wire = Wire::with(&[
        ("sql.postgres.max_concurrent", "1"),
        ("sql.postgres.deadline_seconds", "600"),
    ]);
    let mut leaving = wire.raw();
    leaving.ready();
    leaving.message(b'Q', &query(ENDLESS));
    // Another vanishes amid rows that it does not read.
    let mut amid = wire.raw();
    amid.ready();
    amid.message(b'Q', &query("SELECT a.data FROM events a, events b"));
    drop(leaving);
    amid.until(b'D');
    drop(amid);
    assert_eq!(wire.ask("SELECT 7"), "7");
}

#[test]
fn a_thousand_idle_connections_are_held_to_the_limit() {
    let wire = Wire::with(&[("postgres.max_connections", "5")]);
    let mut idle: Vec<Raw> = (0..5).map(|_| wire.raw()).collect();
    for connection in &mut idle {
        connection.ready();
    }
    let crowd: Vec<Option<TcpStream>> =
        (0..1_000).map(|_| TcpStream::connect(("127.0.0.1", wire.port)).ok()).collect();
    drop(crowd);
    let told = eventually("a connection too many is told so", 30, || {
        let mut more = Raw(TcpStream::connect(("127.0.0.1", wire.port)).ok()?);
        more.0.set_read_timeout(Some(std::time::Duration::from_secs(5))).ok()?;
        use std::io::Write;
        more.0.write_all(b"\0\0\0\x16\0\x03\0\0user\0anybody\0\0").ok()?;
        more.next()
    });
    assert_eq!((told.0, state(&told.1)), (b'E', "53300".to_owned()));
    idle[0].message(b'Q', &query("SELECT 7"));
    assert!(idle[0].until(b'D').ends_with(b"7"), "those that were there go on");
    drop(idle.pop());
    eventually("a place that was left is taken", 30, || {
        let answer = wire.psql(&["-Atc", "SELECT 7"]);
        (answer.stdout.trim() == "7").then_some(())
    });
}

#[test]
fn whoever_is_slow_to_begin_or_long_silent_is_let_go() {
    let wire = Wire::with(&[
        ("postgres.startup_timeout_seconds", "1"),
        ("postgres.idle_timeout_seconds", "1"),
    ]);
    let mut mute = wire.raw();
    assert!(mute.next().is_none(), "a connection without a word ends");
    let mut slow = wire.raw();
    slow.send(b"\0\0\0\x17\0\x03\0\0user");
    let told = slow.next();
    assert!(told.is_none_or(|(kind, body)| kind == b'E' && state(&body) == "08006"));
    let mut idle = wire.raw();
    idle.ready();
    assert_eq!(state(&idle.until(b'E')), "57P05");
    assert!(idle.next().is_none());
    let mut halfway = wire.raw();
    halfway.ready();
    halfway.send(b"Q\0\0\0\x20SELECT");
    assert_eq!(state(&halfway.until(b'E')), "57P05", "half a message is silence too");
}

#[test]
fn giant_and_broken_messages_are_answered_and_nothing_else() {
    let wire = Wire::start();
    let mut giant = wire.raw();
    giant.ready();
    giant.send(b"Q\x3f\xff\xff\xff");
    assert_eq!(state(&giant.until(b'E')), "54000");
    assert!(giant.next().is_none());
    let mut long = wire.raw();
    long.ready();
    long.message(b'Q', &query(&format!("SELECT '{}'", "x".repeat(300_000))));
    assert_eq!(state(&long.until(b'E')), "54000");
    long.until(b'Z');
    let mut unknown = wire.raw();
    unknown.ready();
    unknown.message(b'~', b"");
    assert_eq!(state(&unknown.until(b'E')), "08P01");
    let mut early = wire.raw();
    early.send(b"\0\0\0\x05\0");
    assert!(early.next().is_none_or(|(kind, _)| kind == b'E'));
    // A bind with more formats than values, and an execute of what is not there.
    let mut bind = wire.raw();
    bind.ready();
    bind.message(b'P', b"\0SELECT 1, 2, 3\0\0\0");
    bind.message(b'B', b"\0\0\0\x02\0\x01\0\x01\0\0\0\0");
    bind.message(b'S', b"");
    assert_eq!(state(&bind.until(b'E')), "08P01");
    bind.until(b'Z');
    bind.message(b'P', b"\0SELECT 1, 2, 3\0\0\0");
    bind.message(b'B', b"\0\0\0\0\0\0\0\x02\0\x01\0\x01");
    bind.message(b'D', b"P\0");
    bind.message(b'S', b"");
    assert_eq!(state(&bind.until(b'E')), "08P01");
    bind.until(b'Z');
    bind.message(b'E', b"nowhere\0\xff\xff\xff\xff");
    bind.message(b'S', b"");
    assert_eq!(state(&bind.until(b'E')), "26000");
    bind.until(b'Z');
    assert_eq!(wire.ask("SELECT 7"), "7");
}

#[test]
fn statements_that_grow_are_held_to_memory_rows_and_depth() {
    let wire =
        Wire::with(&[("sql.postgres.max_rows", "1000"), ("sql.postgres.memory_limit_mb", "16")]);
    let (code, message) = wire.refused("SELECT a.id FROM events a, events b");
    assert_eq!(code, "54000", "{message}");
    let many = (0..10_000).map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ");
    let file = |text: String| wire.scene.write("long.sql", text).display().to_string();
    let answer =
        wire.psql(&["-Atf", &file(format!("SELECT count(*) FROM events WHERE id IN ({many})"))]);
    assert_eq!(answer.succeeded().stdout, "0\n");
    let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert_eq!(wire.refused(&deep).0, "42601");
    let long = vec!["id = '1'"; 15_000].join(" OR ");
    let answer = wire.psql(&["-Atf", &file(format!("SELECT count(*) FROM events WHERE {long}"))]);
    assert!(answer.stderr.contains("nested deeper"), "{answer:?}");
    assert_eq!(wire.ask("SELECT 7"), "7");
}
