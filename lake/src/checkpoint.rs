//! Checkpoints: reading the files of one, and writing one with the clean-up of the log before it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use arrow::array::{Array, AsArray, ListArray, MapArray, RecordBatch, StructArray};
use arrow::datatypes::{Int32Type, Int64Type};
use bytes::Bytes;
use deltalake::DeltaTable;
use deltalake::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use deltalake::kernel::{Add, Remove};
use object_store::path::Path;
use onramp_schemas::tables;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::{ParquetError, Result};

use crate::error::LakeError;
use crate::log::{Actions, Metadata, Protocol};
use crate::table::Table;

/// What a maintenance of the log did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogMaintenance {
    /// The version that the checkpoint holds.
    pub version: i64,
    /// Log files deleted.
    pub cleaned_up: usize,
}

/// The log is kept for at least this long, whatever the table's property says: see `StoreSettings::log_trust`.
const LOG_RETENTION: Duration = Duration::from_secs(2 * 24 * 3600);

impl Table {
    /// Writes a checkpoint of the newest version and deletes the log files that are older than the retention of two
    /// days and no longer needed. For maintenance: nobody else ever writes one. Safe beside any writer and reader.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn checkpoint(&self) -> std::result::Result<LogMaintenance, LakeError> {
        self.checkpoint_keeping(LOG_RETENTION).await
    }

    pub(crate) async fn checkpoint_keeping(
        &self,
        keep: Duration,
    ) -> std::result::Result<LogMaintenance, LakeError> {
        let failed = |action, source| LakeError::Delta {
            action,
            table: self.def.name,
            source: Box::new(source),
        };
        let mut table = DeltaTable::new(self.log_store()?);
        table.load().await.map_err(|source| failed("load", source))?;
        let version =
            table.version().ok_or(LakeError::VersionGone { table: self.def.name, version: 0 })?;
        create_checkpoint(&table, None)
            .await
            .map_err(|source| failed("write a checkpoint of", source))?;
        let cutoff = self.now_ms() - i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let cleaned_up =
            cleanup_expired_logs_for(version, self.log_store()?.as_ref(), cutoff, None)
                .await
                .map_err(|source| failed("clean up the log of", source))?;
        let version = i64::try_from(version).unwrap_or(i64::MAX);
        tracing::info!(table = self.def.name, version, cleaned_up, "checkpoint written");
        Ok(LogMaintenance { version, cleaned_up })
    }
}

/// Reads one file of a checkpoint. `files` unset leaves out the adds, which are most of it.
pub(crate) fn read(def: &tables::Table, bytes: Bytes, files: bool) -> Result<Actions> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let mut wanted = vec!["txn", "protocol", "metaData"];
    if files {
        wanted.extend(["add", "remove"]);
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
    let mut actions = Actions::default();
    for batch in builder.with_projection(mask).build()? {
        collect(&batch?, &mut actions)
            .ok_or_else(|| ParquetError::General(format!("no checkpoint of {}", def.name)))?;
    }
    Ok(actions)
}

/// Every row is one action: exactly one of the columns is not null. `None` when a column has another shape.
fn collect(batch: &RecordBatch, actions: &mut Actions) -> Option<()> {
    if let Some(txn) = present(batch, "txn") {
        for row in rows(txn) {
            actions.txns.insert(text(txn, "appId", row)?, long(txn, "version", row)?);
        }
    }
    if let Some(protocol) = present(batch, "protocol") {
        for row in rows(protocol) {
            actions.protocol = Some(Protocol {
                min_reader_version: int(protocol, "minReaderVersion", row)?,
                min_writer_version: int(protocol, "minWriterVersion", row)?,
                reader_features: list(protocol, "readerFeatures", row),
                writer_features: list(protocol, "writerFeatures", row),
            });
        }
    }
    if let Some(metadata) = present(batch, "metaData") {
        for row in rows(metadata) {
            let configuration = map(metadata, "configuration", row).unwrap_or_default();
            actions.metadata = Some(Metadata {
                id: text(metadata, "id", row)?,
                schema_string: text(metadata, "schemaString", row)?,
                partition_columns: list(metadata, "partitionColumns", row).unwrap_or_default(),
                configuration: configuration
                    .into_iter()
                    .filter_map(|(key, value)| Some((key, value?)))
                    .collect::<BTreeMap<_, _>>(),
            });
        }
    }
    if let Some(remove) = present(batch, "remove") {
        for row in rows(remove) {
            actions.removes.push(Remove {
                path: Path::from_url_path(text(remove, "path", row)?).ok()?.to_string(),
                deletion_timestamp: long(remove, "deletionTimestamp", row),
                ..Remove::default()
            });
        }
    }
    if let Some(add) = present(batch, "add") {
        for row in rows(add) {
            actions.adds.push(Add {
                path: Path::from_url_path(text(add, "path", row)?).ok()?.to_string(),
                partition_values: map(add, "partitionValues", row).unwrap_or_default(),
                size: long(add, "size", row)?,
                modification_time: long(add, "modificationTime", row)?,
                data_change: false,
                stats: text(add, "stats", row),
                tags: map(add, "tags", row),
                deletion_vector: None,
                base_row_id: None,
                default_row_commit_version: None,
                clustering_provider: None,
            });
        }
    }
    Some(())
}

fn present<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a StructArray> {
    batch.column_by_name(name)?.as_struct_opt()
}

fn rows(array: &StructArray) -> impl Iterator<Item = usize> + '_ {
    (0..array.len()).filter(|row| array.is_valid(*row))
}

fn text(array: &StructArray, name: &str, row: usize) -> Option<String> {
    let column = array.column_by_name(name)?.as_string_opt::<i32>()?;
    column.is_valid(row).then(|| column.value(row).to_owned())
}

fn long(array: &StructArray, name: &str, row: usize) -> Option<i64> {
    let column = array.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
    column.is_valid(row).then(|| column.value(row))
}

fn int(array: &StructArray, name: &str, row: usize) -> Option<i32> {
    let column = array.column_by_name(name)?.as_primitive_opt::<Int32Type>()?;
    column.is_valid(row).then(|| column.value(row))
}

fn list(array: &StructArray, name: &str, row: usize) -> Option<Vec<String>> {
    let column: &ListArray = array.column_by_name(name)?.as_list_opt()?;
    let values = column.is_valid(row).then(|| column.value(row))?;
    Some(values.as_string_opt::<i32>()?.iter().flatten().map(str::to_owned).collect())
}

fn map(array: &StructArray, name: &str, row: usize) -> Option<HashMap<String, Option<String>>> {
    let column: &MapArray = array.column_by_name(name)?.as_map_opt()?;
    let entries = column.is_valid(row).then(|| column.value(row))?;
    let keys = entries.column(0).as_string_opt::<i32>()?;
    let values = entries.column(1).as_string_opt::<i32>()?;
    Some(
        keys.iter()
            .flatten()
            .map(str::to_owned)
            .zip(values.iter().map(|value| value.map(str::to_owned)))
            .collect(),
    )
}
