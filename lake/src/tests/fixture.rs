//! A small table, places to put it, and a store that fails on demand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{
    ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use onramp_schemas::clock::FixedClock;
use onramp_schemas::tables::{Column, Kind, Table as Def};
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::{Advance, Appender, Lake, PendingFile, StoreSettings, Table};

/// 2026-11-23T00:00:00Z in microseconds.
pub const NOON: i64 = 1_795_392_000_000_000;
/// 2026-11-23 in days.
pub const DAY: i32 = 20_780;

const fn column(name: &'static str, kind: Kind, nullable: bool) -> Column {
    Column { name, kind, nullable, doc: "A column." }
}

pub static NUMBERS: Def = Def {
    name: "numbers",
    doc: "One row is one number.",
    columns: &[
        column("day", Kind::Date, false),
        column("id", Kind::Text, false),
        column("label", Kind::Text, true),
        column("secret", Kind::Text, true),
        column("at", Kind::Timestamp, false),
        column("source_partition", Kind::Text, false),
        column("sequence", Kind::Int64, false),
    ],
    partition_by: &["day"],
    stats: &["label", "at", "sequence"],
};

/// Rows `first..next` of a source partition, alternating between two days.
pub fn rows(app_id: &str, first: i64, next: i64) -> RecordBatch {
    let all: Vec<i64> = (first..next).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from_iter_values(all.iter().map(|n| DAY + (n % 2) as i32))),
        Arc::new(StringArray::from_iter_values(all.iter().map(|n| format!("{app_id}-{n}")))),
        Arc::new(StringArray::from_iter(
            all.iter().map(|n| (n % 3 > 0).then(|| format!("l{n:03}"))),
        )),
        Arc::new(StringArray::from_iter_values(all.iter().map(|n| format!("secret {n}")))),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(all.iter().map(|n| NOON + n))
                .with_timezone("UTC"),
        ),
        Arc::new(StringArray::from_iter_values(all.iter().map(|_| app_id))),
        Arc::new(Int64Array::from(all)),
    ];
    RecordBatch::try_new(NUMBERS.arrow_schema(), columns).unwrap()
}

pub fn advance(app_id: &str, base: impl Into<Option<i64>>, next: i64) -> Advance {
    Advance { app_id: app_id.to_owned(), base: base.into(), next }
}

/// Where a test's lake lies.
pub enum Place {
    Folder(TempDir),
    S3 { endpoint: String, url: String },
}

impl Place {
    /// A fresh place of each kind that this machine offers.
    pub fn all() -> Vec<Place> {
        let mut places = vec![Place::Folder(tempfile::tempdir().unwrap())];
        if let Ok(endpoint) = std::env::var("ONRAMP_TEST_S3") {
            let url = format!("s3://lake/test/{}", uuid::Uuid::new_v4());
            places.push(Place::S3 { endpoint, url });
        }
        places
    }

    pub fn lake(&self) -> Lake {
        self.lake_with(&settings())
    }

    pub fn lake_with(&self, settings: &StoreSettings) -> Lake {
        match self {
            Place::Folder(folder) => Lake::open(folder.path().to_str().unwrap(), settings).unwrap(),
            Place::S3 { endpoint, url } => {
                Lake::open_s3(url, s3_variables(endpoint), settings).unwrap()
            }
        }
    }

    /// The same lake as seen by a process whose store misbehaves.
    pub fn faulty(&self, settings: &StoreSettings) -> (Lake, Faults) {
        let lake = self.lake_with(settings);
        let faults = Faults::default();
        let store = Arc::new(Faulty { inner: lake.root_store(), faults: faults.clone() });
        let prefix = lake.prefix().clone();
        (Lake::with_store(lake.root().to_owned(), lake.url(), prefix, store, settings), faults)
    }
}

pub fn s3_variables(endpoint: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "onramp"),
        ("AWS_SECRET_ACCESS_KEY", "onramp-secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

pub fn settings() -> StoreSettings {
    StoreSettings { clock: Arc::new(FixedClock(NOON)), ..StoreSettings::default() }
}

pub async fn appender(lake: &Lake) -> Appender {
    Appender::open(lake.create(&NUMBERS).await.unwrap()).await.unwrap()
}

/// Writes and commits rows `first..next`, expecting to win.
pub async fn append(appender: &mut Appender, app_id: &str, first: i64, next: i64) -> i64 {
    let files = appender.write(rows(app_id, first, next), &[]).await.unwrap();
    let base = appender.txn(app_id);
    match appender.commit(files, vec![advance(app_id, base, next)]).await.unwrap() {
        crate::Outcome::Committed { version } => version,
        lost => panic!("{lost:?}"),
    }
}

pub async fn pending(table: &Table, app_id: &str, first: i64, next: i64) -> Vec<PendingFile> {
    table.write(rows(app_id, first, next), &[]).await.unwrap()
}

/// The sequences in the table, by source partition, with multiplicity, read from the data files.
pub async fn contents(table: &Table) -> BTreeMap<String, Vec<i64>> {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for file in table.snapshot().await.unwrap().files {
        for batch in read(table, &file.path).await {
            let sources = batch.column_by_name("source_partition").unwrap().as_string::<i32>();
            let sequences = batch.column_by_name("sequence").unwrap().as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                found.entry(sources.value(row).to_owned()).or_default().push(sequences.value(row));
            }
        }
    }
    found.values_mut().for_each(|sequences| sequences.sort_unstable());
    found
}

pub async fn read(table: &Table, path: &str) -> Vec<RecordBatch> {
    use object_store::ObjectStoreExt;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let bytes = table.store().get(&Path::from(path)).await.unwrap().bytes().await.unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    reader.map(|batch| batch.unwrap()).collect()
}

pub fn sequences(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}

/// What happens to a put of a commit.
#[derive(Clone)]
pub enum Fault {
    FailBefore,
    FailAfter,
    HangAfter,
    /// Tells that it is there, waits, then puts.
    Hold(Arc<Notify>, Arc<Notify>),
}

/// The faults to come, and what was asked of the store so far.
#[derive(Clone, Default)]
pub struct Faults {
    puts: Arc<Mutex<VecDeque<Fault>>>,
    failing_reads: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Faults {
    /// The next puts of commits meet these, one each.
    pub fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.puts.lock().unwrap().extend(faults);
    }

    /// The next put of a commit stops: await the first to know that it has, notify the second to let it go on.
    pub fn hold(&self) -> (Arc<Notify>, Arc<Notify>) {
        let (reached, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        self.next([Fault::Hold(Arc::clone(&reached), Arc::clone(&release))]);
        (reached, release)
    }

    pub fn fail_reads(&self, count: usize) {
        self.failing_reads.store(count, Ordering::SeqCst);
    }

    /// Requests since the last call.
    pub fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

struct Faulty {
    inner: Arc<dyn ObjectStore>,
    faults: Faults,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Faulty({:?})", self.inner)
    }
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

fn broken() -> object_store::Error {
    object_store::Error::Generic { store: "Faulty", source: "500 Internal Server Error".into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        at: &Path,
        data: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.faults.asked.fetch_add(1, Ordering::SeqCst);
        let commit = options.mode == PutMode::Create && at.as_ref().contains("_delta_log");
        let fault = commit.then(|| self.faults.puts.lock().unwrap().pop_front()).flatten();
        match fault {
            None => self.inner.put_opts(at, data, options).await,
            Some(Fault::FailBefore) => Err(broken()),
            Some(Fault::FailAfter) => {
                self.inner.put_opts(at, data, options).await?;
                Err(broken())
            }
            Some(Fault::HangAfter) => {
                self.inner.put_opts(at, data, options).await?;
                std::future::pending().await
            }
            Some(Fault::Hold(reached, release)) => {
                reached.notify_one();
                release.notified().await;
                self.inner.put_opts(at, data, options).await
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.faults.asked.fetch_add(1, Ordering::SeqCst);
        let failing = &self.faults.failing_reads;
        let fail =
            failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if fail.is_ok() {
            return Err(broken());
        }
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.faults.asked.fetch_add(1, Ordering::SeqCst);
        self.inner.list(prefix).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Settings under which a put that does not answer is given up at once.
pub fn impatient() -> StoreSettings {
    StoreSettings { put_timeout: Duration::from_millis(300), ..settings() }
}
