//! The real `onramp ingest`, and how far the lake says that it is.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use onramp_lake::{Appender, Lake, StoreSettings};
use onramp_schemas::tables;
use tokio::runtime::Runtime;

use crate::support::Scene;
use crate::support::broker::Broker;

/// Ticks of a second in which the kernel counts CPU time (`USER_HZ`).
const TICKS: f64 = 100.0;
/// After so long without any commit a run is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What reading a topic took.
pub struct Taken {
    pub seconds: f64,
    /// User and system time of the reader.
    pub cpu_seconds: f64,
    pub peak_mib: f64,
}

/// User and system time of a process so far.
pub fn cpu_seconds(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// A running member of the group; killed when dropped.
pub struct Member {
    child: Child,
    began: Instant,
}

impl Member {
    pub fn start(scene: &Scene, broker: &Broker, topic: &str) -> anyhow::Result<Self> {
        let began = Instant::now();
        let mut command = scene.onramp();
        // A group a lake: none of the groups before is waited for.
        let group = format!("bench-{}", scene.lake().display());
        command.args(["ingest", "--brokers", &broker.address(), "--topic", topic]);
        command.args(["--group", &group]).stdout(Stdio::null());
        // As it is deployed (docker-compose.yml).
        command.env("MIMALLOC_PURGE_DELAY", "10");
        Ok(Self { child: command.spawn()?, began })
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until the lake holds `records` records.
    pub fn take(mut self, scene: &Scene, records: u64) -> anyhow::Result<Taken> {
        let mut watch = Watch::new(scene)?;
        watch.await_total(records as i64)?;
        let seconds = self.began.elapsed().as_secs_f64();
        let process = self.child.id().to_string();
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak_kib: f64 = peak.unwrap_or_default().trim().trim_end_matches(" kB").parse()?;
        let cpu_seconds = cpu_seconds(&process);
        self.kill()?;
        Ok(Taken { seconds, cpu_seconds, peak_mib: peak_kib / 1024.0 })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Already ended where all went well; then there is nothing to kill.
        let _ = self.kill();
    }
}

/// Follows the log of `events`.
pub struct Watch {
    runtime: Runtime,
    lake: Lake,
    appender: Option<Appender>,
}

impl Watch {
    pub fn new(scene: &Scene) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let url = scene.lake().display().to_string();
        Ok(Self { runtime, lake: Lake::open(&url, &StoreSettings::default())?, appender: None })
    }

    /// Where each partition of a topic stands now: by its number, the next offset.
    pub fn positions(&mut self) -> anyhow::Result<BTreeMap<i32, i64>> {
        let Self { runtime, lake, appender } = self;
        runtime.block_on(async {
            if let Some(appender) = appender {
                appender.refresh().await?;
            } else if let Some(table) = lake.open_table(&tables::EVENTS).await? {
                *appender = Some(Appender::open(table).await?);
            }
            let txns = appender.iter().flat_map(|appender| appender.txns());
            let numbered = txns.filter_map(|(app_id, next)| {
                Some((app_id.rsplit('/').next()?.parse().ok()?, *next))
            });
            Ok(numbered.collect())
        })
    }

    /// Waits until the partitions together stand at `total`; when that was seen.
    pub fn await_total(&mut self, total: i64) -> anyhow::Result<Instant> {
        let (mut last, mut changed) = (0, Instant::now());
        loop {
            let now: i64 = self.positions()?.values().sum();
            if now >= total {
                return Ok(Instant::now());
            }
            if now != last {
                (last, changed) = (now, Instant::now());
            }
            anyhow::ensure!(changed.elapsed() < PATIENCE, "no commit after {now} of {total}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
