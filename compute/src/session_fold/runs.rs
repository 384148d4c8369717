//! Runs: neighbouring events of one session, as numbers, by ranges of keys.

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::common::{Result, exec_datafusion_err};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::conditions::dictionary;
use crate::fold::Mark;

/// An event that meets a stage or an exclusion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    pub occurred_at: i64,
    pub flags: u64,
}

impl Mark for Point {
    fn occurred_at(&self) -> i64 {
        self.occurred_at
    }

    fn stages(&self) -> u32 {
        self.flags as u32
    }

    fn exclusions(&self) -> u32 {
        (self.flags >> 32) as u32
    }
}

/// The session of a run: its key, and a second hash of client and session id, for two sessions may
/// share a key.
pub(super) type Name = (i64, u64);

/// Points of one session that lie side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub name: Name,
    start: usize,
    end: usize,
}

/// The runs of one range of keys.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub runs: Vec<Run>,
    points: Vec<Point>,
}

impl Runs {
    pub fn push(&mut self, name: Name, points: impl IntoIterator<Item = Point>) {
        let start = self.points.len();
        self.points.extend(points);
        let end = self.points.len();
        match self.runs.last_mut() {
            Some(last) if last.name == name => last.end = end,
            _ if start < end => self.runs.push(Run { name, start, end }),
            _ => {}
        }
    }

    pub fn points(&self, run: &Run) -> &[Point] {
        &self.points[run.start..run.end]
    }

    /// By name; files that are sorted by key make this a merge of long ascending stretches.
    pub fn sort(&mut self) {
        self.runs.sort_by_key(|run| run.name);
    }

    /// Bytes held, with what sorting takes.
    pub fn bytes(&self) -> usize {
        let runs = self.runs.capacity() * size_of::<Run>();
        runs + runs / 2 + self.points.capacity() * size_of::<Point>()
    }
}

/// Folds the batches of one stream into runs, by ranges of keys.
pub(super) struct Folder {
    as_of: i64,
    pub ranges: Vec<Runs>,
}

impl Folder {
    pub fn new(ranges: usize, as_of: i64) -> Self {
        Self { as_of, ranges: (0..ranges).map(|_| Runs::default()).collect() }
    }

    pub fn bytes(&self) -> usize {
        self.ranges.iter().map(Runs::bytes).sum()
    }

    /// Adds the events of a batch with their flags.
    pub fn fold(&mut self, batch: &RecordBatch, flags: &[u64]) -> Result<()> {
        let missing =
            |name: &str| exec_datafusion_err!("the column {name} is not what it should be");
        let numbers = |name: &str| batch.column_by_name(name).ok_or_else(|| missing(name));
        let keys = numbers("session_key")?.as_primitive_opt::<Int64Type>();
        let keys = keys.ok_or_else(|| missing("session_key"))?.values();
        let instants = numbers("occurred_at")?.as_primitive_opt::<TimestampMicrosecondType>();
        let instants = instants.ok_or_else(|| missing("occurred_at"))?.values();
        let (clients, sessions) =
            (dictionary(batch, "client_id")?, dictionary(batch, "session_id")?);
        let (client, session) = (clients.keys().values(), sessions.keys().values());
        let texts = (text(clients.values())?, text(sessions.values())?);
        let mut row = 0;
        while row < keys.len() {
            let place = (keys[row], session[row], client[row]);
            let same = |&next: &usize| (keys[next], session[next], client[next]) == place;
            let end = row + (row..keys.len()).take_while(same).count();
            if flags[row..end].iter().any(|&flags| flags != 0) {
                let (client, session) = (client[row] as usize, session[row] as usize);
                let name = (place.0, second_hash(texts.0.value(client), texts.1.value(session)));
                let as_of = self.as_of;
                let points = (row..end).filter(|&at| flags[at] != 0 && instants[at] <= as_of);
                let range = self.range(place.0);
                self.ranges[range].push(
                    name,
                    points.map(|at| Point { occurred_at: instants[at], flags: flags[at] }),
                );
            }
            row = end;
        }
        Ok(())
    }

    /// Keys are hashes: ranges of one width hold as many of them.
    fn range(&self, key: i64) -> usize {
        let place = (key as u64) ^ (1 << 63);
        ((u128::from(place) * self.ranges.len() as u128) >> 64) as usize
    }
}

/// Independent of the key, which hashes the same without a seed.
fn second_hash(client: &str, session: &str) -> u64 {
    xxh3_64_with_seed(session.as_bytes(), xxh3_64_with_seed(client.as_bytes(), 1))
}

fn text(values: &dyn Array) -> Result<&StringArray> {
    let kind: &DataType = values.data_type();
    values.as_string_opt().ok_or_else(|| exec_datafusion_err!("names are of type {kind}"))
}
