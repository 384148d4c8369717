//! The way of a flush to the lake: encoded, then committed, while the next is read.

use std::sync::Arc;
use std::time::Instant;

use onramp_lake::EncodedFile;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::mirror::Mirror;
use crate::error::IngestError;
use crate::observability as names;
use crate::pipeline::{Committer, Counts, Flush, Flushed, Range, Taken, encode};

/// What became of a flush that was under way.
pub struct Landed {
    /// Whether it is in the lake.
    pub outcome: Flushed,
    /// What is in it.
    pub counts: Counts,
    /// The ranges that it covers.
    pub advances: Vec<Range>,
}

/// A flush whose files are encoded and in no store yet.
struct Ready {
    began: Instant,
    flush: Flush,
    files: Vec<EncodedFile>,
}

type Encoding = JoinHandle<Result<Ready, IngestError>>;
type Flight = JoinHandle<(Committer, Result<Landed, IngestError>)>;

/// Takes flushes to the lake in the order in which they were read: while one is committed, which is
/// mostly waiting for the store, the next may be encoded. Nobody else can use the committer
/// meanwhile.
pub struct Writer {
    runtime: Handle,
    mirror: Option<Arc<Mirror>>,
    free: Option<Committer>,
    encoding: Option<Encoding>,
    flight: Option<Flight>,
    table: onramp_lake::Table,
}

impl Writer {
    pub fn new(runtime: Handle, mirror: Option<Mirror>, mut committer: Committer) -> Self {
        let table = committer.events().table().clone();
        let mirror = mirror.map(Arc::new);
        Self { runtime, mirror, free: Some(committer), encoding: None, flight: None, table }
    }

    /// The committer while no flush is under way.
    ///
    /// # Errors
    /// A flush is, or the last one ended in a panic.
    pub fn free(&mut self) -> Result<&mut Committer, IngestError> {
        let is_busy = self.is_busy();
        self.free.as_mut().filter(|_| !is_busy).ok_or_else(busy)
    }

    /// Whether a flush is under way, ended or not.
    pub fn is_busy(&self) -> bool {
        self.encoding.is_some() || self.flight.is_some()
    }

    /// Whether another flush may be started.
    pub fn has_room(&self) -> bool {
        self.encoding.is_none()
    }

    /// Starts to build and encode what was taken out of the buffer.
    ///
    /// # Errors
    /// There is no room.
    pub fn start(&mut self, taken: Taken) -> Result<(), IngestError> {
        if !self.has_room() {
            return Err(busy());
        }
        let (began, table) = (Instant::now(), self.table.clone());
        self.encoding = Some(self.runtime.spawn_blocking(move || {
            let mut flush = taken.build()?;
            let files = encode(&table, flush.events.take(), &flush.ranges())?;
            Ok(Ready { began, flush, files })
        }));
        Ok(())
    }

    /// Takes up what has come to its end by itself, without waiting: a flush that is encoded is
    /// committed, and of one that was committed the outcome is told.
    ///
    /// # Errors
    /// Those of the commit.
    pub fn look(&mut self) -> Result<Option<Landed>, IngestError> {
        let landed = match self.flight.as_ref().is_some_and(JoinHandle::is_finished) {
            true => self.wait()?,
            false => None,
        };
        if self.flight.is_none() && self.encoding.as_ref().is_some_and(JoinHandle::is_finished) {
            self.depart()?;
        }
        Ok(landed)
    }

    /// Waits for the next step: the end of the commit under way, or of the encoding, which the
    /// commit follows. None: it was no commit that ended.
    ///
    /// # Errors
    /// Those of the commit.
    pub fn wait(&mut self) -> Result<Option<Landed>, IngestError> {
        let Some(flight) = self.flight.take() else {
            self.depart()?;
            return Ok(None);
        };
        let ended = self.runtime.block_on(flight);
        let (committer, landed) = ended.map_err(|error| IngestError::Worker(error.to_string()))?;
        self.free = Some(committer);
        landed.map(Some)
    }

    /// Commits the flush that is being encoded, once it is.
    fn depart(&mut self) -> Result<(), IngestError> {
        let Some(encoding) = self.encoding.take() else { return Ok(()) };
        let ended = self.runtime.block_on(encoding);
        let ready = ended.map_err(|error| IngestError::Worker(error.to_string()))??;
        let mut committer = self.free.take().ok_or_else(busy)?;
        let mirror = self.mirror.clone();
        self.flight = Some(self.runtime.spawn(async move {
            let landed = commit(&mut committer, mirror.as_deref(), ready).await;
            (committer, landed)
        }));
        Ok(())
    }

    /// Forgets the flush that is being encoded: the one before it was lost, and so would it be.
    ///
    /// # Errors
    /// It ended in a panic.
    pub fn forget(&mut self) -> Result<(), IngestError> {
        let Some(encoding) = self.encoding.take() else { return Ok(()) };
        let ended = self.runtime.block_on(encoding);
        ended.map(drop).map_err(|error| IngestError::Worker(error.to_string()))
    }
}

fn busy() -> IngestError {
    IngestError::Worker("the committer is not free".to_owned())
}

async fn commit(
    committer: &mut Committer,
    mirror: Option<&Mirror>,
    Ready { began, flush, files }: Ready,
) -> Result<Landed, IngestError> {
    if let Some(mirror) = mirror {
        mirror.send(&flush.dead_letters).await?;
    }
    let outcome = committer.commit_encoded(&flush, files).await?;
    metrics::histogram!(names::FLUSH_SECONDS).record(began.elapsed().as_secs_f64());
    Ok(Landed { outcome, counts: flush.counts, advances: flush.advances })
}
