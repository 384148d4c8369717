//! A real Apache Kafka broker, started once for all tests that need one.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{checkout, eventually, free_ports};

pub struct Broker {
    folder: TempDir,
    port: u16,
    /// The broker ends with this process: when nobody holds its input any more.
    process: Child,
}

/// The broker, or `None` with a word on how to get one where Java or Maven is missing.
pub fn broker(test: &str) -> Option<&'static Broker> {
    static BROKER: OnceLock<Option<Broker>> = OnceLock::new();
    let broker = BROKER.get_or_init(|| tools().then(Broker::start)).as_ref();
    if broker.is_none() {
        let needs = "a real Kafka: apt-get install -y maven openjdk-17-jre-headless";
        super::left_out(test, needs);
    }
    broker
}

/// A broker that no other test shares, so that it may be killed.
pub fn own_broker(test: &str) -> Option<Broker> {
    // The shared one resolves the jars; two at once would be in each other's way.
    broker(test).map(|_| Broker::start())
}

fn tools() -> bool {
    ["java", "mvn"].into_iter().all(|tool| {
        let version = if tool == "java" { "-version" } else { "--version" };
        Command::new(tool)
            .arg(version)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

impl Broker {
    fn start() -> Self {
        let script = checkout("tests/kafka/broker.sh");
        let jars = Command::new(&script).arg("jars").status().expect("bash runs");
        assert!(jars.success(), "the broker's jars could not be resolved");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_ports();
        let process = Self::run(&folder, port);
        let broker = Self { folder, port, process };
        broker.await_up();
        broker
    }

    fn run(folder: &TempDir, port: u16) -> Child {
        let log = folder.path().join("broker.log");
        let log = File::options().create(true).append(true).open(log).expect("a log file");
        Command::new(checkout("tests/kafka/broker.sh"))
            .arg("run")
            .arg(folder.path().join("data"))
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the broker's script runs")
    }

    fn await_up(&self) {
        eventually("the broker listens", 60, || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    /// Kills the broker (SIGKILL) and starts it again on what it left.
    pub fn restart(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().expect("the broker's script ends");
        self.process = Self::run(&self.folder, self.port);
        self.await_up();
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Creates a topic with so many partitions.
    pub fn create(&self, topic: &str, partitions: u32) {
        eventually("the topic is created", 60, || {
            let made = self.topics(&[
                "--create",
                "--topic",
                topic,
                "--partitions",
                &partitions.to_string(),
            ]);
            made.then_some(())
        });
    }

    pub fn delete(&self, topic: &str) {
        assert!(self.topics(&["--delete", "--topic", topic]), "{topic} could not be deleted");
    }

    fn topics(&self, args: &[&str]) -> bool {
        Command::new(checkout("tests/kafka/broker.sh"))
            .arg("topics")
            .arg(self.data())
            .arg(self.port.to_string())
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}
