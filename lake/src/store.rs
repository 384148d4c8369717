//! Where a lake lies: a folder or a bucket, behind one object store rooted at the lake.

use std::path::{Component, Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig,
};
use onramp_schemas::clock::{Clock, SystemClock};
use onramp_schemas::tables;
use url::Url;

use crate::durable::DurableLocal;
use crate::error::{LakeError, was_cut_off};
use crate::persistent::Persistent;
use crate::table::Table;

/// How a lake is used, apart from where it lies.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// The clock behind the times in the log (file and commit times).
    pub clock: Arc<dyn Clock>,
    /// The longest that one put of a commit may take before its outcome counts as unknown.
    pub put_timeout: Duration,
    /// How many times a commit is put again after errors other than lost races.
    pub put_attempts: u32,
    /// A writer that has not looked at the log for this long looks before and after a commit: the log may have been
    /// cleaned up under it. Must stay well below the tables' log retention of two days.
    pub log_trust: Duration,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            put_timeout: Duration::from_secs(60),
            put_attempts: 6,
            log_trust: Duration::from_secs(3600),
        }
    }
}

/// A lake: the place that holds the tables, each in a folder of its name. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: String,
    url: Url,
    prefix: Path,
    root_store: Arc<dyn ObjectStore>,
    store: Arc<dyn ObjectStore>,
    settings: StoreSettings,
}

impl Lake {
    /// Opens the lake at a folder path, a `file://` URL or `s3://bucket/prefix`. Nothing is read or written yet.
    ///
    /// S3 is configured by the `AWS_*` variables (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_REGION`, `AWS_ALLOW_HTTP`).
    ///
    /// # Errors
    /// [`LakeError::Location`] when the address is none, or lies where a file is.
    pub fn open(url: &str, settings: &StoreSettings) -> Result<Self, LakeError> {
        let refuse =
            |reason: &str| LakeError::Location { url: url.to_owned(), reason: reason.to_owned() };
        match url.split_once("://").map(|(scheme, _)| scheme) {
            None if url.is_empty() => Err(refuse("it is empty")),
            None => Self::open_folder(url, FsPath::new(url), settings),
            Some("file") => {
                let parsed = Url::parse(url).map_err(|error| refuse(&error.to_string()))?;
                let folder = parsed
                    .to_file_path()
                    .map_err(|()| refuse("it names no folder of this machine"))?;
                Self::open_folder(url, &folder, settings)
            }
            Some("s3" | "s3a") => Self::open_s3(url, std::env::vars(), settings),
            Some(scheme) => Err(refuse(&format!("{scheme} is not supported"))),
        }
    }

    /// As [`Lake::open`] for S3, with these variables in place of the process's environment.
    ///
    /// # Errors
    /// [`LakeError::Location`] when the address or a variable is not usable.
    pub fn open_s3(
        url: &str,
        variables: impl IntoIterator<Item = (String, String)>,
        settings: &StoreSettings,
    ) -> Result<Self, LakeError> {
        let refuse = |reason: String| LakeError::Location { url: url.to_owned(), reason };
        let parsed = Url::parse(url).map_err(|error| refuse(error.to_string()))?;
        let bucket = parsed
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| refuse("no bucket is named".into()))?;
        let prefix =
            Path::from_url_path(parsed.path()).map_err(|error| refuse(error.to_string()))?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(ClientOptions::new().with_connect_timeout(Duration::from_secs(5)))
            // Bounded by the time and not by the number: a store that is overloaded says so for seconds, one that is
            // gone should be told soon.
            .with_retry(RetryConfig {
                max_retries: 1_000,
                retry_timeout: Duration::from_secs(20),
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(100),
                    max_backoff: Duration::from_secs(3),
                    base: 2.,
                },
            });
        for (name, value) in variables {
            let name = name.to_ascii_lowercase();
            if name.starts_with("aws_")
                && let Ok(key) = name.parse::<AmazonS3ConfigKey>()
                && key != AmazonS3ConfigKey::Bucket
            {
                builder = builder.with_config(key, value);
            }
        }
        let client = builder.build().map_err(|error| refuse(error.to_string()))?;
        let root_store: Arc<dyn ObjectStore> = Arc::new(Persistent::new(Arc::new(client)));
        let mut location =
            Url::parse(&format!("s3://{bucket}/")).map_err(|error| refuse(error.to_string()))?;
        if !prefix.as_ref().is_empty() {
            location.set_path(&format!("/{prefix}/"));
        }
        Ok(Self::with_store(url.to_owned(), location, prefix, root_store, settings))
    }

    fn open_folder(
        given: &str,
        folder: &FsPath,
        settings: &StoreSettings,
    ) -> Result<Self, LakeError> {
        let refuse = |reason: String| LakeError::Location { url: given.to_owned(), reason };
        let folder = absolute(folder).map_err(|error| refuse(error.to_string()))?;
        if folder.exists() && !folder.is_dir() {
            return Err(refuse("it is a file".into()));
        }
        let url = Url::from_directory_path(&folder)
            .map_err(|()| refuse("it is no absolute path".into()))?;
        let prefix =
            Path::from_absolute_path(&folder).map_err(|error| refuse(error.to_string()))?;
        let root =
            folder.to_str().ok_or_else(|| refuse("its name is not UTF-8".into()))?.to_owned();
        Ok(Self::with_store(root, url, prefix, Arc::new(DurableLocal::new()), settings))
    }

    /// A lake at `prefix` of any store that honours `PutMode::Create`; `url` is `root_store`'s own address followed by the prefix.
    pub fn with_store(
        root: String,
        url: Url,
        prefix: Path,
        root_store: Arc<dyn ObjectStore>,
        settings: &StoreSettings,
    ) -> Self {
        let store = Arc::new(PrefixStore::new(Arc::clone(&root_store), prefix.clone()));
        Self {
            inner: Arc::new(Inner {
                root,
                url,
                prefix,
                root_store,
                store,
                settings: settings.clone(),
            }),
        }
    }

    /// The lake's address for people: an absolute folder path or `s3://bucket/prefix`.
    pub fn root(&self) -> &str {
        &self.inner.root
    }

    /// The lake's address as a URL that ends in a slash.
    pub fn url(&self) -> Url {
        self.inner.url.clone()
    }

    /// The object store rooted at the lake: `events/_delta_log/…`.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner.store)
    }

    /// Opens a table, creating it first when it is not there, and adding to it the columns that an earlier version of this
    /// program did not have. Any number of processes may do so at once.
    ///
    /// # Errors
    /// When the store fails, cannot do conditional puts, or holds another table in this place.
    pub async fn create(&self, def: &'static tables::Table) -> Result<Table, LakeError> {
        let opened = match self.open_table(def).await {
            Err(LakeError::SchemaMismatch { .. }) => {
                Table::widen(self, def).await?;
                self.open_table(def).await?
            }
            opened => opened?,
        };
        if let Some(table) = opened {
            return Ok(table);
        }
        if self.inner.url.scheme() != "file" {
            self.check_conditional_put().await?;
        }
        Table::create(self, def).await
    }

    /// Opens a table; `None` when it does not exist.
    ///
    /// # Errors
    /// When the store fails, or the table is newer than this program or of another shape.
    pub async fn open_table(
        &self,
        def: &'static tables::Table,
    ) -> Result<Option<Table>, LakeError> {
        Table::open(self, def).await
    }

    /// Puts an object beside the tables, where none is; whether this call made it. A name that is the caller's alone and
    /// taken nevertheless was taken by this very call, whose first answer got lost.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_new(&self, path: &Path, content: PutPayload) -> Result<bool, LakeError> {
        self.claim(&*self.store(), path, content).await.map_err(|source| {
            LakeError::store("write", format!("{}{path}", self.inner.url), source)
        })
    }

    pub(crate) fn settings(&self) -> &StoreSettings {
        &self.inner.settings
    }

    pub(crate) fn root_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner.root_store)
    }

    pub(crate) fn prefix(&self) -> &Path {
        &self.inner.prefix
    }

    /// Puts one object twice; the second must be refused.
    async fn check_conditional_put(&self) -> Result<(), LakeError> {
        let probe = Path::from(format!("_onramp_probe/{}", uuid::Uuid::new_v4()));
        let store = self.store();
        let fault = |source| match source {
            object_store::Error::NotImplemented { .. } => {
                LakeError::NoConditionalPut { url: self.inner.url.to_string() }
            }
            source => LakeError::store("write", format!("{}{probe}", self.inner.url), source),
        };
        // The name is ours alone: if it is taken, our own put went through although its answer did not come.
        self.claim(&*store, &probe, "first".into()).await.map_err(fault)?;
        let replaced = self.claim(&*store, &probe, "second".into()).await.map_err(fault)?;
        if let Err(error) = store.delete(&probe).await {
            tracing::warn!(%probe, error = &error as &dyn std::error::Error, "probe left behind");
        }
        if replaced {
            return Err(LakeError::NoConditionalPut { url: self.inner.url.to_string() });
        }
        Ok(())
    }

    /// Puts an object where none is, as often as it takes to know that one is there; whether the last put made it.
    pub(crate) async fn claim(
        &self,
        store: &dyn ObjectStore,
        path: &Path,
        content: PutPayload,
    ) -> Result<bool, object_store::Error> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match store.put_opts(path, content.clone(), PutMode::Create.into()).await {
                Ok(_) => return Ok(true),
                Err(object_store::Error::AlreadyExists { .. }) => return Ok(false),
                Err(error) if was_cut_off(&error) && attempts < self.settings().put_attempts => {
                    tracing::warn!(%path, error = &error as &dyn std::error::Error, "putting again");
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The absolute path with symbolic links resolved as far as the path exists.
fn absolute(folder: &FsPath) -> std::io::Result<PathBuf> {
    let folder = std::path::absolute(folder)?;
    let mut known = folder.as_path();
    let mut rest = Vec::new();
    while !known.exists() {
        match (known.parent(), known.components().next_back()) {
            (Some(parent), Some(Component::Normal(name))) => {
                rest.push(name.to_owned());
                known = parent;
            }
            _ => return Ok(folder),
        }
    }
    let mut path = known.canonicalize()?;
    path.extend(rest.into_iter().rev());
    Ok(path)
}
