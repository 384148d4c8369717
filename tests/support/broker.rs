//! Real Apache Kafka brokers: one that all tests share, or a cluster of a test's own.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{checkout, eventually, free_ports};

/// A cluster of one broker or three.
pub struct Broker {
    folder: TempDir,
    ports: Vec<u16>,
    /// A broker ends with its process: when nobody holds its input any more. None while it is away.
    processes: Vec<Option<Child>>,
}

/// The broker, or `None` with a word on how to get one where Java or Maven is missing.
pub fn broker(test: &str) -> Option<&'static Broker> {
    static BROKER: OnceLock<Option<Broker>> = OnceLock::new();
    let broker =
        BROKER.get_or_init(|| tools().then(|| Broker::start(1, |_| String::new()))).as_ref();
    if broker.is_none() {
        let needs = "a real Kafka: apt-get install -y maven openjdk-17-jre-headless";
        super::left_out(test, needs);
    }
    broker
}

/// A cluster that no other test shares, so that its brokers may be killed.
pub fn own_brokers(test: &str, brokers: usize) -> Option<Broker> {
    // The shared one resolves the jars; two at once would be in each other's way.
    broker(test).map(|_| Broker::start(brokers, |_| String::new()))
}

/// A broker of one's own with further lines in its properties, made from its port.
pub fn broker_with(test: &str, properties: impl Fn(u16) -> String) -> Option<Broker> {
    broker(test).map(|_| Broker::start(1, properties))
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
    fn start(brokers: usize, more: impl Fn(u16) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ports = (0..brokers).map(|_| free_ports()).collect();
        let mut cluster = Self { folder, processes: Vec::new(), ports };
        let ports = cluster.ports.iter().map(u16::to_string);
        let laid_out = cluster.script("format").args(ports).status().expect("bash runs");
        assert!(laid_out.success(), "the cluster could not be laid out");
        for (node, &port) in (1..).zip(&cluster.ports) {
            let path = cluster.data().join(format!("{node}.properties"));
            let mut file = File::options().append(true).open(path).expect("its properties");
            file.write_all(more(port).as_bytes()).expect("more of them");
        }
        cluster.processes = (0..brokers).map(|broker| Some(cluster.run(broker))).collect();
        (0..brokers).for_each(|broker| cluster.await_up(broker));
        cluster
    }

    fn run(&self, broker: usize) -> Child {
        let log = File::options().create(true).append(true).open(self.log(broker));
        let log = log.expect("a log file");
        self.script("run")
            .arg((broker + 1).to_string())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the broker's script runs")
    }

    /// A command of the script for this cluster.
    fn script(&self, command: &str) -> Command {
        let mut script = Command::new(checkout("tests/kafka/broker.sh"));
        script.arg(command).arg(self.data());
        script
    }

    fn await_up(&mut self, broker: usize) {
        let log = self.log(broker);
        let port = self.ports[broker];
        let process = self.processes[broker].as_mut().expect("a process that was started");
        eventually("the broker listens", 180, || {
            let ended = process.try_wait().expect("a process of ours");
            if ended.is_some() {
                panic!("the broker ended: {}", std::fs::read_to_string(&log).expect("its log"));
            }
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }

    /// What a broker says.
    fn log(&self, broker: usize) -> PathBuf {
        self.folder.path().join(format!("broker-{broker}.log"))
    }

    /// How many brokers there are, those that are away too.
    pub fn count(&self) -> usize {
        self.ports.len()
    }

    /// Kills a broker (SIGKILL).
    pub fn kill(&mut self, broker: usize) {
        if let Some(mut process) = self.processes[broker].take() {
            drop(process.stdin.take());
            process.wait().expect("the broker's script ends");
        }
    }

    /// Starts every broker that is away on what it left.
    pub fn up(&mut self) {
        for broker in 0..self.count() {
            if self.processes[broker].is_none() {
                self.processes[broker] = Some(self.run(broker));
                self.await_up(broker);
            }
        }
    }

    /// Where the brokers listen, separated by commas.
    pub fn address(&self) -> String {
        self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
    }

    /// Kafka's own topic tool against this cluster, without its `--bootstrap-server`.
    pub fn topic_tool(&self) -> String {
        let script = checkout("tests/kafka/broker.sh");
        format!("{} topics {}", script.display(), self.data().display())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Creates a topic with so many partitions.
    pub fn create(&self, topic: &str, partitions: u32) {
        let partitions = partitions.to_string();
        eventually("the topic is created", 60, || {
            self.topics(&["--create", "--topic", topic, "--partitions", &partitions]).then_some(())
        });
    }

    pub fn delete(&self, topic: &str) {
        assert!(self.topics(&["--delete", "--topic", topic]), "{topic} could not be deleted");
    }

    fn topics(&self, args: &[&str]) -> bool {
        self.script("topics")
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}
