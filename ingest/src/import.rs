//! Importing files: NDJSON of CloudEvents, and CSV by a mapping.
//!
//! The position is the line: an interrupted import goes on where the lake stands, and a finished
//! one is a no-op.

mod records;
mod spool;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use onramp_lake::{Advance, Lake, Outcome};
use onramp_schemas::clock::Clock;
use tokio::sync::mpsc;

use crate::csv::mapping::Mapping;
use crate::error::IngestError;
use crate::observability;
use crate::options::PipelineOptions;
use crate::pipeline::{Buffer, Committer, Counts, Flush, Flushed, Partition, Record, Unreadable};
use records::{CsvRecords, JsonLines, Records};
use spool::{Identity, Spooled};

pub use spool::hex;

/// What to import and how.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The files; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// How the columns of a CSV file become events; NDJSON without it.
    pub mapping: Option<PathBuf>,
    /// The `source` of events that a mapping gives none.
    pub source: Option<String>,
    /// Limits of the pipeline.
    pub pipeline: PipelineOptions,
}

/// What came of an import.
#[derive(Clone, Debug, Default)]
pub struct ImportSummary {
    /// What was counted over all files.
    pub counts: Counts,
    /// Files of which the lake held every line already.
    pub already_imported: Vec<PathBuf>,
    /// Files that were taken up again, with the line at which.
    pub resumed: Vec<(PathBuf, i64)>,
}

/// Hears how far an import is.
pub trait Progress: Send + Sync {
    /// A file of `bytes` bytes begins.
    fn begin(&self, path: &Path, bytes: u64);
    /// `bytes` of it are durable in the lake or need no place there.
    fn advance(&self, bytes: u64);
    /// The file is done.
    fn end(&self);
}

/// Nobody listens.
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &Path, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
}

/// Suffix of the transaction that holds the instant at which an import first began, microseconds.
const BEGAN: &str = "#began";

/// Imports every file into the lake, one after the other.
///
/// # Errors
/// A file that cannot be read, a mapping that does not fit, a lake that cannot be written, or a
/// second process that imports the same file. What was committed before stays; running the import
/// again takes up the rest.
pub async fn run(
    lake: &Lake,
    options: &ImportOptions,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<ImportSummary, IngestError> {
    let mapping = options.mapping.as_deref().map(read_mapping).transpose()?;
    if let (Some((_, lacking)), None) = (&mapping, &options.source)
        && lacking.lacks_source()
    {
        return Err(IngestError::Mapping(
            "the mapping gives events no source; add columns.source to it or say --source URI"
                .to_owned(),
        ));
    }
    let mut committer = Committer::open(lake).await?;
    let mut summary = ImportSummary::default();
    for path in &options.files {
        let mapping = match &mapping {
            Some(mapping) => Some(mapping),
            None if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) => {
                return Err(IngestError::Mapping(format!(
                    "{} is a CSV file: say with --mapping FILE which columns make an event (see \
                     examples/permit-intake/)",
                    path.display()
                )));
            }
            None => None,
        };
        let file = import_one(&mut committer, options, path, mapping, clock, progress).await?;
        summary.counts.add(&file.counts);
        if file.records == 0 && file.from > FIRST_LINE {
            summary.already_imported.push(spool::shown(path));
        } else if file.from > FIRST_LINE {
            summary.resumed.push((spool::shown(path), file.from));
        }
    }
    Ok(summary)
}

/// Flushes that are held at once: one is read, one waits, one is committed.
const FLUSHES: usize = 3;

/// Lines are counted as editors do.
const FIRST_LINE: i64 = 1;

/// A mapping with the text that it was read from, which is a part of an import's identity.
type ReadMapping = (String, Arc<Mapping>);

fn read_mapping(path: &Path) -> Result<ReadMapping, IngestError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| IngestError::Read { path: path.to_owned(), source })?;
    let mapping = Mapping::parse(&text, &path.display().to_string())
        .map_err(|error| IngestError::Mapping(error.to_string()))?;
    Ok((text, Arc::new(mapping)))
}

/// What came of one file.
struct FileDone {
    from: i64,
    records: u64,
    counts: Counts,
}

async fn import_one(
    committer: &mut Committer,
    options: &ImportOptions,
    path: &Path,
    mapping: Option<&ReadMapping>,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<FileDone, IngestError> {
    let spooled = {
        let (path, source) = (path.to_owned(), options.source.clone());
        let namespaces = options.pipeline.namespaces.clone();
        let mapping = mapping.map(|(text, _)| text.clone());
        blocking(move || {
            let (mapping, source) = (mapping.as_deref(), source.as_deref());
            spool::open(&path, Identity { mapping, source, namespaces: &namespaces })
        })
        .await?
    };
    progress.begin(&spool::shown(path), spooled.bytes);
    let began = began(committer, &spooled, path, clock).await?;
    let partition = committer.start(&spooled.app_id, FIRST_LINE).await?;
    let from = partition.next;
    let (sender, mut flushes) = mpsc::channel(1);
    let reading = {
        let mut options = options.clone();
        options.pipeline.flush_bytes = committer.flush_bytes(1, FLUSHES, &options.pipeline)?;
        let (path, mapping) = (path.to_owned(), mapping.map(|(_, m)| m.clone()));
        tokio::task::spawn_blocking(move || {
            read(spooled.file, &path, mapping, &options, began, partition, &sender)
        })
    };
    let mut done = FileDone { from, records: 0, counts: Counts::default() };
    while let Some(read) = flushes.recv().await {
        let Piece { flush, bytes }: Piece = read;
        if committer.commit(&flush).await? == Flushed::Lost {
            let line = flush.advances.first().map_or(from, |range| range.first);
            return Err(IngestError::Concurrent { path: spool::shown(path), line });
        }
        observability::count(&flush.counts, "file");
        done.counts.add(&flush.counts);
        done.records += 1;
        progress.advance(bytes);
    }
    reading.await.map_err(|error| IngestError::Worker(error.to_string()))??;
    progress.end();
    Ok(done)
}

/// The instant at which the import of this very file first began: kept in the lake before line 1,
/// so that every later run judges time limits alike.
async fn began(
    committer: &mut Committer,
    spooled: &Spooled,
    path: &Path,
    clock: &dyn Clock,
) -> Result<i64, IngestError> {
    let mark = format!("{}{BEGAN}", spooled.app_id);
    if let Some(began) = committer.next(&mark) {
        return Ok(began);
    }
    let now = clock.now();
    let advances = vec![
        Advance { app_id: spooled.app_id.clone(), base: None, next: FIRST_LINE },
        Advance { app_id: mark, base: None, next: now },
    ];
    match committer.events().commit(Vec::new(), advances).await? {
        Outcome::Committed { .. } => Ok(now),
        Outcome::Lost { .. } => {
            Err(IngestError::Concurrent { path: spool::shown(path), line: FIRST_LINE })
        }
    }
}

/// A flush with the bytes of the file that were read when it was cut.
struct Piece {
    flush: Flush,
    bytes: u64,
}

/// Reads a file from where `partition` stands and hands over flushes until it ends or nobody takes
/// them any more.
fn read(
    file: File,
    path: &Path,
    mapping: Option<Arc<Mapping>>,
    options: &ImportOptions,
    began: i64,
    mut partition: Partition,
    sender: &mpsc::Sender<Piece>,
) -> Result<(), IngestError> {
    let limit = options.pipeline.max_bytes;
    let reader = BufReader::with_capacity(1 << 20, file);
    let mut records: Box<dyn Records> = match mapping {
        Some(mapping) => Box::new(CsvRecords::new(reader, mapping, options.source.clone(), limit)),
        None => Box::new(JsonLines::new(reader, limit)),
    };
    let mut buffer = Buffer::new();
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::InvalidData => IngestError::Mapping(format!(
            "{}: {source}; mend the mapping or name another with --mapping",
            path.display()
        )),
        _ => IngestError::Read { path: path.to_owned(), source },
    };
    loop {
        let Some(found) = records.read(partition.next).map_err(failed)? else { break };
        let unreadable = found.rejection.as_ref().map(|rejection| Unreadable {
            rejection,
            bytes: found.bytes,
            sha256: found.sha256,
        });
        let record = Record {
            sequence: found.sequence,
            timestamp: began,
            payload: Some(found.payload),
            headers: &[],
            unreadable,
        };
        buffer.push(&options.pipeline, &mut partition, &record);
        if buffer.is_full(options.pipeline.flush_rows, options.pipeline.flush_bytes)
            && !hand_over(&mut buffer, &mut partition, records.bytes(), sender)?
        {
            return Ok(());
        }
    }
    if partition.next < records.end() {
        buffer.cover(&partition);
        partition.next = records.end();
    }
    if !buffer.is_empty() {
        hand_over(&mut buffer, &mut partition, records.bytes(), sender)?;
    }
    Ok(())
}

/// Whether somebody still takes flushes.
fn hand_over(
    buffer: &mut Buffer,
    partition: &mut Partition,
    bytes: u64,
    sender: &mpsc::Sender<Piece>,
) -> Result<bool, IngestError> {
    let flush = buffer.take([partition]).build()?;
    Ok(sender.blocking_send(Piece { flush, bytes }).is_ok())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, IngestError> + Send + 'static,
) -> Result<T, IngestError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| IngestError::Worker(error.to_string()))?
}
