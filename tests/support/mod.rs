//! What every end-to-end test needs: the binary, a lake of its own, and patience with a bound.

pub mod broker;
pub mod python;
pub mod store;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A folder of its own with a lake in it.
pub struct Scene {
    folder: TempDir,
    /// The address of a lake elsewhere, and the variables that reach it.
    remote: Option<(String, Vec<(String, String)>)>,
}

impl Scene {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), remote: None }
    }

    /// A scene whose lake is elsewhere, reached with these variables.
    pub fn remote(lake: &str, variables: Vec<(String, String)>) -> Self {
        Self { remote: Some((lake.to_owned(), variables)), ..Self::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn lake(&self) -> PathBuf {
        self.path("lake")
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a file in the scene");
        path
    }

    /// `onramp --lake <the scene's> ARGS`, with nothing of the machine's configuration in it.
    pub fn onramp(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onramp"));
        command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_DATA_HOME", self.path("data"))
            .arg("--lake")
            .stdin(Stdio::null());
        self.reach(&mut command);
        command
    }

    /// Gives a command the lake's address as an argument, and what it takes to reach it.
    pub fn reach(&self, command: &mut Command) {
        match &self.remote {
            Some((lake, variables)) => command.arg(lake).envs(variables.iter().cloned()),
            None => command.arg(self.lake()),
        };
    }

    /// Runs the binary and takes its answer.
    pub fn run<I: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Answer {
        Answer::of(self.onramp().args(args))
    }

    /// The rows of a SQL statement, each an object.
    pub fn sql(&self, statement: &str) -> Vec<serde_json::Value> {
        let answer = self.run(["--format", "json", "sql", statement]).succeeded();
        serde_json::from_str(&answer.stdout).expect("one JSON document")
    }
}

/// What a run of the binary said.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    pub fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().expect("the binary runs");
        Self {
            code: status.code(),
            stdout: String::from_utf8(stdout).expect("UTF-8 on stdout"),
            stderr: String::from_utf8(stderr).expect("UTF-8 on stderr"),
        }
    }

    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Fails with `code`, says every one of `words` on stderr, and does not panic.
    pub fn failed(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {self:#?}");
        }
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

/// Says past the harness's capture that a test was left out, and what it needs.
pub fn left_out(test: &str, needs: &str) {
    use std::io::Write;
    // A broken stderr is nothing that a test could mend.
    let _ = writeln!(std::io::stderr().lock(), "left out: {test} needs {needs}");
}

/// Asks until `found` answers, at most `seconds`.
pub fn eventually<T>(what: &str, seconds: u64, mut found: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < until, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A free port on loopback, and the one after it. Below those that the system gives to clients: a port
/// of theirs may be taken before the server that is meant to have it has started.
pub fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    // Processes begin apart from each other, threads of one go on from there.
    let begin = (std::process::id() % 5000) as u16;
    loop {
        let pair = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 5000;
        let port = 20_000 + 2 * pair;
        if free(port) && free(port + 1) {
            return port;
        }
    }
}

/// A file of the checkout.
pub fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A valid event with `extra` members spliced into it.
pub fn event(id: &str, session: &str, kind: &str, time: &str, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/app","type":"onboarding.{kind}","subject":"{session}","time":"{time}","clientid":"acme","data":{data}}}"#
    )
}
