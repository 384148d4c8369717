//! The processes that are hurt: members of the group, and what they said when they ended.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::support::{Scene, eventually};

/// How long a silent member keeps its partitions.
pub const SESSION_TIMEOUT_MS: u64 = 2_000;

/// One `onramp ingest`.
pub struct Member {
    child: Child,
    log: PathBuf,
    stopped: bool,
}

/// How a member ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    Killed,
    /// With exit code 0.
    Well,
    /// With its last words.
    Ill(String),
}

/// Where members are started.
pub struct Barracks<'a> {
    pub scene: &'a Scene,
    pub brokers: String,
    pub topic: String,
    started: u32,
}

impl<'a> Barracks<'a> {
    pub fn new(scene: &'a Scene, brokers: String, topic: String) -> Self {
        scene.write(
            "onramp.toml",
            format!(
                "[ingest]\nsession_timeout_ms = {SESSION_TIMEOUT_MS}\nflush_interval_ms = 250\n\
                 [ingest.properties]\n\"topic.metadata.refresh.interval.ms\" = \"1000\"\n"
            ),
        );
        Self { scene, brokers, topic, started: 0 }
    }

    /// Starts a member of a group, armed with a fault or not.
    pub fn start(&mut self, group: &str, fault: Option<&str>) -> Member {
        self.started += 1;
        let log = self.scene.path(&format!("member-{}.log", self.started));
        let mut command = self.scene.onramp();
        command.args(["ingest", "--brokers", &self.brokers, "--topic", &self.topic]);
        command.args(["--group", group]).stdout(Stdio::null());
        command.stderr(File::create(&log).expect("a log file"));
        if let Some(fault) = fault {
            command.env("ONRAMP_FAULT", fault);
        }
        Member { child: command.spawn().expect("the binary runs"), log, stopped: false }
    }
}

impl Member {
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Stops it as it stands; it keeps its memory and its connections.
    pub fn freeze(&mut self) {
        self.signal("-STOP");
        self.stopped = true;
    }

    pub fn wake(&mut self) {
        self.signal("-CONT");
        self.stopped = false;
    }

    pub fn ask_to_end(&self) {
        self.signal("-TERM");
    }

    /// Asks it to end, and waits.
    pub fn end(mut self) -> Ended {
        self.ask_to_end();
        eventually("a member ends when asked to", 30, || self.ended())
    }

    /// Whether it was given partitions; the first time it is told that there are none for it yet.
    pub fn holds_partitions(&self) -> bool {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let mut given = said.split("partitions assigned partitions=[").skip(1);
        given.any(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    }

    /// Whether it runs; if not, how it ended.
    pub fn ended(&mut self) -> Option<Ended> {
        self.child.try_wait().expect("its state can be asked").map(|status| self.verdict(status))
    }

    fn verdict(&self, status: ExitStatus) -> Ended {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        assert!(!said.contains("panicked"), "{said}");
        match (status.code(), status.signal()) {
            (Some(0), _) => Ended::Well,
            (_, Some(9)) => Ended::Killed,
            (_, Some(15)) => Ended::Ill("it was told to end before it listened".to_owned()),
            _ => Ended::Ill(said.lines().rev().take(4).collect::<Vec<_>>().join(" < ")),
        }
    }

    fn signal(&self, signal: &str) {
        // It may have ended by itself in between; then nobody is there to be told.
        let _ = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .stderr(Stdio::null())
            .status();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Ended already in most cases; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
