//! The standard funnel and the whole report from `sessions`, beside DuckDB's five-stage pivot from the
//! raw events of the same lake, two threads each, in one run.
//!
//! `cargo bench --bench report [-- SESSIONS]` (2,000,000 unless given: 12.2 M events). Nothing is kept
//! from run to run: every one starts an engine of its own and reads the log anew; the report is also
//! asked of the binary, whose peak memory is told.
//! With `ONRAMP_LAKE=FOLDER` only ours is run, over the lake there, which is made if it is missing: the
//! report, or with `ONRAMP_ONLY=funnel` or `command` the standard funnel or the binary.
//! Needs `python3` with venv and pip; `ONRAMP_PEERS=PYTHON` names one that has the peers already.

mod binary;
#[path = "funnel/peers.rs"]
mod peers;
#[path = "funnel/world.rs"]
mod world;

use std::path::Path;
use std::time::Instant;

use onramp_compute::engine::{Engine, Options};
use onramp_compute::metrics::Report;
use onramp_compute::sessions::{Settings, catch_up, silent};
use onramp_compute::{Grounds, ReportRequest, answer, funnel_rates};
use onramp_lake::{Lake, StoreSettings};
use onramp_schemas::funnel::{Funnel, builtin};
use onramp_schemas::tables::EVENTS;

use peers::Peers;

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Every engine's.
const THREADS: usize = 2;
/// Runs of each, in turns; medians are printed.
const ROUNDS: usize = 5;

fn main() -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let sessions = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(2_000_000);
    runtime.block_on(compared(sessions))
}

/// Ours alone, over a lake that stays.
async fn kept(folder: &Path, only: &str, sessions: usize) -> anyhow::Result<()> {
    let is_new = !folder.exists();
    let bench = Bench::new(folder)?;
    if is_new {
        world::write(&bench.lake, sessions).await?;
        bench.fold().await?;
    }
    for _ in 0..ROUNDS {
        let seconds = match only {
            "funnel" => bench.funnel().await?.0,
            "command" => binary::onramp(folder, &["report", "--format", "json"])?.seconds,
            _ => bench.report().await?,
        };
        println!("{only} {seconds:.4}");
    }
    Ok(())
}

async fn compared(sessions: usize) -> anyhow::Result<()> {
    if let Ok(folder) = std::env::var("ONRAMP_LAKE") {
        let only = std::env::var("ONRAMP_ONLY").unwrap_or_default();
        return kept(Path::new(&folder), &only, sessions).await;
    }
    let folder = tempfile::tempdir()?;
    let bench = Bench::new(&folder.path().join("lake"))?;
    let events = world::write(&bench.lake, sessions).await?;
    bench.fold().await?;
    let files = bench.linked(&folder.path().join("events")).await?;
    let mut peers = Peers::start(THREADS)?;
    let [mut pivot, mut funnel, mut whole, mut command] = [const { Vec::new() }; 4];
    let mut peak_mib = 0.0_f64;
    for _ in 0..ROUNDS {
        let (seconds, theirs) = peers.ask(peers::ENGINES[0], &files)?;
        pivot.push(seconds);
        let (seconds, ours) = bench.funnel().await?;
        anyhow::ensure!(ours[0] == theirs[0], "{ours:?} sessions, DuckDB has {theirs:?}");
        funnel.push(seconds);
        whole.push(bench.report().await?);
        let run = binary::onramp(&folder.path().join("lake"), &["report", "--format", "json"])?;
        command.push(run.seconds);
        peak_mib = peak_mib.max(run.peak_mib);
    }
    let pivot = median(&mut pivot);
    println!("\n{events} events of {sessions} sessions, {THREADS} threads each\n");
    println!("| what | seconds | DuckDB's pivot over it |\n|---|---|---|");
    println!("| DuckDB, five-stage pivot from raw events | {pivot:.3} | 1 |");
    for (name, mut seconds) in [
        ("standard funnel from `sessions`".to_owned(), funnel),
        ("whole report from `sessions`".to_owned(), whole),
        (format!("`onramp report`, a process of its own ({peak_mib:.0} MiB at most)"), command),
    ] {
        let seconds = median(&mut seconds);
        println!("| {name} | {seconds:.3} | {:.1} |", pivot / seconds);
    }
    Ok(())
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// A lake and what is asked of it.
struct Bench {
    lake: Lake,
    funnel: Funnel,
    request: ReportRequest,
}

impl Bench {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            lake: Lake::open(&folder.to_string_lossy(), &StoreSettings::default())?,
            funnel: builtin().remove(0),
            request: ReportRequest::new(i64::MAX),
        })
    }

    fn engine() -> anyhow::Result<Engine> {
        Ok(Engine::new(&Options { target_partitions: THREADS, ..Options::default() })?)
    }

    async fn fold(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let (engine, settings) = (Self::engine()?, Settings::default());
        let done = catch_up(&self.lake, &self.funnel, &engine, &settings, &silent).await?;
        let seconds = began.elapsed().as_secs_f64();
        println!("{} events folded in {seconds:.1} s", done.events_read);
        Ok(())
    }

    /// Seconds from the question to the answer, and the sessions that reached each stage.
    async fn funnel(&self) -> anyhow::Result<(f64, Vec<u64>)> {
        let began = Instant::now();
        let (engine, settings) = (Self::engine()?, Settings::default());
        let rates =
            funnel_rates(&self.lake, &self.funnel, &self.request, &engine, &settings, &silent);
        let counts = rates.await?.raw.iter().map(|stage| stage.count).collect();
        Ok((began.elapsed().as_secs_f64(), counts))
    }

    async fn report(&self) -> anyhow::Result<f64> {
        let began = Instant::now();
        let (engine, settings) = (Self::engine()?, Settings::default());
        let (lake, funnel, request) = (&self.lake, &self.funnel, &self.request);
        let _: (Grounds, Report) =
            answer(lake, funnel, request, &engine, &settings, &silent).await?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// A pattern of the active files of raw events, linked into a folder of their own.
    async fn linked(&self, folder: &Path) -> anyhow::Result<String> {
        std::fs::create_dir(folder)?;
        let table = self.lake.open_table(&EVENTS).await?;
        let Some(table) = table else { anyhow::bail!("there are no events") };
        for (number, file) in table.snapshot().await?.files.iter().enumerate() {
            let from = Path::new(self.lake.root()).join(EVENTS.name).join(&file.path);
            std::fs::hard_link(from, folder.join(format!("{number}.parquet")))?;
        }
        Ok(folder.join("*.parquet").to_string_lossy().into_owned())
    }
}
