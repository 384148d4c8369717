//! The table `sessions` against its definition: every row a function of its session's events.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use onramp_lake::{RewriteKind, Rewriter};
use onramp_schemas::funnel::{Funnel, parse};
use onramp_schemas::tables::{EVENTS, SESSIONS};

use super::fixture::{Event, TestLake, event};
use super::*;
use crate::error::ComputeError;
use crate::metrics::Population;
use crate::scan::LakeTable;

mod asking;
mod rebuilding;

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
    Settings { digests: 6, slice_events: 7, file_rows: 4, buffered_bytes: 9_000 }
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
    let (attributes, periods) = (vec![CLIENT_ID.into()], vec![(i64::MIN, i64::MAX)]);
    LoadRequest { as_of, attributes, periods, ..LoadRequest::default() }
}

/// The sessions of all periods in words, sorted: values of attributes, when they reached each
/// stage, what became of them; and how many orphans there are.
fn words(dataset: &Dataset) -> Vec<String> {
    let mut words: Vec<String> =
        dataset.populations.iter().flat_map(Population::in_words).collect();
    words.sort_unstable();
    words
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
    assert!(words(&dataset).is_empty());
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
    let attributes = ["language", "n", "ok", "client_id"].map(Into::into).into();
    let dataset = loaded(&test, &funnel(), LoadRequest { attributes, ..as_of(100) }).await.unwrap();
    assert_eq!(words(&dataset), ["1 orphans", "de 7 true acme: 10 20 - Active"]);
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
    assert_eq!(
        words(&loaded(&test, &funnel(), as_of(100)).await.unwrap()),
        ["acme: 10 - - Active"]
    );
}

#[tokio::test]
async fn an_appended_file_that_was_swept_up_is_no_loss() {
    let mut test = TestLake::new();
    test.append(&[event("a", "t.one", 10, "")]).await;
    caught_up(&test, &funnel()).await;
    test.append(&[event("b", "t.one", 11, "")]).await;
    let table = test.lake.open_table(&EVENTS).await.unwrap().unwrap();
    let rewriter = Rewriter::open(table.clone());
    let snapshot = table.snapshot().await.unwrap();
    let both = [event("a", "t.one", 10, ""), event("b", "t.one", 11, "")];
    let files = rewriter.write(fixture::batch(&both, 0)).await.unwrap();
    let old = snapshot.files.clone();
    rewriter.rewrite(&snapshot, old.clone(), files, vec![], RewriteKind::Compaction).await.unwrap();
    for file in old {
        let path = datafusion::object_store::path::Path::parse(&file.path).unwrap();
        datafusion::object_store::ObjectStoreExt::delete(&table.store(), &path).await.unwrap();
    }
    assert!(caught_up(&test, &funnel()).await.whole);
    assert_eq!(
        words(&loaded(&test, &funnel(), as_of(100)).await.unwrap()),
        ["acme: 10 - - Active", "acme: 11 - - Active"]
    );
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
            assert_eq!(words(&dataset), ["a: 10 - - Active"], "{order:?} in {pieces}");
            let caught_up = caught_up(&test, &funnel()).await;
            let input = input_counts(&test.lake, "trial", &test.engine, &caught_up, &as_of(9))
                .await
                .unwrap();
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
    assert_eq!(words(&dataset), ["-: 31 - - Active", "x: 0 30 - Active"]);
    let before = LoadRequest { as_of: 29, ..wanted() };
    let dataset = loaded(&test, &funnel(), before).await.unwrap();
    assert_eq!(words(&dataset), ["x: 0 - - Active"], "from its events");
    assert!(rows(&test, "trial").await.contains("true"), "truncated");
    test.append(&[event("s", "t.three", 40, "")]).await;
    let dataset = loaded(&test, &funnel(), wanted()).await.unwrap();
    assert_eq!(words(&dataset), ["-: 31 - - Active", "x: 0 30 40 Completed"]);
    let caught_up = caught_up(&test, &funnel()).await;
    let input =
        input_counts(&test.lake, "trial", &test.engine, &caught_up, &as_of(30)).await.unwrap();
    assert_eq!((input.events, input.duplicates, input.after_as_of), (23, 0, 2));
    check_rebuild(&test, &funnel()).await;
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
