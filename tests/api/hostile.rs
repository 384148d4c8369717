//! Clients that mean harm, or are broken: each gets a clear answer or none, and the others theirs.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::{ANALYTICS, REPORTS, World};
use crate::support::eventually;

/// A connection that gives up reading after a minute.
fn connect(world: &World) -> TcpStream {
    let stream = TcpStream::connect(world.server.address()).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    stream
}

/// What comes until the server closes the connection.
fn rest(mut stream: &TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server keeps the connection: {error}"),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[test]
fn nothing_in_a_parameter_is_more_than_a_value() {
    let world = World::with(&[]);
    let sessions = || world.scene.sql("SELECT count(*) AS n FROM sessions");
    let whole = world.analytics("funnel");
    let before = sessions();
    let long = "x".repeat(8_000);
    let values = [
        "' OR '1'='1",
        "x'; DROP TABLE sessions; --",
        "\") OR TRUE --",
        "../../../../etc/passwd",
        "$(reboot) ${jndi:ldap://x} {{7*7}}",
        "<script>alert(1)</script>",
        "a\0b\r\nx-injected: 1",
        "%00%ff",
        "NaN",
        "-9223372036854775809",
        "\u{202e}\u{10ffff}",
        "",
        &long,
    ];
    let names = [
        "start",
        "end",
        "client_id",
        "funnel",
        "timezone",
        "as_of",
        "device",
        "segment_by",
        "mix_by",
        "priority",
        "stage",
        "outcome",
        "dropped_at",
        "limit",
        "offset",
        "compare_start",
        "a'b\"c",
    ];
    for route in REPORTS {
        for (place, name) in names.iter().enumerate() {
            // Every value meets every name over the routes, without asking all of their product.
            for value in values.iter().skip(place % 3).step_by(3) {
                let path = format!("{ANALYTICS}/{route}?{}={}", encoded(name), encoded(value));
                let reply = world.get(&path, &[]);
                assert!(matches!(reply.status, 200 | 400 | 404), "{path}: {}", reply.text());
                assert_eq!(reply.header("x-injected"), "", "{path}");
                if reply.status != 200 {
                    assert_eq!(reply.header("content-type"), "application/problem+json", "{path}");
                } else if *name == "device" && route == "funnel" {
                    assert_eq!(reply.json()["total_sessions"], 0, "{path}");
                }
            }
        }
    }
    let timeline = format!("{ANALYTICS}/sessions/{}/timeline", "%27%20OR%201=1--");
    world.get(&timeline, &[]).is_problem(404, "unknown_session", "' OR 1=1--");
    let broken = format!("{ANALYTICS}/sessions/%ff/timeline");
    world.get(&broken, &[]).is_problem(400, "invalid_request", "");
    assert_eq!(sessions(), before);
    assert_eq!(world.analytics("funnel"), whole);
}

#[test]
fn a_head_that_drips_in_is_cut_off() {
    let world = World::with(&[("ONRAMP__HTTP__HEAD_TIMEOUT_SECONDS", "1")]);
    let mut slow = connect(&world);
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n").unwrap();
    let dripping = slow.try_clone().unwrap();
    let closed = std::thread::spawn(move || rest(&dripping));
    eventually("the connection is closed", 30, || {
        // One header after another, for ever.
        let _ = slow.write_all(b"a: b\r\n");
        closed.is_finished().then_some(())
    });
    let said = closed.join().unwrap();
    assert!(!said.contains("200 OK"), "{said}");
    // So is one that says nothing at all.
    assert_eq!(rest(&connect(&world)), "");
    assert_eq!(world.get("/healthz", &[]).status, 200);
}

#[test]
fn a_body_that_drips_in_is_cut_off() {
    let world = World::with(&[("ONRAMP__HTTP__REQUEST_TIMEOUT_SECONDS", "1")]);
    for path in ["/api/v1/events", "/api/v1/sql"] {
        let mut slow = connect(&world);
        write!(slow, "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{{")
            .unwrap();
        let said = rest(&slow);
        assert!(said.starts_with("HTTP/1.1 408"), "{path}: {said}");
        assert!(said.contains("request_timeout"), "{path}: {said}");
    }
}

#[test]
fn a_thousand_idle_connections_leave_room_for_others() {
    let world = World::with(&[
        ("ONRAMP__HTTP__MAX_CONNECTIONS", "50"),
        ("ONRAMP__HTTP__HEAD_TIMEOUT_SECONDS", "600"),
    ]);
    let mut idle = Vec::new();
    for _ in 0..10 {
        idle.extend((0..100).map(|_| connect(&world)));
        assert_eq!(world.get("/healthz", &[]).status, 200);
    }
    world.analytics("funnel");
    let metrics = world.get("/metrics", &[]).text();
    let open = metrics.lines().find_map(|line| line.strip_prefix("onramp_http_connections "));
    let open: f64 = open.expect("the gauge").parse().unwrap();
    assert!((1.0..=50.0).contains(&open), "{open}");
    drop(idle);
}

#[test]
fn who_hangs_up_leaves_no_work_behind() {
    let world = World::with(&[]);
    let endless =
        "SELECT count(*) FROM events a, events b, events c WHERE a.id || b.id || c.id = 'x'";
    let request = format!(
        "POST /api/v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/sql\r\ncontent-length: {}\r\n\r\n{endless}",
        endless.len()
    );
    // More than may run and wait: some are refused, and then nobody else is let in.
    let ask = |_| {
        let mut one = connect(&world);
        one.write_all(request.as_bytes()).unwrap();
        one.set_nonblocking(true).unwrap();
        one
    };
    let asking: Vec<TcpStream> = (0..20).map(ask).collect();
    let mut start = [0; 12];
    eventually("no room is left", 60, || {
        let mut refused =
            |one: &TcpStream| one.peek(&mut start).is_ok() && &start == b"HTTP/1.1 503";
        asking.iter().any(&mut refused).then_some(())
    });
    let brief = || world.sql("application/sql", "SELECT 1 AS n", &[]);
    brief().is_problem(503, "busy", "try again");
    assert_eq!(world.get("/healthz", &[]).status, 200, "cores are busy, the server answers");
    for one in &asking {
        // Those that were refused may be gone already.
        let _ = one.shutdown(Shutdown::Both);
    }
    eventually("a place is free again, long before the deadline", 20, || {
        (brief().status == 200).then_some(())
    });
}

#[test]
fn no_answer_is_waited_for_beyond_its_deadline() {
    let world = World::with(&[("ONRAMP__HTTP__DEADLINE_SECONDS", "0")]);
    for route in REPORTS {
        let path = format!("{ANALYTICS}/{route}");
        world.get(&path, &[]).is_problem(504, "deadline_exceeded", "more than 0 s");
    }
    eventually("what was begun has ended", 30, || {
        let metrics = world.get("/metrics", &[]).text();
        metrics.contains("onramp_http_computing 0").then_some(())
    });
}

#[test]
fn heads_without_end_and_nonsense_are_refused() {
    let world = &World::shared();
    let said = |bytes: &[u8]| {
        let mut stream = connect(world);
        // The server may close before it has read everything.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        rest(&stream)
    };
    let long = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(100_000));
    let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    for bytes in [
        long.as_bytes(),
        head.as_bytes(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"nonsense\r\n\r\n",
    ] {
        let answer = said(bytes);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(world.get("/healthz", &[]).status, 200);
}

#[test]
fn a_stop_lets_requests_end() {
    let world = World::with(&[]);
    let mut asking = connect(&world);
    write!(
        asking,
        "GET {ANALYTICS}/funnel HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    eventually("the request is under way or answered", 30, || {
        let metrics = world.get("/metrics", &[]).text();
        metrics.contains("onramp_http_computing").then_some(())
    });
    let World { server, scene: _scene } = world;
    assert_eq!(server.stop(), Some(0));
    let said = rest(&asking);
    assert!(said.starts_with("HTTP/1.1 200"), "{}", &said[..said.len().min(200)]);
}
