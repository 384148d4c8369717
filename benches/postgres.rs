//! All rows of a table over the PostgreSQL wire, beside PostgreSQL 15 itself with the same rows and the
//! same client, in turns of one run.
//!
//! `cargo bench --bench postgres [-- ROWS]` (about 1,000,000 unless given). Needs PostgreSQL 15 (Debian:
//! `apt-get install postgresql-15`; `ONRAMP_POSTGRES=FOLDER` names another folder of its programs) and
//! `python3` with venv and pip; `ONRAMP_PEERS=PYTHON` names one that has psycopg already.

#[path = "postgres/cluster.rs"]
mod cluster;
mod python;
#[path = "funnel/world.rs"]
mod world;

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use onramp_lake::{Lake, StoreSettings};

use cluster::Cluster;

/// Runs of each, in turns; medians are printed.
const ROUNDS: usize = 5;
/// A session's events, in the middle.
const EVENTS: usize = 6;

/// Text of few and of many values, absent ones, instants, numbers, truth values.
const COLUMNS: &str = "client_id, event_type, session_id, occurred_at, language, code, sequence";
const TABLE: &str = "CREATE TABLE events (client_id text, event_type text, session_id text, \
    occurred_at timestamptz, language text, code text, sequence bigint)";

/// How the rows are taken.
const MODES: [(&str, &str); 3] = [
    ("text", "libpq, text"),
    ("binary", "libpq, binary"),
    ("rows", "psycopg, binary, as values of Python"),
];

fn main() -> anyhow::Result<()> {
    let rows: usize = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir()?;
    let lake = folder.path().join("lake");
    let opened = Lake::open(&lake.to_string_lossy(), &StoreSettings::default())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let events = runtime.block_on(world::write(&opened, rows.div_ceil(EVENTS)))?;
    drop(runtime);
    let theirs = Cluster::start()?;
    fill(&theirs, &lake, &folder.path().join("events.csv"))?;
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/postgres");
    let client = Client {
        python: python::python(&sources, "postgres")?,
        script: sources.join("client.py"),
        statement: format!("SELECT {COLUMNS}, code IS NOT NULL AS failed FROM events"),
    };
    let ours = Server::start(&lake)?;
    let [(_, one), (_, other)] =
        [client.ask(ours.port, "digest")?, client.ask(theirs.port, "digest")?];
    anyhow::ensure!(one == other && one["rows"] == events, "{events} events, {one}, {other}");
    println!("\n{events} rows, medians of {ROUNDS} rounds\n");
    println!("| client | PostgreSQL 15, rows/s | Onramp, rows/s | ratio |\n|---|---|---|---|");
    for (mode, name) in MODES {
        let [mut at_ours, mut at_theirs] = [const { Vec::new() }; 2];
        for _ in 0..ROUNDS {
            at_theirs.push(client.ask(theirs.port, mode)?.0);
            at_ours.push(client.ask(ours.port, mode)?.0);
        }
        let rate = |seconds: &mut Vec<f64>| events as f64 / median(seconds);
        let (at_ours, at_theirs) = (rate(&mut at_ours), rate(&mut at_theirs));
        println!("| {name} | {at_theirs:.0} | {at_ours:.0} | {:.2} |", at_ours / at_theirs);
    }
    Ok(())
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// The lake's events as a table of theirs.
fn fill(theirs: &Cluster, lake: &Path, csv: &Path) -> anyhow::Result<()> {
    let mut ask = onramp(lake);
    ask.args(["--format", "csv", "sql", &format!("SELECT {COLUMNS} FROM events")]);
    python::run(ask.stdout(File::create(csv)?))?;
    let copy = format!("\\copy events FROM '{}' CSV HEADER", csv.display());
    theirs.run(&[TABLE, &copy, "VACUUM (ANALYZE, FREEZE) events"])
}

fn onramp(lake: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onramp"));
    command.arg("--lake").arg(lake).arg("-q");
    command
}

/// psycopg, a process for every question.
struct Client {
    python: PathBuf,
    script: PathBuf,
    statement: String,
}

impl Client {
    /// The seconds until the last row is there, and what else it tells.
    fn ask(&self, port: u16, mode: &str) -> anyhow::Result<(f64, serde_json::Value)> {
        let mut command = Command::new(&self.python);
        command.arg(&self.script).args([&port.to_string(), mode, &self.statement]);
        let said = command.stderr(Stdio::inherit()).output()?;
        anyhow::ensure!(said.status.success(), "the client failed at port {port}, {mode}");
        let mut told: serde_json::Value = serde_json::from_slice(&said.stdout)?;
        let seconds = told["seconds"].take().as_f64().context("no seconds were told")?;
        Ok((seconds, told))
    }
}

/// The wire of the real binary.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(lake: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let mut serve = onramp(lake);
        serve.args(["serve", "--listen", "127.0.0.1:0", "--pg-listen", &address]);
        // The machine's own settings shall not count.
        serve.env("XDG_CONFIG_HOME", lake).stdout(Stdio::null());
        let server = Self { child: serve.spawn()?, port };
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(&address).is_err() {
            anyhow::ensure!(Instant::now() < until, "the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of loopback that nobody listens on.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
