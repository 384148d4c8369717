//! A local object store whose acknowledged puts survive a power cut.
//!
//! `object_store`'s own local store never syncs: after a crash a commit may be there with no bytes in it, or with bytes
//! that name a data file which is not. Here a put is: write a staging file, sync it, give it its name, sync its folder.
//! Reading, listing and deleting are left to `LocalFileSystem`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};

const STORE: &str = "DurableLocal";

/// The whole local file system as an object store, `/` being its root; every put is synced, file before name, name before return.
#[derive(Debug, Clone, Default)]
pub struct DurableLocal {
    inner: LocalFileSystem,
}

impl DurableLocal {
    /// The file system from its root on.
    pub fn new() -> Self {
        Self::default()
    }
}

impl std::fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{STORE}")
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented {
                    operation: "put with PutMode::Update".into(),
                    implementer: STORE.into(),
                });
            }
        };
        let target = self.inner.path_to_filesystem(location)?;
        blocking(move || {
            let (mut file, staging) = stage(&target)?;
            let written = payload
                .iter()
                .try_for_each(|chunk| file.write_all(chunk))
                .and_then(|()| sync_file(&file, &staging));
            drop(file);
            publish(written, &staging, &target, create)
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let target = self.inner.path_to_filesystem(location)?;
        let at = target.clone();
        let (file, staging) = blocking(move || stage(&at)).await?;
        Ok(Box::new(Upload {
            file: Arc::new(Mutex::new(file)),
            staging,
            target,
            offset: 0,
            open: true,
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        ordered(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        ordered(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        // A copy is a hard link to a file that was synced by its own put; only the new name is left to sync.
        self.inner.copy_opts(from, to, options).await?;
        let target = self.inner.path_to_filesystem(to)?;
        blocking(move || sync_folder(parent(&target)).map_err(|source| failed(&target, source)))
            .await
    }
}

/// In the order of names, as S3 lists and readers of a log expect; a file system lists in any.
fn ordered(
    entries: BoxStream<'static, Result<ObjectMeta>>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let collected = entries.try_collect().map_ok(|mut entries: Vec<ObjectMeta>| {
        entries.sort_unstable_by(|left, right| left.location.cmp(&right.location));
        stream::iter(entries.into_iter().map(Ok))
    });
    collected.try_flatten_stream().boxed()
}

/// A file written in parts under a staging name; it gets its own name when it is complete and synced.
#[derive(Debug)]
struct Upload {
    file: Arc<Mutex<File>>,
    staging: PathBuf,
    target: PathBuf,
    offset: u64,
    open: bool,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        // The place of a part is fixed when it is handed over; parts may be written in any order.
        let offset = self.offset;
        self.offset += data.content_length() as u64;
        let (file, target) = (Arc::clone(&self.file), self.target.clone());
        blocking(move || {
            let mut file =
                file.lock().map_err(|_| failed(&target, io::Error::other("a writer panicked")))?;
            file.seek(SeekFrom::Start(offset))
                .and_then(|_| data.iter().try_for_each(|chunk| file.write_all(chunk)))
                .map_err(|source| failed(&target, source))
        })
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (file, staging, target) =
            (Arc::clone(&self.file), self.staging.clone(), self.target.clone());
        self.open = false;
        blocking(move || {
            let synced = match file.lock() {
                Ok(file) => sync_file(&file, &staging),
                Err(_) => Err(io::Error::other("a writer panicked")),
            };
            publish(synced, &staging, &target, false)
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        self.open = false;
        let staging = self.staging.clone();
        blocking(move || fs::remove_file(&staging).map_err(|source| failed(&staging, source))).await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.open {
            // Best effort: a staging file that stays behind is never listed.
            let _ = fs::remove_file(&self.staging);
        }
    }
}

/// A new file beside `target`, in folders that are themselves synced. The suffix `#<digits>` hides it from listings.
fn stage(target: &FsPath) -> Result<(File, PathBuf)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let mut name = target.as_os_str().to_owned();
        name.push(format!("#{}{:06}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let staging = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).open(&staging) {
            Ok(file) => return Ok((file, staging)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                create_folder(parent(target)).map_err(|source| failed(target, source))?;
            }
            Err(source) => return Err(failed(target, source)),
        }
    }
}

/// Gives a written and synced staging file its name – only if the name is free, when `create` is set – and syncs the folder.
fn publish(written: io::Result<()>, staging: &FsPath, target: &FsPath, create: bool) -> Result<()> {
    // A link fails when the name is taken, a rename replaces: that is the whole difference between the two modes.
    let named = written.and_then(|()| {
        note(Step::Name, target);
        if create { fs::hard_link(staging, target) } else { fs::rename(staging, target) }
    });
    if create || named.is_err() {
        let _ = fs::remove_file(staging);
    }
    match named {
        Ok(()) => sync_folder(parent(target)).map_err(|source| failed(target, source)),
        Err(source) if create && source.kind() == ErrorKind::AlreadyExists => {
            // Whoever is told that the name is taken will go by what the file says, so it must be there to stay.
            sync_folder(parent(target)).map_err(|source| failed(target, source))?;
            Err(Error::AlreadyExists {
                path: target.display().to_string(),
                source: Box::new(source),
            })
        }
        Err(source) => Err(failed(target, source)),
    }
}

/// Creates a folder and those above it, syncing each new name into the folder that holds it.
fn create_folder(folder: &FsPath) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    create_folder(parent(folder))?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder(parent(folder))
}

fn sync_file(file: &File, path: &FsPath) -> io::Result<()> {
    note(Step::SyncFile, path);
    file.sync_all()
}

fn sync_folder(folder: &FsPath) -> io::Result<()> {
    note(Step::SyncFolder, folder);
    File::open(folder)?.sync_all()
}

/// What a put does to the disk; tests look at the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    SyncFile,
    Name,
    SyncFolder,
}

#[cfg(not(test))]
fn note(_: Step, _: &FsPath) {}

#[cfg(test)]
use tests::note;

fn parent(path: &FsPath) -> &FsPath {
    path.parent().unwrap_or(FsPath::new("/"))
}

#[derive(Debug, thiserror::Error)]
#[error("{path}")]
struct Failed {
    path: String,
    #[source]
    source: io::Error,
}

fn failed(path: &FsPath, source: io::Error) -> Error {
    Error::Generic {
        store: STORE,
        source: Box::new(Failed { path: path.display().to_string(), source }),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|source| Error::JoinError { source })?
}

#[cfg(test)]
mod tests;
