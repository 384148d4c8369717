//! Lists of a lake's sessions.

use onramp_schemas::funnel::builtin;

use super::*;
use crate::sessions::fixture::{TestLake, event};
use crate::sessions::silent;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 1_440 * MINUTE;

const STARTED: &str = "onboarding.session.started";
const SUBMITTED: &str = "onboarding.input.submitted";

/// `done` completes, `idle` and `angry` are lost at stages 2 and 1, `now` is in flight.
async fn lake() -> TestLake {
    let mut test = TestLake::new();
    let desktop = r#"{"device":"desktop"}"#;
    let mut events = vec![
        event("idle", STARTED, 0, desktop),
        event("idle", SUBMITTED, 3 * MINUTE, ""),
        event("idle", "onboarding.error.occurred", 4 * MINUTE, r#"{"code":"E"}"#),
        event("angry", STARTED, MINUTE, r#"{"device":"mobile"}"#),
        event("angry", "onboarding.session.abandoned", 2 * MINUTE, r#"{"reason":"too_long"}"#),
        event("orphan", SUBMITTED, MINUTE, ""),
        event("now", STARTED, 3 * DAY, ""),
        event("late", "onboarding.session.resumed", 3 * DAY + 5 * MINUTE, ""),
    ];
    let stages = [
        STARTED,
        SUBMITTED,
        "onboarding.recommendations.generated",
        "onboarding.approval.decided",
        "onboarding.session.completed",
    ];
    let step = |(number, kind): (i64, &&str)| event("done", kind, (2 + number) * MINUTE, desktop);
    events.extend((0..).zip(&stages).map(step));
    test.append(&events).await;
    test
}

async fn listed(test: &TestLake, filter: Filter, page: (usize, usize)) -> SessionList {
    listed_of(test, ReportRequest::new(i64::MAX), filter, page).await
}

async fn listed_of(
    test: &TestLake,
    report: ReportRequest,
    filter: Filter,
    page: (usize, usize),
) -> SessionList {
    let request = ListRequest { report, filter, limit: page.0, offset: page.1 };
    asked(test, &request).await.unwrap()
}

async fn asked(test: &TestLake, request: &ListRequest) -> Result<SessionList, ComputeError> {
    let settings = Settings::default();
    session_list(&test.lake, &builtin()[0], request, &test.engine, &settings, &silent).await
}

fn ids(list: &SessionList) -> Vec<&str> {
    list.sessions.iter().map(|session| session.session_id.as_str()).collect()
}

#[tokio::test]
async fn the_last_to_start_comes_first_and_pages_follow_each_other() {
    let test = lake().await;
    let all = listed(&test, Filter::default(), (10, 0)).await;
    assert_eq!((ids(&all), all.total), (vec!["now", "done", "angry", "idle"], 4));
    let page = listed(&test, Filter::default(), (2, 1)).await;
    assert_eq!((ids(&page), page.total, page.offset), (vec!["done", "angry"], 4, 1));
    assert!(listed(&test, Filter::default(), (10, 4)).await.sessions.is_empty());
}

#[tokio::test]
async fn those_that_start_at_once_are_each_on_one_page() {
    let mut test = TestLake::new();
    let names = ["a", "b", "c", "d", "e"];
    test.append(&names.map(|name| event(name, STARTED, MINUTE, ""))).await;
    test.append(&[event("first", STARTED, 0, ""), event("last", STARTED, 2 * MINUTE, "")]).await;
    for size in 1..=3 {
        let mut seen = Vec::new();
        for offset in (0..7).step_by(size) {
            let page = listed(&test, Filter::default(), (size, offset)).await;
            assert_eq!(page.total, 7);
            seen.extend(ids(&page).into_iter().map(str::to_owned));
        }
        assert_eq!(seen, ["last", "a", "b", "c", "d", "e", "first"], "{size} at a time");
    }
}

#[tokio::test]
async fn a_session_says_where_it_stayed_and_why_it_left() {
    let test = lake().await;
    let all = listed(&test, Filter::default(), (10, 0)).await;
    let [now, done, angry, idle] = &all.sessions[..] else { panic!("{all:#?}") };
    assert_eq!((now.outcome, now.stage, now.dwell_seconds), (Outcome::InFlight, 1, Some(300.0)));
    assert_eq!((done.outcome, done.stage, done.dwell_seconds), (Outcome::Completed, 5, None));
    assert_eq!(done.seconds_to_complete, Some(240.0));
    assert_eq!((angry.lost_how, angry.reason.as_deref()), (Some("explicit"), Some("too_long")));
    assert_eq!((angry.dwell_seconds, angry.seconds_to_complete), (Some(60.0), None));
    assert_eq!((idle.stage, idle.stage_name.as_str(), idle.errors), (2, "Engaged", 1));
    assert_eq!((idle.lost_how, idle.reason.as_deref()), (Some("idle"), Some("E")));
    assert_eq!(idle.lost_at, Some(Instant(4 * MINUTE + DAY)));
    assert_eq!(idle.attributes["device"].as_deref(), Some("desktop"));
    assert_eq!(now.attributes["device"], None);
}

#[tokio::test]
async fn every_condition_must_hold() {
    let test = lake().await;
    let cases = [
        (Filter { stage: Some(2), ..Filter::default() }, vec!["done", "idle"]),
        (Filter { dropped_at: Some(2), ..Filter::default() }, vec!["idle"]),
        (Filter { dropped_at: Some(5), ..Filter::default() }, vec![]),
        (Filter { outcome: Some(Outcome::Abandoned), ..Filter::default() }, vec!["angry", "idle"]),
    ];
    for (filter, expected) in cases {
        let list = listed(&test, filter.clone(), (10, 0)).await;
        assert_eq!(ids(&list), expected, "{filter:?}");
    }
    let lost = Filter { outcome: Some(Outcome::Abandoned), ..Filter::default() };
    for (device, filter, expected) in [
        (Some("desktop"), Filter::default(), vec!["done", "idle"]),
        (None, Filter::default(), vec!["now"]),
        (Some("desktop"), lost, vec!["idle"]),
    ] {
        let mut report = ReportRequest::new(i64::MAX);
        report.selection.attributes.insert("device".into(), device.map(str::to_owned));
        let list = listed_of(&test, report, filter, (10, 0)).await;
        assert_eq!(ids(&list), expected, "{device:?}");
    }
    let mut nobody = ReportRequest::new(i64::MAX);
    nobody.selection.clients = Some(["other".to_owned()].into());
    assert_eq!(listed_of(&test, nobody, Filter::default(), (10, 0)).await.total, 0);
}

#[tokio::test]
async fn questions_without_an_answer_are_refused() {
    let test = lake().await;
    let refusal = async |change: fn(&mut ListRequest)| {
        let report = ReportRequest::new(i64::MAX);
        let mut request = ListRequest { report, filter: Filter::default(), limit: 10, offset: 0 };
        change(&mut request);
        asked(&test, &request).await.unwrap_err().to_string()
    };
    let stage = refusal(|request| request.filter.dropped_at = Some(6)).await;
    assert!(stage.contains("no stage 6; its stages are 1 to 5"), "{stage}");
    assert!(refusal(|request| request.filter.stage = Some(0)).await.contains("no stage 0"));
    let page = refusal(|request| request.limit = 1_001).await;
    assert!(page.contains("at most 1000 sessions, not 1001"), "{page}");
    let unknown = refusal(|request| {
        request.report.selection.attributes = [("colour".into(), None)].into();
    })
    .await;
    assert!(unknown.contains(r#"an attribute "colour""#), "{unknown}");
}

#[tokio::test]
async fn the_past_is_listed_alike_from_rows_digests_and_events() {
    let (test, other) = (lake().await, lake().await);
    let few = Settings { digests: 1, ..Settings::default() };
    for minute in [0, 1, 3, 4, 6, 1_500, 4_320] {
        let mut report = ReportRequest::new(minute * MINUTE);
        report.from = Some(crate::Moment::Instant(-DAY));
        let filter = Filter::default();
        let request = ListRequest { report, filter, limit: 10, offset: 0 };
        let funnel = &builtin()[0];
        let whole = asked(&test, &request).await.unwrap();
        let cut = session_list(&other.lake, funnel, &request, &other.engine, &few, &silent);
        assert_eq!(cut.await.unwrap(), whole, "minute {minute}");
        let started = [0, 1, 2, 4_320].iter().filter(|&&start| start <= minute).count();
        assert_eq!(whole.total, started as u64, "minute {minute}");
    }
    let mut request = ListRequest {
        report: ReportRequest::new(4 * MINUTE),
        filter: Filter::default(),
        limit: 10,
        offset: 0,
    };
    request.report.from = Some(crate::Moment::Instant(-DAY));
    let then = asked(&test, &request).await.unwrap();
    let stages: Vec<_> = then.sessions.iter().map(|it| (it.stage, it.outcome)).collect();
    let (flying, lost) = (Outcome::InFlight, Outcome::Abandoned);
    assert_eq!(stages, [(3, flying), (1, lost), (2, flying)]);
}
