//! What SQL answers: suites of statements and answers, `tests/sql/*.slt`, over the 22 events of
//! `tests/sql/world.ndjson`. Statements go to the HTTP API; `query run …` is a call of the program.
//!
//! `ONRAMP_BLESS=1` writes the answers into the suites.

mod hostile;
mod prompt;
mod same;

use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};

use crate::http::Server;
use crate::support::{Scene, checkout};

/// A lake and who answers over it.
struct Asked {
    scene: Scene,
    server: Server,
}

/// Why a statement was refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl Asked {
    fn start() -> Self {
        let scene = Scene::new();
        scene.run(["import".as_ref(), checkout("tests/sql/world.ndjson").as_os_str()]).succeeded();
        let server = Server::of(scene.onramp().arg("serve"), &[]);
        Self { scene, server }
    }

    /// A statement's rows as CSV.
    fn ask(&self, statement: &str) -> Result<String, Refused> {
        let request = self.server.agent().post(self.server.url("/api/v1/sql"));
        let request =
            request.header("content-type", "application/sql").header("accept", "text/csv");
        let mut answer = request.send(statement).expect("the server answers");
        let text = answer.body_mut().read_to_string().expect("text");
        match answer.status().as_u16() {
            200 => Ok(text),
            _ => {
                let problem: serde_json::Value = serde_json::from_str(&text).expect("a problem");
                Err(Refused(format!("{}: {}", problem["code"], problem["detail"])))
            }
        }
    }

    /// What the program prints.
    fn call(&self, words: &str) -> Result<String, Refused> {
        let answer = self.scene.run(["--format", "csv"].into_iter().chain(words.split(' ')));
        match answer.code {
            Some(0) => Ok(answer.stdout),
            _ => Err(Refused(answer.stderr)),
        }
    }
}

impl DB for Asked {
    type Error = Refused;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, statement: &str) -> Result<DBOutput<DefaultColumnType>, Refused> {
        let text = match statement.starts_with("query ") {
            true => self.call(statement)?,
            false => self.ask(statement)?,
        };
        let mut read = csv::Reader::from_reader(text.as_bytes());
        let types = vec![DefaultColumnType::Any; read.headers().expect("a head").len()];
        let cell = |cell: &str| if cell.is_empty() { "NULL".to_owned() } else { cell.to_owned() };
        let rows = read.records().map(|row| row.expect("a row").iter().map(cell).collect());
        Ok(DBOutput::Rows { types, rows: rows.collect() })
    }
}

/// Every suite, over one lake.
#[test]
fn suites_say_what_is_answered() {
    let mut runner = Runner::new(async || Ok(Asked::start()));
    let folder = std::fs::read_dir(checkout("tests/sql")).expect("the folder of the suites");
    let mut files: Vec<_> = folder.map(|file| file.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "slt"));
    files.sort_unstable();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        if std::env::var_os("ONRAMP_BLESS").is_some_and(|bless| bless == "1") {
            let written = runner.update_test_file(
                &file,
                " ",
                sqllogictest::default_validator,
                sqllogictest::default_normalizer,
                sqllogictest::default_column_validator,
            );
            futures::executor::block_on(written).expect("the suite is written");
        }
        runner.run_file(&file).unwrap_or_else(|error| panic!("{error}"));
    }
}
