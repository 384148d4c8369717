//! Statements that never end, or explode: over HTTP and over the PostgreSQL wire each gets a clear answer,
//! within its time, and those who ask for little are answered meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::http::Server;
use crate::postgres::{Wire, state};
use crate::support::{Scene, eventually};

/// What is asked, and how it ends: by the name of a problem, and by SQLSTATE.
struct Bad {
    what: &'static str,
    statement: String,
    problem: (u16, &'static str),
    state: &'static str,
}

/// Work without an end: by joins that find much, nothing, or by hash; by a recursion; by an expression.
fn endless() -> Vec<Bad> {
    let series = "generate_series(1, 1000000)";
    let bad = |what, statement: String| Bad {
        what,
        statement,
        problem: (504, "deadline_exceeded"),
        state: "57014",
    };
    vec![
        bad("a cross join", format!("SELECT count(*) FROM {series} a CROSS JOIN {series} b")),
        bad(
            "a join that finds nothing",
            format!("SELECT count(*) FROM {series} a JOIN {series} b ON a.value + b.value < 0"),
        ),
        bad(
            "a join by one key",
            format!(
                "SELECT count(*) FROM {series} a JOIN {series} b ON a.value % 2 = b.value % 2 \
                 AND a.value + b.value < 0"
            ),
        ),
        bad(
            "a join of outer rows",
            format!("SELECT count(*) FROM {series} a LEFT JOIN {series} b ON a.value * b.value < 0"),
        ),
        bad(
            "a subquery for each row",
            format!(
                "SELECT count(*) FROM {series} a WHERE EXISTS \
                 (SELECT 1 FROM {series} b WHERE a.value + b.value < 0)"
            ),
        ),
        bad(
            "a recursion",
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r"
                .to_owned(),
        ),
        bad(
            "a regular expression over much",
            format!(
                "SELECT count(*) FROM {series} a CROSS JOIN {series} b \
                 WHERE regexp_like(a.value || 'ab' || b.value, '(a|b|[0-9])*c$')"
            ),
        ),
        bad(
            "a window over much",
            format!(
                "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY a.value) AS n \
                 FROM {series} a CROSS JOIN {series} b)"
            ),
        ),
    ]
}

/// Statements that are refused before they do harm.
fn exploding() -> Vec<Bad> {
    let bad = |what, statement, code, state| Bad { what, statement, problem: (400, code), state };
    let refused =
        |what, statement: &str| bad(what, statement.to_owned(), "refused_statement", "42501");
    let doubled = (1..40).fold(
        "WITH c0 AS (SELECT value || 'x' AS s FROM generate_series(1, 2))".to_owned(),
        |text, at| format!("{text}, c{at} AS (SELECT s || s AS s FROM c{})", at - 1),
    );
    let joined = (1..40).fold("WITH c0 AS (SELECT 1 AS n)".to_owned(), |text, at| {
        let last = at - 1;
        format!("{text}, c{at} AS (SELECT a.n FROM c{last} a JOIN c{last} b ON a.n = b.n)")
    });
    let tall = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    vec![
        refused("a text of a gigabyte", "SELECT repeat('x', 1000000000)"),
        refused("a text of many texts", "SELECT repeat(repeat('x', 8000), 8000)"),
        refused("a series without end", "SELECT count(*) FROM generate_series(1, 1000000000000)"),
        refused("a list without end", "SELECT range(0, 1000000000000)"),
        refused("a text that doubles", &format!("{doubled} SELECT s FROM c39")),
        refused("a query that doubles", &format!("{joined} SELECT count(*) FROM c39")),
        refused("a pattern for each row", "SELECT count(*) FROM events WHERE regexp_like('x', id)"),
        refused("lists in each row", "SELECT array_agg(id) OVER (ORDER BY id) FROM events"),
        bad(
            "ten thousand alternatives",
            format!("SELECT id FROM events WHERE {}", vec!["id = 'x'"; 10_000].join(" OR ")),
            "refused_statement",
            "54000",
        ),
        bad("a heap of brackets", tall, "invalid_statement", "42601"),
    ]
}

const LIMITS: [(&str, &str); 2] =
    [("sql.postgres.deadline_seconds", "2"), ("sql.postgres.max_concurrent", "1")];

#[test]
fn what_never_ends_is_ended_on_the_wire() {
    let wire = Wire::with(&LIMITS);
    for bad in endless().into_iter().chain(exploding()) {
        let file = wire.scene.write("bad.sql", &bad.statement);
        let file = file.to_str().expect("a Unicode path");
        let answer = wire.psql(&["-At", "-v", "VERBOSITY=verbose", "-f", file]);
        let words = format!("ERROR:  {}", bad.state);
        assert!(answer.stderr.contains(&words), "{}: {answer:?}", bad.what);
        // Its place is free: there is one only.
        assert_eq!(wire.ask("SELECT 7"), "7", "{}", bad.what);
    }
    let mut giant = wire.raw();
    giant.ready();
    giant.send(b"Q\0\xa0\0\x04");
    assert_eq!(state(&giant.until(b'E')), "54000", "ten megabytes");
    assert_eq!(wire.ask("SELECT 7"), "7");
}

#[test]
fn what_never_ends_is_ended_over_http() {
    let scene = Scene::new();
    let server = Server::of(
        scene.onramp().env("ONRAMP__SQL__HTTP__DEADLINE_SECONDS", "2").arg("serve"),
        &[],
    );
    let ask = |statement: &str| {
        let request = server.agent().post(server.url("/api/v1/sql"));
        let mut answer = request.header("content-type", "application/sql").send(statement);
        let answer = answer.as_mut().expect("the server answers");
        let text = answer.body_mut().read_to_string().expect("text");
        (answer.status().as_u16(), text)
    };
    for bad in endless().into_iter().chain(exploding()) {
        let (status, text) = ask(&bad.statement);
        let code = format!("\"code\":\"{}\"", bad.problem.1);
        assert!(status == bad.problem.0 && text.contains(&code), "{}: {status} {text}", bad.what);
    }
    // Eight at once: all places are taken by what never ends, and given back.
    let statuses: Vec<u16> = std::thread::scope(|threads| {
        let ask = &ask;
        let asked = endless().into_iter().map(|bad| threads.spawn(move || ask(&bad.statement).0));
        let asked: Vec<_> = asked.collect();
        while !asked.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            assert_eq!(server.get("/healthz").0, 200, "it answers meanwhile");
            std::thread::sleep(Duration::from_millis(50));
        }
        asked.into_iter().map(|asked| asked.join().expect("an answer")).collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, 503 | 504)), "{statuses:?}");
    eventually("places are free again", 20, || (ask("SELECT 1").0 == 200).then_some(()));
    let many: Vec<String> = (0..10_000).map(|number| format!("'{number}'")).collect();
    let (status, text) = ask(&format!("SELECT id FROM events WHERE id IN ({})", many.join(", ")));
    assert_eq!((status, text.as_str()), (200, "[]"));
    let long = TcpStream::connect(server.address()).expect("the server listens");
    let mut sending = &long;
    let head = "POST /api/v1/sql HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 10485760\r\n\r\n";
    sending.write_all(head.as_bytes()).expect("the server reads");
    // It need not read all before it says no.
    let _ = sending.write_all(&vec![b' '; 10 << 20]);
    let mut said = [0; 12];
    sending.read_exact(&mut said).expect("an answer");
    assert_eq!(&said, b"HTTP/1.1 413");
}
