//! The rules of exactly-once that ingest keeps, on real tables in a folder.

use arrow::array::RecordBatch;
use onramp_lake::{Lake, StoreSettings};
use onramp_schemas::tables::{self, Table};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::options::PipelineOptions;

const APP: &str = "cluster/topic@0/0";

async fn lake() -> (tempfile::TempDir, Lake) {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("lake");
    let lake = Lake::open(url.to_str().unwrap(), &StoreSettings::default()).unwrap();
    (folder, lake)
}

fn event(id: &str) -> Vec<u8> {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/app","type":"onboarding.input.submitted","subject":"s{id}","time":"2026-03-01T00:00:00Z","clientid":"c"}}"#
    )
    .into_bytes()
}

/// A topic of forty records: events, every fifth one broken, every seventh a resend.
fn topic() -> Vec<Vec<u8>> {
    let record = |offset: usize| match offset {
        n if n % 5 == 4 => format!("broken {n}").into_bytes(),
        n if n % 7 == 6 => event(&(n - n % 5).to_string()),
        n => event(&n.to_string()),
    };
    (0..40).map(record).collect()
}

/// Reads `topic` from where the partition stands up to `until` into a flush.
fn read(partition: &mut Partition, topic: &[Vec<u8>], until: i64) -> Flush {
    let options = PipelineOptions::default();
    let mut buffer = Buffer::new();
    for sequence in partition.next..until {
        let record = Record {
            sequence,
            timestamp: 1_772_323_200_000_000,
            payload: Some(&topic[sequence as usize]),
            headers: &[],
            unreadable: None,
        };
        buffer.push(&options, partition, &record);
    }
    buffer.take([partition]).build().unwrap()
}

async fn rows(lake: &Lake, table: &'static Table) -> i64 {
    let snapshot = lake.open_table(table).await.unwrap().unwrap().snapshot().await.unwrap();
    snapshot.files.iter().map(|file| file.rows.unwrap()).sum()
}

/// Every sequence of the forty stands in exactly one of the tables.
async fn assert_ledger(lake: &Lake) {
    let mut found: Vec<i64> = Vec::new();
    for (table, first, last) in [
        (&tables::EVENTS, "sequence", "sequence"),
        (&tables::DEAD_LETTERS, "sequence", "sequence"),
        (&tables::DUPLICATES, "first_sequence", "last_sequence"),
    ] {
        let opened = lake.open_table(table).await.unwrap().unwrap();
        for file in &opened.snapshot().await.unwrap().files {
            for rows in start::read_batches(&opened, file, &[first, last]).await.unwrap() {
                let column = |name| {
                    use arrow::array::AsArray;
                    let column = rows.column_by_name(name).unwrap();
                    column.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
                };
                for (first, last) in column(first).into_iter().zip(column(last)) {
                    found.extend(first..=last);
                }
            }
        }
    }
    found.sort_unstable();
    assert_eq!(found, (0..40).collect::<Vec<i64>>());
}

#[tokio::test]
async fn invariant_04_rejections_stand_before_the_events_of_their_range_and_are_not_repeated() {
    let topic = topic();
    for crash_at in 1..40 {
        let (_folder, lake) = lake().await;
        let mut first = Committer::open(&lake).await.unwrap();
        let mut partition = first.start(APP, 0).await.unwrap();
        let flush = read(&mut partition, &topic, crash_at);
        // The process dies after the tables beside `events` and before `events` itself.
        first.commit_beside(&flush).await.unwrap();
        assert_eq!(rows(&lake, &tables::EVENTS).await, 0);
        drop(first);

        let mut second = Committer::open(&lake).await.unwrap();
        let mut partition = second.start(APP, 0).await.unwrap();
        assert_eq!(partition.next, 0, "events decide where a partition starts");
        for until in [crash_at + 3, 40] {
            let flush = read(&mut partition, &topic, until.min(40));
            if !flush.advances.is_empty() {
                assert!(matches!(second.commit(&flush).await, Ok(Flushed::Committed { .. })));
            }
        }
        assert_ledger(&lake).await;
    }
}

#[tokio::test]
async fn invariant_04_a_run_of_resends_goes_on_where_another_writer_left_it() {
    let resent: Vec<Vec<u8>> = vec![event("0"); 40];
    for (dies_at, until) in [(1, 9), (4, 9), (9, 9), (12, 9)] {
        let (_folder, lake) = lake().await;
        let mut owner = Committer::open(&lake).await.unwrap();
        let mut partition = owner.start(APP, 0).await.unwrap();
        let flush = read(&mut partition, &resent, until);
        let mut other = Committer::open(&lake).await.unwrap();
        let mut read_beside = other.start(APP, 0).await.unwrap();
        // The other one dies before `events`; the owner hears of it as it commits another partition.
        other.commit_beside(&read(&mut read_beside, &resent, dies_at)).await.unwrap();
        owner.refresh().await.unwrap();
        assert!(matches!(owner.commit(&flush).await, Ok(Flushed::Committed { .. })));
        let mut next = Committer::open(&lake).await.unwrap();
        let mut partition = next.start(APP, 0).await.unwrap();
        assert_eq!(partition.next, until);
        let rest = read(&mut partition, &resent, 40);
        assert!(matches!(next.commit(&rest).await, Ok(Flushed::Committed { .. })));
        assert_ledger(&lake).await;
    }
}

#[tokio::test]
async fn invariant_02_a_zombie_loses_and_starts_again_from_the_lake() {
    let (_folder, lake) = lake().await;
    let topic = topic();
    let mut zombie = Committer::open(&lake).await.unwrap();
    let mut asleep = zombie.start(APP, 0).await.unwrap();
    let late = read(&mut asleep, &topic, 20);

    let mut owner = Committer::open(&lake).await.unwrap();
    let mut partition = owner.start(APP, 0).await.unwrap();
    for until in [13, 29] {
        let flush = read(&mut partition, &topic, until);
        assert!(matches!(owner.commit(&flush).await, Ok(Flushed::Committed { .. })));
    }
    assert_eq!(zombie.commit(&late).await.unwrap(), Flushed::Lost);
    zombie.refresh().await.unwrap();
    let mut partition = zombie.start(APP, 0).await.unwrap();
    assert_eq!(partition.next, 29);
    let rest = read(&mut partition, &topic, 40);
    assert!(matches!(zombie.commit(&rest).await, Ok(Flushed::Committed { .. })));
    assert_ledger(&lake).await;
}

#[tokio::test]
async fn invariant_05_the_window_is_rebuilt_from_the_files() {
    let (_folder, lake) = lake().await;
    let topic = topic();
    let mut committer = Committer::open(&lake).await.unwrap();
    let mut running = committer.start(APP, 0).await.unwrap();
    for until in [3, 17, 40] {
        let flush = read(&mut running, &topic, until);
        committer.commit(&flush).await.unwrap();
    }
    let mut rebuilt = Committer::open(&lake).await.unwrap().start(APP, 0).await.unwrap();
    assert_eq!((rebuilt.next, rebuilt.window.len()), (40, running.window.len()));
    let again = |partition: &mut Partition| {
        let resends: Vec<Vec<u8>> = topic.iter().cycle().take(80).cloned().collect();
        read(partition, &resends, 80).counts
    };
    let (of_running, of_rebuilt) = (again(&mut running), again(&mut rebuilt));
    assert_eq!(of_running, of_rebuilt);
    assert_eq!(of_rebuilt.accepted, 0, "everything was seen before");
}

/// Writes the files of a table anew with other Arrow types noted in them, as other programs do when
/// they delete or merge.
async fn write_with_views(table: &onramp_lake::Table) {
    use arrow::datatypes::{DataType, Field, Schema};
    use object_store::{ObjectStoreExt, path::Path};
    let names: Vec<&str> = table.def.columns.iter().map(|column| column.name).collect();
    for file in &table.snapshot().await.unwrap().files {
        let mut bytes = Vec::new();
        for rows in start::read_batches(table, file, &names).await.unwrap() {
            let (mut fields, mut columns) = (Vec::new(), Vec::new());
            for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
                let to = match field.data_type() {
                    DataType::Utf8 => DataType::Utf8View,
                    other => other.clone(),
                };
                columns.push(arrow::compute::cast(column, &to).unwrap());
                fields.push(Field::new(field.name(), to, field.is_nullable()));
            }
            let schema = std::sync::Arc::new(Schema::new(fields));
            let rows = RecordBatch::try_new(schema.clone(), columns).unwrap();
            let mut writer = ArrowWriter::try_new(&mut bytes, schema, None).unwrap();
            writer.write(&rows).unwrap();
            writer.close().unwrap();
        }
        table.store().put(&Path::from(file.path.as_str()), bytes.into()).await.unwrap();
    }
}

#[tokio::test]
async fn invariant_05_the_window_is_rebuilt_from_files_of_another_program() {
    let (_folder, lake) = lake().await;
    let topic = topic();
    let mut committer = Committer::open(&lake).await.unwrap();
    let mut running = committer.start(APP, 0).await.unwrap();
    let flush = read(&mut running, &topic, 40);
    committer.commit(&flush).await.unwrap();
    write_with_views(committer.events().table()).await;
    let rebuilt = Committer::open(&lake).await.unwrap().start(APP, 0).await.unwrap();
    assert_eq!((rebuilt.next, rebuilt.window.len()), (40, running.window.len()));
}

#[tokio::test]
async fn invariant_05_a_window_that_does_not_fit_is_refused_with_one_that_does() {
    let (_folder, lake) = lake().await;
    let committer = Committer::open(&lake).await.unwrap();
    let options = PipelineOptions { memory_limit_bytes: 200 << 20, ..Default::default() };
    let left = options.shared_bytes() - (16 << 20);
    assert!(committer.flush_bytes(1, 1, &options).is_ok());
    let error = committer.flush_bytes(4, 1, &options).unwrap_err().to_string();
    let fits = left / 4 / BYTES_PER_IDENTITY;
    assert!(error.contains(&format!("at most {fits}")), "{error}");
    assert!(error.contains("ingest.memory_limit_mb"), "{error}");
}

#[tokio::test]
async fn what_windows_and_other_flushes_hold_is_taken_from_a_flush() {
    let (_folder, lake) = lake().await;
    let committer = Committer::open(&lake).await.unwrap();
    let options = PipelineOptions { memory_limit_bytes: 448 << 20, ..Default::default() };
    let bytes = |partitions, flushes| committer.flush_bytes(partitions, flushes, &options).unwrap();
    assert!(bytes(4, 2) < bytes(1, 2) && bytes(4, 3) < bytes(4, 2));
    assert!(bytes(4, 2) >= 20 << 20, "the default lets four partitions make large files");
    assert!(bytes(8, 2) >= 2 << 20, "and still takes eight");
    assert_eq!(bytes(1, 1), options.flush_bytes, "never more than was asked for");
}

#[tokio::test]
async fn partitions_that_start_together_are_as_if_each_had_started_alone() {
    let (_folder, lake) = lake().await;
    let topic = topic();
    let mut committer = Committer::open(&lake).await.unwrap();
    let (mut one, mut two) =
        (committer.start(APP, 0).await.unwrap(), committer.start("other", 0).await.unwrap());
    for until in [10, 40] {
        for partition in [&mut one, &mut two] {
            let flush = read(partition, &topic, until);
            assert!(matches!(committer.commit(&flush).await, Ok(Flushed::Committed { .. })));
        }
    }
    let sources = [APP, "new", "other"].map(|app_id| (app_id.to_owned(), 5));
    let started = committer.start_all(&sources).await.unwrap();
    let of = |partition: &Partition| (partition.next, partition.base, partition.window.len());
    let expected = [of(&one), (5, None, 0), of(&two)];
    assert_eq!(started.iter().map(of).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn rejections_of_several_partitions_are_one_commit_that_leaves_out_what_is_held() {
    let (_folder, lake) = lake().await;
    let topic = topic();
    let mut committer = Committer::open(&lake).await.unwrap();
    let mut one = committer.start(APP, 0).await.unwrap();
    // The process died after the rejections of the first ten of one of them.
    committer.commit_beside(&read(&mut one, &topic, 10)).await.unwrap();
    let mut committer = Committer::open(&lake).await.unwrap();
    let (mut one, mut two) =
        (committer.start(APP, 0).await.unwrap(), committer.start("other", 0).await.unwrap());
    let options = PipelineOptions::default();
    let mut buffer = Buffer::new();
    for partition in [&mut one, &mut two] {
        for (sequence, payload) in (0..).zip(&topic) {
            let timestamp = 1_772_323_200_000_000;
            let payload = Some(payload.as_slice());
            let record = Record { sequence, timestamp, payload, headers: &[], unreadable: None };
            buffer.push(&options, partition, &record);
        }
    }
    let flush = buffer.take([&mut one, &mut two]).build().unwrap();
    assert!(matches!(committer.commit(&flush).await, Ok(Flushed::Committed { .. })));
    assert_eq!(rows(&lake, &tables::DEAD_LETTERS).await, 2 * 8, "every fifth of forty, each once");
    let table = lake.open_table(&tables::DEAD_LETTERS).await.unwrap().unwrap();
    let version = table.snapshot().await.unwrap().version;
    assert_eq!(version, 2, "created, then two commits");
}
