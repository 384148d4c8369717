//! The HTTP API, asked as apps ask it.

mod analytics;
mod contract;
mod forms;
mod hostile;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::Value;

use crate::http::Server;
use crate::support::Scene;

/// Where the analytics routes are.
pub const ANALYTICS: &str = "/api/v1/onboarding/analytics";

/// The routes that answer with a report or a part of one.
pub const REPORTS: [&str; 7] = [
    "funnel",
    "drop-off-heatmap",
    "cohort-comparison",
    "recommendations",
    "realtime",
    "comparison",
    "sessions",
];

/// A generated world and a server over it.
pub struct World {
    pub scene: Scene,
    pub server: Server,
}

/// An answer with its headers.
pub struct Reply {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl World {
    /// The one that tests share which only read. It ends with the last of them: a server that
    /// outlived the tests would keep their output open, and whoever reads it waiting.
    pub fn shared() -> Arc<Self> {
        static WORLD: Mutex<Weak<World>> = Mutex::new(Weak::new());
        let mut shared = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let world = Arc::new(Self::of(3_000, &[]));
            *shared = Arc::downgrade(&world);
            world
        })
    }

    /// One of its own, whose server is started with these variables.
    pub fn with(variables: &[(&str, &str)]) -> Self {
        Self::of(500, variables)
    }

    fn of(sessions: usize, variables: &[(&str, &str)]) -> Self {
        let scene = Scene::new();
        let demo =
            format!("demo --no-serve --sessions {sessions} --seed 11 --days 40 --until 2026-03-01");
        scene.run(demo.split(' ')).succeeded();
        let mut command = scene.onramp();
        let server = Server::of(command.envs(variables.iter().copied()).arg("serve"), &[]);
        Self { scene, server }
    }

    /// A GET with these headers.
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = self.server.agent().get(self.server.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Reply::of(request.call())
    }

    /// A GET of an analytics route, which answers with a document.
    #[track_caller]
    pub fn analytics(&self, path: &str) -> Value {
        let reply = self.get(&format!("{ANALYTICS}/{path}"), &[]);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    /// A statement of this type.
    pub fn sql(&self, kind: &str, statement: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = self.server.agent().post(self.server.url("/api/v1/sql"));
        request = request.header("content-type", kind);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Reply::of(request.send(statement.as_bytes()))
    }
}

impl Reply {
    fn of(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Self {
        let answer = answer.expect("the server answers");
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(1 << 30).read_to_vec().expect("the whole body");
        Self { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("plain text"))
    }

    /// Is a problem document with this status and code, which says these words.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str, words: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()));
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains(words), "no {words:?} in {detail:?}");
    }
}
