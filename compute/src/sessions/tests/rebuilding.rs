//! However the events came in, the rows are those of a rebuild.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

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
        let settings = Settings { buffered_bytes: 1 << 20, file_rows: 500, ..small() };
        catch_up(&test.lake, &funnel(), &test.engine, &settings, &silent).await.unwrap();
        test.engine = TestLake::new().engine;
        texts.push(rows(&test, "trial").await);
    }
    assert!(texts[0] == texts[1]);
}

#[tokio::test]
async fn a_bucket_serves_as_a_folder_does() {
    let Some(mut test) = TestLake::in_bucket() else {
        println!("skipped: ONRAMP_TEST_S3 names no S3 service");
        return;
    };
    let mut folder = TestLake::new();
    for piece in [
        [event("a", "t.one", 5, ""), event("b", "t.one", 6, "")],
        [event("b", "t.two", 9, ""), event("a", "t.two", 5, "")],
    ] {
        for lake in [&mut test, &mut folder] {
            lake.append(&piece).await;
            caught_up(lake, &funnel()).await;
        }
    }
    assert_eq!(rows(&test, "trial").await, rows(&folder, "trial").await);
    check_rebuild(&test, &funnel()).await;
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
                assert_eq!(words(&one.unwrap()), words(&other.unwrap()));
            });
            Ok(())
        })
        .unwrap();
}
