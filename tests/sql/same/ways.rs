//! A statement by the program, over HTTP and on the PostgreSQL wire.

use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::World;
use crate::http::Server;
use crate::support::{Answer, free_ports};

/// The columns of a table in CSV, and its rows.
fn cells(text: &str) -> (Vec<String>, Vec<Value>) {
    let mut read = csv::Reader::from_reader(text.as_bytes());
    let columns = read.headers().expect("columns").iter().map(str::to_owned).collect();
    let rows = read.records().map(|row| row.expect("a row").iter().map(cell).collect());
    (columns, rows.collect())
}

fn cell(text: &str) -> Value {
    match (text, text.parse::<f64>()) {
        ("", _) => Value::Null,
        ("true" | "t", _) => json!(true),
        ("false" | "f", _) => json!(false),
        (_, Ok(number)) => json!(number),
        (_, Err(_)) => json!(text),
    }
}

/// A lake, and every way to ask it in SQL.
pub struct Ways {
    pub world: Arc<World>,
    _wire: Server,
    address: String,
}

impl Ways {
    pub fn of(world: Arc<World>) -> Self {
        let port = free_ports();
        let mut serve = world.scene.onramp();
        serve.args(["serve", "--pg-listen", &format!("127.0.0.1:{port}")]);
        let wire = Server::of(&mut serve, &[]);
        let address = format!("host=127.0.0.1 port={port} user=anybody dbname=anything");
        Self { world, _wire: wire, address }
    }

    /// The columns and rows of a statement, the same by the program, over HTTP and on the wire.
    #[track_caller]
    pub fn ask(&self, name: &str, statement: &str) -> (Vec<String>, Vec<Value>) {
        let scene = &self.world.scene;
        let called = scene.run(["--format", "csv", "sql", statement]).succeeded().stdout;
        let answered = self.world.sql("application/sql", statement, &[("accept", "text/csv")]);
        let mut psql = Command::new("psql");
        psql.args(["-X", "--csv", "-v", "ON_ERROR_STOP=1", "-c", statement, &self.address]);
        let wired = Answer::of(&mut psql).succeeded().stdout;
        let (columns, rows) = cells(&called);
        for (way, text) in [("HTTP", answered.text()), ("the wire", wired)] {
            let (named, told) = cells(&text);
            assert_eq!(named, columns, "{name}: {way} and the program");
            assert!(is_same(&json!(rows), &json!(told)), "{name}: {way} {told:?}, {rows:?}");
        }
        (columns, rows)
    }
}

/// The same number, up to the last bits of a sum in another order; the rest exactly.
pub fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().expect("finite"), other.as_f64().expect("finite"));
            (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1.0)
        }
        _ => one == other,
    }
}
