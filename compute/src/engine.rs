//! The query engine: DataFusion with a bounded memory pool, spilling to disk, reading lakes.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use onramp_lake::Lake;

use crate::error::ComputeError;
use crate::{functions, predicate};

mod pool;

use pool::{HeadroomPool, SharePool};

/// Name of the catalogue that a session's tables are in.
pub const CATALOG: &str = "onramp";

/// Bytes that a share may spill for each that it may hold.
pub const SPILLED: u64 = 16;

/// How much of the machine the engine may use.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes that sorts, joins and aggregates may hold before they spill (default 1 GiB).
    pub memory_limit_bytes: usize,
    /// Parallel streams of a plan (default: the cores of the machine).
    pub target_partitions: usize,
    /// Where spilled data goes (default: the system's folder for temporary files).
    pub spill_dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory_limit_bytes: 1 << 30,
            target_partitions: std::thread::available_parallelism().map_or(2, usize::from),
            spill_dir: None,
        }
    }
}

/// A configured DataFusion; cheap to clone. Clones share one memory pool.
#[derive(Clone, Debug)]
pub struct Engine {
    runtime: Arc<RuntimeEnv>,
    config: SessionConfig,
    spill_dir: Option<PathBuf>,
}

impl Engine {
    /// An engine within these bounds.
    ///
    /// # Errors
    /// When the spill folder cannot be used.
    pub fn new(options: &Options) -> Result<Self, ComputeError> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(HeadroomPool::new(options.memory_limit_bytes)))
            .with_disk_manager_builder(disk(options.spill_dir.as_ref()))
            .build_arc()
            .map_err(|source| ComputeError::query("start the query engine", source))?;
        let config = SessionConfig::new()
            .with_target_partitions(options.target_partitions.max(1))
            .with_default_catalog_and_schema(CATALOG, "public")
            .with_information_schema(true)
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
        let config = sized(config, options.memory_limit_bytes);
        Ok(Self { runtime, config, spill_dir: options.spill_dir.clone() })
    }

    /// An engine whose sessions together hold at most `bytes` of this one's memory, and fail when they
    /// want more, when others hold the rest, or when they spill more than [`SPILLED`] times as much.
    ///
    /// # Errors
    /// When the engine cannot be started.
    pub fn share(&self, bytes: usize) -> Result<Self, ComputeError> {
        let pool = SharePool::new(&self.runtime.memory_pool, bytes);
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.runtime)
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(
                disk(self.spill_dir.as_ref()).with_max_temp_directory_size(bytes as u64 * SPILLED),
            )
            .build_arc()
            .map_err(|source| ComputeError::query("start the query engine", source))?;
        let config = sized(self.config.clone(), bytes);
        Ok(Self { runtime, config, spill_dir: self.spill_dir.clone() })
    }

    /// A new session that can read this lake; it shares the engine's memory pool.
    pub fn session(&self, lake: &Lake) -> SessionContext {
        let context =
            SessionContext::new_with_config_rt(self.config.clone(), Arc::clone(&self.runtime));
        context.register_object_store(store_url(lake).as_ref(), lake.store());
        predicate::register(&context);
        functions::register(&context);
        context
    }

    /// A session that reads no lake: for planning and for rows in memory.
    pub fn scratch(&self) -> SessionContext {
        let context =
            SessionContext::new_with_config_rt(self.config.clone(), Arc::clone(&self.runtime));
        predicate::register(&context);
        functions::register(&context);
        context
    }
}

fn disk(spill_dir: Option<&PathBuf>) -> DiskManagerBuilder {
    DiskManagerBuilder::default().with_mode(match spill_dir {
        Some(folder) => DiskManagerMode::Directories(vec![folder.clone()]),
        None => DiskManagerMode::OsTmpDirectory,
    })
}

/// Settings that depend on the memory.
fn sized(config: SessionConfig, memory_limit_bytes: usize) -> SessionConfig {
    config
        // A sort holds some batches at least, and a merge two of each of its streams: the less memory, the
        // smaller they must be.
        .with_batch_size((memory_limit_bytes >> 16).clamp(64, 8_192))
        // Without this an engine with little memory cannot even start to merge what it spilled.
        .set_usize(
            "datafusion.execution.sort_spill_reservation_bytes",
            (memory_limit_bytes / 16).clamp(64 << 10, 10 << 20),
        )
}

/// The address under which an engine knows a lake's store: one per lake, as stores are registered by host.
pub(crate) fn store_url(lake: &Lake) -> ObjectStoreUrl {
    let hash = xxhash_rust::xxh3::xxh3_64(lake.url().as_str().as_bytes());
    ObjectStoreUrl::parse(format!("lake://{hash:016x}/"))
        .expect("scheme and hexadecimal host are a valid address")
}
