use std::collections::BTreeMap;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use onramp_lake::{Appender, Snapshot};
use onramp_schemas::funnel::parse;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::fold::{Digest, fold};
use crate::sessions::fixture::{Event, TestLake, batch, event};

const STAGES: &str = r#"
[[stages]]
name = "One"
type = "t.one"
[[stages]]
name = "Two"
predicate = "event_type IN ('t.two', 't.both') AND meaningful IS NOT FALSE"
[[stages]]
name = "Three"
type = ["t.three", "t.both"]
"#;

const HEADS: [&str; 4] = [
    "",
    "order = \"strict\"\nwindow_seconds = 20",
    "order = \"unordered\"",
    "[[exclusions]]\ntype = \"t.gone\"\npredicate = \"event_type <> 't.one'\"\nfrom_stage = 1\nto_stage = 3",
];

fn funnel(head: &str) -> Funnel {
    parse(&format!("name = \"trial\"\n{head}\n{STAGES}"), "trial.toml").unwrap()
}

/// Keys of which many sessions share one.
fn key(event: &Event) -> i64 {
    let number: i64 = event.session[1..].parse().unwrap();
    [i64::MIN, -1, 0, i64::MAX][(number % 4) as usize]
}

/// Appends events as one file a day, in the order that they are in.
async fn append(lake: &Lake, events: &[Event]) {
    let rows = batch(events, 0);
    let keys: ArrayRef = Arc::new(events.iter().map(key).collect::<Int64Array>());
    let mut columns = rows.columns().to_vec();
    columns[rows.schema().index_of("session_key").unwrap()] = keys;
    let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
    let mut appender = Appender::open(lake.create(&EVENTS).await.unwrap()).await.unwrap();
    let files = appender.write(rows, &[]).await.unwrap();
    appender.commit(files, vec![]).await.unwrap();
}

async fn snapshot(lake: &Lake) -> Snapshot {
    lake.open_table(&EVENTS).await.unwrap().unwrap().snapshot().await.unwrap()
}

type Stages = Vec<Option<i64>>;

/// Key and stage times of every session, sorted.
async fn folded(test: &TestLake, funnel: &Funnel, as_of: i64) -> Vec<(i64, Stages)> {
    let context = test.engine.session(&test.lake);
    let files = snapshot(&test.lake).await.files;
    let table = FoldedSessions::new(&context, &test.lake, files, funnel, as_of).unwrap();
    let mut found = Vec::new();
    for rows in context.read_table(Arc::new(table)).unwrap().collect().await.unwrap() {
        let keys = rows.column(0).as_primitive::<Int64Type>();
        let stage = |stage: usize| rows.column(stage).as_primitive::<TimestampMicrosecondType>();
        let stages: Vec<&TimestampMicrosecondArray> = (1..rows.num_columns()).map(stage).collect();
        found.extend((0..rows.num_rows()).map(|row| {
            (keys.value(row), stages.iter().map(|it| it.iter().nth(row).unwrap()).collect())
        }));
    }
    found.sort();
    found
}

/// The same by the fold itself, session by session, its conditions written out by hand.
fn plainly(events: &[Event], funnel: &Funnel, as_of: i64) -> Vec<(i64, Stages)> {
    let mut sessions: BTreeMap<(&str, &str), Vec<&Event>> = BTreeMap::new();
    for event in events {
        sessions.entry((&event.client, &event.session)).or_default().push(event);
    }
    let mut found = Vec::new();
    for mut events in sessions.into_values() {
        events.sort_by_key(|event| (event.at, event.id.clone()));
        let digests: Vec<Digest> =
            events.iter().enumerate().map(|(at, it)| digest(it, at)).collect();
        let Some(folded) = fold(&digests, &Rules::new(funnel), as_of) else { continue };
        if folded.opening.is_some() && !folded.excluded {
            found.push((key(events[0]), folded.stage_at));
        }
    }
    found.sort();
    found
}

fn digest(event: &Event, at: usize) -> Digest {
    let vain = event.data.as_deref().is_some_and(|data| data.contains("false"));
    let stages = match &*event.kind {
        "t.one" => 1,
        "t.two" if !vain => 2,
        "t.three" => 4,
        "t.both" => 4 | if vain { 0 } else { 2 },
        _ => 0,
    };
    Digest {
        id: at as u128,
        occurred_at: event.at,
        stages,
        exclusions: u32::from(event.kind == "t.gone"),
        abandonment: false,
        error: false,
        activity: true,
        reason: None,
        code: None,
    }
}

/// An event of a small world: sessions that share keys and ids, few instants over two days.
fn any_event() -> impl Strategy<Value = Event> {
    let kind =
        prop::sample::select(vec!["t.one", "t.two", "t.three", "t.both", "t.gone", "t.noise"]);
    let data = prop::sample::select(vec!["", r#"{"meaningful":false}"#, r#"{"meaningful":true}"#]);
    (0..9_u8, kind, 0..40_i64, data, any::<u64>(), 0..2_u8).prop_map(
        |(session, kind, at, data, id, client)| Event {
            client: format!("client{client}"),
            id: id.to_string(),
            ..event(&format!("s{session}"), kind, at / 20 * 86_400_000_000 + at * 1_000_000, data)
        },
    )
}

#[test]
fn agrees_with_the_fold_on_any_files_in_any_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let files = prop::collection::vec(prop::collection::vec(any_event(), 1..40), 1..5);
    let as_of = prop_oneof![Just(i64::MAX), (0..40_i64).prop_map(|at| at * 1_000_000)];
    let mut runner =
        TestRunner::new(Config { cases: 16, failure_persistence: None, ..Config::default() });
    let sorted = any::<bool>();
    runner
        .run(&(files, as_of, sorted), |(mut files, as_of, sorted)| {
            runtime.block_on(async {
                let test = TestLake::new();
                for file in &mut files {
                    if sorted {
                        file.sort_by_key(|event| (key(event), event.at));
                    }
                    append(&test.lake, file).await;
                }
                let all = files.concat();
                for head in HEADS {
                    let funnel = funnel(head);
                    let expected = plainly(&all, &funnel, as_of);
                    assert_eq!(folded(&test, &funnel, as_of).await, expected, "{head}");
                }
            });
            Ok(())
        })
        .unwrap();
}

/// Many sessions, each spread over all files.
fn many(sessions: i64) -> Vec<Event> {
    let kinds = ["t.one", "t.two", "t.three"];
    (0..sessions * 3)
        .map(|at| {
            let session = format!("s{}", at * 7_919 % sessions);
            event(&session, kinds[(at / sessions) as usize], at, "")
        })
        .collect()
}

#[tokio::test]
async fn little_memory_spills_and_gives_the_same_sessions() {
    let events = many(20_000);
    let test = TestLake::with_memory(1 << 20);
    for file in events.chunks(15_000) {
        append(&test.lake, file).await;
    }
    let funnel = funnel("");
    let expected = plainly(&events, &funnel, i64::MAX);
    assert_eq!(expected.len(), 20_000);
    assert!(folded(&test, &funnel, i64::MAX).await == expected);
    let context = test.engine.session(&test.lake);
    let files = snapshot(&test.lake).await.files;
    let table = FoldedSessions::new(&context, &test.lake, files, &funnel, i64::MAX).unwrap();
    let plan = context.read_table(Arc::new(table)).unwrap().create_physical_plan().await.unwrap();
    datafusion::physical_plan::collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
    assert!(plan.metrics().unwrap().spill_count().unwrap() > 1);
}

#[tokio::test]
async fn the_result_counts_stages_with_mean_times() {
    let test = TestLake::new();
    let told = raw_funnel(&test.lake, &funnel(""), &test.engine, i64::MAX).await.unwrap();
    assert_eq!((told.sessions, told.mean_seconds), (vec![0; 3], vec![None; 3]), "no table at all");
    append(
        &test.lake,
        &[
            event("s1", "t.one", 0, ""),
            event("s1", "t.two", 4_000_000, ""),
            event("s2", "t.one", 1_000_000, ""),
            event("s2", "t.two", 3_000_000, ""),
            event("s3", "t.three", 3_000_000, ""),
        ],
    )
    .await;
    let told = raw_funnel(&test.lake, &funnel(""), &test.engine, i64::MAX).await.unwrap();
    assert_eq!(told.sessions, [2, 2, 0]);
    assert_eq!(told.mean_seconds, [Some(0.0), Some(3.0), None]);
}

#[tokio::test]
async fn a_session_of_very_many_events_is_one_session() {
    let test = TestLake::new();
    let mut events: Vec<Event> = (0..50_000).map(|at| event("s1", "t.noise", at, "")).collect();
    events.extend((0..50_000).map(|at| event("s1", "t.one", at, "")));
    events.push(event("s1", "t.two", 50_000, ""));
    let rows = batch(&events, 0);
    let backwards: UInt32Array = (0..events.len() as u32).rev().collect();
    let rows = take_record_batch(&rows, &backwards).unwrap();
    let mut appender = Appender::open(test.lake.create(&EVENTS).await.unwrap()).await.unwrap();
    let files = appender.write(rows, &[]).await.unwrap();
    appender.commit(files, vec![]).await.unwrap();
    let told = raw_funnel(&test.lake, &funnel(""), &test.engine, i64::MAX).await.unwrap();
    assert_eq!(told.sessions, [1, 1, 0]);
    assert_eq!(told.mean_seconds[1], Some(0.05));
}
