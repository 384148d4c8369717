use futures::TryStreamExt;
use onramp_compute::engine::Options;
use onramp_lake::StoreSettings;

use super::*;

async fn answer(statement: &str) -> Result<usize, String> {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path().to_str().unwrap(), &StoreSettings::default()).unwrap();
    let engine = Engine::new(&Options::default()).unwrap();
    let rows = run(&lake, &engine, statement).await.map_err(|error| format!("{error:?}"))?;
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
