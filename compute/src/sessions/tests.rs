//! The table `sessions` against its definition: every row a function of its session's events.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use onramp_lake::{RewriteKind, Rewriter};
use onramp_schemas::funnel::{Funnel, parse};
use onramp_schemas::tables::{EVENTS, SESSIONS};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::fixture::{Event, TestLake, event};
use super::*;
use crate::error::ComputeError;
use crate::fold::{Fate, Session};
use crate::scan::LakeTable;

const FUNNEL: &str = r#"
name = "trial"
window_seconds = 3600
segments = ["v"]
[abandonment]
type = "t.gone"
reason_field = "why"
[error]
predicate = "code IS NOT NULL"
code_field = "code"
[[stages]]
name = "One"
type = "t.one"
[[stages]]
name = "Two"
type = ["t.two", "t.both"]
[[stages]]
name = "Three"
predicate = "event_type IN ('t.three', 't.both') AND meaningful IS NOT FALSE"
"#;

fn funnel() -> Funnel {
    parse(FUNNEL, "trial.toml").unwrap()
}

/// Small bounds, so that small logs cross them.
fn small() -> Settings {
    Settings { digests: 6, slice_events: 7, file_rows: 4, buffered_rows: 9 }
}

async fn caught_up(test: &TestLake, funnel: &Funnel) -> CaughtUp {
    catch_up(&test.lake, funnel, &test.engine, &small(), &silent).await.unwrap()
}

/// All rows of the table in words, sorted.
async fn rows(test: &TestLake, funnel: &str) -> String {
    let Some(table) = test.lake.open_table(&SESSIONS).await.unwrap() else { return String::new() };
    let snapshot = table.snapshot().await.unwrap();
    let context = test.engine.session(&test.lake);
    context
        .register_table(
            "sessions",
            Arc::new(LakeTable::new(&test.lake, &SESSIONS, Some(&snapshot))),
        )
        .unwrap();
    let text = format!(
        "SELECT * FROM sessions WHERE funnel = '{funnel}' ORDER BY client_id, session_id, session_key"
    );
    let batches = context.sql(&text).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

async fn loaded(
    test: &TestLake,
    funnel: &Funnel,
    request: LoadRequest,
) -> Result<Dataset, ComputeError> {
    let caught_up = caught_up(test, funnel).await;
    load(&test.lake, funnel, &test.engine, &caught_up, &request).await
}

fn as_of(as_of: i64) -> LoadRequest {
    LoadRequest { as_of, ..LoadRequest::default() }
}

fn names(sessions: &[Session]) -> Vec<&str> {
    sessions.iter().map(|session| &*session.session_id).collect()
}

#[tokio::test]
async fn an_empty_lake_has_no_sessions() {
    let test = TestLake::new();
    let caught_up = caught_up(&test, &funnel()).await;
    assert!(caught_up.events.is_none() && caught_up.sessions_changed == 0);
    let error = loaded(&test, &funnel(), as_of(0)).await.unwrap_err().to_string();
    assert!(error.contains("no events yet"), "{error}");
    test.lake.create(&EVENTS).await.unwrap();
    let dataset = loaded(&test, &funnel(), as_of(0)).await.unwrap();
    assert!(dataset.sessions.is_empty());
}

#[tokio::test]
async fn rows_say_what_the_events_did() {
    let mut test = TestLake::new();
    test.append(&[
        event("s", "t.one", 10, r#"{"language":"de","n":7,"deep":{"x":1},"none":null,"ok":true}"#),
        event("s", "t.two", 20, ""),
        event("s", "t.three", 30, r#"{"meaningful":false}"#),
        event("orphan", "t.two", 40, ""),
    ])
    .await;
    let work = caught_up(&test, &funnel()).await;
    assert_eq!((work.sessions_changed, work.events_read, work.whole), (2, 4, true));
    let dataset = loaded(
        &test,
        &funnel(),
        LoadRequest {
            attributes: vec!["language".into(), "n".into(), "ok".into(), "client_id".into()],
            ..as_of(100)
        },
    )
    .await
    .unwrap();
    assert_eq!(names(&dataset.sessions), ["orphan", "s"]);
    let [orphan, session] = &dataset.sessions[..] else { panic!() };
    assert_eq!(session.folded.stage_at, [Some(10), Some(20), None]);
    let lent: Vec<_> = session.attributes.iter().map(|value| value.as_deref().unwrap()).collect();
    assert_eq!(lent, ["de", "7", "true", "acme"]);
    assert_eq!(orphan.folded.fate, Fate::Orphan);
    assert_eq!(orphan.attributes.iter().flatten().count(), 1);
    assert_eq!(dataset.positions, BTreeMap::from([("file/test".to_owned(), 4)]));
}

#[tokio::test]
async fn catching_up_reads_only_what_is_new() {
    let mut test = TestLake::new();
    test.append(&[event("a", "t.one", 10, ""), event("b", "t.one", 11, "")]).await;
    caught_up(&test, &funnel()).await;
    let nothing = caught_up(&test, &funnel()).await;
    assert_eq!((nothing.sessions_changed, nothing.events_read, nothing.whole), (0, 0, false));
    test.append(&[event("a", "t.two", 20, ""), event("c", "t.one", 21, "")]).await;
    let work = caught_up(&test, &funnel()).await;
    assert_eq!((work.sessions_changed, work.events_read, work.whole), (2, 2, false));
}

#[tokio::test]
async fn an_earlier_start_moves_the_row_to_its_date() {
    const DAY: i64 = 86_400_000_000;
    let mut test = TestLake::new();
    test.append(&[
        event("a", "t.one", 5 * DAY, r#"{"v":"late"}"#),
        event("b", "t.one", 5 * DAY, ""),
    ])
    .await;
    caught_up(&test, &funnel()).await;
    test.append(&[event("a", "t.one", 2 * DAY, r#"{"v":"early"}"#)]).await;
    caught_up(&test, &funnel()).await;
    let text = rows(&test, "trial").await;
    assert!(
        text.contains("1970-01-03") && text.contains("v: early") && !text.contains("v: late"),
        "{text}"
    );
    assert_eq!(text.matches("| acme ").count(), 2, "{text}");
    check_rebuild(&test, &funnel()).await;
}

#[tokio::test]
async fn compaction_of_events_changes_nothing_and_removal_refolds() {
    let mut test = TestLake::new();
    test.append(&[event("a", "t.one", 10, "")]).await;
    test.append(&[event("b", "t.one", 11, "")]).await;
    caught_up(&test, &funnel()).await;
    let table = test.lake.open_table(&EVENTS).await.unwrap().unwrap();
    let rewriter = Rewriter::open(table.clone());
    let snapshot = table.snapshot().await.unwrap();
    let both = fixture::batch(&[event("a", "t.one", 10, ""), event("b", "t.one", 11, "")], 0);
    let files = rewriter.write(both).await.unwrap();
    rewriter
        .rewrite(&snapshot, snapshot.files.clone(), files, vec![], RewriteKind::Compaction)
        .await
        .unwrap();
    test.append(&[event("c", "t.one", 12, "")]).await;
    let work = caught_up(&test, &funnel()).await;
    assert_eq!((work.sessions_changed, work.events_read, work.whole), (1, 1, false));
    let snapshot = table.snapshot().await.unwrap();
    let only = rewriter.write(fixture::batch(&[event("a", "t.one", 10, "")], 0)).await.unwrap();
    rewriter
        .rewrite(&snapshot, snapshot.files.clone(), only, vec![], RewriteKind::Change)
        .await
        .unwrap();
    assert!(caught_up(&test, &funnel()).await.whole);
    assert_eq!(names(&loaded(&test, &funnel(), as_of(100)).await.unwrap().sessions), ["a"]);
}

#[tokio::test]
async fn another_definition_of_the_name_replaces_the_rows_and_may_come_back() {
    let mut test = TestLake::new();
    test.append(&[event("a", "t.one", 10, ""), event("a", "t.two", 20, "")]).await;
    let first = funnel();
    let second = Funnel { abandon_after_seconds: 5, ..funnel() };
    let other = Funnel { name: "other".into(), ..funnel() };
    caught_up(&test, &first).await;
    caught_up(&test, &other).await;
    let before = rows(&test, "trial").await;
    assert!(caught_up(&test, &second).await.whole);
    assert!(rows(&test, "trial").await.contains(&second.hash()));
    assert!(!rows(&test, "trial").await.contains(&first.hash()));
    assert!(caught_up(&test, &first).await.whole);
    assert_eq!(rows(&test, "trial").await, before);
    assert!(!caught_up(&test, &first).await.whole);
    assert!(
        !caught_up(&test, &other).await.whole,
        "another funnel's rows are none of its business"
    );
    assert!(rows(&test, "other").await.contains("acme"));
}

#[tokio::test]
async fn of_copies_the_smallest_counts_in_any_order() {
    let copy = |at: i64, data: &str| Event { id: "same".into(), ..event("s", "t.one", at, data) };
    let copies = [copy(10, r#"{"v":"b"}"#), copy(10, r#"{"v":"a"}"#), copy(12, r#"{"v":"0"}"#)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        for pieces in [1, 3] {
            let mut test = TestLake::new();
            let events: Vec<Event> = order.iter().map(|&index| copies[index].clone()).collect();
            for piece in events.chunks(3 / pieces) {
                test.append(piece).await;
                caught_up(&test, &funnel()).await;
            }
            let wanted = LoadRequest { attributes: vec!["v".into()], ..as_of(100) };
            let dataset = loaded(&test, &funnel(), wanted).await.unwrap();
            let [session] = &dataset.sessions[..] else { panic!("{order:?}") };
            assert_eq!(session.attributes[0].as_deref(), Some("a"), "{order:?} in {pieces}");
            assert_eq!(session.folded.stage_at[0], Some(10));
            let caught_up = caught_up(&test, &funnel()).await;
            let input =
                input_counts(&test.lake, "trial", &test.engine, &caught_up, 9).await.unwrap();
            assert_eq!(
                (input.events, input.duplicates, input.after_as_of),
                (3, 2, 1),
                "{order:?} in {pieces}"
            );
        }
    }
}

#[tokio::test]
async fn a_session_with_too_many_digests_is_read_from_its_events() {
    let mut test = TestLake::new();
    let events: Vec<Event> = (0..20)
        .map(|at| event("s", if at == 0 { "t.one" } else { "t.noise" }, at, r#"{"v":"x"}"#))
        .collect();
    test.append(&events).await;
    test.append(&[event("s", "t.two", 30, ""), event("other", "t.one", 31, "")]).await;
    let wanted = || LoadRequest { attributes: vec!["v".into()], ..as_of(100) };
    let dataset = loaded(&test, &funnel(), wanted()).await.unwrap();
    let [_, session] = &dataset.sessions[..] else { panic!() };
    assert_eq!(session.folded.stage_at, [Some(0), Some(30), None]);
    assert_eq!(session.attributes[0].as_deref(), Some("x"));
    assert!(rows(&test, "trial").await.contains("true"), "truncated");
    test.append(&[event("s", "t.three", 40, "")]).await;
    let dataset = loaded(&test, &funnel(), wanted()).await.unwrap();
    assert_eq!(dataset.sessions[1].folded.fate, Fate::Completed);
    let caught_up = caught_up(&test, &funnel()).await;
    let input = input_counts(&test.lake, "trial", &test.engine, &caught_up, 30).await.unwrap();
    assert_eq!((input.events, input.duplicates, input.after_as_of), (23, 0, 2));
    check_rebuild(&test, &funnel()).await;
}

#[tokio::test]
async fn periods_clients_and_the_past_choose_sessions() {
    let mut test = TestLake::new();
    let other = Event { client: "zeta".into(), ..event("s", "t.one", 15, "") };
    test.append(&[
        event("s", "t.one", 10, ""),
        other,
        event("o", "t.two", 12, ""),
        event("late", "t.two", 20, ""),
        event("late", "t.one", 30, ""),
    ])
    .await;
    let within =
        |periods: &[(i64, i64)], at: i64| LoadRequest { periods: periods.to_vec(), ..as_of(at) };
    let chosen = async |request: LoadRequest| {
        let dataset = loaded(&test, &funnel(), request).await.unwrap();
        dataset
            .sessions
            .iter()
            .map(|session| format!("{}/{}", session.client_id, session.session_id))
            .collect::<Vec<_>>()
    };
    assert_eq!(chosen(as_of(100)).await, ["acme/late", "acme/o", "acme/s", "zeta/s"]);
    assert_eq!(chosen(as_of(11)).await, ["acme/s"]);
    assert_eq!(chosen(within(&[(10, 13)], 100)).await, ["acme/o", "acme/s"]);
    assert_eq!(chosen(within(&[(20, 21)], 100)).await, [] as [&str; 0]);
    assert_eq!(chosen(within(&[(20, 21)], 29)).await, ["acme/late"], "it had not started yet");
    assert_eq!(chosen(within(&[(30, 31), (15, 16)], 100)).await, ["acme/late", "zeta/s"]);
    assert_eq!(
        chosen(LoadRequest { client_id: Some("zeta".into()), ..as_of(100) }).await,
        ["zeta/s"]
    );
}

#[tokio::test]
async fn an_attribute_that_nobody_has_is_refused() {
    let mut test = TestLake::new();
    test.append(&[event("s", "t.one", 10, r#"{"plan":"pro"}"#)]).await;
    let asked = |name: &str| LoadRequest { attributes: vec![name.into()], ..as_of(100) };
    for fine in ["plan", "language", "client_id"] {
        loaded(&test, &funnel(), asked(fine)).await.unwrap();
    }
    let error = loaded(&test, &funnel(), asked("plaN")).await.unwrap_err().to_string();
    assert_eq!(error, r#"no session has an attribute "plaN"; known are client_id, plan, v"#);
}

#[tokio::test]
async fn the_watermark_is_the_newest_event() {
    let mut test = TestLake::new();
    test.append(&[event("a", "t.one", 10, ""), event("b", "t.one", 86_400_000_123, "")]).await;
    test.append(&[event("c", "t.one", 86_400_000_122, "")]).await;
    let snapshot = test.lake.open_table(&EVENTS).await.unwrap().unwrap().snapshot().await.unwrap();
    assert_eq!(watermark(&test.lake, &test.engine, &snapshot).await.unwrap(), Some(86_400_000_123));
    let empty = Snapshot { files: vec![], ..snapshot };
    assert_eq!(watermark(&test.lake, &test.engine, &empty).await.unwrap(), None);
}

#[tokio::test]
async fn little_memory_spills_and_gives_the_same_rows() {
    let data = format!(r#"{{"v":"{}"}}"#, "long ".repeat(100));
    let one =
        |index: usize| event(&format!("{:04}", index * 7 % 1_500), "t.one", index as i64, &data);
    let events: Vec<Event> = (0..12_000).map(one).collect();
    let mut texts = Vec::new();
    // The payloads alone take 6 MB.
    for memory in [4 << 20, 256 << 20] {
        let mut test = TestLake::with_memory(memory);
        for piece in events.chunks(4_000) {
            test.append(piece).await;
        }
        let settings = Settings { buffered_rows: 1_000, file_rows: 500, ..small() };
        catch_up(&test.lake, &funnel(), &test.engine, &settings, &silent).await.unwrap();
        test.engine = TestLake::new().engine;
        texts.push(rows(&test, "trial").await);
    }
    assert!(texts[0] == texts[1]);
}

#[tokio::test]
async fn two_folds_at_once_leave_one_result() {
    let mut test = TestLake::new();
    for at in 0..5 {
        test.append(&[event("a", "t.one", at, ""), event(&format!("b{at}"), "t.one", at, "")])
            .await;
    }
    let funnel = funnel();
    let (one, other) = tokio::join!(caught_up(&test, &funnel), caught_up(&test, &funnel));
    assert_eq!(one.events_version(), other.events_version());
    check_rebuild(&test, &funnel).await;
}

/// The table's rows are those that the events give anew.
async fn check_rebuild(test: &TestLake, funnel: &Funnel) {
    let before = rows(test, &funnel.name).await;
    let dry = rebuild(&test.lake, funnel, &test.engine, &small(), true, &silent).await.unwrap();
    assert_eq!(
        (dry.different, dry.missing, dry.surplus, dry.written),
        (0, 0, 0, false),
        "{before}"
    );
    assert!(dry.sessions > 0);
    let wet = rebuild(&test.lake, funnel, &test.engine, &small(), false, &silent).await.unwrap();
    assert!(wet.written);
    assert_eq!(rows(test, &funnel.name).await, before);
}

#[tokio::test]
async fn a_rebuild_tells_what_is_wrong_and_mends_it() {
    let mut test = TestLake::new();
    test.append(&[
        event("a", "t.one", 10, ""),
        event("b", "t.one", 11, ""),
        event("c", "t.one", 12, ""),
    ])
    .await;
    caught_up(&test, &funnel()).await;
    let right = rows(&test, "trial").await;
    let table = test.lake.open_table(&SESSIONS).await.unwrap().unwrap();
    let snapshot = table.snapshot().await.unwrap();
    let context = test.engine.session(&test.lake);
    let frame = context
        .read_table(Arc::new(LakeTable::new(&test.lake, &SESSIONS, Some(&snapshot))))
        .unwrap();
    let batch = frame.collect().await.unwrap().remove(0);
    let rewriter = Rewriter::open(table.clone());
    // One row twice, one left out.
    let mut files = rewriter.write(batch.slice(0, 2)).await.unwrap();
    files.extend(rewriter.write(batch.slice(0, 1)).await.unwrap());
    rewriter
        .rewrite(&snapshot, snapshot.files.clone(), files, vec![], RewriteKind::Change)
        .await
        .unwrap();
    let found =
        rebuild(&test.lake, &funnel(), &test.engine, &small(), false, &silent).await.unwrap();
    assert_eq!((found.sessions, found.different, found.missing, found.surplus), (3, 1, 1, 0));
    assert_eq!(rows(&test, "trial").await, right);
}

/// An event of a small world: few sessions, few instants, repeated ids and differing copies.
fn any_event() -> impl Strategy<Value = Event> {
    let kind =
        prop::sample::select(vec!["t.one", "t.two", "t.three", "t.both", "t.gone", "t.noise"]);
    let data = prop::sample::select(vec![
        "",
        r#"{"v":"x","meaningful":false}"#,
        r#"{"v":"y","code":"E1"}"#,
        r#"{"why":"bored","code":"E2"}"#,
    ]);
    let id = prop_oneof![3 => 0..10_000_u32, 1 => 0..6_u32];
    (0..4_u8, kind, 0..12_i64, data, id, 0..2_u8).prop_map(
        |(session, kind, hour, data, id, source)| Event {
            source: format!("app{source}"),
            id: id.to_string(),
            // The days differ so that rows move between partitions; some instants coincide.
            ..event(&format!("s{session}"), kind, hour * 7_200_000_000, data)
        },
    )
}

#[test]
fn catching_up_in_any_pieces_equals_a_rebuild() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pieces = prop::collection::vec(prop::collection::vec(any_event(), 1..9), 1..6);
    let mut runner =
        TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    runner
        .run(&(pieces, 0..13_i64), |(pieces, hour)| {
            runtime.block_on(async {
                let (mut stepwise, mut at_once) = (TestLake::new(), TestLake::new());
                for piece in &pieces {
                    stepwise.append(piece).await;
                    caught_up(&stepwise, &funnel()).await;
                    check_rebuild(&stepwise, &funnel()).await;
                    at_once.append(piece).await;
                }
                caught_up(&at_once, &funnel()).await;
                assert_eq!(rows(&stepwise, "trial").await, rows(&at_once, "trial").await);
                let wanted =
                    || LoadRequest { attributes: vec!["v".into()], ..as_of(hour * 7_200_000_000) };
                let (one, other) = (
                    loaded(&stepwise, &funnel(), wanted()).await,
                    loaded(&at_once, &funnel(), wanted()).await,
                );
                assert_eq!(one.unwrap().sessions, other.unwrap().sessions);
            });
            Ok(())
        })
        .unwrap();
}
