//! Data files: splitting rows by partition value, encoding them as Parquet and putting them durably.

mod encode;
mod partition;
mod sequences;
mod stats;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::datatypes::Schema;
use bytes::Bytes;
use deltalake::kernel::Add;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};

use crate::error::LakeError;
use crate::file::{PendingFile, SEQUENCES_TAG, SequenceRange};
use crate::table::Table;
use encode::Encoder;
use partition::Partition;

/// Parts of a multipart upload; larger files are never held in memory as a whole.
const PART_BYTES: usize = 16 << 20;

/// Files that are put at the same time.
const PUTS: usize = 16;

impl Table {
    /// Writes the rows of a batch, in their order, to one file per partition value. The files are durable on return, and
    /// part of the table once they are committed.
    ///
    /// `batch` has the columns of the table's Arrow schema in their order, partition columns included; texts may be
    /// dictionaries. `sequences` tags the
    /// files of a table without the columns `source_partition` and `sequence`; otherwise each file's own rows tell.
    ///
    /// # Errors
    /// [`LakeError::Batch`] when the columns do not fit; when the store fails.
    pub async fn write(
        &self,
        batch: RecordBatch,
        sequences: &[SequenceRange],
    ) -> Result<Vec<PendingFile>, LakeError> {
        let (table, given) = (self.clone(), sequences.to_vec());
        let encoded = tokio::task::spawn_blocking(move || table.encode(batch, None, &given));
        let encoded = encoded.await.map_err(|error| self.bad_batch(error.to_string()))??;
        self.put(encoded).await
    }

    /// The first half of [`Table::write`], which is work for the processor and none for the store. With an `order`, which
    /// names the places of the rows in `batch`, they are written in that order.
    ///
    /// # Errors
    /// [`LakeError::Batch`] when the columns do not fit.
    pub fn encode(
        &self,
        batch: RecordBatch,
        order: Option<&UInt32Array>,
        sequences: &[SequenceRange],
    ) -> Result<Vec<EncodedFile>, LakeError> {
        let def = self.def;
        let batch = partition::conform(def, batch)?;
        partition::split(def, &batch, order)?
            .into_iter()
            .map(|(partition, picked)| encode::encode(def, partition, &batch, &picked, sequences))
            .collect()
    }

    /// The second half of [`Table::write`]: several files at a time, since a put is mostly waiting. All are durable on
    /// return.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put(&self, files: Vec<EncodedFile>) -> Result<Vec<PendingFile>, LakeError> {
        let puts = stream::iter(files).map(|file| async move {
            let path = Path::from(file.path.as_str());
            let put = self.store.put(&path, file.bytes.clone().into()).await;
            put.map_err(|source| LakeError::store("write", self.location(&path), source))?;
            Ok(self.pending(file))
        });
        puts.buffered(PUTS).try_collect().await
    }

    /// A writer for a file of any size whose rows all have the partition values of the first one.
    pub fn file_writer(&self) -> FileWriter {
        FileWriter { table: self.clone(), open: None }
    }

    fn pending(&self, file: EncodedFile) -> PendingFile {
        let tags = (!file.sequences.is_empty()).then(|| {
            let ranges: BTreeMap<&str, (i64, i64)> = file
                .sequences
                .iter()
                .map(|range| (range.app_id.as_str(), (range.first, range.last)))
                .collect();
            HashMap::from([(SEQUENCES_TAG.to_owned(), serde_json::to_string(&ranges).ok())])
        });
        let add = Add {
            path: file.path,
            partition_values: file.partition_values,
            size: file.size,
            modification_time: self.now_ms(),
            data_change: true,
            stats: Some(file.stats),
            tags,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        };
        PendingFile::new(self.def, add)
    }

    fn bad_batch(&self, reason: String) -> LakeError {
        LakeError::Batch { table: self.def.name, reason }
    }
}

/// A data file that is encoded but not in the store yet, and what its `add` will say.
#[derive(Debug)]
pub struct EncodedFile {
    path: String,
    bytes: Bytes,
    size: i64,
    partition_values: HashMap<String, Option<String>>,
    stats: String,
    sequences: Vec<SequenceRange>,
}

/// Writes one file batch by batch; what is encoded goes to the store in parts. For rewrites.
pub struct FileWriter {
    table: Table,
    open: Option<Open>,
}

struct Open {
    encoder: Encoder,
    upload: Box<dyn MultipartUpload>,
    path: Path,
}

impl FileWriter {
    /// Adds rows behind those that are there.
    ///
    /// # Errors
    /// [`LakeError::Batch`] when the columns do not fit or a row belongs to another partition; when the store fails.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<(), LakeError> {
        let def = self.table.def;
        let split = tokio::task::spawn_blocking(move || {
            let batch = partition::conform(def, batch)?;
            let mut parts = Vec::new();
            for (partition, picked) in partition::split(def, &batch, None)? {
                let rows = partition::rows(def, &batch, &picked);
                let rows = rows.map_err(|source| LakeError::Arrow { table: def.name, source })?;
                parts.push((partition, rows));
            }
            Ok::<_, LakeError>(parts)
        });
        let split = split.await.map_err(|error| self.table.bad_batch(error.to_string()))??;
        for (partition, rows) in split {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => start(&self.table, partition.clone()).await?,
            };
            if *open.encoder.partition() != partition {
                return Err(self.table.bad_batch("rows of two partitions in one file".into()));
            }
            let encode =
                tokio::task::spawn_blocking(move || open.encoder.write(&rows).map(|()| open));
            let mut open =
                encode.await.map_err(|error| self.table.bad_batch(error.to_string()))??;
            if open.encoder.buffered() >= PART_BYTES {
                put_part(&self.table, &mut open).await?;
            }
            self.open = Some(open);
        }
        Ok(())
    }

    /// Bytes of the file so far; a row group counts once it is complete.
    pub fn bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.encoder.bytes())
    }

    /// Completes the file; `None` when it got no rows. It is durable on return.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn finish(self) -> Result<Option<PendingFile>, LakeError> {
        self.finish_with(&[]).await
    }

    /// [`FileWriter::finish`]; `sequences` as in [`Table::write`].
    ///
    /// # Errors
    /// When the store fails.
    pub async fn finish_with(
        mut self,
        sequences: &[SequenceRange],
    ) -> Result<Option<PendingFile>, LakeError> {
        let Some(Open { encoder, mut upload, path }) = self.open.take() else { return Ok(None) };
        let given = sequences.to_vec();
        let finish = tokio::task::spawn_blocking(move || encoder.finish(&given));
        let file = finish.await.map_err(|error| self.table.bad_batch(error.to_string()))??;
        let put = async {
            upload.put_part(PutPayload::from_bytes(file.bytes.clone())).await?;
            upload.complete().await
        };
        put.await
            .map_err(|source| LakeError::store("write", self.table.location(&path), source))?;
        Ok(Some(self.table.pending(file)))
    }
}

// Not methods: an encoder may be sent between threads but not shared, so no `&FileWriter` may live across an await.
async fn start(table: &Table, partition: Partition) -> Result<Open, LakeError> {
    let encoder = Encoder::new(table.def, partition)?;
    let path = Path::from(encoder.path());
    let upload = table.store.put_multipart(&path).await;
    let upload =
        upload.map_err(|source| LakeError::store("write", table.location(&path), source))?;
    Ok(Open { encoder, upload, path })
}

async fn put_part(table: &Table, open: &mut Open) -> Result<(), LakeError> {
    let part = open.encoder.take();
    let put = open.upload.put_part(PutPayload::from_bytes(part)).await;
    put.map_err(|source| LakeError::store("write", table.location(&open.path), source))
}

/// The schema of the files themselves: partition values stand in the log, not in the file.
fn file_schema(def: &onramp_schemas::tables::Table) -> Arc<Schema> {
    let schema = def.arrow_schema();
    let kept: Vec<_> = schema
        .fields()
        .iter()
        .filter(|field| !def.partition_by.contains(&field.name().as_str()))
        .cloned()
        .collect();
    Arc::new(Schema::new(kept))
}
