//! Rule 8: rewriting.

use super::fixture::*;
use super::tables::commit_by_hand;
use crate::{
    CommitKind, Outcome, PendingFile, REWRITE_APP_ID, RewriteKind, Rewriter, Snapshot, Tail,
};

/// Merges all files of a snapshot into one per day, by the streaming writer.
async fn merged(rewriter: &Rewriter, read: &Snapshot) -> Vec<PendingFile> {
    let table = rewriter.table();
    let mut files = Vec::new();
    for day in ["2026-11-23", "2026-11-24"] {
        let mut writer = rewriter.file_writer();
        let number = if day == "2026-11-23" { DAY } else { DAY + 1 };
        for file in
            read.files.iter().filter(|file| file.partition_values["day"].as_deref() == Some(day))
        {
            for batch in super::fixture::read(table, &file.path).await {
                let mut columns = batch.columns().to_vec();
                let days = arrow::array::Date32Array::from(vec![number; batch.num_rows()]);
                columns.insert(0, std::sync::Arc::new(days));
                let schema = NUMBERS.arrow_schema();
                writer
                    .write(arrow::array::RecordBatch::try_new(schema, columns).unwrap())
                    .await
                    .unwrap();
            }
        }
        files.extend(writer.finish().await.unwrap());
    }
    files
}

async fn compact(rewriter: &Rewriter, read: &Snapshot) -> Outcome {
    let files = merged(rewriter, read).await;
    rewriter
        .rewrite(read, read.files.clone(), files, vec![], RewriteKind::Compaction)
        .await
        .unwrap()
}

fn lost(app_ids: &[&str]) -> Outcome {
    Outcome::Lost { app_ids: app_ids.iter().map(|id| (*id).to_owned()).collect() }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_08_of_two_rewrites_the_second_fails() {
    for place in Place::all() {
        let mut appender = appender(&place.lake()).await;
        append(&mut appender, "a", 0, 10).await;
        append(&mut appender, "a", 10, 20).await;
        let read = appender.table().snapshot().await.unwrap();
        let rewriter = Rewriter::open(appender.table().clone());
        let (one, two) = tokio::join!(compact(&rewriter, &read), compact(&rewriter, &read));
        let mut outcomes = [one, two];
        outcomes.sort_by_key(|outcome| *outcome == lost(&[REWRITE_APP_ID]));
        assert_eq!(outcomes, [Outcome::Committed { version: 3 }, lost(&[REWRITE_APP_ID])]);
        assert_eq!(contents(appender.table()).await["a"], sequences(0..20));

        // Even if the files that it replaces were not touched by the other.
        let mut stale = read.clone();
        stale.files.clear();
        let outcome = rewriter.rewrite(&stale, vec![], vec![], vec![], RewriteKind::Change).await;
        assert_eq!(outcome.unwrap(), lost(&[REWRITE_APP_ID]));
        let now = appender.table().snapshot().await.unwrap();
        assert_eq!((now.files.len(), now.txns[REWRITE_APP_ID], now.txns["a"]), (2, 1, 20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_08_a_rewrite_passes_beside_appends_and_they_beside_it() {
    for place in Place::all() {
        let (lake, faults) = place.faulty(&settings());
        let mut appender = appender(&place.lake()).await;
        append(&mut appender, "a", 0, 10).await;
        let rewriter = Rewriter::open(lake.open_table(&NUMBERS).await.unwrap().unwrap());
        let read = rewriter.table().snapshot().await.unwrap();
        let (reached, release) = faults.hold();
        let rewrite = tokio::spawn(async move { compact(&rewriter, &read).await });
        reached.notified().await;
        append(&mut appender, "a", 10, 20).await;
        append(&mut appender, "a", 20, 30).await;
        release.notify_one();
        assert_eq!(rewrite.await.unwrap(), Outcome::Committed { version: 4 });
        // The appender knows nothing of the rewrite yet.
        assert_eq!(append(&mut appender, "a", 30, 40).await, 5);
        assert_eq!(contents(appender.table()).await["a"], sequences(0..40));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_08_a_rewrite_fails_when_a_file_it_replaces_is_gone() {
    for place in Place::all() {
        let mut appender = appender(&place.lake()).await;
        append(&mut appender, "a", 0, 10).await;
        let read = appender.table().snapshot().await.unwrap();
        let path = &read.files[0].path;
        let remove = format!(r#"{{"remove":{{"path":"{path}","dataChange":true}}}}"#);
        commit_by_hand(appender.table(), 2, &[&remove]).await;
        let rewriter = Rewriter::open(appender.table().clone());
        assert_eq!(compact(&rewriter, &read).await, lost(&[]));
        // Nor may a file be replaced that was never there.
        let now = appender.table().snapshot().await.unwrap();
        let outcome = rewriter.rewrite(&now, read.files, vec![], vec![], RewriteKind::Change).await;
        assert_eq!(outcome.unwrap(), lost(&[]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_08_a_rewrite_moves_its_own_txn_by_compare_and_set() {
    for place in Place::all() {
        let mut appender = appender(&place.lake()).await;
        append(&mut appender, "fold/1", 0, 10).await;
        let rewriter = Rewriter::open(appender.table().clone());
        let read = appender.table().snapshot().await.unwrap();
        let stale = vec![advance("fold/1", 9, 20)];
        let outcome = rewriter.rewrite(&read, vec![], vec![], stale, RewriteKind::Change).await;
        assert_eq!(outcome.unwrap(), lost(&["fold/1"]));
        let advances = vec![advance("fold/1", 10, 20)];
        let outcome = rewriter.rewrite(&read, vec![], vec![], advances, RewriteKind::Change).await;
        assert_eq!(outcome.unwrap(), Outcome::Committed { version: 2 });
        let now = appender.table().snapshot().await.unwrap();
        assert_eq!((now.txns["fold/1"], now.txns[REWRITE_APP_ID]), (20, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_08_a_rewrite_recognises_its_own_commit_after_an_error() {
    for place in Place::all() {
        let (lake, faults) = place.faulty(&settings());
        let mut appender = appender(&lake).await;
        append(&mut appender, "a", 0, 10).await;
        let rewriter = Rewriter::open(appender.table().clone());
        let read = appender.table().snapshot().await.unwrap();
        faults.next([Fault::FailBefore, Fault::FailAfter]);
        assert_eq!(compact(&rewriter, &read).await, Outcome::Committed { version: 2 });
        // After an error another's rewrite, which sets the same txn to the same number, is not taken for one's own.
        let read = appender.table().snapshot().await.unwrap();
        let (reached, release) = faults.hold();
        let (held, seen) = (rewriter.clone(), read.clone());
        let second = tokio::spawn(async move { compact(&held, &seen).await });
        reached.notified().await;
        let other = Rewriter::open(place.lake().open_table(&NUMBERS).await.unwrap().unwrap());
        assert_eq!(compact(&other, &read).await, Outcome::Committed { version: 3 });
        release.notify_one();
        assert_eq!(second.await.unwrap(), lost(&[REWRITE_APP_ID]));
        assert_eq!(contents(appender.table()).await["a"], sequences(0..10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_08_followers_can_tell_compaction_from_change() {
    for place in Place::all() {
        let mut appender = appender(&place.lake()).await;
        append(&mut appender, "a", 0, 10).await;
        let rewriter = Rewriter::open(appender.table().clone());
        compact(&rewriter, &appender.table().snapshot().await.unwrap()).await;
        let read = appender.table().snapshot().await.unwrap();
        let all = read.files.clone();
        rewriter.rewrite(&read, all, vec![], vec![], RewriteKind::Change).await.unwrap();
        let Tail::Commits(commits) = appender.table().tail(-1, 10).await.unwrap() else { panic!() };
        let told: Vec<_> = commits.iter().map(|it| (it.version, it.kind, it.data_change)).collect();
        let expected = [
            (0, CommitKind::Other, false),
            (1, CommitKind::Append, true),
            (2, CommitKind::Rewrite, false),
            (3, CommitKind::Rewrite, true),
        ];
        assert_eq!(told, expected);
        // Compaction unites the sequence ranges.
        let range = |index: usize| commits[2].adds[index].sequences()[0].clone();
        let mut ranges = [(range(0).first, range(0).last), (range(1).first, range(1).last)];
        ranges.sort_unstable();
        assert_eq!(ranges, [(0, 8), (1, 9)]);
    }
}
