//! Reading tables at a version.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::util::pretty::pretty_format_batches;
use datafusion::logical_expr::{col, lit};
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;
use onramp_lake::Snapshot;
use onramp_schemas::tables::{DUPLICATES, EVENTS};

use super::*;
use crate::sessions::fixture::{TestLake, event, session_key};

const DAY: i64 = 86_400_000_000;

async fn context(test: &TestLake, snapshot: &Snapshot) -> SessionContext {
    let context = test.engine.session(&test.lake);
    context
        .register_table("events", Arc::new(LakeTable::new(&test.lake, &EVENTS, Some(snapshot))))
        .unwrap();
    context
}

async fn snapshot(test: &TestLake) -> Snapshot {
    test.lake.open_table(&EVENTS).await.unwrap().unwrap().snapshot().await.unwrap()
}

async fn sql(context: &SessionContext, sql: &str) -> String {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

async fn three_days() -> TestLake {
    let mut test = TestLake::new();
    for day in 0..3 {
        let at = day * DAY;
        let data = format!(r#"{{"day":{day}}}"#);
        test.append(&[
            event("a", "x.started", at, &data),
            event(&format!("b{day}"), "x.done", at + 1, ""),
        ])
        .await;
    }
    test
}

#[tokio::test]
async fn columns_come_in_the_declared_order_with_partition_values() {
    let test = three_days().await;
    let context = context(&test, &snapshot(&test).await).await;
    let star = context.sql("SELECT * FROM events").await.unwrap();
    let names: Vec<_> = star.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, EVENTS.columns.iter().map(|column| column.name).collect::<Vec<_>>());
    let rows = sql(&context, "SELECT session_id, event_date, data FROM events WHERE event_type = 'x.started' ORDER BY occurred_at").await;
    let expected = "\
+------------+------------+-----------+
| session_id | event_date | data      |
+------------+------------+-----------+
| a          | 1970-01-01 | {\"day\":0} |
| a          | 1970-01-02 | {\"day\":1} |
| a          | 1970-01-03 | {\"day\":2} |
+------------+------------+-----------+";
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn a_version_stays_what_it_was() {
    let mut test = three_days().await;
    let old = snapshot(&test).await;
    test.append(&[event("late", "x.started", 5, "")]).await;
    let count = "SELECT count(*) AS n, count(data) AS d FROM events";
    assert!(sql(&context(&test, &old).await, count).await.contains("| 6 | 3 |"));
    assert!(sql(&context(&test, &snapshot(&test).await).await, count).await.contains("| 7 | 3 |"));
}

#[tokio::test]
async fn files_that_cannot_match_are_not_read() {
    let test = three_days().await;
    let context = context(&test, &snapshot(&test).await).await;
    let files = async |filter: Expr| {
        let frame = context.table("events").await.unwrap().filter(filter).unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        displayable(plan.as_ref()).indent(true).to_string().matches(".parquet").count()
    };
    let key = session_key(&event("b1", "x.done", 0, ""));
    let instant = |at: i64| {
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(at), Some("UTC".into())), None)
    };
    assert_eq!(files(lit(true)).await, 3);
    assert_eq!(files(col("event_date").eq(lit(ScalarValue::Date32(Some(1))))).await, 1);
    assert_eq!(files(col("occurred_at").gt(instant(2 * DAY))).await, 1);
    assert_eq!(files(col("occurred_at").gt(instant(2 * DAY + 1))).await, 0);
    assert!(files(col("session_key").eq(lit(key))).await >= 1);
    assert_eq!(files(col("session_key").eq(lit(i64::MIN))).await, 0);
    assert_eq!(files(col("sequence").lt(lit(2_i64))).await, 1);
}

#[tokio::test]
async fn a_count_reads_no_file_and_a_filter_is_exact() {
    let test = three_days().await;
    let context = context(&test, &snapshot(&test).await).await;
    let plan = context
        .sql("SELECT count(*) FROM events")
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    assert!(!displayable(plan.as_ref()).indent(true).to_string().contains(".parquet"));
    let some = sql(
        &context,
        "SELECT count(*) FROM events WHERE event_date >= '1970-01-02' AND session_id = 'a'",
    )
    .await;
    assert!(some.contains("| 2        |"), "{some}");
}

#[tokio::test]
async fn the_file_column_tells_files_apart() {
    let test = three_days().await;
    let snapshot = snapshot(&test).await;
    let context = test.engine.session(&test.lake);
    let table = LakeTable::new(&test.lake, &EVENTS, Some(&snapshot)).with_file_column();
    let frame = context.read_table(Arc::new(table)).unwrap();
    let frame = frame
        .filter(col(FILE_COLUMN).eq(lit(1)))
        .unwrap()
        .select(vec![col("event_date"), col("sequence")])
        .unwrap();
    let batches = frame.collect().await.unwrap();
    let dates: Vec<_> = batches
        .iter()
        .flat_map(|batch| {
            batch.column(0).as_primitive::<arrow::datatypes::Date32Type>().values().to_vec()
        })
        .collect();
    assert_eq!(dates.len(), 2);
    assert_eq!(dates[0].to_string(), snapshot_day(&snapshot, 1));
    let sequences: i64 = batches
        .iter()
        .map(|batch| batch.column(1).as_primitive::<Int64Type>().values().iter().sum::<i64>())
        .sum();
    assert_eq!(sequences, snapshot.files[1].range("sequence").map(|(min, max)| min + max).unwrap());
}

fn snapshot_day(snapshot: &Snapshot, index: usize) -> String {
    let date: chrono::NaiveDate =
        snapshot.files[index].partition_values["event_date"].as_deref().unwrap().parse().unwrap();
    (date - chrono::NaiveDate::default()).num_days().to_string()
}

#[tokio::test]
async fn a_table_that_is_not_there_is_empty() {
    let test = TestLake::new();
    let context = test.engine.session(&test.lake);
    context
        .register_table("duplicates", Arc::new(LakeTable::new(&test.lake, &DUPLICATES, None)))
        .unwrap();
    let count =
        sql(&context, "SELECT count(*) AS n, min(first_sequence) AS least FROM duplicates").await;
    assert!(count.contains("| 0 |       |"), "{count}");
}
