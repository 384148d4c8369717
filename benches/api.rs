//! Every analytics route of the real server, uncached: latency with one client, throughput with sixteen,
//! and what `/healthz` takes meanwhile; then sixteen heavy statements at once, and what they do to memory.
//!
//! `cargo bench --bench api [-- [heavy] SESSIONS]` (2,000,000 unless given; `heavy`: the statements alone).
//! Answers are not kept, so that each is computed from `sessions`; the positions stand still, so that
//! nothing is folded meanwhile.

#[path = "funnel/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use onramp_compute::engine::{Engine, Options};
use onramp_compute::sessions::{Settings, catch_up, silent};
use onramp_lake::{Lake, StoreSettings};
use onramp_schemas::funnel::builtin;

/// Questions to each route by the one client.
const ROUNDS: usize = 40;
/// Clients at once.
const CLIENTS: usize = 16;
/// How long they ask.
const SPAN: Duration = Duration::from_secs(30);

const ROUTES: [&str; 8] = [
    "funnel",
    "drop-off-heatmap",
    "cohort-comparison",
    "recommendations",
    "realtime",
    "comparison",
    "sessions",
    "sessions?outcome=abandoned&device=mobile",
];

/// Statements that want all the memory, or all the time.
const HEAVY: [&str; 4] = [
    "SELECT count(*) FROM events a JOIN events b ON a.client_id = b.client_id AND a.data < b.data",
    "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY data, id) AS n FROM events)",
    "SELECT count(DISTINCT id || data) FROM events",
    "SELECT client_id, session_id, array_agg(data) AS all FROM events GROUP BY client_id, session_id LIMIT 10",
];

fn main() -> anyhow::Result<()> {
    let heavy = std::env::args().any(|arg| arg == "heavy");
    let sessions = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(2_000_000);
    let folder = tempfile::tempdir()?;
    let lake = folder.path().join("lake");
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(filled(&lake, sessions))?;
    drop(runtime);
    let server = Server::start(&lake)?;
    if heavy {
        return server.heavy();
    }
    println!("\n{sessions} sessions, one client, {ROUNDS} questions each, milliseconds\n");
    println!("| route | p50 | p99 |\n|---|---|---|");
    for route in ROUTES {
        let mut taken: Vec<f64> =
            (0..ROUNDS).map(|_| server.asked(route)).collect::<Result<_, _>>()?;
        println!(
            "| `{route}` | {:.0} | {:.0} |",
            quantile(&mut taken, 50),
            quantile(&mut taken, 99)
        );
    }
    server.crowded()?;
    server.heavy()
}

async fn filled(folder: &Path, sessions: usize) -> anyhow::Result<()> {
    let lake = Lake::open(&folder.to_string_lossy(), &StoreSettings::default())?;
    world::write(&lake, sessions).await?;
    let engine = Engine::new(&Options::default())?;
    catch_up(&lake, &builtin()[0], &engine, &Settings::default(), &silent).await?;
    Ok(())
}

/// Sorts, and gives the value that so many in a hundred are not above.
fn quantile(taken: &mut [f64], percent: usize) -> f64 {
    taken.sort_by(f64::total_cmp);
    taken[(taken.len() * percent).div_ceil(100).max(1) - 1]
}

struct Server {
    child: Child,
    url: String,
    agent: ureq::Agent,
}

impl Server {
    fn start(lake: &Path) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_onramp"));
        command.arg("--lake").arg(lake).args(["-q", "serve", "--listen", &address]);
        // All of the crowd may wait: what is measured is the throughput, not the refusals.
        command.env("ONRAMP__HTTP__MAX_CONCURRENT", CLIENTS.to_string());
        // As deployed: docker-compose.yml.
        command.env("MIMALLOC_PURGE_DELAY", "10");
        let child = command.stdout(Stdio::null()).spawn()?;
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let server = Self { child, url: format!("http://{address}"), agent };
        let until = Instant::now() + Duration::from_secs(60);
        while server.agent.get(format!("{}/readyz", server.url)).call().is_err() {
            anyhow::ensure!(Instant::now() < until, "the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Milliseconds until the whole answer is there.
    fn asked(&self, route: &str) -> anyhow::Result<f64> {
        self.timed(&format!("/api/v1/onboarding/analytics/{route}"))
    }

    fn timed(&self, path: &str) -> anyhow::Result<f64> {
        let began = Instant::now();
        let mut answer = self.agent.get(format!("{}{path}", self.url)).call()?;
        let body = answer.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        let status = answer.status().as_u16();
        anyhow::ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&body));
        Ok(began.elapsed().as_secs_f64() * 1e3)
    }

    /// Many clients, each of which asks one question of these after the other, and one who asks how the
    /// server is: what they were told, and how long that one waited.
    fn crowd<T: Send>(
        &self,
        questions: &[&'static str],
        ask: impl Fn(&str) -> anyhow::Result<T> + Sync,
    ) -> anyhow::Result<(Vec<T>, Vec<f64>)> {
        let over = AtomicBool::new(false);
        let (mut taken, mut health) = (Vec::new(), Vec::new());
        std::thread::scope(|scope| -> anyhow::Result<()> {
            let client = |number: usize| {
                let (over, ask) = (&over, &ask);
                move || -> anyhow::Result<Vec<T>> {
                    let questions = questions.iter().cycle().skip(number);
                    let asked = questions.take_while(|_| !over.load(Ordering::Relaxed));
                    asked.map(|question| ask(question)).collect()
                }
            };
            let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(client(number))).collect();
            let until = Instant::now() + SPAN;
            let mut asking = Ok(());
            while Instant::now() < until && asking.is_ok() {
                asking = self.timed("/healthz").map(|millis| health.push(millis));
                std::thread::sleep(Duration::from_millis(20));
            }
            over.store(true, Ordering::Relaxed);
            for client in clients {
                taken.extend(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
            }
            asking
        })?;
        Ok((taken, health))
    }

    /// How a statement ended: `answered`, or the problem's code.
    fn stated(&self, statement: &str) -> anyhow::Result<String> {
        let request = self.agent.post(format!("{}/api/v1/sql", self.url));
        let mut answer = request.header("content-type", "application/sql").send(statement)?;
        let text = answer.body_mut().read_to_string()?;
        if answer.status() == 200 {
            return Ok("answered".to_owned());
        }
        let problem: serde_json::Value = serde_json::from_str(&text)?;
        Ok(problem["code"].as_str().unwrap_or("?").to_owned())
    }

    /// The most memory that it held.
    fn peak(&self) -> anyhow::Result<String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        Ok(peak.trim().to_owned())
    }

    /// Heavy statements at once.
    fn heavy(&self) -> anyhow::Result<()> {
        // The peak so far was of what was asked before.
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?;
        let (ended, mut health) = self.crowd(&HEAVY, |statement| self.stated(statement))?;
        let mut counts = BTreeMap::new();
        ended.into_iter().for_each(|how| *counts.entry(how).or_insert(0) += 1);
        let peak = self.peak()?;
        let (middle, worst) = (quantile(&mut health, 50), quantile(&mut health, 99));
        println!("\n{CLIENTS} clients with heavy statements for {} s: {counts:?}", SPAN.as_secs());
        println!("peak memory of the server: {peak}");
        println!("/healthz meanwhile: p50 {middle:.2} ms, p99 {worst:.2} ms");
        anyhow::ensure!(
            self.stated("SELECT 1")? == "answered",
            "the server does not answer any more"
        );
        Ok(())
    }

    /// Many clients on all routes.
    fn crowded(&self) -> anyhow::Result<()> {
        let (mut taken, mut health) = self.crowd(&ROUTES, |route| self.asked(route))?;
        let (answers, seconds) = (taken.len(), SPAN.as_secs());
        let each = answers as f64 / SPAN.as_secs_f64();
        println!(
            "\n{CLIENTS} clients on all routes for {seconds} s: {answers} answers, {each:.1} a second,"
        );
        println!("p50 {:.0} ms, p99 {:.0} ms;", quantile(&mut taken, 50), quantile(&mut taken, 99));
        println!("peak memory of the server: {}", self.peak()?);
        let (middle, worst) = (quantile(&mut health, 50), quantile(&mut health, 99));
        println!("/healthz meanwhile: p50 {middle:.2} ms, p99 {worst:.2} ms");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
