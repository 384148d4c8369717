//! Whether a pipeline is alive and takes work, for `/healthz` and `/readyz`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A cheap handle that a pipeline sets and the server reads.
#[derive(Clone, Debug, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
}

impl Health {
    /// The pipeline takes records from now on.
    pub fn ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// It takes none: starting, stopping, or broken.
    pub fn not_ready(&self) {
        self.ready.store(false, Ordering::Relaxed);
    }

    /// Whether it takes records.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}
