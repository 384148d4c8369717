//! Vacuum of all tables: files that no version within the retention needs, and the log before that.

use onramp_lake::Lake;
use onramp_schemas::tables;
use serde::Serialize;

use crate::error::ComputeError;

/// What was taken away from a table; after a dry run, what would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vacuumed {
    /// The table.
    pub table: &'static str,
    /// Data files.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// Files of the log, for which a checkpoint stands now; a dry run does not know.
    pub log_files: Option<u64>,
}

/// Deletes the data files of every table that its retention has let go, then writes a checkpoint of its
/// log and deletes what that makes unneeded. Safe beside anything else.
///
/// # Errors
/// When the lake fails, or a table is damaged.
pub async fn vacuum(lake: &Lake, dry_run: bool) -> Result<Vec<Vacuumed>, ComputeError> {
    let mut vacuumed = Vec::new();
    for definition in tables::ALL {
        let Some(table) = lake.open_table(definition).await? else { continue };
        let done = table.vacuum(dry_run).await?;
        let log_files = match dry_run {
            true => None,
            false => Some(table.checkpoint().await?.cleaned_up as u64),
        };
        let (files, bytes) = (done.files, done.bytes);
        vacuumed.push(Vacuumed { table: definition.name, files, bytes, log_files });
    }
    Ok(vacuumed)
}
