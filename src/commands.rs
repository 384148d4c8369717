//! The commands, one file each, and what they share.

pub mod compact;
pub mod completions;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod forget;
pub mod funnel;
pub mod generate;
pub mod import;
pub mod ingest;
mod postgres;
pub mod query;
pub mod rebuild;
pub mod report;
pub mod schema;
pub mod serve;
mod service;
pub mod session;
pub mod sql;
pub mod token;
pub mod up;
pub mod vacuum;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use onramp_compute::Selection;
use onramp_compute::engine::{self, Engine};
use onramp_ingest::kafka::KafkaOptions;
use onramp_ingest::{PipelineOptions, Pseudonyms};
use onramp_lake::{Lake, StoreSettings};
use onramp_queries::access::Authenticator;
use onramp_queries::access::audit::Act;
use onramp_queries::sql::Source;
use onramp_schemas::clock::{Clock, SystemClock};

use crate::cli::Global;
use crate::config::{Config, Loaded, Overrides, load};
use crate::funnels::Funnels;
use crate::output::{Format, Progress};

/// How a command ended that did not fail with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All is done.
    Done,
    /// It did what was asked and found something wrong, which is printed already.
    Failed,
    /// Done, but something was rejected and the user asked to hear of it.
    Rejected,
    /// Somebody interrupted it.
    Interrupted,
}

/// What every command is given.
pub struct Context {
    loaded: Loaded,
    /// How results are printed.
    pub format: Format,
    /// Whether nothing but errors is to be said on stderr.
    pub quiet: bool,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Context {
    /// Reads the configuration; `overrides` are the command's own flags.
    ///
    /// # Errors
    /// As [`load`].
    pub fn new(global: &Global, mut overrides: Overrides) -> anyhow::Result<Self> {
        overrides.set("lake", global.lake.clone());
        let folders: Vec<String> =
            global.funnels.iter().map(|folder| folder.display().to_string()).collect();
        overrides.set("funnels", (!folders.is_empty()).then_some(folders));
        let loaded = load(global.config.as_deref(), overrides)?;
        let clock = Arc::new(SystemClock);
        Ok(Self { loaded, format: global.format, quiet: global.quiet, clock })
    }

    /// The effective configuration.
    pub fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// The configuration with the origin of each value.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// The lake, which need not exist yet.
    ///
    /// # Errors
    /// An address that is none.
    pub fn lake(&self) -> anyhow::Result<Lake> {
        let settings = StoreSettings { clock: self.clock.clone(), ..StoreSettings::default() };
        Ok(Lake::open(&self.config().lake, &settings)?)
    }

    /// The query engine.
    ///
    /// # Errors
    /// A folder for spilled data that cannot be used.
    pub fn engine(&self) -> anyhow::Result<Engine> {
        Ok(Engine::new(&self.engine_options())?)
    }

    /// How much of the machine a query engine may use.
    pub fn engine_options(&self) -> engine::Options {
        let compute = &self.config().compute;
        let default = engine::Options::default();
        engine::Options {
            memory_limit_bytes: compute.memory_limit_mb << 20,
            target_partitions: compute.target_partitions.unwrap_or(default.target_partitions),
            spill_dir: compute.spill_dir.clone(),
        }
    }

    /// Who tells callers apart.
    ///
    /// # Errors
    /// A provider that cannot be used.
    pub fn authenticator(&self, lake: &Lake) -> anyhow::Result<Authenticator> {
        Ok(Authenticator::new(lake, self.config().access.options()?, self.clock.clone())?)
    }

    /// The present instant.
    ///
    /// # Errors
    /// A clock that shows none.
    pub fn now(&self) -> anyhow::Result<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.clock.now()).context("the clock shows no instant")
    }

    /// Keeps an administrative act before it is done; what it concerns is named, but no person.
    ///
    /// # Errors
    /// It cannot be kept: then it must not be done.
    pub async fn audit(
        &self,
        lake: &Lake,
        act: &str,
        target: impl Into<String>,
        reason: Option<String>,
    ) -> anyhow::Result<()> {
        let at = self.now()?;
        let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
        let (actor, act, target) = (format!("cli/{user}"), act.to_owned(), target.into());
        Ok(Act { at, actor, act, target, reason }.record(lake).await?)
    }

    /// The time zone of a question: the one given, else the configured one.
    ///
    /// # Errors
    /// A configured name that is no time zone.
    pub fn timezone(&self, given: Option<Tz>) -> anyhow::Result<Tz> {
        let configured = &self.config().report.timezone;
        match given {
            Some(timezone) => Ok(timezone),
            None => configured.parse().map_err(|_| {
                anyhow!(
                    "report.timezone {configured:?} is no IANA time zone; write a name such as Europe/Berlin"
                )
            }),
        }
    }

    /// The funnels: built-in, then the lake's, then those of the configured folders.
    ///
    /// # Errors
    /// A funnel file that cannot be read or is no funnel.
    pub async fn funnels(&self, lake: &Lake) -> anyhow::Result<Funnels> {
        Funnels::load(lake, &self.config().funnels).await
    }

    /// What statements are asked of, with an engine of its own.
    ///
    /// # Errors
    /// As [`Context::engine`].
    pub fn source(&self, lake: Lake, funnels: &Funnels) -> anyhow::Result<Source> {
        let funnels = funnels.iter().map(|(funnel, _)| funnel.clone()).collect();
        Ok(Source { lake, engine: self.engine()?, funnels })
    }

    /// Tells the user on stderr what was done.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    /// A bar for work under way, silent unless somebody watches.
    pub fn progress(&self) -> Progress {
        Progress::new(self.quiet)
    }
}

/// The pipeline's limits as configured.
///
/// # Errors
/// A key for pseudonyms that cannot be used.
pub fn pipeline_options(config: &Config) -> anyhow::Result<PipelineOptions> {
    let ingest = &config.ingest;
    Ok(PipelineOptions {
        namespaces: ingest.namespaces.clone(),
        max_future_us: i64::from(ingest.max_future_seconds) * 1_000_000,
        horizon_us: ingest.horizon_seconds.map(|seconds| i64::from(seconds) * 1_000_000),
        max_bytes: ingest.max_record_bytes,
        flush_rows: ingest.flush_rows,
        flush_bytes: ingest.flush_mb << 20,
        flush_interval: Duration::from_millis(ingest.flush_interval_ms),
        memory_limit_bytes: ingest.memory_limit_mb << 20,
        pseudonyms: pseudonyms(config)?,
    })
}

/// What makes pseudonyms, where a key is configured.
///
/// # Errors
/// A key that cannot be used.
pub fn pseudonyms(config: &Config) -> anyhow::Result<Option<Pseudonyms>> {
    let key = config.privacy.pseudonym_key_file.as_deref();
    Ok(key.map(Pseudonyms::from_file).transpose()?)
}

/// The Kafka pipeline as configured.
///
/// # Errors
/// No brokers are configured.
pub fn kafka_options(config: &Config) -> anyhow::Result<KafkaOptions> {
    let ingest = &config.ingest;
    let brokers = ingest.brokers.clone().ok_or_else(|| {
        anyhow!("no Kafka brokers are configured; give --brokers HOST:PORT or set ingest.brokers")
    })?;
    Ok(KafkaOptions {
        brokers,
        topic: ingest.topic.clone(),
        group: ingest.group.clone(),
        epoch: ingest.epoch,
        session_timeout: Duration::from_millis(ingest.session_timeout_ms),
        shutdown_timeout: Duration::from_millis(ingest.shutdown_timeout_ms),
        max_rejected_ratio: ingest.max_rejected_ratio,
        dead_letter_topic: ingest.dead_letter_topic.clone(),
        properties: ingest.properties.clone(),
        pipeline: pipeline_options(config)?,
    })
}

/// A condition on an attribute.
#[derive(Clone)]
pub struct Attribute(String, Option<String>);

impl FromStr for Attribute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() {
            return Err("there is no attribute before =; write NAME=VALUE".to_owned());
        }
        Ok(Self(name.to_owned(), value))
    }
}

/// The sessions that meet all of these conditions.
pub fn selection(attributes: Vec<Attribute>) -> Selection {
    let attributes = attributes.into_iter().map(|Attribute(name, value)| (name, value)).collect();
    Selection { clients: None, attributes }
}
