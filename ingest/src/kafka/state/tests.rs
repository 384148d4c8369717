//! One flush is committed while the next is read: what a rebalance, a faster writer and the end of
//! the process make of the two.

use std::sync::{Arc, Mutex};

use onramp_lake::{Lake, StoreSettings};
use rdkafka::ClientConfig;
use tokio::runtime::Runtime;

use super::*;
use crate::health::Health;
use crate::kafka::reach::Reach;
use crate::pipeline::Taken;

const APP: &str = "cluster/onboarding.events@0/0";

struct Scene {
    runtime: Runtime,
    _folder: tempfile::TempDir,
    lake: Lake,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().join("lake");
        let lake = Lake::open(url.to_str().unwrap(), &StoreSettings::default()).unwrap();
        Self { runtime: Runtime::new().unwrap(), _folder: folder, lake }
    }

    fn committer(&self) -> Committer {
        self.runtime.block_on(Committer::open(&self.lake)).unwrap()
    }

    /// A member that holds partition 0, and a client of no broker.
    fn member(&self) -> (State, BaseConsumer<Context>) {
        let state = || {
            let options = KafkaOptions::default();
            let handle = self.runtime.handle().clone();
            State::new(options, handle, "cluster".to_owned(), self.committer()).unwrap()
        };
        let context = Context::new(Arc::new(Mutex::new(state())), Reach::new(Health::default()));
        let mut config = ClientConfig::new();
        config.set("group.id", "test").set("bootstrap.servers", "127.0.0.1:1");
        let consumer = config.create_with_context(context).unwrap();
        let mut state = state();
        let started = state.runtime.block_on(state.writer.free().unwrap().start(APP, 0)).unwrap();
        state.positions.insert(0, started.next);
        state.decoder.desk().unwrap().partitions.insert(0, started);
        (state, consumer)
    }

    /// Where the lake stands.
    fn position(&self) -> Option<i64> {
        self.committer().next(APP)
    }
}

impl State {
    /// Buffers so many further events of partition 0.
    fn read(&mut self, events: i64) {
        let next = self.position(0).unwrap();
        for sequence in next..next + events {
            let payload = format!(
                r#"{{"specversion":"1.0","id":"{sequence}","source":"/app","type":"onboarding.input.submitted","subject":"s","time":"2026-03-01T00:00:00Z","clientid":"c"}}"#
            );
            let record = Record {
                sequence,
                timestamp: 1_772_323_200_000_000,
                payload: Some(payload.as_bytes()),
                headers: &[],
                unreadable: None,
            };
            self.take_up(0, &record).unwrap();
        }
    }

    fn take(&mut self) -> Taken {
        let mut desk = self.decoder.desk().unwrap();
        let Desk { partitions, buffer, .. } = &mut *desk;
        buffer.take(partitions.values_mut())
    }

    fn holds_nothing(&mut self) -> bool {
        self.decoder.desk().unwrap().buffer.is_empty()
    }
}

#[test]
fn invariant_01_a_revocation_waits_for_the_flush_under_way_and_flushes_what_was_read_behind_it() {
    let scene = Scene::new();
    let (mut state, consumer) = scene.member();
    state.read(10);
    state.depart().unwrap();
    assert!(state.writer.is_busy());
    assert!(state.writer.free().is_err(), "nobody else has the committer meanwhile");
    state.read(5);
    state.flush(&consumer).unwrap();
    assert_eq!(scene.position(), Some(15));
    assert_eq!(state.counts.accepted, 15);
    assert!(state.holds_nothing() && !state.writer.is_busy());
}

#[test]
fn invariant_02_what_was_read_behind_a_lost_flush_is_lost_with_it() {
    let scene = Scene::new();
    let (mut state, _) = scene.member();
    state.read(10);
    let first = state.take();
    state.read(5);
    let second = state.take();

    let (mut faster, consumer) = scene.member();
    faster.read(12);
    faster.flush(&consumer).unwrap();
    state.writer.start(first).unwrap();
    assert!(state.writer.wait().unwrap().is_none(), "encoded, now it is committed");
    state.writer.start(second).unwrap();
    assert!(!state.writer.has_room());
    let mut outcomes = Vec::new();
    while state.writer.is_busy() {
        outcomes.extend(state.writer.wait().unwrap().map(|landed| landed.outcome));
    }
    assert_eq!(outcomes, [Flushed::Lost, Flushed::Lost]);
    assert_eq!(scene.position(), Some(12));
}

#[test]
fn three_flushes_are_under_way_and_reach_the_lake_in_their_order() {
    let scene = Scene::new();
    let (mut state, consumer) = scene.member();
    for flush in 0..2 {
        state.read(10);
        state.depart().unwrap();
        if flush == 0 {
            assert!(state.writer.wait().unwrap().is_none());
        }
    }
    state.read(10);
    state.flush(&consumer).unwrap();
    assert_eq!(scene.position(), Some(30));
    assert_eq!(state.counts.accepted, 30);
}

#[test]
fn a_lost_assignment_lets_the_flush_under_way_end_and_drops_the_rest() {
    let scene = Scene::new();
    let (mut state, _) = scene.member();
    state.read(10);
    state.depart().unwrap();
    state.read(5);
    state.abandon().unwrap();
    assert_eq!(scene.position(), Some(10));
    assert_eq!(state.counts.accepted, 10);
    assert!(state.holds_nothing());
}

#[test]
fn an_old_buffer_waits_for_the_end_of_the_flush_before_it() {
    let scene = Scene::new();
    let (mut state, consumer) = scene.member();
    state.flush_bytes = usize::MAX;
    state.options.pipeline.flush_interval = Duration::ZERO;
    for _ in 0..3 {
        state.read(1);
        state.keep_up(&consumer, false).unwrap();
        assert!(state.writer.is_busy(), "it is time for every buffer");
    }
    state.flush(&consumer).unwrap();
    assert_eq!(scene.position(), Some(3));
}

#[test]
fn a_full_buffer_makes_room_first() {
    let scene = Scene::new();
    let (mut state, consumer) = scene.member();
    state.flush_bytes = 1;
    for _ in 0..3 {
        state.read(1);
        assert!(state.is_full());
        state.keep_up(&consumer, false).unwrap();
        assert!(!state.is_full());
    }
    state.flush(&consumer).unwrap();
    assert_eq!(scene.position(), Some(3));
}

#[test]
fn the_rest_of_a_backlog_does_not_wait_until_it_is_old() {
    let scene = Scene::new();
    let (mut state, consumer) = scene.member();
    state.options.pipeline.flush_interval = Duration::MAX;
    state.flush_bytes = 1 << 20;
    let mut departs = |events, caught_up| {
        state.read(events);
        state.keep_up(&consumer, caught_up).unwrap();
        state.writer.is_busy()
    };
    assert!(!departs(1, true), "it is too little");
    assert!(!departs(1_000, false), "more is coming");
    assert!(departs(1, true));
}
