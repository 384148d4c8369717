//! One increment: new events merged into the rows that they concern, and the files of those rows
//! written anew.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use futures::TryStreamExt;
use onramp_lake::{DataFile, PendingFile, RewriteKind, Rewriter};
use onramp_schemas::tables::SESSIONS;

use super::catch_up::{Job, Work, landed};
use super::columns::Columns;
use super::derive::{Unclear, exact_rows};
use super::encode::encode;
use super::gather::SessionEvents;
use super::keys::{self, Keys};
use super::row::{NeedsEvents, Row};
use super::writer::{Writer, damaged, sorted};
use crate::error::ComputeError;
use crate::scan::{FILE_COLUMN, LakeTable};

type Name = (Arc<str>, Arc<str>);

/// A row as it shall be, and the file that holds it as it was.
struct Change {
    row: Row,
    file: Option<usize>,
}

/// What happens to one file.
#[derive(Default)]
struct Edit {
    keys: HashSet<i64>,
    names: HashSet<Name>,
    add: Vec<Row>,
}

impl Job<'_> {
    /// Folds the events of these files; `None`: another writer was faster.
    pub async fn slice(
        &self,
        files: Vec<DataFile>,
        upto: i64,
    ) -> Result<Option<Work>, ComputeError> {
        let own = self.own_files();
        let mut gather = self.gather(files, None).await?;
        let mut news: Vec<SessionEvents> = Vec::new();
        while let Some(mut sessions) = gather.next().await? {
            news.append(&mut sessions);
            self.report(gather.events_read);
        }
        let mut events_read = gather.events_read;
        let keys: Keys = Arc::new(news.iter().map(|session| session.session_key).collect());
        let mut held = self.held(&own, &keys).await?;
        let (mut changes, unclear) = self.merge(news, &mut held);
        events_read += self.refold(&unclear, &held, &mut changes).await?;
        let sessions_changed = changes.len() as u64;
        let (removes, adds) = self.write(&own, changes).await?;
        let advances = self.advance(upto).into_iter().collect();
        let rewriter = Rewriter::open(self.table.clone());
        let outcome =
            rewriter.rewrite(&self.sessions, removes, adds, advances, RewriteKind::Change).await?;
        tracing::debug!(
            funnel = self.definition.name,
            upto,
            sessions_changed,
            events_read,
            ?outcome,
            "sessions caught up"
        );
        Ok(landed(&outcome).then_some(Work { sessions_changed, events_read, whole: false }))
    }

    /// The rows that the table holds for these keys, with the index of their file.
    async fn held(
        &self,
        own: &[DataFile],
        keys: &Keys,
    ) -> Result<HashMap<Name, (usize, Row)>, ComputeError> {
        let failed = |source| ComputeError::query("read sessions", source);
        let table = LakeTable::of_files(self.lake, &SESSIONS, own.to_vec())
            .with_file_column()
            .with_row_filter();
        let frame = self.context.read_table(Arc::new(table)).map_err(failed)?;
        let frame = frame.filter(keys::filter(keys)).map_err(failed)?;
        let mut stream = frame.execute_stream().await.map_err(failed)?;
        let mut held = HashMap::new();
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            let columns = Columns(&batch);
            let files = columns.short(FILE_COLUMN)?;
            for (index, row) in columns.rows()?.into_iter().enumerate() {
                let name = (Arc::clone(&row.client_id), Arc::clone(&row.session_id));
                held.insert(name, (files.value(index) as usize, row));
            }
        }
        Ok(held)
    }

    fn merge(
        &self,
        news: Vec<SessionEvents>,
        held: &mut HashMap<Name, (usize, Row)>,
    ) -> (Vec<Change>, Unclear) {
        let (mut changes, mut unclear) = (Vec::with_capacity(news.len()), Unclear::default());
        let cap = self.settings.digests;
        for session in news {
            let name = (Arc::clone(&session.client_id), Arc::clone(&session.session_id));
            let (key, news) = (session.session_key, session.span());
            let old = held.get(&name);
            let span = old.map_or(news, |(_, old)| {
                (news.0.min(old.summary.first_event_at), news.1.max(old.last_seen_at))
            });
            let merged = match old {
                Some((_, old)) => old.merge(self.definition, session.events, cap),
                None => Row::new(self.definition, session, cap),
            };
            match merged {
                Ok(row) => changes.push(Change { row, file: old.map(|(file, _)| *file) }),
                Err(NeedsEvents) => unclear.add(key, &name.0, &name.1, span),
            }
        }
        (changes, unclear)
    }

    /// Folds sessions again from all their events; gives the number of events read.
    async fn refold(
        &self,
        unclear: &Unclear,
        held: &HashMap<Name, (usize, Row)>,
        changes: &mut Vec<Change>,
    ) -> Result<u64, ComputeError> {
        if unclear.is_empty() {
            return Ok(0);
        }
        let mut gather = self.gather(self.events.files.clone(), Some(unclear)).await?;
        while let Some(rows) =
            exact_rows(&mut gather, unclear, self.definition, self.settings.digests).await?
        {
            changes.extend(rows.into_iter().map(|row| {
                let name = (Arc::clone(&row.client_id), Arc::clone(&row.session_id));
                Change { file: held.get(&name).map(|(file, _)| *file), row }
            }));
        }
        Ok(gather.events_read)
    }

    /// Writes the files that the changes concern; gives those to remove and those to add.
    async fn write(
        &self,
        own: &[DataFile],
        changes: Vec<Change>,
    ) -> Result<(Vec<DataFile>, Vec<PendingFile>), ComputeError> {
        let rewriter = Rewriter::open(self.table.clone());
        let mut fresh = Writer::new(&rewriter, self.definition, self.settings);
        let mut edits: BTreeMap<usize, Edit> = BTreeMap::new();
        let mut places = Places::new(own, self.settings.file_rows);
        for Change { row, file } in changes {
            if let Some(file) = file {
                let edit = edits.entry(file).or_default();
                edit.keys.insert(row.session_key);
                edit.names.insert((Arc::clone(&row.client_id), Arc::clone(&row.session_id)));
            }
            match places.of(&row, file) {
                Some(place) => edits.entry(place).or_default().add.push(row),
                None => fresh.push(row).await?,
            }
        }
        let mut adds = fresh.finish().await?;
        let mut removes = Vec::with_capacity(edits.len());
        for (index, edit) in edits {
            adds.extend(self.edit(&rewriter, &own[index], edit).await?);
            removes.push(own[index].clone());
        }
        Ok((removes, adds))
    }

    /// Writes one file anew: without the rows that were replaced, with those that are new.
    async fn edit(
        &self,
        rewriter: &Rewriter,
        file: &DataFile,
        edit: Edit,
    ) -> Result<Vec<PendingFile>, ComputeError> {
        let failed = |source| ComputeError::query("read sessions", source);
        let table = LakeTable::of_files(self.lake, &SESSIONS, vec![file.clone()]);
        let frame = self.context.read_table(Arc::new(table)).map_err(failed)?;
        let mut batches = vec![encode(self.definition, &edit.add).map_err(damaged)?];
        for batch in frame.collect().await.map_err(failed)? {
            batches.push(edit.keep(&batch)?);
        }
        let rows = sorted(&batches).map_err(damaged)?;
        let mut files = Vec::new();
        for start in (0..rows.num_rows()).step_by(self.settings.file_rows) {
            let length = self.settings.file_rows.min(rows.num_rows() - start);
            files.extend(rewriter.write(rows.slice(start, length)).await?);
        }
        Ok(files)
    }
}

impl Edit {
    fn keep(&self, batch: &RecordBatch) -> Result<RecordBatch, ComputeError> {
        let columns = Columns(batch);
        let (keys, clients, sessions) = (
            columns.integer("session_key")?,
            columns.text("client_id")?,
            columns.text("session_id")?,
        );
        let replaced = |row: usize| {
            self.keys.contains(&keys.value(row))
                && self
                    .names
                    .contains(&(Arc::from(clients.value(row)), Arc::from(sessions.value(row))))
        };
        let kept: BooleanArray = (0..batch.num_rows()).map(|row| Some(!replaced(row))).collect();
        filter_record_batch(batch, &kept).map_err(damaged)
    }
}

/// Where rows go: back into their file, or into one of their date that has room.
struct Places {
    /// By date: the files with their rows.
    by_date: HashMap<i32, Vec<(usize, usize)>>,
    dates: Vec<Option<i32>>,
    limit: usize,
}

impl Places {
    fn new(own: &[DataFile], limit: usize) -> Self {
        let dates: Vec<Option<i32>> = own.iter().map(date).collect();
        let mut by_date: HashMap<i32, Vec<(usize, usize)>> = HashMap::new();
        for (index, file) in own.iter().enumerate() {
            let Some(date) = dates[index] else { continue };
            let rows = file.rows.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(limit);
            by_date.entry(date).or_default().push((index, rows));
        }
        Self { by_date, dates, limit }
    }

    /// The file that a row goes to; `None`: a new one.
    fn of(&mut self, row: &Row, file: Option<usize>) -> Option<usize> {
        let date = row.started_date();
        if let Some(file) = file.filter(|&file| self.dates[file] == Some(date)) {
            return Some(file);
        }
        let room = self.by_date.get_mut(&date)?.iter_mut().min_by_key(|(_, rows)| *rows)?;
        if room.1 >= self.limit {
            return None;
        }
        room.1 += 1;
        Some(room.0)
    }
}

fn date(file: &DataFile) -> Option<i32> {
    let text = file.partition_values.get("started_date")?.as_deref()?;
    let date: chrono::NaiveDate = text.parse().ok()?;
    i32::try_from(date.signed_duration_since(chrono::NaiveDate::default()).num_days()).ok()
}
