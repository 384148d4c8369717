//! Taking files away: never one that is needed or young.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use onramp_schemas::clock::{Clock, FixedClock, SystemClock};

use super::fixture::*;
use crate::{LakeError, RewriteKind, Rewriter, StoreSettings, Table, Vacuumed};

const HOUR: i64 = 3_600_000_000;

/// The table as a process sees it whose clock is so many hours ahead.
async fn later(place: &Place, hours: i64) -> Table {
    let clock = Arc::new(FixedClock(SystemClock.now() + hours * HOUR));
    let lake = place.lake_with(&StoreSettings { clock, ..settings() });
    lake.open_table(&NUMBERS).await.unwrap().unwrap()
}

async fn files(table: &Table) -> usize {
    let objects: Vec<_> = table.store().list(None).try_collect().await.unwrap();
    objects.iter().filter(|object| !object.location.as_ref().starts_with('_')).count()
}

/// Replaces all rows by the same in two new files.
async fn rewrite(table: &Table) {
    let (rewriter, read) = (Rewriter::open(table.clone()), table.snapshot().await.unwrap());
    let adds = rewriter.write(rows("a", 0, 10)).await.unwrap();
    let removes = read.files.clone();
    rewriter.rewrite(&read, removes, adds, vec![], RewriteKind::Compaction).await.unwrap();
}

#[tokio::test]
async fn vacuum_takes_what_is_neither_needed_nor_young() {
    for place in Place::all() {
        let mut appender = appender(&place.lake()).await;
        append(&mut appender, "a", 0, 10).await;
        // Two files that a crashed writer left.
        appender.write(rows("b", 0, 10), &[]).await.unwrap();
        rewrite(&later(&place, 0).await).await;
        assert_eq!(later(&place, 5).await.vacuum(false).await.unwrap(), Vacuumed::default());
        // Files that were removed three hours ago are needed still, whatever their age.
        rewrite(&later(&place, 4).await).await;
        let table = later(&place, 7).await;
        for checkpointed in [false, true] {
            if checkpointed {
                table.checkpoint().await.unwrap();
            }
            let dry = table.vacuum(true).await.unwrap();
            assert_eq!((dry.files, files(&table).await), (4, 8), "checkpointed: {checkpointed}");
        }
        let done = table.vacuum(false).await.unwrap();
        assert!(done.files == 4 && done.bytes > 1_000, "{done:?}");
        assert_eq!(contents(&table).await["a"], sequences(0..10));
        assert_eq!((files(&table).await, table.vacuum(false).await.unwrap().files), (4, 0));
        let table = later(&place, 11).await;
        assert_eq!(table.vacuum(false).await.unwrap().files, 2);
        assert_eq!(contents(&table).await["a"], sequences(0..10));
    }
}

#[tokio::test]
async fn vacuum_stops_where_the_table_is_damaged() {
    let place = Place::all().remove(0);
    let mut appender = appender(&place.lake()).await;
    append(&mut appender, "a", 0, 10).await;
    appender.write(rows("b", 0, 10), &[]).await.unwrap();
    let table = later(&place, 8).await;
    let needed = table.snapshot().await.unwrap().files[0].path.clone();
    table.store().delete(&Path::from(needed)).await.unwrap();
    let refused = table.vacuum(false).await.unwrap_err();
    assert!(matches!(refused, LakeError::CorruptLog { .. }), "{refused:?}");
    assert_eq!(files(&table).await, 3);
}

#[tokio::test]
async fn vacuum_sweeps_what_a_killed_writer_left_in_a_folder() {
    let place = Place::all().remove(0);
    let table = place.lake().create(&NUMBERS).await.unwrap();
    let folder = table.url().to_file_path().unwrap().join("day=2026-11-23");
    std::fs::create_dir(&folder).unwrap();
    for name in ["part-1.parquet#17000001", "notes#1a", "readme"] {
        std::fs::write(folder.join(name), "bytes").unwrap();
    }
    assert_eq!(later(&place, 5).await.vacuum(false).await.unwrap(), Vacuumed::default());
    let done = later(&place, 7).await.vacuum(false).await.unwrap();
    assert_eq!(done, Vacuumed { files: 1, bytes: 5 });
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
}
