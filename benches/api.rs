//! Every analytics route of the real server, uncached: latency with one client, throughput with sixteen,
//! and what `/healthz` takes meanwhile.
//!
//! `cargo bench --bench api [-- SESSIONS]` (2,000,000 unless given). Answers are not kept, so that each is
//! computed from `sessions`; the positions stand still, so that nothing is folded meanwhile.

#[path = "funnel/world.rs"]
mod world;

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

fn main() -> anyhow::Result<()> {
    let sessions = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(2_000_000);
    let folder = tempfile::tempdir()?;
    let lake = folder.path().join("lake");
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(filled(&lake, sessions))?;
    drop(runtime);
    let server = Server::start(&lake)?;
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
    server.crowded()
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

    /// Many clients on all routes, and one who asks how the server is.
    fn crowded(&self) -> anyhow::Result<()> {
        let over = AtomicBool::new(false);
        let (mut taken, mut health) = (Vec::new(), Vec::new());
        std::thread::scope(|scope| -> anyhow::Result<()> {
            let client = |number: usize| {
                let over = &over;
                move || -> anyhow::Result<Vec<f64>> {
                    let routes = ROUTES.iter().cycle().skip(number);
                    let asked = routes.take_while(|_| !over.load(Ordering::Relaxed));
                    asked.map(|route| self.asked(route)).collect()
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
        let (answers, seconds) = (taken.len(), SPAN.as_secs());
        let each = answers as f64 / SPAN.as_secs_f64();
        println!(
            "\n{CLIENTS} clients on all routes for {seconds} s: {answers} answers, {each:.1} a second,"
        );
        println!("p50 {:.0} ms, p99 {:.0} ms;", quantile(&mut taken, 50), quantile(&mut taken, 99));
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
