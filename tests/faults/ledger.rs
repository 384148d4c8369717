//! The ledger: what became of every record of a topic, told by the topic and the files alone.
//!
//! Nothing of Onramp is used here: the topic is read by librdkafka, the tables by their Delta logs
//! (JSON) and Parquet. What must have become of a record is decided by a rule of a few lines.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;

use super::world::{DOOMED, UNKNOWN};

/// A record's place in its topic: partition and offset.
pub type Place = (i32, i64);

/// Where a record stands, or must stand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// A row of `events`, with the event's id.
    Event(String),
    DeadLetter,
    Duplicate,
}

/// The balance of a topic and a lake.
#[derive(Debug, Default)]
pub struct Ledger {
    pub records: usize,
    pub events: usize,
    pub dead_letters: usize,
    pub duplicates: usize,
    /// Events that were deleted, as the deletes may have done.
    pub erased: usize,
    /// Records that stand nowhere.
    pub missing: Vec<Place>,
    /// Records that stand more than once.
    pub doubled: Vec<(Place, Vec<Held>)>,
    /// Records that stand where they must not.
    pub misplaced: Vec<(Place, Held)>,
    /// Rows of no record.
    pub invented: Vec<Place>,
    /// Dead letters that readers ignore because `events` holds their sequence too.
    pub void: Vec<Place>,
}

impl Ledger {
    pub fn balances(&self) -> bool {
        self.missing.is_empty()
            && self.doubled.is_empty()
            && self.misplaced.is_empty()
            && self.invented.is_empty()
            && self.void.is_empty()
    }
}

/// An offset for each partition.
pub type Offsets = BTreeMap<i32, i64>;

/// Draws the balance of a topic and the lake in a folder; events of the doomed client before `erased`
/// may have been deleted, none when it is empty.
pub fn ledger(brokers: &str, topic: &str, lake: &Path, erased: &Offsets) -> Ledger {
    let expected = expected(brokers, topic);
    let mut ledger = Ledger { records: expected.len(), ..Ledger::default() };
    let mut held = held(lake, topic);
    let mut alive: HashSet<(i32, String)> = HashSet::new();
    for (place, expected) in expected {
        let mut stands = held.remove(&place).unwrap_or_default();
        if stands.iter().any(|held| matches!(held, Held::Event(_))) {
            let rows = stands.len();
            stands.retain(|held| *held != Held::DeadLetter);
            ledger.void.extend((stands.len() < rows).then_some(place));
        }
        match &stands[..] {
            [] if expected.may_be_gone(place, erased) => ledger.erased += 1,
            [] => ledger.missing.push(place),
            [one] if expected.allows(one, erased) => match one {
                Held::Event(id) if !alive.insert((place.0, id.clone())) => {
                    ledger.doubled.push((place, stands));
                }
                Held::Event(_) => ledger.events += 1,
                Held::DeadLetter => ledger.dead_letters += 1,
                Held::Duplicate => ledger.duplicates += 1,
            },
            [other] => ledger.misplaced.push((place, other.clone())),
            _ => ledger.doubled.push((place, stands)),
        }
    }
    ledger.invented = held.into_keys().collect();
    ledger
}

/// What must have become of a record.
struct Expected {
    held: Held,
    /// The id of an event of the doomed client, one that is sent again too.
    doomed: Option<String>,
}

impl Expected {
    fn may_be_gone(&self, place: Place, erased: &Offsets) -> bool {
        self.doomed.is_some() && erased.get(&place.0).is_some_and(|end| place.1 < *end)
    }

    /// Once the first of its id was deleted, one that is sent again may be taken as the first.
    fn allows(&self, held: &Held, erased: &Offsets) -> bool {
        let again = matches!((held, &self.doomed), (Held::Event(id), Some(own)) if id == own);
        *held == self.held || (again && !erased.is_empty())
    }
}

/// What must have become of every committed record. The rule for the worlds of these tests: no JSON
/// or a type of nobody is a dead letter; an id that its partition has had before is a duplicate.
fn expected(brokers: &str, topic: &str) -> BTreeMap<Place, Expected> {
    let mut seen: HashSet<(i32, String)> = HashSet::new();
    let mut expected = BTreeMap::new();
    read(brokers, topic, |place, payload| {
        let record: Option<Value> = payload.and_then(|bytes| serde_json::from_slice(bytes).ok());
        let known = |event: &Value| event["type"].as_str().is_some_and(|t| t != UNKNOWN);
        let record = match record.filter(known) {
            None => Expected { held: Held::DeadLetter, doomed: None },
            Some(event) => {
                let id = event["id"].as_str().expect("a world's events have ids").to_owned();
                let doomed = (event["clientid"] == DOOMED).then(|| id.clone());
                let first = seen.insert((place.0, id.clone()));
                Expected { held: if first { Held::Event(id) } else { Held::Duplicate }, doomed }
            }
        };
        expected.insert(place, record);
    });
    expected
}

/// A consumer that belongs to no group and sees committed records only.
pub fn consumer(brokers: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "ledger")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()
        .expect("a consumer")
}

/// Partition numbers of a topic.
pub fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i32>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(5))?;
    Ok(metadata.topics()[0].partitions().iter().map(|p| p.id()).collect())
}

/// Hands over every committed record of a topic, in order within a partition.
fn read(brokers: &str, topic: &str, mut each: impl FnMut(Place, Option<&[u8]>)) {
    let consumer = consumer(brokers);
    let mut unfinished: BTreeSet<i32> =
        partitions(&consumer, topic).expect("the topic is there").into_iter().collect();
    let mut all = TopicPartitionList::new();
    for &partition in &unfinished {
        all.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&all).expect("an assignment");
    while !unfinished.is_empty() {
        match consumer.poll(Duration::from_secs(30)).expect("records or their end within 30 s") {
            Ok(message) => each((message.partition(), message.offset()), message.payload()),
            Err(KafkaError::PartitionEOF(partition)) => {
                unfinished.remove(&partition);
            }
            Err(error) => panic!("{topic} cannot be read: {error}"),
        }
    }
}

/// Every place that a table of the lake speaks of.
fn held(lake: &Path, topic: &str) -> BTreeMap<Place, Vec<Held>> {
    let mut held: BTreeMap<Place, Vec<Held>> = BTreeMap::new();
    let partition = |source: &str| {
        let (rest, partition) = source.rsplit_once('/').expect("cluster/topic@epoch/partition");
        assert!(rest.ends_with(&format!("/{topic}@0")), "{source} is not of {topic}");
        partition.parse::<i32>().expect("a number")
    };
    rows(lake, "events", |rows, row| {
        let place = (partition(&text(rows, "source_partition", row)), long(rows, "sequence", row));
        held.entry(place).or_default().push(Held::Event(text(rows, "id", row)));
    });
    rows(lake, "dead_letters", |rows, row| {
        let place = (partition(&text(rows, "source_partition", row)), long(rows, "sequence", row));
        held.entry(place).or_default().push(Held::DeadLetter);
    });
    rows(lake, "duplicates", |rows, row| {
        let partition = partition(&text(rows, "source_partition", row));
        for sequence in long(rows, "first_sequence", row)..=long(rows, "last_sequence", row) {
            held.entry((partition, sequence)).or_default().push(Held::Duplicate);
        }
    });
    held
}

fn text(rows: &RecordBatch, column: &str, row: usize) -> String {
    let column = rows.column_by_name(column).expect("the column is there").as_string::<i32>();
    assert!(column.is_valid(row));
    column.value(row).to_owned()
}

fn long(rows: &RecordBatch, column: &str, row: usize) -> i64 {
    let column = rows.column_by_name(column).expect("the column is there");
    column.as_primitive::<Int64Type>().value(row)
}

fn rows(lake: &Path, table: &str, mut each: impl FnMut(&RecordBatch, usize)) {
    let mut log = Log::new(lake, table);
    log.advance();
    for path in &log.files {
        let file = File::open(log.table.join(path)).expect("a file that the log names is there");
        // Whoever wrote it: texts are read as texts.
        let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, plain);
        let reader = reader.expect("Parquet");
        for rows in reader.build().expect("a reader") {
            let rows = rows.expect("rows");
            (0..rows.num_rows()).for_each(|row| each(&rows, row));
        }
    }
}

/// A table as its Delta log tells it, read commit by commit.
pub struct Log {
    table: PathBuf,
    next_version: u64,
    /// Live data files, relative to the table.
    files: BTreeSet<String>,
    /// Versions of the application transactions.
    pub transactions: BTreeMap<String, i64>,
}

impl Log {
    pub fn new(lake: &Path, table: &str) -> Self {
        Self {
            table: lake.join(table),
            next_version: 0,
            files: BTreeSet::new(),
            transactions: BTreeMap::new(),
        }
    }

    /// Reads the commits that came since.
    pub fn advance(&mut self) {
        loop {
            let name = format!("_delta_log/{:020}.json", self.next_version);
            let Ok(commit) = std::fs::read_to_string(self.table.join(name)) else { return };
            for line in commit.lines() {
                let action: Value = serde_json::from_str(line).expect("an action a line");
                let path = |action: &Value| action["path"].as_str().expect("a path").to_owned();
                if let Some(add) = action.get("add") {
                    assert!(self.files.insert(path(add)), "added twice: {add}");
                } else if let Some(remove) = action.get("remove") {
                    assert!(self.files.remove(&path(remove)), "removed, but not there: {remove}");
                } else if let Some(txn) = action.get("txn") {
                    let app_id = txn["appId"].as_str().expect("an id").to_owned();
                    let version = txn["version"].as_i64().expect("a version");
                    let before = self.transactions.insert(app_id, version);
                    assert!(before.is_none_or(|before| before < version), "went back: {txn}");
                }
            }
            self.next_version += 1;
        }
    }

    pub fn commits(&self) -> u64 {
        self.next_version
    }
}
