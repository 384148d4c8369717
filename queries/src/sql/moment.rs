//! The lake as one session sees it: each table at the version of its first reading.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use onramp_compute::sessions::{Settings, catch_up, silent, watermark};
use onramp_lake::Snapshot;
use onramp_schemas::funnel::Funnel;
use onramp_schemas::tables::Table;
use tokio::sync::OnceCell;

use super::{Source, SqlError};

/// What was read so far, so that it is read once.
#[derive(Debug)]
pub(super) struct Moment {
    source: Source,
    pins: Mutex<Pins>,
}

#[derive(Debug, Default)]
struct Pins {
    tables: BTreeMap<&'static str, Arc<OnceCell<Option<Arc<Snapshot>>>>>,
    folds: BTreeMap<String, Arc<OnceCell<Folded>>>,
}

/// A funnel's sessions, up to date with the events.
#[derive(Clone, Debug)]
pub(super) struct Folded {
    /// The table that holds them; `None`: there are no events.
    pub sessions: Option<Arc<Snapshot>>,
    /// The instant of the newest event, microseconds UTC.
    pub as_of: i64,
}

impl Moment {
    pub fn new(source: Source) -> Self {
        Self { source, pins: Mutex::default() }
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    fn pins(&self) -> std::sync::MutexGuard<'_, Pins> {
        // Cells alone are behind it; a panic between two statements leaves them whole.
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A table's version; `None`: it does not exist yet.
    pub async fn snapshot(&self, table: &'static Table) -> Result<Option<Arc<Snapshot>>, SqlError> {
        let cell = Arc::clone(self.pins().tables.entry(table.name).or_default());
        let open = async || -> Result<_, SqlError> {
            match self.source.lake.open_table(table).await? {
                Some(table) => Ok(Some(Arc::new(table.snapshot().await?))),
                None => Ok(None),
            }
        };
        cell.get_or_try_init(open).await.cloned()
    }

    /// A funnel's sessions, brought up to date first.
    pub async fn folded(&self, funnel: &Funnel) -> Result<Folded, SqlError> {
        let cell = Arc::clone(self.pins().folds.entry(funnel.name.clone()).or_default());
        let fold = async || -> Result<_, SqlError> {
            let Source { lake, engine, .. } = &self.source;
            let done = catch_up(lake, funnel, engine, &Settings::default(), &silent).await?;
            let newest = match &done.events {
                Some(events) => watermark(lake, engine, events).await?,
                None => None,
            };
            Ok(Folded { sessions: done.sessions, as_of: newest.unwrap_or_default() })
        };
        cell.get_or_try_init(fold).await.cloned()
    }
}
