//! One append commit at a table of few and of many active files; rule 7 wants the two to cost the same.
//!
//! `cargo bench -p onramp-lake --bench append` prints the median of a commit at either size, with the commit's own sync to
//! disk and without it (on a store in memory), and the ratio of the two sizes. The goal is a ratio of at most 1.2.
//! Without `--bench`, as `cargo test --benches` runs it, it only goes through the motions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use object_store::memory::InMemory;
use object_store::path::Path;
use onramp_lake::{Advance, Appender, Lake, LakeError, Outcome, StoreSettings};
use onramp_schemas::tables::{Column, Kind, Table};
use url::Url;

/// How much is done.
#[derive(Clone, Copy)]
struct Scale {
    few: usize,
    many: usize,
    rounds: usize,
}

const FULL: Scale = Scale { few: 100, many: 20_000, rounds: 300 };
const SMOKE: Scale = Scale { few: 1, many: 10, rounds: 3 };

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, nullable: false, doc: "A column." }
}

static ROWS: Table = Table {
    name: "rows",
    doc: "One row is one number.",
    columns: &[
        column("day", Kind::Date),
        column("source_partition", Kind::Text),
        column("sequence", Kind::Int64),
    ],
    partition_by: &["day"],
    stats: &["sequence"],
};

fn batch(sequence: i64) -> Result<RecordBatch, arrow::error::ArrowError> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from(vec![20_780])),
        Arc::new(StringArray::from(vec!["bench"])),
        Arc::new(Int64Array::from(vec![sequence])),
    ];
    RecordBatch::try_new(ROWS.arrow_schema(), columns)
}

/// Commits the files of one more sequence and tells how long that took; writing the files is not counted.
async fn step(
    appender: &mut Appender,
    files: usize,
) -> Result<Duration, Box<dyn std::error::Error>> {
    let base = appender.txn("bench");
    let sequence = base.unwrap_or(0);
    let mut all = Vec::with_capacity(files);
    for _ in 0..files {
        all.extend(appender.write(batch(sequence)?, &[]).await?);
    }
    let advance = Advance { app_id: "bench".to_owned(), base, next: sequence + 1 };
    let started = Instant::now();
    match appender.commit(all, vec![advance]).await? {
        Outcome::Committed { .. } => Ok(started.elapsed()),
        Outcome::Lost { app_ids } => Err(format!("lost {app_ids:?}").into()),
    }
}

/// An appender to a new table with that many active files.
async fn filled(lake: &Lake, files: usize) -> Result<Appender, Box<dyn std::error::Error>> {
    let mut appender = Appender::open(lake.create(&ROWS).await?).await?;
    for have in (0..files).step_by(500) {
        step(&mut appender, 500.min(files - have)).await?;
    }
    Ok(appender)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn in_memory(name: &str) -> Result<Lake, Box<dyn std::error::Error>> {
    let url = Url::parse(&format!("memory:///{name}/"))?;
    let settings = StoreSettings::default();
    Ok(Lake::with_store(
        url.to_string(),
        url,
        Path::from(name),
        Arc::new(InMemory::new()),
        &settings,
    ))
}

async fn compare(
    kind: &str,
    scale: Scale,
    few: &Lake,
    many: &Lake,
) -> Result<(), Box<dyn std::error::Error>> {
    let (mut few, mut many) = (filled(few, scale.few).await?, filled(many, scale.many).await?);
    let (mut at_few, mut at_many) = (Vec::new(), Vec::new());
    // By turns: what else goes on on the machine then weighs on both alike.
    for _ in 0..scale.rounds {
        at_few.push(step(&mut few, 1).await?);
        at_many.push(step(&mut many, 1).await?);
    }
    let (at_few, at_many) = (median(at_few), median(at_many));
    let ratio = at_many.as_secs_f64() / at_few.as_secs_f64();
    println!(
        "{kind}: {at_few:?} at {} files, {at_many:?} at {}, ratio {ratio:.2} (goal 1.2)",
        scale.few, scale.many
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scale = if std::env::args().any(|argument| argument == "--bench") { FULL } else { SMOKE };
    compare("in memory", scale, &in_memory("few")?, &in_memory("many")?).await?;
    let (few, many) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let open = |folder: &tempfile::TempDir| -> Result<Lake, LakeError> {
        Lake::open(&folder.path().display().to_string(), &StoreSettings::default())
    };
    compare("synced folder", scale, &open(&few)?, &open(&many)?).await
}
