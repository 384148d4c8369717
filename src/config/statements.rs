//! The section `sql`.

use std::time::Duration;

use anyhow::ensure;
use onramp_queries::sql::Limits;
use serde::{Deserialize, Serialize};

/// The least memory with which sorts and aggregates get anywhere, in mebibytes,
const LEAST_MEMORY: usize = 8;

/// and the most: a terabyte.
const MOST_MEMORY: usize = 1 << 20;
/// Each has threads of its own.
const MOST_CONCURRENT: usize = 64;

/// What statements may take, by the way they come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    /// Over HTTP, where an answer is given as a whole; memory is of the query engine's.
    pub http: Statements,
    /// Over the PostgreSQL wire, where rows go out as they are made; memory is beside the query engine's.
    pub postgres: Statements,
}

/// What statements may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statements {
    /// The longest that a statement may take, its wait included, in seconds.
    pub deadline_seconds: u64,
    /// The most rows of an answer.
    pub max_rows: usize,
    /// Statements that run at once; others wait, over HTTP no more than as many again.
    pub max_concurrent: usize,
    /// Mebibytes that a statement's sorts, joins and aggregates may hold before they spill.
    pub memory_limit_mb: usize,
}

impl Default for Sql {
    fn default() -> Self {
        let statements = |deadline_seconds, max_rows, memory_limit_mb| Statements {
            deadline_seconds,
            max_rows,
            max_concurrent: 4,
            memory_limit_mb,
        };
        Self { http: statements(30, 100_000, 128), postgres: statements(60, 5_000_000, 256) }
    }
}

impl Statements {
    /// The limits of the section `sql.<way>`.
    ///
    /// # Errors
    /// A value with which no statement would ever be answered.
    pub fn limits(&self, way: &str) -> anyhow::Result<Limits> {
        let Self { deadline_seconds, max_rows, max_concurrent, memory_limit_mb } = *self;
        ensure!(deadline_seconds > 0, "sql.{way}.deadline_seconds is 0; write at least 1");
        ensure!(max_rows > 0, "sql.{way}.max_rows is 0; write at least 1");
        ensure!(
            (1..=MOST_CONCURRENT).contains(&max_concurrent),
            "sql.{way}.max_concurrent is {max_concurrent}; write 1 to {MOST_CONCURRENT}"
        );
        ensure!(
            (LEAST_MEMORY..=MOST_MEMORY).contains(&memory_limit_mb),
            "sql.{way}.memory_limit_mb is {memory_limit_mb}; write {LEAST_MEMORY} to {MOST_MEMORY}"
        );
        Ok(Limits {
            deadline: Duration::from_secs(deadline_seconds),
            max_rows,
            max_concurrent,
            memory_limit_bytes: memory_limit_mb << 20,
            ..Limits::default()
        })
    }
}
