//! Who may ask: tokens, roles and scopes over every way in, and what is kept of it.

mod keeping;
mod matrix;

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::http::Server;
use crate::postgres::tls::certificate;
use crate::support::{Answer, Scene, eventually, free_ports};

/// Nobody waits: a token that is new is asked for until it is known.
const UNLIMITED: &str = "requests_per_second = 0\nfailed_logins_per_minute = 0";

/// A lake with a small world of three clients, and a server over HTTP and the wire that wants tokens.
pub struct Guarded {
    pub scene: Scene,
    server: Server,
    wire: u16,
    admin: String,
}

impl Guarded {
    /// With more lines of the section `access`.
    pub fn with(settings: &str) -> Self {
        let scene = Scene::new();
        scene.run(["demo", "--no-serve", "--sessions", "300", "--until", "2026-03-01"]).succeeded();
        certificate(&scene);
        let wire = free_ports();
        let postgres = format!(
            "listen = \"127.0.0.1:{wire}\"\ntls_cert = \"server.pem\"\ntls_key = \"server.key\""
        );
        scene.write(
            "onramp.toml",
            format!("[postgres]\n{postgres}\n[access]\n{settings}\n[log]\nfilter = \"debug\"\n"),
        );
        let admin = token(&scene, &["--name", "root", "--role", "admin"]);
        let log = std::fs::File::create(scene.path("server.log")).unwrap();
        let server = Server::logged(scene.onramp().arg("serve"), &[], log);
        Self { scene, server, wire, admin }
    }

    /// Status and headers and text of an answer.
    pub fn ask(&self, (method, path): (&str, &str), token: Option<&str>) -> (u16, String) {
        let (url, agent) = (self.server.url(path), self.server.agent());
        let bearer = |token| format!("Bearer {token}");
        let answer = match method {
            "GET" => match token {
                Some(token) => agent.get(url).header("authorization", bearer(token)).call(),
                None => agent.get(url).call(),
            },
            _ => {
                let (kind, body) = match path {
                    "/api/v1/sql" => ("application/sql", "SELECT DISTINCT client_id FROM events"),
                    _ => ("application/cloudevents-batch+json", "[]"),
                };
                let request = agent.post(url).header("content-type", kind);
                let request = match token {
                    Some(token) => request.header("authorization", bearer(token)),
                    None => request,
                };
                request.send(body)
            }
        };
        let mut answer = answer.expect("the server answers");
        (answer.status().as_u16(), answer.body_mut().read_to_string().expect("text"))
    }

    /// A new token, which the server knows by now.
    pub fn token(&self, args: &[&str]) -> String {
        let made = token(&self.scene, args);
        eventually("the token is known", 30, || {
            (self.ask(("GET", "/metrics"), Some(&made)).0 != 401).then_some(())
        });
        made
    }

    /// A statement by psql, over TLS, with this token as the password.
    pub fn psql(&self, token: &str, statement: &str) -> Answer {
        let address = format!(
            "host=localhost hostaddr=127.0.0.1 port={} user=me dbname=x sslmode=require",
            self.wire
        );
        let mut psql = Command::new("psql");
        psql.args(["-X", "-w", "-Atc", statement, &address]).env("PGPASSWORD", token);
        Answer::of(psql.stdin(Stdio::null()))
    }

    /// Everything that the server has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scene.path("server.log")).unwrap()
    }
}

/// A new token.
pub fn token(scene: &Scene, args: &[&str]) -> String {
    let made = scene.run(["token", "create"].iter().chain(args)).succeeded();
    made.stdout.trim().to_owned()
}

/// The number of sessions in a funnel document.
fn sessions(text: &str) -> Value {
    serde_json::from_str::<Value>(text).unwrap()["total_sessions"].clone()
}

#[test]
fn a_caller_sees_only_its_clients_over_every_way_in() {
    let guarded = Guarded::with(UNLIMITED);
    let acme = ["--name", "acme", "--role", "analyst", "--client-id", "acme"];
    let acme = guarded.token(&acme);
    let funnel = ("GET", "/api/v1/onboarding/analytics/funnel");
    let report = |more: &[&str]| {
        let args = ["--format", "json", "report"].iter().chain(more);
        sessions(&guarded.scene.run(args).succeeded().stdout)
    };
    assert_eq!(sessions(&guarded.ask(funnel, Some(&guarded.admin)).1), report(&[]));
    let own = report(&["--client-id", "acme"]);
    assert_ne!(own, report(&[]));
    assert_eq!(sessions(&guarded.ask(funnel, Some(&acme)).1), own);
    let other = ("GET", "/api/v1/onboarding/analytics/funnel?client_id=globex");
    assert_ne!(guarded.ask(other, Some(&acme)).0, 200, "not by asking for it");

    let (status, rows) = guarded.ask(("POST", "/api/v1/sql"), Some(&acme));
    assert_eq!((status, rows.contains("acme"), rows.contains("globex")), (200, true, false));
    let statement = "SELECT string_agg(DISTINCT client_id, ',' ORDER BY client_id) FROM ";
    for table in ["events", "sessions", "(SELECT * FROM events UNION ALL SELECT * FROM events)"] {
        let seen =
            |token: &str| guarded.psql(token, &format!("{statement}{table}")).succeeded().stdout;
        assert_eq!(seen(&acme), "acme\n", "{table}");
        assert_eq!(seen(&guarded.admin), "acme,globex,initech\n", "{table}");
    }
}

#[test]
fn the_wire_wants_a_token_of_an_analyst() {
    let guarded = Guarded::with(UNLIMITED);
    let viewer = guarded.token(&["--name", "board", "--role", "viewer"]);
    let analyst = guarded.token(&["--name", "bi", "--role", "analyst"]);
    assert_eq!(guarded.psql(&analyst, "SELECT 7").succeeded().stdout, "7\n");
    for (shown, what) in [
        (viewer.as_str(), "a viewer"),
        ("onr_0000000000000000_nothing", "a forged token"),
        (&analyst[..analyst.len() - 1], "a part of a token"),
        ("", "nothing"),
    ] {
        assert_eq!(guarded.psql(shown, "SELECT 7").code, Some(2), "{what}");
    }
    let id = analyst.split('_').nth(1).unwrap();
    guarded.scene.run(["token", "revoke", id, "--reason", "left"]).succeeded();
    eventually("the token is refused", 60, || {
        (guarded.psql(&analyst, "SELECT 7").code == Some(2)).then_some(())
    });
}

#[test]
fn who_asks_too_often_waits() {
    let guarded = Guarded::with("requests_per_second = 1\nfailed_logins_per_minute = 2");
    let health = || guarded.ask(("GET", "/healthz"), None).0;
    let funnel = ("GET", "/api/v1/onboarding/analytics/realtime");
    let statuses: Vec<u16> = (0..8).map(|_| guarded.ask(funnel, Some(&guarded.admin)).0).collect();
    assert!(statuses[0] == 200 && statuses.contains(&429), "{statuses:?}");
    let statuses: Vec<u16> = (0..8).map(|_| guarded.ask(funnel, Some("onr_a_b")).0).collect();
    assert!(statuses[0] == 401 && statuses.contains(&429), "{statuses:?}");
    let answers: Vec<_> = (0..3).map(|_| guarded.psql("onr_a_b", "SELECT 7").stderr).collect();
    let limited = |said: &String| said.contains("too many failed logins; try again in");
    assert!(answers.iter().any(limited), "the same peer on the wire: {answers:?}");
    let valid = guarded.psql(&guarded.admin, "SELECT 7").succeeded();
    assert_eq!(valid.stdout, "7\n", "a token that counts does so beside those that do not");
    assert_eq!(health(), 200, "nobody waits to know how the server is");
}
