//! Log lines: to stderr, never among results.

use std::io::IsTerminal;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::cli::Global;
use crate::config::{Log, LogFormat};

/// What quotes whole plans and statements in its logs, with people's ids in them: quiet, whatever the level
/// of everything else, until a filter names it.
const QUOTING: &str = "datafusion=warn,sqlparser=warn";

/// Starts logging; a service says more than a command that ends by itself.
///
/// # Errors
/// A filter that is none.
pub fn start(global: &Global, log: &Log, service: bool) -> anyhow::Result<()> {
    let own = log.filter.as_ref().map(|filter| format!("{QUOTING},{filter}"));
    let filter = match (global.quiet, global.verbose, &own) {
        (true, _, _) => "error",
        (_, 1, _) => {
            "warn,onramp=info,onramp_lake=info,onramp_ingest=info,onramp_compute=info,onramp_queries=info"
        }
        (_, 2.., _) => {
            "info,onramp=debug,onramp_lake=debug,onramp_ingest=debug,onramp_compute=debug,onramp_queries=debug"
        }
        (_, _, Some(filter)) => filter,
        _ if service => "warn,onramp=info,onramp_ingest=info",
        _ => "warn",
    };
    let filter = EnvFilter::try_new(filter).with_context(|| {
        let filter = log.filter.as_deref().unwrap_or(filter);
        format!("log.filter {filter:?} is no filter; write a level such as info, or onramp_ingest=debug,warn")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
