//! From SIGKILL to the first new commit of the process that follows, in a lake of many files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arrow::array::{
    ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use onramp_lake::{Advance, Appender, Lake, StoreSettings};
use onramp_schemas::tables::{EVENTS, Kind};
use url::Url;

use crate::latency::{Steady, nothing};
use crate::member::{Member, Watch};
use crate::support::Scene;
use crate::support::broker::Broker;
use crate::{PARTITIONS, median};

/// Active files of the lake.
const FILES: usize = 20_000;
/// Files of one commit while the lake is made.
const FILES_A_COMMIT: usize = 500;
/// Events a second that go on arriving.
const RATE: u64 = 5_000;
/// Rounds that the events are made for: each waits for the group's session time-out at the most.
const SECONDS_A_ROUND: u64 = 40;

pub fn run(broker: &Broker, rounds: u64) -> anyhow::Result<()> {
    println!("| {FILES} active files | median s | worst s |");
    println!("|---|---|---|");
    let settings = "[ingest.properties]\n\"group.instance.id\" = \"bench\"\n";
    for (name, settings) in [("default settings", ""), ("`group.instance.id` set", settings)] {
        let seconds = measure(broker, rounds, settings)?;
        let worst = seconds.iter().copied().fold(0.0, f64::max);
        println!("| {name} | {:.2} | {worst:.2} |", median(seconds));
    }
    Ok(())
}

fn measure(broker: &Broker, rounds: u64, settings: &str) -> anyhow::Result<Vec<f64>> {
    let topic = format!("restart-{}", settings.len());
    let scene = Scene::new();
    scene.write("onramp.toml", settings);
    fill(&scene)?;
    broker.create(&topic, PARTITIONS);
    let mut steady = Steady::new(broker, &topic, RATE * SECONDS_A_ROUND * (rounds + 1) / 5)?;
    let (produced, stop) = (nothing(), AtomicBool::new(false));
    let mut watch = Watch::new(&scene)?;
    std::thread::scope(|scope| {
        let producing = scope.spawn(|| steady.run(RATE, &produced, &stop));
        let mut member = Member::start(&scene, broker, &topic)?;
        let mut seconds = Vec::new();
        for round in 0..=rounds {
            // Some commits further, so that it is killed at its work.
            let now: i64 = watch.positions()?.values().sum();
            watch.await_total(now + 3 * RATE as i64)?;
            if round == rounds {
                break;
            }
            let killed = Instant::now();
            member.kill()?;
            // What it had begun may still count; what is newer is its successor's.
            let held: i64 = watch.positions()?.values().sum();
            member = Member::start(&scene, broker, &topic)?;
            let first = watch.await_total(held + 1)?;
            seconds.push(first.duration_since(killed).as_secs_f64());
        }
        stop.store(true, Ordering::Relaxed);
        producing.join().map_err(|_| anyhow::anyhow!("the producer panicked"))??;
        Ok(seconds)
    })
}

/// Makes a lake of [`FILES`] files of another source, without syncing each.
fn fill(scene: &Scene) -> anyhow::Result<()> {
    let folder = scene.lake();
    std::fs::create_dir_all(&folder)?;
    let url = Url::from_directory_path(&folder)
        .map_err(|()| anyhow::anyhow!("{} is no absolute path", folder.display()))?;
    let store = Arc::new(LocalFileSystem::new());
    let prefix = Path::from_absolute_path(&folder)?;
    let lake = Lake::with_store(url.to_string(), url, prefix, store, &StoreSettings::default());
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let mut appender = Appender::open(lake.create(&EVENTS).await?).await?;
        for first in (0..FILES).step_by(FILES_A_COMMIT) {
            let mut files = Vec::with_capacity(FILES_A_COMMIT);
            for sequence in first..first + FILES_A_COMMIT {
                files.extend(appender.write(row(sequence as i64)?, &[]).await?);
            }
            let app_id = "bench/other@0/x".to_owned();
            let base = appender.txn(&app_id);
            let next = (first + FILES_A_COMMIT) as i64;
            appender.commit(files, vec![Advance { app_id, base, next }]).await?;
        }
        Ok(())
    })
}

/// A row of `events` that says as little as the table allows.
fn row(sequence: i64) -> anyhow::Result<RecordBatch> {
    let columns = EVENTS.columns.iter().map(|column| -> ArrayRef {
        match column.kind {
            _ if column.nullable => new_null_array(&column.kind.arrow(), 1),
            Kind::Date => Arc::new(Date32Array::from(vec![20_000])),
            Kind::Timestamp => {
                Arc::new(TimestampMicrosecondArray::from(vec![sequence]).with_timezone("UTC"))
            }
            Kind::Int64 => Arc::new(Int64Array::from(vec![sequence])),
            _ if column.name == "source_partition" => {
                Arc::new(StringArray::from(vec!["bench/other@0/x"]))
            }
            _ => Arc::new(StringArray::from(vec!["x"])),
        }
    });
    Ok(RecordBatch::try_new(EVENTS.arrow_schema(), columns.collect())?)
}
