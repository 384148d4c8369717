//! The procedures of docs/operations.md, by the commands that stand there.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::faults::records::{Produced, producer, send};
use crate::faults::topics::create_anew;
use crate::http::terminate;
use crate::import::assert_ledger;
use crate::kafka::{accounted, await_records, produce};
use crate::support::broker::{Broker, broker};
use crate::support::{Answer, Scene, checkout, event, eventually};

use super::Running;

const TIME: &str = "2026-03-01T10:00:00Z";

fn read(path: &str) -> String {
    std::fs::read_to_string(checkout(path)).unwrap()
}

/// The commands of the block that is marked `sh run NAME`.
fn block(name: &str) -> String {
    let page = read("docs/operations.md");
    let (_, after) = page.split_once(&format!("```sh run {name}\n")).expect(name);
    after.split_once("```").expect("its end").0.to_owned()
}

/// A topic, a lake, and a shell in which `onramp` and Kafka's own tool are on the path.
struct Shop {
    broker: &'static Broker,
    topic: String,
    scene: Scene,
    produced: u32,
}

impl Shop {
    fn open(test: &str) -> Option<Self> {
        let broker = broker(&format!("operations::procedures::{test}"))?;
        let topic = format!("operations.{test}");
        broker.create(&topic, 1);
        let scene = Scene::new();
        let settings = "\"topic.metadata.refresh.interval.ms\" = \"1000\"\n";
        scene.write("onramp.toml", format!("[ingest.properties]\n{settings}"));
        std::fs::create_dir(scene.path("bin")).unwrap();
        let program = env!("CARGO_BIN_EXE_onramp");
        std::os::unix::fs::symlink(program, scene.path("bin/onramp")).unwrap();
        // The shell below has a home of its own; the tool's jars are cached in ours.
        let home = std::env::var("HOME").unwrap();
        let tool = format!(
            "#!/bin/sh\nshift 2 # --bootstrap-server\nHOME={home} exec {} \"$@\"\n",
            broker.topic_tool()
        );
        let tool = scene.write("bin/kafka-topics.sh", tool);
        let made = Command::new("chmod").arg("+x").arg(tool).status();
        assert!(made.unwrap().success());
        Some(Self { broker, topic, scene, produced: 0 })
    }

    fn produce(&mut self, records: u32) {
        let ids = self.produced..self.produced + records;
        self.produced = ids.end;
        let one = |id: u32| {
            let session = format!("s{}", id % 3);
            event(&id.to_string(), &session, "input.submitted", TIME, "{}").into_bytes()
        };
        produce(self.broker, &self.topic, ids.map(one));
    }

    fn ingest(&self) -> Running {
        Running::ingest(&self.scene, &self.broker.address(), &self.topic, &[])
    }

    fn shell(&self, script: &str) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut shell = Command::new("bash");
        shell
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(self.scene.path("."))
            .env("PATH", format!("{}:{path}", self.scene.path("bin").display()))
            .env("HOME", self.scene.path("."))
            .env("BACKUP", self.backup())
            .env("ONRAMP_LAKE", self.scene.lake())
            .env("ONRAMP__INGEST__BROKERS", self.broker.address())
            .env("ONRAMP__INGEST__TOPIC", &self.topic)
            .stdin(Stdio::null());
        shell
    }

    fn backup(&self) -> PathBuf {
        self.scene.path("backup")
    }

    /// Runs a block to its end.
    fn run(&self, name: &str) -> Answer {
        Answer::of(&mut self.shell(&block(name))).succeeded()
    }

    /// Runs a block that ends with a service, until the lake accounts for so many records.
    fn serve(&self, name: &str, scene: &Scene, records: i64) {
        let block = block(name);
        let (before, service) = block.trim_end().rsplit_once('\n').unwrap_or(("", &block));
        let script = format!("{before}\nexec {service}");
        let mut shell = self.shell(&script);
        let service: Child =
            shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("bash runs");
        eventually(&format!("{name} catches up"), 120, || {
            (accounted(scene) >= records).then_some(())
        });
        terminate(&service);
        assert_eq!(Service(service).0.wait().unwrap().code(), Some(0), "{name}");
        assert_ledger(scene, records);
    }

    fn rows(&self) -> Vec<serde_json::Value> {
        self.scene
            .sql("SELECT sequence, id, session_id FROM events ORDER BY source_partition, sequence")
    }
}

/// Killed with the test if it still runs.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // Ended already where all went well.
        let _ = self.0.kill();
    }
}

#[test]
fn an_upgrade_replaces_one_process_after_the_other() {
    let Some(mut shop) = Shop::open("upgrade") else { return };
    shop.produce(5);
    let (first, second) = (shop.ingest(), shop.ingest());
    await_records(&shop.scene, 5);
    for old in [first, second] {
        shop.produce(5);
        let new = shop.ingest();
        assert_eq!(old.stop(), Some(0));
        await_records(&shop.scene, i64::from(shop.produced));
        assert_eq!(new.stop(), Some(0));
    }
    shop.scene.run(["report"]).succeeded();
    let told = shop.run("upgrade").stdout;
    assert!(told.contains("onboarding"), "{told}");
    shop.run("doctor");
}

#[test]
fn partitions_that_are_added_are_read_by_who_is_running() {
    let Some(mut shop) = Shop::open("partitions") else { return };
    shop.produce(5);
    let ingest = shop.ingest();
    await_records(&shop.scene, 5);
    shop.run("partitions-added");
    let producer = producer(shop.broker, &[]);
    for partition in 0..4 {
        let payload = event(&format!("to-{partition}"), "s", "input.submitted", TIME, "{}");
        let record = Produced::to(&shop.topic).payload(payload.as_bytes());
        send(&producer, record.partition(partition));
    }
    await_records(&shop.scene, 9);
    let sources = shop.scene.sql("SELECT DISTINCT source_partition FROM events");
    assert_eq!(sources.len(), 4, "{sources:?}");
    assert_eq!(ingest.stop(), Some(0));
}

#[test]
fn a_topic_created_anew_is_read_under_another_epoch() {
    let Some(mut shop) = Shop::open("anew") else { return };
    shop.produce(5);
    let ingest = shop.ingest();
    await_records(&shop.scene, 5);
    assert_eq!(ingest.stop(), Some(0));
    create_anew(&shop.broker.address(), &shop.topic, 1);
    shop.produce(3);
    shop.serve("topic-anew", &shop.scene, 8);
}

#[test]
fn a_backup_is_a_lake_that_reads_on() {
    let Some(mut shop) = Shop::open("backup") else { return };
    shop.produce(5);
    let ingest = shop.ingest();
    await_records(&shop.scene, 5);
    assert_eq!(ingest.stop(), Some(0));
    shop.run("backup");
    shop.produce(5);
    std::fs::remove_dir_all(shop.scene.lake()).unwrap();
    // The scene asks the lake at its own place: the copy is that from here on.
    std::os::unix::fs::symlink(shop.backup(), shop.scene.lake()).unwrap();
    shop.serve("restore", &shop.scene, 10);
}

#[test]
fn with_nothing_but_the_bucket_another_group_reads_on() {
    let Some(mut shop) = Shop::open("bucket") else { return };
    shop.produce(5);
    let ingest = shop.ingest();
    await_records(&shop.scene, 5);
    drop(ingest);
    shop.produce(5);
    shop.serve("bucket-only", &shop.scene, 10);
}

#[test]
fn with_nothing_but_the_topic_the_same_rows_come_again() {
    let Some(mut shop) = Shop::open("topic") else { return };
    shop.produce(10);
    let ingest = shop.ingest();
    await_records(&shop.scene, 10);
    assert_eq!(ingest.stop(), Some(0));
    let before = shop.rows();
    std::fs::remove_dir_all(shop.scene.lake()).unwrap();
    shop.serve("topic-only", &shop.scene, 10);
    assert_eq!(shop.rows(), before);
    shop.scene.run(["report"]).succeeded();
}

#[test]
fn every_block_is_run_and_every_metric_and_heading_that_is_named_exists() {
    let page = read("docs/operations.md");
    let runs = include_str!("procedures.rs");
    for after in page.split("```sh run ").skip(1) {
        let name = after.split('\n').next().unwrap();
        let (run, serve) = (format!("run(\"{name}\")"), format!("serve(\"{name}\""));
        assert!(runs.contains(&run) || runs.contains(&serve), "nobody runs the block {name}");
    }
    let names = read("ingest/src/observability.rs");
    let named = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with("onramp_ingest_")).map(str::to_owned).collect()
    };
    assert_eq!(named(&page), named(&names), "the metrics");
    let known = Scene::new().run(["config", "show"]).succeeded().stdout;
    for quoted in page.split('`').skip(1).step_by(2) {
        let section = quoted.starts_with("ingest.") || quoted.starts_with("compute.");
        assert!(!section || quoted == "ingest.properties" || known.contains(quoted), "{quoted}");
    }
    let headings: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|title| title.to_lowercase().replace(' ', "-").replace(',', ""))
        .collect();
    let mut links = 0;
    for path in sources(&checkout(".")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for after in text.split("docs/operations.md#").skip(1) {
            let name: String =
                after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            assert!(headings.contains(&name), "{}: there is no heading {name:?}", path.display());
            links += 1;
        }
    }
    assert!(links > 0, "no message says where to read on");
}

/// The sources and pages of the checkout that may point to the page.
fn sources(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            found.extend(sources(&path));
        } else if ["rs", "md", "toml", "yml"].contains(&kind) && name != "procedures.rs" {
            found.push(path);
        }
    }
    found
}
