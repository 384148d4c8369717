//! What is produced while the faults happen: good, bad and resent records, from a seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::dice::Dice;
use crate::support::eventually;

/// A type that nobody has registered: such a record must become a dead letter.
pub const UNKNOWN: &str = "com.nobody.happened";

/// The client whose events are deleted while others are appended.
pub const DOOMED: &str = "doomed";

/// Records of one turn, and the pause before the next: about 400 records a second.
const TURN: (u32, Duration) = (20, Duration::from_millis(50));

/// Sessions that are under way at a time.
const OPEN_SESSIONS: u64 = 40;

const JOURNEY: [&str; 5] = [
    "session.started",
    "input.submitted",
    "recommendations.generated",
    "approval.decided",
    "session.completed",
];

/// A thread that produces until it is told to stop.
pub struct World {
    stop: Arc<AtomicBool>,
    partitions: Arc<AtomicI32>,
    thread: JoinHandle<u64>,
}

impl World {
    pub fn start(brokers: &str, topic: &str, partitions: i32, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let partitions = Arc::new(AtomicI32::new(partitions));
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("topic.metadata.refresh.interval.ms", "500")
            .create()
            .expect("a producer");
        let (stopped, spread, topic) = (stop.clone(), partitions.clone(), topic.to_owned());
        let thread = std::thread::spawn(move || {
            let mut records = Records::new(seed);
            while !stopped.load(Ordering::Relaxed) {
                for _ in 0..TURN.0 {
                    let (session, payload) = records.next();
                    let partition = (session % spread.load(Ordering::Relaxed) as u64) as i32;
                    send(&producer, &topic, partition, payload.as_deref());
                    records.produced += 1;
                }
                producer.poll(TURN.1);
                std::thread::park_timeout(TURN.1);
            }
            producer.flush(Duration::from_secs(120)).expect("everything is acknowledged");
            records.produced
        });
        Self { stop, partitions, thread }
    }

    /// Uses more partitions: sessions go on elsewhere from here.
    pub fn spread(&self, partitions: i32) {
        self.partitions.store(partitions, Ordering::Relaxed);
    }

    /// Ends it; how many records are durable in the topic.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().expect("the producer ends well")
    }
}

/// Queues a record, waiting while the queue is full or the partition is not known yet.
fn send(producer: &BaseProducer, topic: &str, partition: i32, payload: Option<&[u8]>) {
    eventually("a record is queued", 60, || {
        let record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
        let record = match payload {
            Some(payload) => record.payload(payload),
            None => record,
        };
        producer.poll(Duration::ZERO);
        producer.send(record).ok()
    });
}

/// The records, one after the other.
struct Records {
    dice: Dice,
    produced: u64,
    next_id: u64,
    /// How far each open session has come.
    open: Vec<(u64, usize)>,
    sessions: u64,
    /// Good records that may be sent again.
    recent: Vec<(u64, Vec<u8>)>,
}

impl Records {
    fn new(seed: u64) -> Self {
        let open = (0..OPEN_SESSIONS).map(|session| (session, 0)).collect();
        Self {
            dice: Dice::new(seed),
            produced: 0,
            next_id: 0,
            open,
            sessions: OPEN_SESSIONS,
            recent: Vec::new(),
        }
    }

    /// The session and the payload of the next record; none is a tombstone.
    fn next(&mut self) -> (u64, Option<Vec<u8>>) {
        let chosen = self.dice.below(self.open.len() as u64) as usize;
        let (session, step) = self.open[chosen];
        match self.dice.below(100) {
            0..4 => (session, Some(self.event(session, UNKNOWN))),
            4..8 => {
                let mut torn = self.event(session, "onboarding.input.submitted");
                torn.truncate(self.dice.below(torn.len() as u64) as usize);
                (session, Some(torn))
            }
            8 => (session, None),
            9..21 if !self.recent.is_empty() => {
                let again = self.dice.below(self.recent.len() as u64) as usize;
                let (session, payload) = self.recent[again].clone();
                (session, Some(payload))
            }
            _ => {
                let payload = self.event(session, &format!("onboarding.{}", JOURNEY[step]));
                self.open[chosen].1 += 1;
                if self.open[chosen].1 == JOURNEY.len() {
                    self.open[chosen] = (self.sessions, 0);
                    self.sessions += 1;
                }
                if self.recent.len() == 500 {
                    self.recent.swap_remove(self.dice.below(500) as usize);
                }
                self.recent.push((session, payload.clone()));
                (session, Some(payload))
            }
        }
    }

    fn event(&mut self, session: u64, kind: &str) -> Vec<u8> {
        let id = self.next_id;
        self.next_id += 1;
        let (day, hour, minute) = (1 + id / 86_400 % 28, id / 3_600 % 24, id / 60 % 60);
        let time = format!("2026-02-{day:02}T{hour:02}:{minute:02}:{:02}Z", id % 60);
        let event = crate::support::event(&id.to_string(), &session.to_string(), "x", &time, "{}");
        let client = if session % 8 == 5 { DOOMED } else { "acme" };
        event.replace("onboarding.x", kind).replace("acme", client).into_bytes()
    }
}
