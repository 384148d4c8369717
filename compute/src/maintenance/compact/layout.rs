//! How rows lie in the files of each table, and which files are worth merging.

use onramp_lake::DataFile;
use onramp_schemas::tables::{DEAD_LETTERS, DUPLICATES, EVENTS, REPORTS, Table};

use super::Settings;

/// The order of one table's rows.
#[derive(Debug)]
pub(super) struct Layout {
    pub table: &'static Table,
    /// Rows are sorted by these columns.
    pub sort: &'static [&'static str],
    /// The first of them, if no two files of a partition may share a value of it.
    pub key: Option<&'static str>,
}

/// The tables that are compacted. `sessions` is not: copy-on-write fills its files up by itself.
pub(super) static LAYOUTS: [Layout; 4] = [
    Layout {
        table: &EVENTS,
        sort: &["session_key", "occurred_at", "id"],
        key: Some("session_key"),
    },
    Layout { table: &DEAD_LETTERS, sort: &["source_partition", "sequence"], key: None },
    Layout { table: &DUPLICATES, sort: &["source_partition", "first_sequence"], key: None },
    Layout { table: &REPORTS, sort: &["created_at", "report_id"], key: None },
];

impl Layout {
    /// Those of a partition's files that are to be merged. A merge fills every file but the last, so
    /// that afterwards nothing is due.
    pub fn due(&self, settings: &Settings, mut files: Vec<DataFile>) -> Vec<DataFile> {
        let Some(key) = self.key else {
            files.retain(|file| !settings.full(file));
            return if files.len() > 1 { files } else { Vec::new() };
        };
        // A file without statistics may hold any key.
        let range = |file: &DataFile| file.range(key).unwrap_or((i64::MIN, i64::MAX));
        files.sort_by_key(range);
        let pays = files.windows(2).any(|pair| {
            range(&pair[0]).1 >= range(&pair[1]).0
                || !settings.full(&pair[0]) && !settings.full(&pair[1])
        });
        if pays { files } else { Vec::new() }
    }
}
