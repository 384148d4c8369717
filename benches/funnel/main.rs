//! A five-stage funnel with times straight from raw events: Onramp, DuckDB and ClickHouse on the same
//! Parquet files, two threads each, in one run.
//!
//! `cargo bench --bench funnel [-- SESSIONS]` (2,000,000 unless given: 12.3 M events) writes a lake, asks
//! every engine in turn over the files as they arrived and as `onramp compact` lays them out, and Onramp
//! also by `window_funnel` in SQL, holds their counts against each other, then folds once more under a
//! tenth of the memory that the runs take.
//! `cargo bench --bench funnel -- growth` measures Onramp alone at 1, 10 and 50 M events.
//! Needs `python3` with venv and pip; `ONRAMP_PEERS=PYTHON` names one that has the peers already.

mod peers;
mod world;

use std::path::Path;
use std::time::Instant;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use onramp_compute::engine::{Engine, Options};
use onramp_compute::maintenance::{Settings, compact};
use onramp_compute::session_fold::{RawFunnel, raw_funnel};
use onramp_lake::{Lake, StoreSettings};
use onramp_queries::access::Scope;
use onramp_queries::sql::{Source, Turn, session};
use onramp_schemas::funnel::{Funnel, parse};
use onramp_schemas::tables::EVENTS;

use peers::Peers;

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Every engine's.
const THREADS: usize = 2;
/// Runs of each engine, in turns; medians are printed.
const ROUNDS: usize = 5;
const STAGES: [&str; 5] = [
    "session.started",
    "input.submitted",
    "recommendations.generated",
    "approval.decided",
    "session.completed",
];
/// `window_funnel` in SQL, grouped by session; beside it, ClickHouse's `windowFunnel` is the measure.
const IN_SQL: &str = "Onramp window_funnel in SQL";
/// What a run over 12.3 M events takes, roughly.
const BYTES_AN_EVENT: u64 = 20;

fn main() -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let mut arguments = std::env::args().skip(1);
    let growth = std::env::args().any(|argument| argument == "growth");
    let sessions = arguments.find_map(|argument| argument.parse().ok()).unwrap_or(2_000_000);
    runtime.block_on(async {
        if growth {
            for events in [1_000_000, 10_000_000, 50_000_000] {
                grown(events * 10 / 61).await?;
            }
            return Ok(());
        }
        compared(sessions).await
    })
}

async fn compared(sessions: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bench = Bench::new(folder.path())?;
    let events = bench.filled(sessions).await?;
    let mut peers = Peers::start(THREADS)?;
    for layout in ["in arrival order", "compacted"] {
        if layout == "compacted" {
            bench.compact(events).await?;
        }
        let files = bench.linked(layout).await?;
        let names = ["Onramp", IN_SQL].into_iter().chain(peers::ENGINES);
        let mut runs: Vec<(&str, Vec<f64>, Vec<u64>)> =
            names.map(|name| (name, Vec::new(), Vec::new())).collect();
        for _ in 0..ROUNDS {
            for (name, seconds, counts) in &mut runs {
                let (took, found) = match *name {
                    "Onramp" => bench.asked(&bench.engine(1 << 30)?).await?,
                    IN_SQL => bench.asked_in_sql(bench.engine(1 << 30)?).await?,
                    peer => peers.ask(peer, &files)?,
                };
                seconds.push(took);
                *counts = found;
            }
        }
        println!("\n{events} events of {sessions} sessions, {layout}, {THREADS} threads each");
        let own = median(&mut runs[0].1.clone());
        for (name, seconds, counts) in &mut runs {
            let took = median(seconds);
            println!(
                "  {name:<28} {took:>7.3} s  {:>6.2} of Onramp's  {:>5.1} ns/event  {counts:?}",
                took / own,
                took * 1e9 / events as f64
            );
        }
        anyhow::ensure!(runs.iter().all(|run| run.2 == runs[0].2), "the engines disagree");
    }
    let limit = (events * BYTES_AN_EVENT / 10) as usize;
    let (took, counts) = bench.asked(&bench.engine(limit)?).await?;
    println!("\nunder a limit of {} MiB: {took:.3} s {counts:?}", limit >> 20);
    Ok(())
}

async fn grown(sessions: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bench = Bench::new(folder.path())?;
    let events = bench.filled(sessions).await?;
    for layout in ["in arrival order", "compacted"] {
        if layout == "compacted" {
            bench.compact(events).await?;
        }
        let mut seconds = Vec::new();
        for _ in 0..ROUNDS {
            seconds.push(bench.asked(&bench.engine(1 << 30)?).await?.0);
        }
        let took = median(&mut seconds);
        let each = took * 1e9 / events as f64;
        println!("{events:>10} events {layout:<17} {took:>7.3} s {each:>6.1} ns/event");
    }
    Ok(())
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// A lake and the funnel that is asked of it.
struct Bench<'a> {
    folder: &'a Path,
    lake: Lake,
    funnel: Funnel,
}

impl<'a> Bench<'a> {
    fn new(folder: &'a Path) -> anyhow::Result<Self> {
        let stages: String = STAGES
            .map(|kind| format!("[[stages]]\nname = \"{kind}\"\ntype = \"onboarding.{kind}\"\n"))
            .concat();
        Ok(Self {
            folder,
            lake: Lake::open(&folder.join("lake").to_string_lossy(), &StoreSettings::default())?,
            funnel: parse(&format!("name = \"five\"\n{stages}"), "five.toml")?,
        })
    }

    fn engine(&self, memory_limit_bytes: usize) -> anyhow::Result<Engine> {
        let options =
            Options { memory_limit_bytes, target_partitions: THREADS, ..Options::default() };
        Ok(Engine::new(&options)?)
    }

    async fn filled(&self, sessions: usize) -> anyhow::Result<u64> {
        let began = Instant::now();
        let events = world::write(&self.lake, sessions).await?;
        println!("{events} events written in {:.0} s", began.elapsed().as_secs_f64());
        Ok(events)
    }

    async fn compact(&self, events: u64) -> anyhow::Result<()> {
        let began = Instant::now();
        let engine = self.engine(1 << 30)?;
        let done = compact(&self.lake, &engine, &Settings::default(), false, &|_| ()).await?;
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "compacted {} files into {} in {seconds:.0} s, {:.0} events/s",
            done[0].files_before,
            done[0].files_after.unwrap_or_default(),
            events as f64 / seconds
        );
        Ok(())
    }

    /// Seconds from the question to the answer, the log's reading and all planning included, and the
    /// sessions that reached each stage.
    async fn asked(&self, engine: &Engine) -> anyhow::Result<(f64, Vec<u64>)> {
        let began = Instant::now();
        let RawFunnel { sessions, mean_seconds } =
            raw_funnel(&self.lake, &self.funnel, engine, i64::MAX).await?;
        anyhow::ensure!(mean_seconds.iter().all(Option::is_some), "a stage without a mean time");
        Ok((began.elapsed().as_secs_f64(), sessions))
    }

    /// The same of `window_funnel` as callers of SQL have it.
    async fn asked_in_sql(&self, engine: Engine) -> anyhow::Result<(f64, Vec<u64>)> {
        let stages = STAGES.map(|kind| format!("event_type = 'onboarding.{kind}'")).join(", ");
        let reached =
            |stage: usize| format!("count(*) FILTER (WHERE level > {stage}) AS reached_{stage}");
        let reached = (0..STAGES.len()).map(reached).collect::<Vec<_>>().join(", ");
        let statement = format!(
            "SELECT {reached} FROM (SELECT window_funnel(INTERVAL '365 days', '', occurred_at, {stages}) \
             AS level FROM events GROUP BY session_id) AS levels"
        );
        let began = Instant::now();
        let source = Source { lake: self.lake.clone(), engine, funnels: [].into() };
        let session = session(&source, &Scope::Everything, None)?;
        let plan = session.plan(&statement).await?;
        let rows: Vec<_> = session.rows(plan, Turn::default()).await?.try_collect().await?;
        let seconds = began.elapsed().as_secs_f64();
        let count = |column| u64::try_from(AsArray::as_primitive::<Int64Type>(column).value(0));
        Ok((seconds, rows[0].columns().iter().map(count).collect::<Result<_, _>>()?))
    }

    /// A pattern of the active files, linked into a folder of their own.
    async fn linked(&self, name: &str) -> anyhow::Result<String> {
        let folder = self.folder.join(name.replace(' ', "-"));
        std::fs::create_dir(&folder)?;
        let table = self.lake.open_table(&EVENTS).await?;
        let Some(table) = table else { anyhow::bail!("there are no events") };
        for (number, file) in table.snapshot().await?.files.iter().enumerate() {
            let from = self.folder.join("lake").join(EVENTS.name).join(&file.path);
            std::fs::hard_link(from, folder.join(format!("{number}.parquet")))?;
        }
        Ok(folder.join("*.parquet").to_string_lossy().into_owned())
    }
}
