//! Brokers that go away and come back.

use super::Running;
use crate::kafka::{accounted, await_records, produce};
use crate::support::broker::own_brokers;
use crate::support::{Scene, event, eventually};

const TIME: &str = "2026-03-01T10:00:00Z";

fn events(ids: std::ops::Range<u32>) -> impl Iterator<Item = Vec<u8>> {
    ids.map(|id| event(&id.to_string(), "s", "input.submitted", TIME, "{}").into_bytes())
}

/// How long the brokers have been away as `/readyz` tells it.
fn away(ingest: &Running) -> Option<u64> {
    let (503, said) = ingest.page("/readyz")? else { return None };
    let (_, since) = said.split_once("no broker answers for ")?;
    since.split_once(" s")?.0.parse().ok()
}

/// Longer than every time-out in the way: the question to a broker (10 s), the session (1.5 s) and a
/// request (5 s) here. `ONRAMP_ABSENCE=600` makes it ten minutes.
#[test]
fn brokers_that_are_away_are_waited_for() {
    let Some(mut broker) = own_brokers("operations::away::brokers_that_are_away", 1) else {
        return;
    };
    let absence = std::env::var("ONRAMP_ABSENCE").map_or(20, |s| s.parse::<u64>().unwrap());
    let topic = "onboarding.away";
    broker.create(topic, 2);
    let scene = Scene::new();
    scene.write(
        "onramp.toml",
        "[ingest]\nsession_timeout_ms = 1500\n[ingest.properties]\n\"socket.timeout.ms\" = \"5000\"\n",
    );
    produce(&broker, topic, events(0..5));

    // A start without a broker.
    broker.kill(0);
    let mut ingest = Running::ingest(&scene, &broker.address(), topic, &[]);
    eventually("it says what it waits for", 60, || {
        let (status, said) = ingest.page("/readyz")?;
        (status == 503 && said.contains("no broker answers at 127.0.0.1")).then_some(())
    });
    assert!(ingest.log().contains("waiting for kafka"), "{}", ingest.log());
    assert_eq!(ingest.page("/healthz").map(|(status, _)| status), Some(200), "it lives");
    broker.up();
    await_records(&scene, 5);

    // Away while it reads.
    eventually("it is ready", 60, || ingest.is_ready().then_some(()));
    broker.kill(0);
    eventually("the absence lasts", absence + 120, || (away(&ingest)? >= absence).then_some(()));
    assert!(ingest.runs(), "{}", ingest.log());
    let said = ingest.log();
    assert!(said.contains("still no broker answers"), "{said}");
    // librdkafka's own lines aside, the log stays readable.
    let ours = said.lines().filter(|line| line.contains("onramp_ingest")).count();
    assert!(ours < 60, "{ours} lines: {said}");
    broker.up();
    produce(&broker, topic, events(5..10));
    await_records(&scene, 10);
    eventually("it is ready again", 60, || ingest.is_ready().then_some(()));
    assert!(ingest.runs(), "{}", ingest.log());

    // Told to end while nobody can be told goodbye.
    produce(&broker, topic, events(10..13));
    broker.kill(0);
    assert_eq!(ingest.stop(), Some(0));
    let before = accounted(&scene);
    broker.up();
    let ingest = Running::ingest(&scene, &broker.address(), topic, &[]);
    await_records(&scene, 13);
    assert_eq!(ingest.stop(), Some(0));
    assert!((10..=13).contains(&before));
}

#[test]
fn whoever_waits_for_a_broker_ends_when_told_to() {
    let scene = Scene::new();
    let ingest = Running::ingest(&scene, "127.0.0.1:1", "t", &[]);
    eventually("its page answers", 60, || ingest.page("/readyz"));
    assert_eq!(ingest.stop(), Some(0));
    let mut doctor = scene.onramp();
    doctor.env("ONRAMP__INGEST__BROKERS", "127.0.0.1:1").arg("doctor");
    let told = crate::support::Answer::of(&mut doctor);
    assert_eq!(told.code, Some(1), "{told:#?}");
    assert!(told.stdout.contains("no broker answers at 127.0.0.1:1"), "{told:#?}");
}
