//! Whether a pipeline takes work, and what keeps it from it, for `/readyz`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A cheap handle that a pipeline sets and the server reads.
#[derive(Clone, Debug)]
pub struct Health {
    trouble: Arc<Mutex<Option<String>>>,
}

impl Default for Health {
    fn default() -> Self {
        Self { trouble: Arc::new(Mutex::new(Some("starting".to_owned()))) }
    }
}

impl Health {
    /// The pipeline takes records from now on.
    pub fn ready(&self) {
        *self.lock() = None;
    }

    /// It takes none, and why.
    pub fn not_ready(&self, why: impl Into<String>) {
        *self.lock() = Some(why.into());
    }

    /// Why it takes no records; none: it takes them.
    pub fn trouble(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
