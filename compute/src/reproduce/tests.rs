//! Reports given again when something stands in the way.

use onramp_lake::{Outcome, RewriteKind, Rewriter};
use onramp_schemas::funnel::builtin;

use super::*;
use crate::reports::{document, keep};
use crate::sessions::fixture::{Event, TestLake, event};
use crate::sessions::{Settings, silent};
use crate::{ReportRequest, kept_report};

const HOUR: i64 = 3_600_000_000;

/// A lake in which copies of an event differ and one session is longer than its digests.
async fn lake() -> TestLake {
    let mut test = TestLake::new();
    let long = (0..9).map(|hour| event("long", "onboarding.input.submitted", hour * HOUR, ""));
    let start = event("long", "onboarding.session.started", 1, r#"{"device":"tv"}"#);
    let copy = |device: &str| Event {
        id: "copy".into(),
        ..event(
            "twice",
            "onboarding.session.started",
            2 * HOUR,
            &format!(r#"{{"device":"{device}"}}"#),
        )
    };
    test.append(&long.chain([start, copy("phone")]).collect::<Vec<_>>()).await;
    test.append(&[copy("desk"), event("twice", "onboarding.input.submitted", 3 * HOUR, "")]).await;
    test
}

async fn given(test: &TestLake) -> Report {
    let request =
        ReportRequest { segment_by: vec!["device".into()], ..ReportRequest::new(8 * HOUR) };
    let settings = Settings { digests: 3, ..Settings::default() };
    let report =
        kept_report(&test.lake, &builtin()[0], &request, &test.engine, &settings, &silent).await;
    report.unwrap()
}

#[tokio::test]
async fn sessions_folded_anew_give_the_same_document() {
    let mut test = lake().await;
    let report = given(&test).await;
    let segments = report.segments.as_ref().unwrap();
    assert_eq!(segments.attributes["device"].len(), 2);
    assert_eq!((report.data_quality.events, report.data_quality.duplicates), (13, 1));
    test.append(&[event("twice", "onboarding.session.started", HOUR, "")]).await;
    let again = reproduce(&test.lake, &report.report_id, &test.engine).await.unwrap();
    assert_eq!((document(&again.report), again.given_by), (document(&report), None));
}

#[tokio::test]
async fn a_report_of_erased_events_is_gone() {
    let test = lake().await;
    let report = given(&test).await;
    let events = test.lake.open_table(&EVENTS).await.unwrap().unwrap();
    let snapshot = events.snapshot().await.unwrap();
    let rewriter = Rewriter::open(events);
    let last = snapshot.files.iter().filter(|file| file.rows == Some(2)).cloned().collect();
    let erased = rewriter.rewrite(&snapshot, last, vec![], vec![], RewriteKind::Change).await;
    assert!(matches!(erased.unwrap(), Outcome::Committed { .. }));
    let error = reproduce(&test.lake, &report.report_id, &test.engine).await.unwrap_err();
    assert!(matches!(error, ComputeError::Gone { .. }), "{error}");
}

#[tokio::test]
async fn a_report_of_another_version_says_so() {
    let test = lake().await;
    let report = given(&test).await;
    let kept = find(&test.lake, &test.engine, &report.report_id).await.unwrap().unwrap();
    let older = Report { report_id: "older".into(), program_version: "0.0.1".into(), ..report };
    let request = kept.request().unwrap();
    keep(&test.lake, &test.engine, 0, &request, 1, &older).await.unwrap();
    let again = reproduce(&test.lake, "older", &test.engine).await.unwrap();
    assert_eq!(again.given_by.as_deref(), Some("0.0.1"));
    assert_eq!((again.report.report_id.as_str(), again.report.total_sessions), ("older", 2));
}
