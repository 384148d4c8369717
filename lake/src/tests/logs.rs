//! Rule 9: tails, checkpoints and clean-up.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;
use onramp_schemas::clock::FixedClock;

use super::fixture::*;
use crate::{LakeError, StoreSettings, Table, Tail};

/// The same table as maintenance sees it years later, when every log file is past its retention.
async fn years_later(place: &Place) -> Table {
    let clock = Arc::new(FixedClock(i64::MAX / 2));
    let lake = place.lake_with(&StoreSettings { clock, ..settings() });
    lake.open_table(&NUMBERS).await.unwrap().unwrap()
}

async fn log_files(table: &Table) -> Vec<String> {
    let entries: Vec<_> =
        table.store().list(Some(&Path::from("_delta_log"))).try_collect().await.unwrap();
    let mut names: Vec<String> =
        entries.iter().map(|entry| entry.location.filename().unwrap().to_owned()).collect();
    names.sort_unstable();
    names
}

fn versions(tail: Tail) -> Option<Vec<i64>> {
    match tail {
        Tail::Commits(commits) => Some(commits.iter().map(|commit| commit.version).collect()),
        Tail::Gone => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_09_a_snapshot_after_a_checkpoint_equals_the_one_before() {
    for place in Place::all() {
        let mut appender = appender(&place.lake()).await;
        for n in 0..5 {
            append(&mut appender, "a/t@0/0", n * 10, n * 10 + 10).await;
        }
        append(&mut appender, "http/one", 0, 3).await;
        let table = appender.table().clone();
        let before = table.snapshot().await.unwrap();
        assert_eq!((before.version, before.files.len(), before.txns.len()), (6, 12, 2));
        let kept = table.checkpoint().await.unwrap();
        assert_eq!((kept.version, kept.cleaned_up), (6, 0), "the log is not old yet");
        assert_eq!(table.snapshot().await.unwrap(), before);

        let cleaned = years_later(&place).await.checkpoint().await.unwrap();
        assert_eq!(cleaned.cleaned_up, 6);
        assert_eq!(log_files(&table).await[0], "00000000000000000006.checkpoint.parquet");
        assert_eq!(table.snapshot().await.unwrap(), before);
        append(&mut appender, "a/t@0/0", 50, 60).await;
        let after = table.snapshot().await.unwrap();
        assert_eq!((after.version, after.files.len()), (7, 14));
        assert_eq!(contents(&table).await["a/t@0/0"], sequences(0..60));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_09_a_tail_that_was_cleaned_up_is_gone() {
    for place in Place::all() {
        let mut appender = appender(&place.lake()).await;
        for n in 0..70 {
            append(&mut appender, "a", n, n + 1).await;
        }
        let table = appender.table().clone();
        let tail = async |version, limit| versions(table.tail(version, limit).await.unwrap());
        assert_eq!(tail(-1, 1000).await.unwrap(), sequences(0..71));
        assert_eq!(tail(68, 1000).await.unwrap(), [69, 70]);
        assert_eq!(tail(3, 4).await.unwrap(), [4, 5, 6, 7]);
        assert_eq!(tail(70, 1000).await.unwrap(), sequences(0..0));
        years_later(&place).await.checkpoint().await.unwrap();
        assert_eq!(tail(-1, 1000).await, None);
        assert_eq!(tail(30, 1000).await, None);
        assert_eq!(tail(70, 1000).await.unwrap(), sequences(0..0));
        append(&mut appender, "a", 70, 71).await;
        assert_eq!(tail(30, 1000).await, None);
        assert_eq!(tail(70, 1000).await.unwrap(), [71]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_09_a_writer_whose_tail_is_gone_starts_again_from_a_snapshot() {
    for place in Place::all() {
        let mut sleeper = appender(&place.lake()).await;
        let mut other = appender(&place.lake()).await;
        append(&mut sleeper, "a", 0, 5).await;
        for n in 0..5 {
            append(&mut other, "b", n, n + 1).await;
        }
        years_later(&place).await.checkpoint().await.unwrap();
        for n in 5..8 {
            append(&mut other, "b", n, n + 1).await;
        }
        sleeper.refresh().await.unwrap();
        assert_eq!((sleeper.txn("b"), sleeper.version()), (Some(8), 9));
        append(&mut sleeper, "a", 5, 9).await;
        assert_eq!(contents(other.table()).await["a"], sequences(0..9));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_09_writers_never_checkpoint() {
    let place = &Place::all()[0];
    let mut appender = appender(&place.lake()).await;
    for n in 0..25 {
        append(&mut appender, "a", n, n + 1).await;
    }
    assert!(log_files(appender.table()).await.iter().all(|name| name.ends_with(".json")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_can_be_taken_at_a_version_and_brought_forward() {
    for place in Place::all() {
        let mut appender = appender(&place.lake()).await;
        for n in 0..6 {
            append(&mut appender, "a", n, n + 1).await;
        }
        let table = appender.table().clone();
        table.checkpoint().await.unwrap();
        append(&mut appender, "a", 6, 7).await;
        let mut old = table.snapshot_at(2).await.unwrap();
        assert_eq!((old.version, old.txns["a"]), (2, 2));
        let Tail::Commits(commits) = table.tail(2, 100).await.unwrap() else { panic!() };
        old.apply(&commits);
        assert_eq!(old, table.snapshot().await.unwrap());
        for version in [8, 1000] {
            let error = table.snapshot_at(version).await.unwrap_err();
            assert!(matches!(error, LakeError::VersionGone { .. }), "{error}");
        }
        years_later(&place).await.checkpoint().await.unwrap();
        let error = table.snapshot_at(2).await.unwrap_err();
        assert!(matches!(error, LakeError::VersionGone { version: 2, .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_of_the_last_checkpoint_is_only_a_hint() {
    use object_store::ObjectStoreExt;
    for place in Place::all() {
        let mut appender = appender(&place.lake()).await;
        for n in 0..3 {
            append(&mut appender, "a", n, n + 1).await;
        }
        let table = appender.table().clone();
        table.checkpoint().await.unwrap();
        append(&mut appender, "a", 3, 4).await;
        let expected = table.snapshot().await.unwrap();
        let note = Path::from("_delta_log/_last_checkpoint");
        for garbled in ["", "{\"version\":1}", "{\"version\":4}", "{\"version\":900}"] {
            table.store().put(&note, garbled.into()).await.unwrap();
            assert_eq!(table.snapshot().await.unwrap(), expected, "{garbled}");
        }
        table.store().delete(&note).await.unwrap();
        assert_eq!(table.snapshot().await.unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_damaged_is_told() {
    use object_store::ObjectStoreExt;
    let place = &Place::all()[0];
    let mut appender = appender(&place.lake()).await;
    for n in 0..3 {
        append(&mut appender, "a", n, n + 1).await;
    }
    let table = appender.table().clone();
    let path = crate::log::commit_path(2);
    table.store().put(&path, "{\"add\":".into()).await.unwrap();
    let error = table.snapshot().await.unwrap_err();
    assert!(error.to_string().contains("00000000000000000002.json"), "{error}");
    table.store().delete(&path).await.unwrap();
    let error = table.snapshot().await.unwrap_err();
    assert!(error.to_string().contains("version 2 is missing"), "{error}");
}
