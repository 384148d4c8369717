//! One table of the lake: creating it, and opening it only if it is what this program writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::logstore::{LogStore, StorageConfig, default_logstore};
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use onramp_schemas::tables;
use serde_json::{Value, json};
use url::Url;

use crate::error::LakeError;
use crate::log::{Metadata, Protocol, commit_path};
use crate::snapshot::{Head, Replay, Replayed};
use crate::store::Lake;

/// The number of past sequences of a partition within which a resend counts as a duplicate; fixed when a table is created.
pub const DEDUP_WINDOW: &str = "onramp.dedupWindow";
const DEDUP_WINDOW_DEFAULT: i64 = 1_000_000;
/// Would let a writer forget txns, and with them which sequences are in the table.
const FORBIDDEN_PROPERTY: &str = "delta.setTransactionRetentionDuration";
const READER: i32 = 1;
const WRITER: i32 = 2;

/// A table that was found fit for this program. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Table {
    /// The definition that it was opened with.
    pub def: &'static tables::Table,
    pub(crate) lake: Lake,
    pub(crate) store: Arc<dyn ObjectStore>,
    url: Url,
    /// What the table said of itself when it was opened; `None` only while it is being opened.
    head: Option<Arc<Head>>,
}

impl Table {
    pub(crate) fn at(lake: &Lake, def: &'static tables::Table) -> Self {
        let store =
            Arc::new(PrefixStore::new(lake.root_store(), lake.prefix().clone().join(def.name)));
        let mut url = lake.url();
        url.set_path(&format!("{}{}/", url.path(), def.name));
        Self { def, lake: lake.clone(), store, url, head: None }
    }

    pub(crate) async fn open(
        lake: &Lake,
        def: &'static tables::Table,
    ) -> Result<Option<Self>, LakeError> {
        let mut table = Self::at(lake, def);
        let Some(replayed) = table.replay(None, Replay::Head).await? else { return Ok(None) };
        table.check(&replayed.head)?;
        table.head = Some(Arc::new(replayed.head));
        Ok(Some(table))
    }

    pub(crate) async fn create(
        lake: &Lake,
        def: &'static tables::Table,
    ) -> Result<Self, LakeError> {
        let table = Self::at(lake, def);
        let path = commit_path(0);
        match lake.claim(&*table.store, &path, table.first_commit()?.into()).await {
            Ok(true) => tracing::info!(table = def.name, url = %table.url, "table created"),
            // Somebody else was faster, or our own put went through twice: what is there now decides.
            Ok(false) => {}
            Err(source) => return Err(LakeError::store("create", table.location(&path), source)),
        }
        Self::open(lake, def).await?.ok_or(LakeError::VersionGone { table: def.name, version: 0 })
    }

    /// The table's address, ending in a slash.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The object store rooted at the table.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// The lake that holds it.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    /// A property of the table as it was when it was opened.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.head.as_ref()?.metadata.configuration.get(name).map(String::as_str)
    }

    /// An object of this table for people.
    pub(crate) fn location(&self, path: &Path) -> String {
        format!("{}{path}", self.url)
    }

    /// The log store of the Delta library over our own stores, so that what it writes is as durable as what we write.
    ///
    /// For the library the lake is the root of some store: it decodes addresses twice, which a folder named `50%25` would
    /// not survive.
    pub(crate) fn log_store(&self) -> Result<Arc<dyn LogStore>, LakeError> {
        let root =
            Url::parse("memory:///").and_then(|root| root.join(&format!("{}/", self.def.name)));
        let url = root.map_err(|error| self.mismatch(error.to_string()))?;
        Ok(default_logstore(self.store(), self.lake.store(), &url, &StorageConfig::default()))
    }

    /// The time of this table's clock in milliseconds, as the log keeps it.
    pub(crate) fn now_ms(&self) -> i64 {
        self.lake.settings().clock.now() / 1000
    }

    fn first_commit(&self) -> Result<Bytes, LakeError> {
        let now = self.now_ms();
        let lines = [
            json!({"commitInfo": {
                "timestamp": now, "operation": "CREATE TABLE", "operationParameters": {},
                "isBlindAppend": false, "engineInfo": ENGINE,
            }}),
            json!({"protocol": {"minReaderVersion": READER, "minWriterVersion": WRITER}}),
            json!({"metaData": {
                "id": uuid::Uuid::new_v4().to_string(),
                "name": self.def.name,
                "description": self.def.doc,
                "format": {"provider": "parquet", "options": {}},
                "schemaString": self.delta_schema()?.to_string(),
                "partitionColumns": self.def.partition_by,
                "configuration": properties(self.def),
                "createdTime": now,
            }}),
        ];
        Ok(Bytes::from(lines.map(|line| line.to_string()).join("\n")))
    }

    pub(crate) fn delta_schema(&self) -> Result<Value, LakeError> {
        let mismatch = |difference: String| self.mismatch(difference);
        let schema: StructType = self
            .def
            .arrow_schema()
            .as_ref()
            .try_into_kernel()
            .map_err(|error| mismatch(format!("{error}")))?;
        serde_json::to_value(&schema).map_err(|error| mismatch(error.to_string()))
    }

    pub(crate) fn mismatch(&self, difference: String) -> LakeError {
        LakeError::SchemaMismatch { table: self.def.name, url: self.url.to_string(), difference }
    }

    /// Refuses what this program cannot write without harm.
    fn check(&self, head: &Head) -> Result<(), LakeError> {
        self.check_protocol(&head.protocol)?;
        let metadata = &head.metadata;
        if metadata.configuration.contains_key(FORBIDDEN_PROPERTY) {
            return Err(LakeError::ForbiddenProperty {
                table: self.def.name,
                url: self.url.to_string(),
                property: FORBIDDEN_PROPERTY.to_owned(),
            });
        }
        self.check_schema(metadata)
    }

    /// Refuses to go on with a table that is not any more what it was when it was opened.
    pub(crate) fn check_unchanged(&self, replayed: &Replayed) -> Result<(), LakeError> {
        match &self.head {
            Some(head) if **head != replayed.head => {
                Err(LakeError::TableChanged { table: self.def.name, version: replayed.version })
            }
            _ => Ok(()),
        }
    }

    fn check_protocol(&self, protocol: &Protocol) -> Result<(), LakeError> {
        let features =
            |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
        if protocol.min_reader_version == READER
            && protocol.min_writer_version == WRITER
            && !features(&protocol.reader_features)
            && !features(&protocol.writer_features)
        {
            return Ok(());
        }
        let mut found = format!(
            "reader {}, writer {}",
            protocol.min_reader_version, protocol.min_writer_version
        );
        for feature in protocol.reader_features.iter().chain(&protocol.writer_features).flatten() {
            found.push_str(", feature ");
            found.push_str(feature);
        }
        Err(LakeError::NewerProtocol { table: self.def.name, url: self.url.to_string(), found })
    }

    fn check_schema(&self, metadata: &Metadata) -> Result<(), LakeError> {
        let theirs: Value = serde_json::from_str(&metadata.schema_string)
            .map_err(|error| self.mismatch(error.to_string()))?;
        let types = |schema: &Value| -> BTreeMap<String, Value> {
            let fields = schema["fields"].as_array().cloned().unwrap_or_default();
            fields
                .into_iter()
                .filter_map(|field| {
                    Some((field["name"].as_str()?.to_owned(), field["type"].clone()))
                })
                .collect()
        };
        let found = types(&theirs);
        for (name, wanted) in types(&self.delta_schema()?) {
            match found.get(&name) {
                None => return Err(self.mismatch(format!("it lacks the column {name}"))),
                Some(other) if *other != wanted => {
                    return Err(
                        self.mismatch(format!("its column {name} is {other}, not {wanted}"))
                    );
                }
                Some(_) => {}
            }
        }
        if metadata.partition_columns != self.def.partition_by {
            return Err(
                self.mismatch(format!("it is partitioned by {:?}", metadata.partition_columns))
            );
        }
        Ok(())
    }
}

/// What commits name as their author.
pub(crate) const ENGINE: &str = concat!("onramp/", env!("CARGO_PKG_VERSION"));

/// The properties of a new table.
fn properties(def: &tables::Table) -> BTreeMap<&'static str, String> {
    let mut properties = BTreeMap::from([
        // Nothing else goes into the log: it outlives a person's rows.
        ("delta.dataSkippingStatsColumns", def.stats.join(",")),
        // Rewrites beside blind appends pass; exactly this spelling.
        ("delta.isolationLevel", "writeSerializable".to_owned()),
        ("delta.logRetentionDuration", "interval 2 days".to_owned()),
        ("delta.deletedFileRetentionDuration", "interval 6 hours".to_owned()),
        // Checkpoints are maintenance's work, no writer stops for one.
        ("delta.checkpointInterval", "1000000000".to_owned()),
    ]);
    if def.name == tables::EVENTS.name {
        properties.insert(DEDUP_WINDOW, DEDUP_WINDOW_DEFAULT.to_string());
    }
    properties
}
