//! What operators meet: brokers that refuse or go away, odd topics, and the procedures of
//! docs/operations.md as they stand there.

mod away;
mod login;
mod procedures;
mod topics;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::http::terminate;
use crate::support::{Scene, free_ports};

/// `onramp ingest` with its pages and its log, killed with the test if it still runs.
pub struct Running {
    child: Child,
    log: PathBuf,
    port: u16,
}

impl Running {
    pub fn ingest(scene: &Scene, brokers: &str, topic: &str, arguments: &[&str]) -> Self {
        let port = free_ports();
        let log = scene.path(&format!("ingest-{port}.log"));
        let mut command = scene.onramp();
        command.args(["ingest", "--brokers", brokers, "--topic", topic]);
        command.arg("--listen").arg(format!("127.0.0.1:{port}")).args(arguments);
        command.stdout(Stdio::null()).stderr(File::create(&log).expect("a log file"));
        Self { child: command.spawn().expect("the binary runs"), log, port }
    }

    /// Status and text of a page; none while nobody answers.
    pub fn page(&self, path: &str) -> Option<(u16, String)> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(format!("http://127.0.0.1:{}{path}", self.port)).call().ok()?;
        Some((answer.status().as_u16(), answer.body_mut().read_to_string().ok()?))
    }

    pub fn is_ready(&self) -> bool {
        self.page("/readyz").is_some_and(|(status, _)| status == 200)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGTERM: flush, commit, leave the group.
    pub fn stop(mut self) -> Option<i32> {
        terminate(&self.child);
        let code = self.child.wait().expect("it ends").code();
        assert!(!self.log().contains("panicked"), "{}", self.log());
        code
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended in most tests; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
