//! Data files: what the log says of an active one, and one that is written but not yet committed.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate};
use deltalake::kernel::{Add, Remove};
use onramp_schemas::tables;
use serde_json::Value;

/// The tag of a file's `add` that tells which sequences it holds: `{"app id": [first, last]}`.
pub const SEQUENCES_TAG: &str = "onramp.sequences";

/// The sequences of one source partition, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SequenceRange {
    /// The source partition: `<cluster>/<topic>@<epoch>/<partition>`, `http/<instance>` or `file/<sha256>`.
    pub app_id: String,
    /// The first sequence.
    pub first: i64,
    /// The last sequence.
    pub last: i64,
}

/// An active file of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFile {
    /// Relative to the table, as the store knows it.
    pub path: String,
    /// In bytes.
    pub size: i64,
    /// Column to value as Delta writes it (`2026-11-23`); `None` is null.
    pub partition_values: BTreeMap<String, Option<String>>,
    /// The number of rows, when the statistics tell.
    pub rows: Option<i64>,
    /// The tags of its `add`.
    pub tags: BTreeMap<String, Option<String>>,
    /// When it was written, microseconds UTC.
    pub modified_at: i64,
    ranges: Vec<(&'static str, i64, i64)>,
}

impl DataFile {
    pub(crate) fn new(def: &tables::Table, add: &Add) -> Self {
        let stats: Value = add
            .stats
            .as_deref()
            .and_then(|stats| serde_json::from_str(stats).ok())
            .unwrap_or_default();
        let bound = |side: &str, column: &str| stats[side].get(column).and_then(as_integer);
        let ranges = def
            .stats
            .iter()
            .filter_map(|column| {
                Some((*column, bound("minValues", column)?, bound("maxValues", column)?))
            })
            .collect();
        Self {
            path: add.path.clone(),
            size: add.size,
            partition_values: add.partition_values.clone().into_iter().collect(),
            rows: stats["numRecords"].as_i64(),
            tags: add.tags.clone().unwrap_or_default().into_iter().collect(),
            modified_at: add.modification_time.saturating_mul(1000),
            ranges,
        }
    }

    /// The smallest and largest value of an integer, date (days) or timestamp (microseconds UTC) column, when the
    /// statistics tell. The bounds hold for every row that is not null.
    pub fn range(&self, column: &str) -> Option<(i64, i64)> {
        self.ranges.iter().find(|(name, ..)| *name == column).map(|(_, min, max)| (*min, *max))
    }

    /// The sequences that the file holds, by source partition; empty when it was not written from one.
    pub fn sequences(&self) -> Vec<SequenceRange> {
        let tag = self.tags.get(SEQUENCES_TAG).and_then(Option::as_deref).unwrap_or("{}");
        let ranges: BTreeMap<String, (i64, i64)> = serde_json::from_str(tag).unwrap_or_default();
        ranges
            .into_iter()
            .map(|(app_id, (first, last))| SequenceRange { app_id, first, last })
            .collect()
    }

    pub(crate) fn remove(&self, deleted_at_ms: i64, data_change: bool) -> Remove {
        Remove {
            path: self.path.clone(),
            data_change,
            deletion_timestamp: Some(deleted_at_ms),
            extended_file_metadata: Some(true),
            partition_values: Some(self.partition_values.clone().into_iter().collect()),
            size: Some(self.size),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
        }
    }
}

/// Numbers as they are, timestamps as microseconds, dates as days.
fn as_integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) if text.len() == 10 => {
            let date = text.parse::<NaiveDate>().ok()?;
            Some((date - NaiveDate::default()).num_days())
        }
        Value::String(text) => {
            DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
        }
        _ => None,
    }
}

/// A file that is written and durable, waiting for its commit. One that is dropped instead is swept up by maintenance.
#[derive(Debug, Clone)]
pub struct PendingFile {
    pub(crate) add: Add,
    pub(crate) file: DataFile,
}

impl PendingFile {
    pub(crate) fn new(def: &tables::Table, add: Add) -> Self {
        Self { file: DataFile::new(def, &add), add }
    }

    /// The file as a snapshot will show it.
    pub fn file(&self) -> &DataFile {
        &self.file
    }
}
