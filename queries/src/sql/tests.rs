use datafusion::arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, new_null_array,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use onramp_compute::engine::Options;
use onramp_lake::{Appender, StoreSettings};
use onramp_schemas::tables::{self, Table};

use super::*;
use crate::access::Scope;

mod bounds;
mod confined;

/// A lake without a table, and what statements are asked of.
pub(crate) fn empty_source() -> (tempfile::TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path().to_str().unwrap(), &StoreSettings::default()).unwrap();
    (folder, source(lake))
}

/// Holds a generated page against what it should be, or writes it when `ONRAMP_BLESS=1`.
pub(crate) fn hold(name: &str, page: &str) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/generated");
    let file = folder.join(name);
    if std::env::var_os("ONRAMP_BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(&file, page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap_or_default() == page,
        "docs/generated/{name} is not what its definition says; run \
         `ONRAMP_BLESS=1 cargo test --workspace --lib docs` and commit it"
    );
}

#[tokio::test]
async fn docs_of_tables_and_views_are_what_the_definitions_say() {
    let (_folder, source) = empty_source();
    let session = session(&source, &Scope::Everything, None).unwrap();
    for name in session.tables() {
        let described = session.describe(&name).await.unwrap().unwrap();
        assert!(!described.doc.is_empty(), "{name}");
        for column in described.columns {
            assert!(!column.doc.is_empty(), "{name}.{} is not documented", column.name);
        }
    }
    hold("sql.md", &reference(&session).await.unwrap());
}

#[tokio::test]
async fn a_slip_of_the_pen_is_answered_with_what_was_meant() {
    let (_folder, source) = empty_source();
    let session = session(&source, &Scope::Everything, None).unwrap();
    for (statement, words) in [
        ("SELECT * FROM event", "did you mean events?"),
        ("SELECT * FROM sessions_onbording", "did you mean sessions_onboarding?"),
        ("SELECT * FROM quarterly_numbers", "there are dead_letters, duplicates, events"),
        ("SELECT event_typ FROM events", "Did you mean 'events.event_type'?"),
        ("SELECT windw_funnel(id) FROM events", "Did you mean 'window_funnel'?"),
    ] {
        let error = session.plan(statement).await.unwrap_err();
        let text = match &error {
            SqlError::Statement(inner) => inner.to_string(),
            other => other.to_string(),
        };
        assert!(text.contains(words), "{statement}: {text}");
    }
}

fn source(lake: Lake) -> Source {
    let funnels = onramp_schemas::funnel::builtin().into_iter().collect();
    Source { lake, engine: Engine::new(&Options::default()).unwrap(), funnels }
}

async fn answer(statement: &str) -> Result<usize, String> {
    let (folder, source) = empty_source();
    let rows =
        run(&source, &Caller::local(), statement).await.map_err(|error| format!("{error:?}"))?;
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
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM 'https://example.org/x.csv'",
        "EXPLAIN SET datafusion.execution.batch_size = 1",
        "SET sql.limits = 1",
        "RESET datafusion.execution.batch_size",
        "BEGIN",
        "EXECUTE p",
        "DEALLOCATE p",
        "CREATE VIEW v AS SELECT 1",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "TRUNCATE events",
        "UPDATE events SET id = 'x'",
        "MERGE INTO events USING events AS e ON true WHEN MATCHED THEN DELETE",
        "SELECT 1 INTO t",
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
    let source = source(lake);
    let letters = "SELECT sequence FROM dead_letters ORDER BY sequence";
    let rows = run(&source, &Caller::local(), letters).await.unwrap();
    let rows: Vec<RecordBatch> = rows.try_collect().await.unwrap();
    let text = pretty_format_batches(&rows).unwrap().to_string();
    let expected =
        "+----------+\n| sequence |\n+----------+\n| 1        |\n| 3        |\n+----------+";
    assert_eq!(text, expected);
    let shown = run(&source, &Caller::local(), "SHOW TABLES").await.unwrap();
    let shown: Vec<RecordBatch> = shown.try_collect().await.unwrap();
    let shown = pretty_format_batches(&shown).unwrap().to_string();
    assert_eq!(shown.matches("| public ").count(), tables::ALL.len() + 4, "{shown}");
}
