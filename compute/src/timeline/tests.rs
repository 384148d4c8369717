//! Sessions of a lake, event by event.

use onramp_schemas::funnel::builtin;

use super::*;
use crate::sessions::fixture::{Event, TestLake, event};
use crate::sessions::silent;

const MINUTE: i64 = 60_000_000;
const STARTED: &str = "onboarding.session.started";
const SUBMITTED: &str = "onboarding.input.submitted";
const ABANDONED: &str = "onboarding.session.abandoned";

fn of(session_id: &str) -> TimelineRequest {
    TimelineRequest {
        session_id: session_id.to_owned(),
        client_id: None,
        clients: None,
        now: i64::MAX,
        as_of: None,
        limit: LARGEST_PAGE,
        offset: 0,
    }
}

async fn asked(test: &TestLake, request: &TimelineRequest) -> Result<Timeline, ComputeError> {
    let settings = Settings::default();
    timeline(&test.lake, &builtin()[0], request, &test.engine, &settings, &silent).await
}

async fn lake() -> TestLake {
    let mut test = TestLake::new();
    let resent = event("s", SUBMITTED, 5 * MINUTE, r#"{"meaningful":true}"#);
    let elsewhere = Event { client: "other".into(), ..event("twice", STARTED, 0, "") };
    test.append(&[
        event("s", ABANDONED, 3 * MINUTE, r#"{"reason":"not_now"}"#),
        event("s", SUBMITTED, MINUTE, r#"{"meaningful":false}"#),
        event("s", STARTED, 2 * MINUTE, r#"{"device":"mobile"}"#),
        resent.clone(),
        event("twice", STARTED, 0, ""),
        elsewhere,
    ])
    .await;
    // Late, and a second time.
    test.append(&[resent, event("s", "onboarding.error.occurred", 6 * MINUTE, r#"{"code":"E"}"#)])
        .await;
    test.append(&[event("end", STARTED, 6 * MINUTE + 86_400_000_000, "")]).await;
    test
}

#[tokio::test]
async fn every_event_is_told_once_with_the_state_after_it() {
    let test = lake().await;
    let told = asked(&test, &of("s")).await.unwrap();
    let states: Vec<_> = told
        .events
        .iter()
        .map(|event| {
            let minutes = event.occurred_at.0 / MINUTE;
            (minutes, event.meets.as_slice(), event.state.outcome, event.state.stage)
        })
        .collect();
    let expected: [(i64, &[usize], &str, usize); 5] = [
        (1, &[], "orphan", 0),
        (2, &[1], "in_flight", 1),
        (3, &[], "abandoned", 1),
        (5, &[2], "in_flight", 2),
        (6, &[], "in_flight", 2),
    ];
    assert_eq!(states, expected);
    assert_eq!((told.total, told.client_id.as_str()), (5, "acme"));
    let abandoned = &told.events[2];
    assert_eq!(abandoned.state.reason.as_deref(), Some("not_now"));
    assert_eq!((abandoned.abandonment, abandoned.state.lost_how), (true, Some("explicit")));
    assert_eq!(told.events[1].data["device"], "mobile");
    assert_eq!((told.events[4].error, told.events[4].code.as_deref()), (true, Some("E")));
    let State { outcome, lost_how, reached, .. } = &told.state;
    assert_eq!((*outcome, *lost_how), ("abandoned", Some("idle")), "a day later");
    assert_eq!(reached, &[1, 2]);
}

#[tokio::test]
async fn the_past_knows_only_what_had_happened() {
    let test = lake().await;
    let at = |minute: i64| Some(Moment::Instant(minute * MINUTE));
    let then = asked(&test, &TimelineRequest { as_of: at(4), ..of("s") }).await.unwrap();
    assert_eq!((then.total, then.state.outcome), (3, "abandoned"));
    let before = asked(&test, &TimelineRequest { as_of: at(0), ..of("s") }).await.unwrap_err();
    assert!(matches!(before, ComputeError::NoSession { .. }), "{before}");
    let page = TimelineRequest { limit: 2, offset: 1, ..of("s") };
    let page = asked(&test, &page).await.unwrap();
    assert_eq!((page.events.len(), page.total, page.offset), (2, 5, 1));
    assert_eq!(page.events[0].state.outcome, "in_flight", "the state knows the events before");
}

#[tokio::test]
async fn a_session_that_is_not_one_is_refused() {
    let test = lake().await;
    let none = asked(&test, &of("nobody")).await.unwrap_err();
    assert!(matches!(none, ComputeError::NoSession { .. }), "{none}");
    let several = asked(&test, &of("twice")).await.unwrap_err();
    assert!(matches!(several, ComputeError::AmbiguousSession { .. }), "{several}");
    assert!(several.to_string().contains("acme, other"), "{several}");
    let theirs = TimelineRequest { clients: Some(["other".into()].into()), ..of("twice") };
    assert_eq!(
        asked(&test, &theirs).await.unwrap().client_id,
        "other",
        "it is the only one they see"
    );
    let hidden = TimelineRequest { client_id: Some("acme".into()), ..theirs };
    let error = asked(&test, &hidden).await.unwrap_err();
    assert!(matches!(error, ComputeError::NoSession { .. }), "{error}");
    let one = TimelineRequest { client_id: Some("other".into()), ..of("twice") };
    assert_eq!(asked(&test, &one).await.unwrap().client_id, "other");
    let large = TimelineRequest { limit: LARGEST_PAGE + 1, ..of("s") };
    assert!(asked(&test, &large).await.unwrap_err().to_string().contains("at most 1000 events"));
}
