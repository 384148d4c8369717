use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::pretty::pretty_format_batches;
use datafusion::logical_expr::col;
use onramp_lake::{Appender, SequenceRange};
use onramp_schemas::funnel::parse;
use onramp_schemas::tables::{self, DEAD_LETTERS, DUPLICATES, EVENTS};

use super::*;
use crate::maintenance::Progress;
use crate::scan::LakeTable;
use crate::sessions::fixture::{Event, TestLake, event};
use crate::sessions::{self, catch_up, rebuild};

const HOUR: i64 = 3_600_000_000;

fn silent(_: Progress) {}

/// Small bounds, so that small logs cross them.
fn small() -> Settings {
    Settings { file_bytes: 1 << 20, file_rows: 7 }
}

async fn compacted(test: &TestLake, dry_run: bool) -> Vec<Compacted> {
    compact(&test.lake, &test.engine, &small(), dry_run, &silent).await.unwrap()
}

async fn snapshot(test: &TestLake, table: &'static tables::Table) -> Snapshot {
    test.lake.open_table(table).await.unwrap().unwrap().snapshot().await.unwrap()
}

/// All rows of some files, in their order or sorted by every column that has one.
async fn rows_of(
    test: &TestLake,
    table: &'static tables::Table,
    files: &[DataFile],
    sorted: bool,
) -> Vec<RecordBatch> {
    let files = LakeTable::of_files(&test.lake, table, files.to_vec());
    let mut frame = test.engine.session(&test.lake).read_table(Arc::new(files)).unwrap();
    if sorted {
        let order = table.columns.iter().map(|column| col(column.name).sort(true, true)).collect();
        frame = frame.sort(order).unwrap();
    }
    frame.collect().await.unwrap()
}

async fn text(test: &TestLake, table: &'static tables::Table) -> String {
    let files = snapshot(test, table).await.files;
    pretty_format_batches(&rows_of(test, table, &files, true).await).unwrap().to_string()
}

/// Sessions over two days, in commits that each hold some of most of them.
async fn filled(commits: i64) -> TestLake {
    let mut test = TestLake::new();
    for commit in 0..commits {
        let events: Vec<Event> = (0..9)
            .map(|at| {
                let session = format!("s{}", (commit * 5 + at) % 13);
                event(&session, "t.one", (commit * 9 + at) * HOUR / 2, r#"{"v":"x"}"#)
            })
            .collect();
        test.append(&events).await;
    }
    test
}

#[tokio::test]
async fn rows_stay_and_lie_in_disjoint_sorted_ranges() {
    let test = filled(10).await;
    let before = text(&test, &EVENTS).await;
    let version = snapshot(&test, &EVENTS).await.version;
    let dry = compacted(&test, true).await;
    assert_eq!(snapshot(&test, &EVENTS).await.version, version, "a dry run commits nothing");
    let done = compacted(&test, false).await;
    assert_eq!((dry[0].rows, dry[0].files_before, dry[0].files_after), (90, 11, None));
    assert_eq!((done[0].rows, done[0].files_before, done[0].partitions), (90, 11, 2));
    assert_eq!(text(&test, &EVENTS).await, before);

    let after = snapshot(&test, &EVENTS).await;
    assert_eq!(done[0].files_after, Some(after.files.len() as u64));
    assert_eq!(after.version, version + 2, "one commit a date");
    for date in ["1970-01-01", "1970-01-02"] {
        let of_date =
            |file: &&DataFile| file.partition_values["event_date"].as_deref() == Some(date);
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for file in after.files.iter().filter(of_date) {
            assert!(file.rows.unwrap() < 7 + 13, "{file:?}");
            ranges.push(file.range("session_key").unwrap());
            let rows = rows_of(&test, &EVENTS, std::slice::from_ref(file), false).await;
            let mut places = Vec::new();
            for batch in &rows {
                let column = |name: &str| batch.column_by_name(name).unwrap();
                let (keys, at) =
                    (column("session_key"), cast(column("occurred_at"), &DataType::Int64));
                let (keys, at) = (keys.as_primitive::<Int64Type>(), at.unwrap());
                places.extend(
                    (0..batch.num_rows())
                        .map(|row| (keys.value(row), at.as_primitive::<Int64Type>().value(row))),
                );
                let sequences = column("sequence").as_primitive::<Int64Type>();
                let [SequenceRange { first, last, .. }] = &file.sequences()[..] else { panic!() };
                assert!(sequences.values().iter().all(|held| (first..=last).contains(&held)));
            }
            assert!(places.is_sorted(), "{places:?}");
        }
        ranges.sort_unstable();
        assert!(ranges.len() > 2, "{ranges:?}");
        assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
    }
    let again = compacted(&test, false).await;
    assert_eq!((again[0].partitions, again[0].files_before, again[0].files_after), (0, 0, Some(0)));
    assert_eq!(snapshot(&test, &EVENTS).await.version, after.version);
}

#[tokio::test]
async fn folds_pass_over_a_compaction_and_rebuild_from_it() {
    let funnel = parse(
        "name = \"trial\"\n[[stages]]\nname = \"One\"\ntype = \"t.one\"\n[[stages]]\nname = \"Two\"\ntype = \"t.two\"\n",
        "trial.toml",
    )
    .unwrap();
    let mut test = filled(6).await;
    let settings = sessions::Settings::default();
    let fold = async |test: &TestLake| {
        catch_up(&test.lake, &funnel, &test.engine, &settings, &sessions::silent).await.unwrap()
    };
    fold(&test).await;
    compacted(&test, false).await;
    test.append(&[event("s1", "t.two", 70 * HOUR, "")]).await;
    let news = fold(&test).await;
    assert_eq!((news.events_read, news.whole), (1, false));
    let dry = rebuild(&test.lake, &funnel, &test.engine, &settings, true, &sessions::silent);
    let dry = dry.await.unwrap();
    assert_eq!((dry.sessions, dry.different, dry.missing, dry.surplus), (13, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_compactions_beside_appends_lose_and_double_nothing() {
    let mut test = filled(12).await;
    let (lake, engine) = (test.lake.clone(), test.engine.clone());
    let compaction = || {
        let (lake, engine) = (lake.clone(), engine.clone());
        tokio::spawn(async move { compact(&lake, &engine, &small(), false, &silent).await })
    };
    let both = [compaction(), compaction()];
    for late in 0..20 {
        test.append(&[event("late", "t.one", late * HOUR, "")]).await;
    }
    for one in both {
        one.await.unwrap().unwrap();
    }
    compacted(&test, false).await;
    let rows = rows_of(&test, &EVENTS, &snapshot(&test, &EVENTS).await.files, false).await;
    let sequences: Vec<i64> = rows
        .iter()
        .flat_map(|batch| {
            let column = batch.column_by_name("sequence").unwrap();
            column.as_primitive::<Int64Type>().values().to_vec()
        })
        .collect();
    assert_eq!(sequences.len(), 12 * 9 + 20);
    assert_eq!(sequences.into_iter().collect::<BTreeSet<_>>().len(), 12 * 9 + 20);
}

/// One row: this number in every integer column, 7 and "x" where a value must be.
fn row(table: &'static tables::Table, number: i64) -> RecordBatch {
    let schema = table.arrow_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.data_type() {
            kind if field.is_nullable() => new_null_array(kind, 1),
            DataType::Int64 => Arc::new(Int64Array::from(vec![number])),
            DataType::Utf8 => Arc::new(StringArray::from(vec!["x"])),
            DataType::Binary => cast(&StringArray::from(vec!["x"]), &DataType::Binary).unwrap(),
            DataType::Boolean => cast(&Int32Array::from(vec![1]), &DataType::Boolean).unwrap(),
            kind => cast(&Int32Array::from(vec![7]), kind)
                .or_else(|_| cast(&Int64Array::from(vec![7]), kind))
                .unwrap(),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

#[tokio::test]
async fn small_files_beside_events_are_merged_and_void_letters_dropped() {
    let test = TestLake::new();
    let numbers: [(&'static tables::Table, &[i64]); 3] =
        [(&DEAD_LETTERS, &[1, 2, 3]), (&EVENTS, &[2, 4]), (&DUPLICATES, &[5, 6])];
    for (table, numbers) in numbers {
        let mut appender = Appender::open(test.lake.create(table).await.unwrap()).await.unwrap();
        for &number in numbers {
            let range = SequenceRange { app_id: "x".into(), first: number, last: number + 10 };
            let files = appender.write(row(table, number), &[range]).await.unwrap();
            appender.commit(files, vec![]).await.unwrap();
        }
    }
    for files_before in [3, 0] {
        let done = compacted(&test, false).await;
        let letters = done.iter().find(|done| done.table == DEAD_LETTERS.name).unwrap();
        assert_eq!(letters.files_before, files_before);
    }
    let [letters] = &snapshot(&test, &DEAD_LETTERS).await.files[..] else { panic!() };
    assert_eq!((letters.rows, letters.range("sequence")), (Some(2), Some((1, 3))));
    let [duplicates] = &snapshot(&test, &DUPLICATES).await.files[..] else { panic!() };
    let united = SequenceRange { app_id: "x".into(), first: 5, last: 16 };
    assert_eq!((duplicates.rows, duplicates.sequences()), (Some(2), vec![united]));
    // One void letter alone in its file is reason enough.
    let mut appender =
        Appender::open(test.lake.open_table(&EVENTS).await.unwrap().unwrap()).await.unwrap();
    let files = appender.write(row(&EVENTS, 3), &[]).await.unwrap();
    appender.commit(files, vec![]).await.unwrap();
    compacted(&test, false).await;
    let [letters] = &snapshot(&test, &DEAD_LETTERS).await.files[..] else { panic!() };
    assert_eq!((letters.rows, letters.range("sequence")), (Some(1), Some((1, 1))));
}

#[tokio::test]
async fn little_memory_spills() {
    let data = format!(r#"{{"v":"{}"}}"#, "long ".repeat(200));
    // The payloads alone take 20 MB.
    let mut test = TestLake::with_memory(16 << 20);
    let events: Vec<Event> =
        (0..20_000).map(|at| event(&format!("{}", at * 7 % 1_500), "t.one", at, &data)).collect();
    for piece in events.chunks(4_000) {
        test.append(piece).await;
    }
    let settings = Settings { file_rows: 9_000, ..Settings::default() };
    compact(&test.lake, &test.engine, &settings, false, &silent).await.unwrap();
    let files = snapshot(&test, &EVENTS).await.files;
    let rows: Vec<i64> = files.iter().filter_map(|file| file.rows).collect();
    assert_eq!((rows.len(), rows.iter().sum::<i64>()), (3, 20_000));
}
