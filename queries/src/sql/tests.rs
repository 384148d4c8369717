use datafusion::arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, new_null_array,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use onramp_compute::engine::Options;
use onramp_lake::{Appender, StoreSettings};

use super::*;

async fn answer(statement: &str) -> Result<usize, String> {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path().to_str().unwrap(), &StoreSettings::default()).unwrap();
    let engine = Engine::new(&Options::default()).unwrap();
    let rows = run(&lake, &engine, &Caller::local(), statement)
        .await
        .map_err(|error| format!("{error:?}"))?;
    let rows: Vec<_> = rows.try_collect().await.map_err(|error| error.to_string())?;
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "a statement wrote into the lake: {statement}");
    Ok(rows.iter().map(|batch| batch.num_rows()).sum())
}

#[tokio::test]
async fn an_empty_lake_has_every_table() {
    for table in tables::ALL {
        let statement = format!("SELECT count(*) FROM {}", table.name);
        assert_eq!(answer(&statement).await, Ok(1), "{statement}");
    }
    assert!(answer("DESCRIBE events").await.unwrap() >= 45);
    assert!(answer("SHOW TABLES").await.unwrap() >= 4);
    assert_eq!(answer("EXPLAIN SELECT 1").await.map(|rows| rows > 0), Ok(true));
}

#[tokio::test]
async fn nothing_that_writes_or_sets_runs() {
    for statement in [
        "CREATE TABLE t AS SELECT 1",
        "DROP TABLE events",
        "INSERT INTO events SELECT * FROM events",
        "DELETE FROM events",
        "COPY (SELECT 1) TO '/tmp/onramp-sql-test.csv'",
        "SET datafusion.execution.batch_size = 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events",
        "PREPARE p AS SELECT 1",
        "SELECT * FROM '/etc/passwd'",
        "SELECT 1; SELECT 2",
        "SELEC 1",
        "",
    ] {
        assert!(answer(statement).await.is_err(), "{statement:?} was run");
    }
}

/// One row of a table: number 7 and the text "x" in every column that must not be null, except for
/// the sequence.
fn row(table: &'static Table, sequence: i64) -> RecordBatch {
    let schema = table.arrow_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.data_type() {
            kind if field.is_nullable() => new_null_array(kind, 1),
            DataType::Int64 if field.name() == "sequence" => {
                Arc::new(Int64Array::from(vec![sequence]))
            }
            DataType::Utf8 => Arc::new(StringArray::from(vec!["x"])),
            DataType::Binary => Arc::new(BinaryArray::from_vec(vec![b"x"])),
            kind => cast(&Int32Array::from(vec![7]), kind)
                .or_else(|_| cast(&Int64Array::from(vec![7]), kind))
                .unwrap(),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

#[tokio::test]
async fn a_letter_whose_record_was_accepted_is_void() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path().to_str().unwrap(), &StoreSettings::default()).unwrap();
    for (table, sequences) in [(&tables::DEAD_LETTERS, &[1, 2, 3][..]), (&tables::EVENTS, &[2, 4])]
    {
        let mut appender = Appender::open(lake.create(table).await.unwrap()).await.unwrap();
        for &sequence in sequences {
            let files = appender.write(row(table, sequence), &[]).await.unwrap();
            appender.commit(files, vec![]).await.unwrap();
        }
    }
    let engine = Engine::new(&Options::default()).unwrap();
    let letters = "SELECT sequence FROM dead_letters ORDER BY sequence";
    let rows = run(&lake, &engine, &Caller::local(), letters).await.unwrap();
    let rows: Vec<RecordBatch> = rows.try_collect().await.unwrap();
    let text = pretty_format_batches(&rows).unwrap().to_string();
    let expected =
        "+----------+\n| sequence |\n+----------+\n| 1        |\n| 3        |\n+----------+";
    assert_eq!(text, expected);
    let shown = run(&lake, &engine, &Caller::local(), "SHOW TABLES").await.unwrap();
    let shown: Vec<RecordBatch> = shown.try_collect().await.unwrap();
    let shown = pretty_format_batches(&shown).unwrap().to_string();
    assert_eq!(shown.matches("| public ").count(), tables::ALL.len(), "{shown}");
}
