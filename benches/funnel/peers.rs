//! The other engines, in a process of their own that answers line by line.

#[path = "../python/mod.rs"]
mod python;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context;

/// As `peers.py` knows them.
pub const ENGINES: [&str; 4] =
    ["DuckDB", "DuckDB by session_key", "ClickHouse windowFunnel", "ClickHouse minIf"];

pub struct Peers {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peers {
    /// Starts them, installing what they need beside the build.
    pub fn start(threads: usize) -> anyhow::Result<Self> {
        let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/funnel");
        let mut child = Command::new(python::python(&sources, "peers")?)
            .arg(sources.join("peers.py"))
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = child.stdin.take().context("its standard input")?;
        let answers = BufReader::new(child.stdout.take().context("its standard output")?);
        Ok(Self { child, questions, answers })
    }

    /// Seconds that an engine takes over files, and the sessions that reached each stage.
    pub fn ask(&mut self, engine: &str, files: &str) -> anyhow::Result<(f64, Vec<u64>)> {
        writeln!(self.questions, "{engine}\t{files}")?;
        self.questions.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let answer: serde_json::Value =
            serde_json::from_str(&answer).with_context(|| format!("{engine} gave no answer"))?;
        let counts = answer["counts"].as_array().context("counts")?;
        let counts = counts.iter().filter_map(serde_json::Value::as_u64).collect();
        Ok((answer["seconds"].as_f64().context("seconds")?, counts))
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // Nothing is left to be asked, and nobody could be told.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
