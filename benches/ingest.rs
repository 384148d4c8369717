//! Ingest from a real Kafka broker, beside a bare librdkafka loop in the same run.
//!
//! `cargo bench --bench ingest -- [WHAT] [SIZE]`, where WHAT is
//! - `throughput` (the default; SIZE in events, 5 M): ingest and the bare loop by turns over one topic;
//! - `backlog` (SIZE in GB of payload, 10): peak memory while a backlog is worked off;
//! - `latency` (SIZE in seconds, 30): from produced to committed, at 5,000 and 20,000 events a second;
//! - `restart` (SIZE in rounds, 5): from SIGKILL to the first new commit, 20,000 active files in the lake;
//! - `poison` (SIZE in events, 2 M): every second record broken, against good ones only.
//!
//! Needs what the tests on Kafka need: Java and Maven. Everything lies in one temporary folder each.

#[path = "ingest/latency.rs"]
mod latency;
#[path = "ingest/member.rs"]
mod member;
#[path = "ingest/restart.rs"]
mod restart;
#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests, of which each needs something else")]
mod support;
#[path = "ingest/topic.rs"]
mod topic;

use anyhow::Context as _;

use member::{Member, Taken};
use support::Scene;
use support::broker::{Broker, broker};
use topic::Topic;

/// Partitions of every topic.
const PARTITIONS: u32 = 4;
/// Runs of each of two that are compared.
const ROUNDS: usize = 3;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let what = args.first().map_or("throughput", String::as_str);
    let size = |default: u64| args.get(1).map_or(Ok(default), |size| size.parse());
    let broker = broker("this bench").context("no Kafka broker")?;
    println!("on {} cores", std::thread::available_parallelism()?);
    match what {
        "throughput" => throughput(broker, size(5_000_000)?),
        "backlog" => backlog(broker, size(10)?),
        "latency" => latency::run(broker, size(30)?),
        "restart" => restart::run(broker, size(5)?),
        "poison" => poison(broker, size(2_000_000)?),
        other => anyhow::bail!("{other} is not throughput, backlog, latency, restart or poison"),
    }
}

/// The middle one; of an even number the upper.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Ingests all of a topic into an empty lake.
fn ingest(broker: &Broker, topic: &Topic) -> anyhow::Result<Taken> {
    let scene = Scene::new();
    let member = Member::start(&scene, broker, &topic.name)?;
    member.take(&scene, topic.records)
}

fn throughput(broker: &Broker, events: u64) -> anyhow::Result<()> {
    let topic = Topic::filled(broker, "throughput", events, 0)?;
    let (mut bare, mut full) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // By turns: what else goes on on the machine then weighs on both alike.
        bare.push(topic.read_bare(broker)?);
        full.push(ingest(broker, &topic)?);
    }
    println!("{topic}");
    println!("| | events/s | of the bare loop | CPU µs an event | peak MiB |");
    println!("|---|---|---|---|---|");
    let seconds = |taken: &[Taken]| median(taken.iter().map(|t| t.seconds).collect());
    let floor = seconds(&bare);
    for (name, taken) in [("bare librdkafka loop", &bare), ("`onramp ingest`", &full)] {
        let cpu = median(taken.iter().map(|t| t.cpu_seconds).collect());
        let peak = taken.iter().map(|t| t.peak_mib).fold(0.0, f64::max);
        let records = topic.records as f64;
        println!(
            "| {name} | {:.0} | {:.2} | {:.2} | {} |",
            records / seconds(taken),
            floor / seconds(taken),
            cpu / records * 1e6,
            if peak > 0.0 { format!("{peak:.0}") } else { "–".to_owned() },
        );
    }
    Ok(())
}

fn backlog(broker: &Broker, gigabytes: u64) -> anyhow::Result<()> {
    let events = gigabytes * 1_000_000_000 / topic::EVENT_BYTES;
    let topic = Topic::filled(broker, "backlog", events, 0)?;
    let taken = ingest(broker, &topic)?;
    println!("{topic}");
    println!(
        "backlog: peak {:.0} MiB, {:.0} events/s",
        taken.peak_mib,
        topic.records as f64 / taken.seconds
    );
    Ok(())
}

fn poison(broker: &Broker, events: u64) -> anyhow::Result<()> {
    let good = Topic::filled(broker, "good", events, 0)?;
    let half = Topic::filled(broker, "half", events / 2, 0)?;
    let storm = Topic::filled(broker, "storm", events, 2)?;
    let topics = [&good, &half, &storm];
    let mut seconds = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (topic, seconds) in topics.iter().zip(&mut seconds) {
            seconds.push(ingest(broker, topic)?.seconds);
        }
    }
    let [all_good, half_good, stormy] = seconds.map(median);
    println!("| | records | seconds |");
    println!("|---|---|---|");
    for (topic, seconds) in topics.into_iter().zip([all_good, half_good, stormy]) {
        println!("| {} | {} | {seconds:.2} |", topic.name, topic.records);
    }
    println!("storm against the same volume, all good: {:.2}", stormy / all_good);
    println!("storm against its good half alone: {:.2}", stormy / half_good);
    Ok(())
}
