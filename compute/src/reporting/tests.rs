//! From a lake to a report.

use chrono::NaiveDate;
use onramp_schemas::funnel::builtin;

use super::request::text;
use super::*;
use crate::metrics::analysis::{Advice, Exits, Groupings};
use crate::metrics::calendar::local_midnight;
use crate::metrics::comparison::Comparison;
use crate::selection::Selection;
use crate::sessions::fixture::{Event, TestLake, event};
use crate::sessions::silent;

const HOUR: i64 = 3_600_000_000;

async fn asked(test: &TestLake, request: &ReportRequest) -> Result<Report, ComputeError> {
    let (funnel, settings) = (&builtin()[0], Settings::default());
    let answered = answer(&test.lake, funnel, request, &test.engine, &settings, &silent).await;
    answered.map(|(_, report)| report)
}

async fn lake() -> TestLake {
    let mut test = TestLake::new();
    test.append(&[
        event("a", "onboarding.session.started", HOUR, r#"{"language":"de"}"#),
        event("a", "onboarding.input.submitted", HOUR + 60_000_000, ""),
        event("b", "onboarding.session.started", 2 * HOUR, r#"{"language":"fr"}"#),
        event("b", "onboarding.session.started", 50 * HOUR, ""),
    ])
    .await;
    test
}

#[tokio::test]
async fn the_defaults_reach_up_to_the_newest_event() {
    let test = lake().await;
    let report = asked(&test, &ReportRequest::new(i64::MAX)).await.unwrap();
    assert_eq!((report.as_of.0, report.total_sessions, report.stages[1].count), (50 * HOUR, 2, 1));
    assert_eq!(report.period.to.0, 50 * HOUR + 1);
    assert_eq!(report.period.from.0, 50 * HOUR + 1 - 30 * 24 * HOUR);
    assert_eq!((report.data_quality.events, report.data_quality.after_as_of), (4, 0));
    assert_eq!(report.positions["file/test"], 4);
    let earlier = asked(&test, &ReportRequest::new(3 * HOUR)).await.unwrap();
    assert_eq!((earlier.as_of.0, earlier.data_quality.after_as_of), (3 * HOUR, 1));
}

#[tokio::test]
async fn dates_are_local_midnights() {
    let test = lake().await;
    let mut request = ReportRequest::new(i64::MAX);
    request.timezone = chrono_tz::Europe::Berlin;
    request.from = Some("1970-01-01".parse().unwrap());
    request.to = Some("1970-01-02".parse().unwrap());
    let report = asked(&test, &request).await.unwrap();
    assert_eq!((report.period.from.0, report.period.to.0), (-HOUR, 23 * HOUR));
    request.to = Some("1970-01-01T02:00:00Z".parse().unwrap());
    assert_eq!(asked(&test, &request).await.unwrap().total_sessions, 1, "the end is exclusive");
    // In Beirut midnight of this day does not exist.
    let date = NaiveDate::from_ymd_opt(2023, 3, 26).unwrap();
    assert_eq!(text(local_midnight(date, chrono_tz::Asia::Beirut)), "2023-03-25T22:00:00Z");
}

/// A session of a client with events at these hours.
fn visit(client: &str, session: &str, device: &str, hours: &[i64]) -> Vec<Event> {
    let kinds = ["onboarding.session.started", "onboarding.input.submitted"];
    let data = format!(r#"{{"device":"{device}"}}"#);
    let one = |(hour, kind): (&i64, &str)| Event {
        client: client.into(),
        ..event(session, kind, hour * HOUR, &data)
    };
    hours.iter().zip(kinds.into_iter().cycle()).map(one).collect()
}

#[tokio::test]
async fn a_selection_counts_as_if_the_other_sessions_were_not_there() {
    let chosen = [
        visit("acme", "a", "mobile", &[1, 2, 30]),
        visit("acme", "b", "mobile", &[3, 4]),
        visit("acme", "late", "mobile", &[9]),
    ];
    let others = [
        visit("acme", "c", "desktop", &[5, 6]),
        visit("zeta", "a", "mobile", &[1, 2]),
        visit("zeta", "later", "mobile", &[9, 40]),
    ];
    let selection = Selection {
        clients: Some(["acme".to_owned()].into()),
        attributes: [("device".to_owned(), Some("mobile".to_owned()))].into(),
    };
    // Of sessions with more than one event either their digests are kept or none.
    for digests in [1, 10_000] {
        let (mut whole, mut part) = (TestLake::new(), TestLake::new());
        whole.append(&others.concat()).await;
        whole.append(&chosen.concat()).await;
        part.append(&chosen.concat()).await;
        for hour in [2, 8, 30] {
            let mut request = ReportRequest::new(i64::MAX);
            request.as_of = Some(Moment::Instant(hour * HOUR));
            request.compare = Some(Compared::Before);
            let settings = Settings { digests, ..Settings::default() };
            let given = async |test: &TestLake, request: &ReportRequest| {
                let funnel = &builtin()[0];
                let given = answer(&test.lake, funnel, request, &test.engine, &settings, &silent);
                let (_, mut given): (Grounds, Report) = given.await.unwrap();
                // What all events are like depends on all of them.
                (given.report_id, given.positions) = Default::default();
                given.data_quality = Input::default();
                given
            };
            let expected = given(&part, &request).await;
            request.selection = selection.clone();
            assert_eq!(given(&whole, &request).await, expected, "hour {hour}, {digests} digests");
        }
    }
}

#[tokio::test]
async fn a_client_that_may_not_be_seen_is_not_there() {
    let mut test = TestLake::new();
    test.append(&[visit("acme", "a", "mobile", &[1]), visit("zeta", "b", "tv", &[2, 3])].concat())
        .await;
    let mut request = ReportRequest::new(i64::MAX);
    request.selection.clients = Some(["acme".to_owned()].into());
    let report = asked(&test, &request).await.unwrap();
    assert_eq!((report.total_sessions, report.data_quality.events), (1, 1));
    let refusal = async |client: &str| {
        let request = ReportRequest { client_id: Some(client.to_owned()), ..request.clone() };
        asked(&test, &request).await.unwrap_err().to_string()
    };
    assert_eq!(refusal("zeta").await, refusal("none").await.replace("none", "zeta"));
    request.selection.attributes.insert("colour".to_owned(), None);
    let error = asked(&test, &request).await.unwrap_err().to_string();
    assert!(error.contains(r#"an attribute "colour""#), "{error}");
}

#[tokio::test]
async fn a_rolling_period_ends_with_the_newest_event() {
    let test = lake().await;
    let mut request = ReportRequest::new(i64::MAX);
    request.rolling_hours = Some(24);
    let report = asked(&test, &request).await.unwrap();
    assert_eq!((report.period.from.0, report.period.to.0), (26 * HOUR + 1, 50 * HOUR + 1));
}

#[tokio::test]
async fn questions_without_an_answer_are_refused() {
    let test = lake().await;
    let refusal = async |change: fn(&mut ReportRequest)| {
        let mut request = ReportRequest::new(i64::MAX);
        change(&mut request);
        asked(&test, &request).await.unwrap_err().to_string()
    };
    let beyond = refusal(|request| request.as_of = Some(Moment::Instant(50 * HOUR + 1))).await;
    assert!(beyond.contains("the newest event is of 1970-01-03T02:00:00Z"), "{beyond}");
    let reversed = refusal(|request| {
        (request.from, request.to) = (Some(Moment::Instant(5)), Some(Moment::Instant(4)));
    })
    .await;
    assert!(reversed.contains("must be later"), "{reversed}");
    let unknown = refusal(|request| request.segment_by = vec!["colour".into()]).await;
    assert!(unknown.contains(r#""colour"; known are"#), "{unknown}");
    let trend = refusal(|request| {
        request.funnel_trend = Some(crate::metrics::calendar::Unit::Day);
        request.from = Some(Moment::Instant(-2_000 * 24 * HOUR));
    })
    .await;
    assert!(trend.contains("more than 1000"), "{trend}");
    for stages in [(0, 2), (2, 2), (3, 2), (1, 6)] {
        let mut request = ReportRequest::new(i64::MAX);
        request.convert = Some(stages);
        let error = asked(&test, &request).await.unwrap_err().to_string();
        assert!(error.contains("has 5 stages, and the second must be the later"), "{error}");
    }
    let empty = TestLake::new();
    let error = asked(&empty, &ReportRequest::new(0)).await.unwrap_err().to_string();
    assert!(error.contains("holds no events yet"), "{error}");
}

#[tokio::test]
async fn a_report_that_cannot_be_kept_is_given() {
    let test = lake().await;
    let (funnel, request) = (&builtin()[0], ReportRequest::new(4_000_000_000_000_000));
    asked(&test, &request).await.unwrap();
    // Where the table's folder should be there is a file.
    let place = std::path::Path::new(test.lake.root()).join("reports");
    std::fs::write(&place, "").unwrap();
    let settings = Settings::default();
    let given = kept_report(&test.lake, funnel, &request, &test.engine, &settings, &silent);
    assert_eq!(given.await.unwrap().total_sessions, 2);
    std::fs::remove_file(&place).unwrap();
    let given = kept_report(&test.lake, funnel, &request, &test.engine, &settings, &silent);
    let id = given.await.unwrap().report_id;
    let kept = crate::reports::find(&test.lake, &test.engine, &id).await.unwrap();
    assert!(kept.is_some(), "where it can be it is kept");
}

#[test]
fn moments_are_dates_or_instants() {
    assert_eq!("2026-01-02T00:00:00+01:00".parse(), Ok(Moment::Instant(1_767_308_400_000_000)));
    assert!("tomorrow".parse::<Moment>().unwrap_err().contains("is no date"));
}

#[tokio::test]
async fn a_part_that_is_asked_for_alone_is_that_of_the_report() {
    let mut test = TestLake::new();
    let of = |client: &str, device: &str, hours: &[i64]| {
        visit(client, &format!("{client}{device}{hours:?}"), device, hours)
    };
    for hour in (1..60).step_by(3) {
        let (short, long) = (of("acme", "mobile", &[hour]), of("zeta", "tv", &[hour, hour + 2]));
        let error = r#"{"code":"E1"}"#;
        let failed = event("failed", "onboarding.error.occurred", hour * HOUR + 1, error);
        test.append(&[short, long, vec![failed]].concat()).await;
    }
    let mut request = ReportRequest::new(i64::MAX);
    request.rolling_hours = Some(30);
    request.segment_by = vec!["device".into()];
    for compared in
        [Compared::Before, Compared::Within(Moment::Instant(0), Moment::Instant(9 * HOUR))]
    {
        request.compare = Some(compared);
        let report = asked(&test, &request).await.unwrap();
        assert!(report.comparison.as_ref().is_some_and(|it| it.period1.sessions > 0));
        let exits: Exits = part(&test, &request).await;
        assert_eq!(exits.incomplete, report.total_sessions - report.completed);
        assert_eq!(
            (exits.heatmap, exits.error_patterns, exits.time_analysis, exits.reasons),
            (report.heatmap, report.error_patterns, report.time_analysis, report.common_reasons)
        );
        let groupings: Groupings = part(&test, &request).await;
        assert_eq!(
            (groupings.segments, groupings.cohorts, groupings.trend),
            (report.segments, report.cohort_analysis, report.trend)
        );
        let advice: Advice = part(&test, &request).await;
        assert_eq!(advice.recommendations, report.recommendations);
        let comparison: Option<Comparison> = part(&test, &request).await;
        assert_eq!(comparison, report.comparison);
    }
}

async fn part<A: Answer>(test: &TestLake, request: &ReportRequest) -> A {
    let (funnel, settings) = (&builtin()[0], Settings::default());
    let answered = answer(&test.lake, funnel, request, &test.engine, &settings, &silent).await;
    answered.unwrap().1
}
