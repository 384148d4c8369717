//! Vacuum: taking away files that no version within the retention needs.

use std::collections::HashSet;
use std::path::Path as FsPath;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use crate::error::LakeError;
use crate::snapshot::Replay;
use crate::table::Table;

const RETENTION: &str = "delta.deletedFileRetentionDuration";
/// Delta's own, where the property is missing or says nothing that we understand.
const DEFAULT_RETENTION_MS: i64 = 7 * 86_400_000;
/// Deletes in flight.
const PARALLEL_DELETES: usize = 16;

/// What was taken away, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Files.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
}

impl Table {
    /// Deletes data files that were removed longer ago than the table's `deletedFileRetentionDuration`, and files
    /// older than that which were never committed: those of writers that crashed or lost. `dry_run` only counts.
    ///
    /// A reader that holds an older version, and a writer that takes longer from its first file to its commit, loses
    /// files: the retention must be longer than either works.
    ///
    /// # Errors
    /// [`LakeError::CorruptLog`] when a file of the newest version is not there, before anything is deleted; when the
    /// store fails.
    pub async fn vacuum(&self, dry_run: bool) -> Result<Vacuumed, LakeError> {
        let cutoff_ms = self.now_ms() - self.retention_ms();
        // Listed first: whatever is committed after that is not in the list.
        let listed: Vec<ObjectMeta> = self
            .store
            .list(None)
            .try_collect()
            .await
            .map_err(|source| LakeError::store("list", self.url().to_string(), source))?;
        let gone = LakeError::VersionGone { table: self.def.name, version: 0 };
        let replayed = self.replay(None, Replay::Files).await?.ok_or(gone)?;
        let names: HashSet<&str> = listed.iter().map(|object| object.location.as_ref()).collect();
        let mut kept: HashSet<String> = HashSet::with_capacity(replayed.files.len());
        for file in replayed.files.values() {
            let path = Path::from(file.path.as_str());
            if file.modified_at / 1000 < cutoff_ms && !names.contains(path.as_ref()) {
                return Err(LakeError::CorruptLog {
                    table: self.def.name,
                    location: self.location(&path),
                    reason: "it is part of the newest version and not there".into(),
                });
            }
            kept.insert(path.to_string());
        }
        let removed = replayed.removed.iter().filter(|(_, at)| **at >= cutoff_ms);
        kept.extend(removed.map(|(path, _)| Path::from(path.as_str()).to_string()));
        let unneeded = |object: &ObjectMeta| {
            let name = object.location.as_ref();
            name.ends_with(".parquet")
                && !name.starts_with('_')
                && object.last_modified.timestamp_millis() < cutoff_ms
                && !kept.contains(name)
        };
        let unneeded: Vec<ObjectMeta> = listed.iter().filter(|it| unneeded(it)).cloned().collect();
        let mut done = self.sweep_staging(cutoff_ms, dry_run).await?;
        done.files += unneeded.len() as u64;
        done.bytes += unneeded.iter().map(|object| object.size).sum::<u64>();
        if !dry_run {
            let mut deletes = stream::iter(unneeded)
                .map(|object| self.delete(object.location))
                .buffer_unordered(PARALLEL_DELETES);
            while deletes.try_next().await?.is_some() {}
            tracing::info!(table = self.def.name, done.files, done.bytes, "vacuumed");
        }
        Ok(done)
    }

    async fn delete(&self, path: Path) -> Result<(), LakeError> {
        match self.store.delete(&path).await {
            // Another vacuum was faster.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(LakeError::store("delete", self.location(&path), source)),
        }
    }

    fn retention_ms(&self) -> i64 {
        let parse = |text: &str| {
            let [_, count, unit] = text.split_whitespace().collect::<Vec<_>>()[..] else {
                return None;
            };
            let unit_ms = match unit.trim_end_matches('s') {
                "week" => 7 * 86_400_000,
                "day" => 86_400_000,
                "hour" => 3_600_000,
                "minute" => 60_000,
                "second" => 1_000,
                _ => return None,
            };
            count.parse::<i64>().ok()?.checked_mul(unit_ms)
        };
        self.property(RETENTION).and_then(parse).unwrap_or(DEFAULT_RETENTION_MS)
    }

    /// The local store hides what it has not completed from listings, so that is looked for in the folder itself.
    async fn sweep_staging(&self, cutoff_ms: i64, dry_run: bool) -> Result<Vacuumed, LakeError> {
        let Ok(folder) = self.url().to_file_path() else { return Ok(Vacuumed::default()) };
        let swept = tokio::task::spawn_blocking(move || {
            let mut done = Vacuumed::default();
            sweep(&folder, cutoff_ms, dry_run, &mut done).map(|()| done)
        });
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
            let source = object_store::Error::Generic { store: "DurableLocal", source };
            LakeError::store("list", self.url().to_string(), source)
        };
        swept.await.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))
    }
}

fn sweep(
    folder: &FsPath,
    cutoff_ms: i64,
    dry_run: bool,
    done: &mut Vacuumed,
) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            sweep(&entry.path(), cutoff_ms, dry_run, done)?;
            continue;
        }
        let age = meta.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let old = age.is_some_and(|age| (age.as_millis() as i64) < cutoff_ms);
        if old
            && is_staging(&entry.path())
            && (dry_run || std::fs::remove_file(entry.path()).is_ok())
        {
            done.files += 1;
            done.bytes += meta.len();
        }
    }
    Ok(())
}

/// `NAME#DIGITS`.
fn is_staging(path: &FsPath) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.rsplit_once('#').is_some_and(|(name, number)| {
        !name.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}
