//! From produced to committed, at a steady rate and with ingest's own defaults.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::PARTITIONS;
use crate::member::{Member, Watch};
use crate::support::Scene;
use crate::support::broker::Broker;
use crate::topic::{events, producer};

/// How often the producer sends its share of a second's events.
const TICK: Duration = Duration::from_millis(5);
/// Events that are committed before anything is measured.
const WARM_UP: u64 = 1_000;

/// When each record was produced, by partition and offset.
type Produced = Mutex<Vec<Vec<Instant>>>;

/// Produces at a rate, the partitions by turns, so that the offset of every record is known.
pub struct Steady<'a> {
    producer: BaseProducer,
    topic: &'a str,
    events: Box<dyn Iterator<Item = (String, Vec<u8>)> + Send>,
    sent: u64,
}

impl<'a> Steady<'a> {
    /// `sessions` bounds what can be produced: about six events each.
    pub fn new(broker: &Broker, topic: &'a str, sessions: u64) -> anyhow::Result<Self> {
        let producer = producer(broker)?;
        Ok(Self { producer, topic, events: Box::new(events(sessions)), sent: 0 })
    }

    /// Sends the next event.
    pub fn send(&mut self, produced: &Produced) -> anyhow::Result<()> {
        let (key, value) = self.events.next().ok_or_else(|| anyhow::anyhow!("out of events"))?;
        let partition = (self.sent % u64::from(PARTITIONS)) as i32;
        self.sent += 1;
        let record = BaseRecord::to(self.topic).key(&key).payload(&value).partition(partition);
        let mut produced = produced.lock().unwrap_or_else(PoisonError::into_inner);
        produced[partition as usize].push(Instant::now());
        self.producer.send(record).map_err(|(error, _)| error)?;
        Ok(())
    }

    /// Sends `rate` events a second until `stop`.
    pub fn run(&mut self, rate: u64, produced: &Produced, stop: &AtomicBool) -> anyhow::Result<()> {
        let (began, before) = (Instant::now(), self.sent);
        while !stop.load(Ordering::Relaxed) {
            let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
            while self.sent - before < due {
                self.send(produced)?;
            }
            self.producer.poll(TICK);
        }
        self.producer.flush(Duration::from_secs(10))?;
        Ok(())
    }
}

/// Nothing produced yet.
pub fn nothing() -> Produced {
    Mutex::new(vec![Vec::new(); PARTITIONS as usize])
}

pub fn run(broker: &Broker, seconds: u64) -> anyhow::Result<()> {
    println!("| events/s | p50 ms | p95 ms | p99 ms | worst ms |");
    println!("|---|---|---|---|---|");
    for rate in [5_000, 20_000] {
        let mut latencies = measure(broker, rate, Duration::from_secs(seconds))?;
        latencies.sort_unstable();
        let at = |share: f64| {
            let index = (latencies.len() - 1) as f64 * share;
            latencies[index as usize].as_secs_f64() * 1e3
        };
        println!(
            "| {rate} | {:.0} | {:.0} | {:.0} | {:.0} |",
            at(0.5),
            at(0.95),
            at(0.99),
            at(1.0)
        );
    }
    Ok(())
}

/// The latency of every event of a run.
fn measure(broker: &Broker, rate: u64, length: Duration) -> anyhow::Result<Vec<Duration>> {
    let (topic, scene) = (format!("latency-{rate}"), Scene::new());
    broker.create(&topic, PARTITIONS);
    let sessions = rate * (length.as_secs() + 10) / 5 + 10_000;
    let mut steady = Steady::new(broker, &topic, sessions)?;
    let (produced, stop) = (nothing(), AtomicBool::new(false));
    for _ in 0..WARM_UP {
        steady.send(&produced)?;
    }
    let _member = Member::start(&scene, broker, &topic)?;
    let mut watch = Watch::new(&scene)?;
    watch.await_total(WARM_UP as i64)?;
    let mut latencies = Vec::new();
    std::thread::scope(|scope| {
        let producing = scope.spawn(|| steady.run(rate, &produced, &stop));
        let mut seen = [WARM_UP as usize / PARTITIONS as usize; PARTITIONS as usize];
        let until = Instant::now() + length;
        while Instant::now() < until && !producing.is_finished() {
            let positions = watch.positions()?;
            let now = Instant::now();
            let produced = produced.lock().unwrap_or_else(PoisonError::into_inner);
            for (partition, next) in positions {
                let (partition, next) = (partition as usize, next as usize);
                let new = &produced[partition][seen[partition]..next];
                latencies.extend(new.iter().map(|at| now.duration_since(*at)));
                seen[partition] = next;
            }
            drop(produced);
            std::thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
        producing.join().map_err(|_| anyhow::anyhow!("the producer panicked"))??;
        Ok::<_, anyhow::Error>(())
    })?;
    Ok(latencies)
}
