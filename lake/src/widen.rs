//! Adding to a table the columns that an earlier version of this program did not have.

use bytes::Bytes;
use onramp_schemas::tables;
use serde_json::{Value, json};

use crate::error::LakeError;
use crate::log::{Metadata, commit_path};
use crate::snapshot::Replay;
use crate::store::Lake;
use crate::table::{ENGINE, Table};

/// How often another writer may be faster.
const ATTEMPTS: usize = 100;

impl Table {
    /// Adds the nullable columns that the table lacks, in one commit of metadata; rows that are there have null in them.
    /// Writers that have the table open are told that it changed. Does nothing where no column can be added.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn widen(lake: &Lake, def: &'static tables::Table) -> Result<(), LakeError> {
        let table = Self::at(lake, def);
        for _ in 0..ATTEMPTS {
            let Some(replayed) = table.replay(None, Replay::Head).await? else { return Ok(()) };
            let Some(schema) = table.widened(&replayed.head.metadata)? else { return Ok(()) };
            let path = commit_path(replayed.version + 1);
            let commit = table.metadata_commit(&replayed.head.metadata, &schema);
            let put = lake.claim(&*table.store, &path, commit.into()).await;
            if put.map_err(|source| LakeError::store("write", table.location(&path), source))? {
                tracing::info!(table = def.name, "columns added");
            }
        }
        Ok(())
    }

    /// The table's own schema with the nullable columns that it lacks; `None`: it lacks none.
    fn widened(&self, metadata: &Metadata) -> Result<Option<Value>, LakeError> {
        let mut schema: Value = serde_json::from_str(&metadata.schema_string)
            .map_err(|error| self.mismatch(error.to_string()))?;
        let wanted = self.delta_schema()?;
        let fields = |schema: &Value| schema["fields"].as_array().cloned().unwrap_or_default();
        let mut held = fields(&schema);
        let before = held.len();
        for field in fields(&wanted) {
            let known = held.iter().any(|other| other["name"] == field["name"]);
            if !known && field["nullable"] == true {
                held.push(field);
            }
        }
        let more = held.len() > before;
        schema["fields"] = held.into();
        Ok(more.then_some(schema))
    }

    fn metadata_commit(&self, metadata: &Metadata, schema: &Value) -> Bytes {
        let now = self.now_ms();
        let lines = [
            json!({"commitInfo": {
                "timestamp": now, "operation": "ADD COLUMNS", "operationParameters": {},
                "isBlindAppend": false, "engineInfo": ENGINE,
            }}),
            json!({"metaData": {
                "id": metadata.id,
                "name": self.def.name,
                "description": self.def.doc,
                "format": {"provider": "parquet", "options": {}},
                "schemaString": schema.to_string(),
                "partitionColumns": metadata.partition_columns,
                "configuration": metadata.configuration,
                "createdTime": now,
            }}),
        ];
        Bytes::from(lines.map(|line| line.to_string()).join("\n"))
    }
}
