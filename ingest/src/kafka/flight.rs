//! The committer, and the one flush that it may be at while the next is read.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::mirror::Mirror;
use crate::error::IngestError;
use crate::observability as names;
use crate::pipeline::{Committer, Counts, Flush, Flushed, Taken};

/// What became of a flush that was under way.
pub struct Landed {
    /// Whether it is in the lake.
    pub outcome: Flushed,
    /// What is in it.
    pub counts: Counts,
}

type Ended = (Committer, Result<Landed, IngestError>);

/// Either is free, or commits one flush: flushes reach the lake in the order in which they were
/// read, and nobody else can use the committer meanwhile.
pub struct Writer {
    runtime: Handle,
    mirror: Option<Arc<Mirror>>,
    free: Option<Committer>,
    flight: Option<JoinHandle<Ended>>,
}

impl Writer {
    pub fn new(runtime: Handle, mirror: Option<Mirror>, committer: Committer) -> Self {
        Self { runtime, mirror: mirror.map(Arc::new), free: Some(committer), flight: None }
    }

    /// The committer while no flush is under way.
    ///
    /// # Errors
    /// A flush is, or the last one ended in a panic.
    pub fn free(&mut self) -> Result<&mut Committer, IngestError> {
        self.free.as_mut().ok_or_else(busy)
    }

    /// Whether a flush is under way, ended or not.
    pub fn is_busy(&self) -> bool {
        self.flight.is_some()
    }

    /// Whether a flush is under way that has come to its end.
    pub fn has_landed(&self) -> bool {
        self.flight.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Starts to build and commit what was taken out of the buffer.
    ///
    /// # Errors
    /// As [`Self::free`].
    pub fn start(&mut self, taken: Taken) -> Result<(), IngestError> {
        let mut committer = self.free.take().ok_or_else(busy)?;
        let mirror = self.mirror.clone();
        self.flight = Some(self.runtime.spawn(async move {
            let landed = commit(&mut committer, mirror.as_deref(), taken).await;
            (committer, landed)
        }));
        Ok(())
    }

    /// Waits for the end of the flush under way; none: there is none.
    ///
    /// # Errors
    /// Those of the commit.
    pub fn land(&mut self) -> Result<Option<Landed>, IngestError> {
        let Some(flight) = self.flight.take() else { return Ok(None) };
        let ended = self.runtime.block_on(flight);
        let (committer, landed) = ended.map_err(|error| IngestError::Worker(error.to_string()))?;
        self.free = Some(committer);
        landed.map(Some)
    }
}

fn busy() -> IngestError {
    IngestError::Worker("the committer is not free".to_owned())
}

async fn commit(
    committer: &mut Committer,
    mirror: Option<&Mirror>,
    taken: Taken,
) -> Result<Landed, IngestError> {
    let began = Instant::now();
    let built = tokio::task::spawn_blocking(move || taken.build());
    let flush: Flush = built.await.map_err(|error| IngestError::Worker(error.to_string()))??;
    if let Some(mirror) = mirror {
        mirror.send(&flush.dead_letters).await?;
    }
    let outcome = committer.commit(&flush).await?;
    metrics::histogram!(names::FLUSH_SECONDS).record(began.elapsed().as_secs_f64());
    Ok(Landed { outcome, counts: flush.counts })
}
