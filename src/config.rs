//! The configuration: flags before environment before files before defaults, each value with its
//! origin.

mod access;
mod load;
mod provenance;
mod statements;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

pub use access::Access;
pub use load::{Loaded, Overrides, load};
pub use provenance::settings;
pub use statements::Sql;

/// Everything that can be set. A key that is not here is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder, `file://` or `s3://bucket/prefix` of the lake.
    pub lake: String,
    /// Folders with funnel files; a later funnel of one name replaces an earlier.
    #[serde(deserialize_with = "list")]
    pub funnels: Vec<String>,
    /// Events into the lake.
    pub ingest: Ingest,
    /// The HTTP server.
    pub http: Http,
    /// The PostgreSQL wire.
    pub postgres: Postgres,
    /// What statements may take.
    pub sql: Sql,
    /// Who may ask.
    pub access: Access,
    /// What is kept of people.
    pub privacy: Privacy,
    /// The query engine.
    pub compute: Compute,
    /// What a report is when nothing else is asked.
    pub report: Report,
    /// What the program says while it works.
    pub log: Log,
}

/// Events into the lake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    /// `host:port` of some Kafka brokers, separated by commas.
    pub brokers: Option<String>,
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// Raised when a topic was created anew: its offsets then count as others.
    pub epoch: u32,
    /// Further settings of librdkafka, as they are.
    pub properties: BTreeMap<String, String>,
    /// Topic that dead letters are mirrored to.
    pub dead_letter_topic: Option<String>,
    /// How long a silent member keeps its partitions, in milliseconds.
    pub session_timeout_ms: u64,
    /// How long a stop may take, in milliseconds.
    pub shutdown_timeout_ms: u64,
    /// Share of a stream's last 10,000 records that may be rejected, 0 to 1.
    pub max_rejected_ratio: f64,
    /// Name of this process's HTTP collector in the lake.
    pub instance: String,
    /// Reverse-DNS names under which custom event types are accepted.
    #[serde(deserialize_with = "list")]
    pub namespaces: Vec<String>,
    /// How far an event may lie after its record's own timestamp, in seconds.
    pub max_future_seconds: u32,
    /// How far it may lie before it, in seconds; none: history is welcome.
    pub horizon_seconds: Option<u32>,
    /// The greatest size of a record, in bytes.
    pub max_record_bytes: usize,
    /// A flush is due at this many rows,
    pub flush_rows: usize,
    /// or at this many mebibytes of payload,
    pub flush_mb: usize,
    /// or at this age of the oldest, in milliseconds.
    pub flush_interval_ms: u64,
    /// Mebibytes that a process may hold: what is buffered, fetched ahead, and the duplicate windows.
    pub memory_limit_mb: usize,
}

/// The HTTP server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where `up` and `serve` listen.
    pub listen: String,
    /// The greatest size of a body of events, in mebibytes.
    pub max_body_mb: usize,
    /// The most events of a batch.
    pub max_events: usize,
    /// Connections at once; for one more the one that is idle longest is closed.
    pub max_connections: usize,
    /// How long the head of a request may take and a connection be idle, in seconds.
    pub head_timeout_seconds: u64,
    /// How long a request may take, its body included, in seconds.
    pub request_timeout_seconds: u64,
    /// How long a report or a list may take, in seconds.
    pub deadline_seconds: u64,
    /// Reports and lists that are computed at once; as many again may wait.
    pub max_concurrent: usize,
}

/// The PostgreSQL wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// Where `up` and `serve` answer clients of PostgreSQL; none: nowhere.
    pub listen: Option<String>,
    /// PEM file of the certificate, with those that lead to its root.
    pub tls_cert: Option<PathBuf>,
    /// PEM file of its private key.
    pub tls_key: Option<PathBuf>,
    /// Connections at once.
    pub max_connections: usize,
    /// The longest login, in seconds.
    pub startup_timeout_seconds: u64,
    /// The longest silence of a connection, in seconds.
    pub idle_timeout_seconds: u64,
}

/// What is kept of people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// A file with a key of at least 32 bytes: ingest then keeps pseudonyms in place of `userid`.
    pub pseudonym_key_file: Option<PathBuf>,
}

/// The query engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compute {
    /// Mebibytes that sorts, joins and aggregates may hold before they spill.
    pub memory_limit_mb: usize,
    /// Parallel streams of a plan; none: one for each core.
    pub target_partitions: Option<usize>,
    /// Where spilled data goes; none: the system's folder for temporary files.
    pub spill_dir: Option<PathBuf>,
}

/// What a report is when nothing else is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The funnel.
    pub funnel: String,
    /// IANA time zone of days and weeks.
    pub timezone: String,
}

/// What the program says while it works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Which events of which parts, as `info` or `onramp_ingest=debug,warn`; `-v` and `-q` go first.
    pub filter: Option<String>,
    /// One line of text or of JSON each.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lake: "./onramp-lake".to_owned(),
            funnels: Vec::new(),
            ingest: Ingest::default(),
            http: Http::default(),
            postgres: Postgres::default(),
            sql: Sql::default(),
            access: Access::default(),
            privacy: Privacy::default(),
            compute: Compute { memory_limit_mb: 1_024, target_partitions: None, spill_dir: None },
            report: Report { funnel: "onboarding".to_owned(), timezone: "UTC".to_owned() },
            log: Log { filter: None, format: LogFormat::Text },
        }
    }
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            listen: None,
            tls_cert: None,
            tls_key: None,
            max_connections: 50,
            startup_timeout_seconds: 10,
            idle_timeout_seconds: 3_600,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            max_body_mb: 16,
            max_events: 10_000,
            max_connections: 512,
            head_timeout_seconds: 10,
            request_timeout_seconds: 60,
            deadline_seconds: 30,
            max_concurrent: 4,
        }
    }
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            brokers: None,
            topic: "onboarding.events".to_owned(),
            group: "onramp".to_owned(),
            epoch: 0,
            properties: BTreeMap::new(),
            dead_letter_topic: None,
            session_timeout_ms: 10_000,
            shutdown_timeout_ms: 10_000,
            max_rejected_ratio: 0.95,
            instance: "collector".to_owned(),
            namespaces: Vec::new(),
            max_future_seconds: 300,
            horizon_seconds: None,
            max_record_bytes: 1 << 20,
            flush_rows: 200_000,
            flush_mb: 64,
            flush_interval_ms: 1_000,
            memory_limit_mb: 448,
        }
    }
}

/// A list, or one text with commas as the environment gives it.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::List(list) => list,
        Written::Text(text) => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}
