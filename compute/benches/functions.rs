//! How fast the funnel functions are as plain SQL, grouped by session, beside DataFusion's own `min`.
//!
//! `cargo bench -p onramp-compute --bench functions -- FOLDER` reads the Parquet files of a folder with
//! the columns `session_id`, `event_type` and `occurred_at`; two threads, five rounds, medians. ClickHouse's
//! side of it is `windowFunnel` over the same files with `max_threads = 2`.

use std::time::Instant;

use datafusion::prelude::{ParquetReadOptions, SessionContext};
use onramp_compute::engine::{Engine, Options};

const THREADS: usize = 2;
const ROUNDS: usize = 5;
const STAGES: &str = "event_type = 'session_started', event_type = 'step_submitted', \
    event_type = 'recommendation_generated', event_type = 'approval_decided', \
    event_type = 'session_completed'";

/// A name, and what is computed per session.
fn measures() -> [(&'static str, String); 6] {
    let funnel =
        |mode: &str| format!("window_funnel(INTERVAL '30 days', '{mode}', occurred_at, {STAGES})");
    [
        (
            "min of one stage",
            "min(occurred_at) FILTER (WHERE event_type = 'step_submitted')".into(),
        ),
        ("window_funnel", funnel("")),
        ("window_funnel, strict_once", funnel("strict_once")),
        ("funnel_steps", format!("funnel_steps(occurred_at, {STAGES}, 'window=30d')[5]")),
        (
            "sequence_match",
            format!("sequence_match('(?1).*(?2).*(?3).*(?4).*(?5)', occurred_at, {STAGES})"),
        ),
        ("retention", format!("retention({STAGES})[5]")),
    ]
}

async fn seconds(context: &SessionContext, figure: &str) -> f64 {
    let statement = format!(
        "SELECT figure IS NULL, count(*) FROM (SELECT session_id, {figure} AS figure FROM events \
         GROUP BY session_id) AS sessions GROUP BY 1"
    );
    let started = Instant::now();
    context.sql(&statement).await.expect("a plan").collect().await.expect("an answer");
    started.elapsed().as_secs_f64()
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = folder.expect("a folder of Parquet files");
    let options =
        Options { target_partitions: THREADS, memory_limit_bytes: 8 << 30, ..Options::default() };
    let context = Engine::new(&options).expect("an engine").scratch();
    let files = ParquetReadOptions::default();
    context.register_parquet("events", &folder, files).await.expect("Parquet files");
    let measures = measures();
    let mut runs = vec![Vec::with_capacity(ROUNDS); measures.len()];
    for _ in 0..ROUNDS {
        for ((_, figure), runs) in measures.iter().zip(&mut runs) {
            runs.push(seconds(&context, figure).await);
        }
    }
    for ((name, _), mut runs) in measures.iter().zip(runs) {
        runs.sort_by(f64::total_cmp);
        println!("{name:<28} {:>8.3} s", runs[ROUNDS / 2]);
    }
}
