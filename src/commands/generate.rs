//! `onramp generate`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono_tz::Tz;
use onramp_compute::Moment;
use onramp_ingest::generate::{GenerateOptions, Generator};
use onramp_ingest::kafka::Producer;

use super::{Context, Ending, kafka_options};
use crate::config::Overrides;
use crate::output::{self, count};

/// Events that may wait for their acknowledgement.
const UNDERWAY: usize = 50_000;
/// How long the last of them may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

/// Write the demo's events: the same bytes for the same arguments
#[derive(clap::Args)]
#[command(after_help = "Examples:
  onramp generate --sessions 100 --until 2026-03-01 > events.ndjson
  onramp generate --sessions 1000000 --to events.ndjson
  onramp generate --to kafka --brokers 127.0.0.1:9092 --rate 500")]
pub struct Generate {
    /// What to generate
    #[command(flatten)]
    pub world: World,
    /// A file, - for standard output, or kafka
    #[arg(long, default_value = "-", value_name = "FILE|-|kafka")]
    to: String,
    /// At most this many events a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// With --to kafka: host:port of some brokers
    #[arg(long, value_name = "LIST")]
    brokers: Option<String>,
    /// With --to kafka: the topic
    #[arg(long)]
    topic: Option<String>,
}

/// The arguments of the generated world.
#[derive(clap::Args, Clone, Copy)]
pub struct World {
    /// Sessions that start
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub sessions: u64,
    /// Another seed is another world
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Days over which they start
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
    /// The end of the last day, RFC 3339 or a date [default: now]
    #[arg(long, value_name = "T")]
    pub until: Option<Moment>,
}

impl World {
    /// The generator's options; `now_us` is the end when none was given.
    pub fn options(&self, now_us: i64) -> GenerateOptions {
        let World { sessions, seed, days, until } = *self;
        let until_us = until.map_or(now_us, |until| until.resolve(Tz::UTC));
        GenerateOptions { sessions, seed, days, until_us }
    }
}

impl Generate {
    /// The settings that its flags set.
    pub fn overrides(&self, overrides: &mut Overrides) {
        overrides.set("ingest.brokers", self.brokers.clone());
        overrides.set("ingest.topic", self.topic.clone());
    }

    /// Generates.
    pub async fn run(self, context: &Context) -> anyhow::Result<Ending> {
        let options = self.world.options(context.clock.now());
        let mut pace = Pace::new(self.rate);
        if self.to == "kafka" {
            return to_kafka(context, options, pace).await;
        }
        tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
            let (out, name): (Box<dyn Write>, _) = match self.to.as_str() {
                "-" => (Box::new(io::stdout().lock()), PathBuf::from("standard output")),
                path => {
                    let file = File::create(path).with_context(|| {
                        format!("cannot write {path}; choose another file with --to")
                    })?;
                    (Box::new(file), PathBuf::from(path))
                }
            };
            let mut out = BufWriter::with_capacity(1 << 20, out);
            let cannot = || format!("cannot write to {}", name.display());
            for record in Generator::new(options) {
                if pace.wait() {
                    out.flush().with_context(cannot)?;
                }
                out.write_all(&record.value).with_context(cannot)?;
                out.write_all(b"\n").with_context(cannot)?;
            }
            out.flush().with_context(cannot)
        })
        .await??;
        Ok(Ending::Done)
    }
}

async fn to_kafka(
    context: &Context,
    options: GenerateOptions,
    mut pace: Pace,
) -> anyhow::Result<Ending> {
    let kafka = kafka_options(context.config())?;
    let producer = Producer::new(&kafka)?;
    let topic = kafka.topic;
    let runtime = tokio::runtime::Handle::current();
    let name = topic.clone();
    let sent = tokio::task::spawn_blocking(move || -> anyhow::Result<u64> {
        let cannot = || {
            format!("cannot produce to {name}; check that the topic exists and its brokers answer")
        };
        let mut underway = VecDeque::new();
        let mut sent = 0;
        for record in Generator::new(options) {
            pace.wait();
            let delivery = producer.enqueue(record.key.as_bytes(), &record.value);
            underway.push_back(delivery.with_context(cannot)?);
            sent += 1;
            if underway.len() > UNDERWAY {
                let oldest = underway.pop_front().expect("it holds more than none");
                runtime.block_on(oldest.acknowledged()).with_context(cannot)?;
            }
        }
        producer.flush(FLUSH_TIMEOUT).with_context(cannot)?;
        for delivery in underway {
            runtime.block_on(delivery.acknowledged()).with_context(cannot)?;
        }
        Ok(sent)
    })
    .await??;
    output::write(&format!("produced {} events to {topic}", count(sent)))?;
    Ok(Ending::Done)
}

/// Holds back what would go out too fast.
struct Pace {
    rate: Option<u32>,
    started: Instant,
    passed: u64,
}

impl Pace {
    fn new(rate: Option<u32>) -> Self {
        Self { rate, started: Instant::now(), passed: 0 }
    }

    /// Waits until the next event is due; whether it had to.
    fn wait(&mut self) -> bool {
        let Some(rate) = self.rate else { return false };
        let due = Duration::from_secs_f64(self.passed as f64 / f64::from(rate));
        self.passed += 1;
        let Some(early) = due.checked_sub(self.started.elapsed()) else { return false };
        std::thread::sleep(early);
        true
    }
}
