//! The HTTP collector: durable before it answers, and every event of a request is answered for.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Scene, event, eventually, free_ports};

const TIME: &str = "2026-03-01T10:00:00Z";

/// `onramp up` or `onramp serve`, ended with the test.
pub struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub fn start(scene: &Scene, args: &[&str]) -> Self {
        Self::of(scene.onramp().arg("up"), args)
    }

    /// Starts a command that listens.
    pub fn of(command: &mut Command, args: &[&str]) -> Self {
        Self::logged(command, args, Stdio::null())
    }

    /// The same, with its log kept.
    pub fn logged(command: &mut Command, args: &[&str], log: impl Into<Stdio>) -> Self {
        let port = free_ports();
        command.arg("--listen").arg(format!("127.0.0.1:{port}")).args(args);
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("the binary runs");
        let server = Self { child, port };
        eventually("the server is ready", 30, || {
            server.agent().get(server.url("/readyz")).call().ok().filter(|a| a.status() == 200)
        });
        server
    }

    pub fn address(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.port)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn agent(&self) -> ureq::Agent {
        ureq::Agent::config_builder().http_status_as_error(false).build().into()
    }

    /// Status and body of a POST of events.
    pub fn post(&self, kind: &str, body: impl AsRef<[u8]>) -> (u16, Value) {
        let request = self.agent().post(self.url("/api/v1/events")).header("content-type", kind);
        let mut answer = request.send(body.as_ref()).expect("the server answers");
        let text = answer.body_mut().read_to_string().expect("text");
        (answer.status().as_u16(), serde_json::from_str(&text).expect("JSON"))
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let mut answer = self.agent().get(self.url(path)).call().expect("the server answers");
        (answer.status().as_u16(), answer.body_mut().read_to_string().expect("text"))
    }

    /// Sends SIGTERM and waits for the end; its exit code.
    pub fn stop(mut self) -> Option<i32> {
        terminate(&self.child);
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended in most tests; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn terminate(child: &Child) {
    let sent = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "SIGTERM could not be sent");
}

const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

#[test]
fn events_are_in_the_lake_when_the_answer_comes() {
    let scene = Scene::new();
    let server = Server::start(&scene, &[]);
    let started = event("1", "s", "session.started", TIME, r#"{"channel":"web"}"#);
    assert_eq!(server.post(ONE, &started), (202, json!({"results": [{"status": "accepted"}]})));
    assert_eq!(scene.sql("SELECT id, channel FROM events"), [json!({"id": "1", "channel": "web"})]);

    let next = event("2", "s", "input.submitted", TIME, "{}");
    let broken = next.replace("\"subject\":\"s\",", "");
    let (status, answer) = server.post(BATCH, format!("[{next}, {started}, {broken}, 7]"));
    assert_eq!(status, 202);
    let statuses: Vec<_> =
        answer["results"].as_array().unwrap().iter().map(|r| &r["status"]).collect();
    assert_eq!(statuses, ["accepted", "duplicate", "rejected", "rejected"]);
    assert_eq!(answer["results"][2]["code"], "missing_session");
    assert_eq!(answer["results"][3]["code"], "not_cloudevents");
    crate::import::assert_ledger(&scene, 5);

    let mut binary = server.agent().post(server.url("/api/v1/events/"));
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "3"),
        ("ce-source", "/app"),
        ("ce-subject", "s"),
        ("ce-type", "onboarding.session.completed"),
        ("ce-time", TIME),
        ("ce-clientid", "acme"),
    ] {
        binary = binary.header(name, value);
    }
    assert_eq!(binary.send(r#"{"outcome":"ok"}"#).unwrap().status(), 202);
    assert_eq!(server.stop(), Some(0), "SIGTERM is a clean end");
    let outcome = scene.sql("SELECT outcome FROM events WHERE id = '3'");
    assert_eq!(outcome, [json!({"outcome": "ok"})]);
}

#[test]
fn a_resend_is_dropped_and_after_a_restart_counts_once() {
    let scene = Scene::new();
    let body = event("1", "s", "session.started", TIME, "{}");
    let server = Server::start(&scene, &[]);
    assert_eq!(server.post(ONE, &body).1["results"][0]["status"], "accepted");
    assert_eq!(server.post(ONE, &body).1["results"][0]["status"], "duplicate");
    drop(server);
    // A collector that starts anew is another source partition with a window of its own.
    let server = Server::start(&scene, &[]);
    assert_eq!(server.post(ONE, &body).1["results"][0]["status"], "accepted");
    let report = scene.run(["--format", "json", "report"]).succeeded().json();
    assert_eq!((&report["total_sessions"], &report["stages"][0]["count"]), (&json!(1), &json!(1)));
    assert_eq!(report["data_quality"]["duplicates"], json!(2), "{report}");
}

#[test]
fn two_collectors_on_one_lake_lose_nothing() {
    let scene = Scene::new();
    let servers = [Server::start(&scene, &[]), Server::start(&scene, &[])];
    std::thread::scope(|scope| {
        for (number, server) in servers.iter().enumerate() {
            scope.spawn(move || {
                for id in 0..20 {
                    let body = event(&format!("{number}-{id}"), "s", "input.submitted", TIME, "{}");
                    let (status, answer) = server.post(BATCH, format!("[{body}, 7]"));
                    let statuses =
                        [&answer["results"][0]["status"], &answer["results"][1]["status"]];
                    assert_eq!((status, statuses), (202, [&json!("accepted"), &json!("rejected")]));
                }
            });
        }
    });
    crate::import::assert_ledger(&scene, 80);
}

#[test]
fn a_lake_that_fails_for_a_while_costs_no_event_that_was_taken() {
    let scene = Scene::new();
    let server = Server::start(&scene, &[]);
    let body = |id: &str| event(id, "s", "input.submitted", TIME, "{}");
    assert_eq!(server.post(ONE, body("1")).0, 202);
    let (log, aside) = (scene.lake().join("events/_delta_log"), scene.path("aside"));
    std::fs::rename(&log, &aside).unwrap();
    std::fs::write(&log, "in the way").unwrap();
    let (status, problem) = server.post(ONE, body("2"));
    assert_eq!((status, &problem["code"]), (503, &json!("not_durable")));
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    eventually("events are taken again", 30, || {
        (server.post(ONE, body("2")).0 == 202).then_some(())
    });
    assert_eq!(server.stop(), Some(0));
    let ids = scene.sql("SELECT DISTINCT id FROM events ORDER BY id");
    assert_eq!(ids, [json!({"id": "1"}), json!({"id": "2"})]);
}

#[test]
fn wrong_requests_are_answered_with_a_problem() {
    let scene = Scene::new();
    let server = Server::start(&scene, &[]);
    let (status, problem) = server.post(BATCH, "{}");
    assert_eq!((status, &problem["code"]), (400, &json!("malformed_batch")));
    let (status, problem) = server.post(ONE, vec![b'x'; (16 << 20) + 1]);
    assert_eq!((status, &problem["code"]), (413, &json!("body_too_large")));
    let (status, problem) = server.post(BATCH, format!("[{}1]", "1,".repeat(20_000)));
    assert_eq!((status, &problem["code"]), (413, &json!("batch_too_large")));
}

#[test]
fn operations_pages() {
    let scene = Scene::new();
    let server = Server::start(&scene, &[]);
    server.post(BATCH, format!("[{}, 7]", event("1", "s", "session.started", TIME, "{}")));
    assert_eq!(server.get("/healthz").0, 200);
    let (status, metrics) = server.get("/metrics");
    assert_eq!(status, 200);
    for line in [
        "onramp_ingest_accepted_total{source=\"http\"} 1",
        "onramp_ingest_rejected_total{code=\"not_cloudevents\"} 1",
        "onramp_ingest_commit_seconds",
        "# HELP onramp_ingest_bytes_total",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
}
