//! Rules 1, 2, 3, 5 and 7: appending.

use std::collections::BTreeMap;

use super::fixture::*;
use crate::{Appender, Outcome, SequenceRange, Tail};

#[tokio::test(flavor = "multi_thread")]
async fn invariant_01_files_and_txns_are_committed_together() {
    for place in Place::all() {
        let mut appender = appender(&place.lake()).await;
        append(&mut appender, "a/t@0/0", 0, 10).await;
        let snapshot = appender.table().snapshot().await.unwrap();
        assert_eq!(snapshot.txns, BTreeMap::from([("a/t@0/0".to_owned(), 10)]));
        assert_eq!(snapshot.files.iter().map(|file| file.rows.unwrap()).sum::<i64>(), 10);

        // Both partitions or none: the second is not at its base.
        let files = pending(appender.table(), "a/t@0/1", 0, 5).await;
        let advances = vec![advance("a/t@0/1", None, 5), advance("a/t@0/0", 3, 12)];
        let lost = appender.commit(files, advances).await.unwrap();
        assert_eq!(lost, Outcome::Lost { app_ids: vec!["a/t@0/0".into()] });
        assert_eq!(appender.table().snapshot().await.unwrap(), snapshot);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_01_a_range_of_rejections_moves_the_txn_without_files() {
    for place in Place::all() {
        let mut appender = appender(&place.lake()).await;
        let outcome = appender.commit(vec![], vec![advance("a", None, 7)]).await.unwrap();
        assert_eq!(outcome, Outcome::Committed { version: 1 });
        let snapshot = appender.table().snapshot().await.unwrap();
        assert_eq!((snapshot.files.len(), snapshot.txns["a"]), (0, 7));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_02_compare_and_set_of_two_racing_appenders_one_loses() {
    for place in Place::all() {
        let (mut one, mut two) = (appender(&place.lake()).await, appender(&place.lake()).await);
        for _ in 0..10 {
            // The buffers end differently, so that neither can take the other's commit for its own.
            let base = one.txn("a");
            let first = base.unwrap_or(0);
            let ours = pending(one.table(), "a", first, first + 10).await;
            let theirs = pending(two.table(), "a", first, first + 11).await;
            let (ours, theirs) = tokio::join!(
                one.commit(ours, vec![advance("a", base, first + 10)]),
                two.commit(theirs, vec![advance("a", base, first + 11)]),
            );
            let lost = Outcome::Lost { app_ids: vec!["a".into()] };
            assert_eq!(
                [ours.unwrap(), theirs.unwrap()].iter().filter(|it| **it == lost).count(),
                1
            );
            one.refresh().await.unwrap();
            two.refresh().await.unwrap();
        }
        assert_eq!(contents(one.table()).await["a"], sequences(0..one.txn("a").unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_02_compare_and_set_of_the_same_range_lands_once() {
    for place in Place::all() {
        let (mut one, mut two) = (appender(&place.lake()).await, appender(&place.lake()).await);
        let (ours, theirs) =
            (pending(one.table(), "a", 0, 10).await, pending(two.table(), "a", 0, 10).await);
        let (ours, theirs) = tokio::join!(
            one.commit(ours, vec![advance("a", None, 10)]),
            two.commit(theirs, vec![advance("a", None, 10)]),
        );
        assert_eq!(ours.unwrap(), Outcome::Committed { version: 1 });
        assert_eq!(theirs.unwrap(), Outcome::Committed { version: 1 });
        assert_eq!(contents(one.table()).await["a"], sequences(0..10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_02_eight_racing_writers_make_each_version_once() {
    const COMMITS: i64 = 25;
    for place in Place::all() {
        let lake = place.lake();
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let lake = lake.clone();
                tokio::spawn(async move {
                    let mut appender = appender(&lake).await;
                    let app_id = format!("a/t@0/{writer}");
                    let mut versions = Vec::new();
                    for n in 0..COMMITS {
                        versions.push(append(&mut appender, &app_id, n, n + 1).await);
                    }
                    versions
                })
            })
            .collect();
        let mut versions = Vec::new();
        for writer in writers {
            versions.extend(writer.await.unwrap());
        }
        versions.sort_unstable();
        assert_eq!(versions, sequences(1..8 * COMMITS + 1));
        let table = lake.open_table(&NUMBERS).await.unwrap().unwrap();
        let found = contents(&table).await;
        assert_eq!(found.len(), 8);
        assert!(found.values().all(|numbers| *numbers == sequences(0..COMMITS)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_03_a_restarted_writer_starts_from_the_lakes_txn() {
    for place in Place::all() {
        let mut before = appender(&place.lake()).await;
        append(&mut before, "a", 0, 10).await;
        append(&mut before, "b", 100, 103).await;
        before.table().checkpoint().await.unwrap();
        append(&mut before, "a", 10, 12).await;
        let after = appender(&place.lake()).await;
        assert_eq!((after.txn("a"), after.txn("b"), after.txn("c")), (Some(12), Some(103), None));
        assert_eq!((after.version(), after.txns()), (before.version(), before.txns()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_05_every_file_tells_the_sequences_of_its_own_rows() {
    let place = &Place::all()[0];
    let mut appender = appender(&place.lake()).await;
    let batch = arrow::compute::concat_batches(
        &NUMBERS.arrow_schema(),
        &[rows("a", 0, 10), rows("b", 4, 5), rows("a", 10, 13)],
    )
    .unwrap();
    let files = appender.write(batch, &[]).await.unwrap();
    let advances = vec![advance("a", None, 13), advance("b", None, 5)];
    appender.commit(files, advances).await.unwrap();
    let range = |app_id: &str, first, last| SequenceRange { app_id: app_id.into(), first, last };
    let snapshot = appender.table().snapshot().await.unwrap();
    let found: Vec<_> = snapshot.files.iter().map(|file| file.sequences()).collect();
    assert_eq!(found[0], [range("a", 0, 12), range("b", 4, 4)]);
    assert_eq!(found[1], [range("a", 1, 11)]);
    // In the log and in a snapshot from a checkpoint alike.
    let Tail::Commits(commits) = appender.table().tail(0, 10).await.unwrap() else { panic!() };
    assert_eq!(commits[0].adds[0].sequences().len() + commits[0].adds[1].sequences().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_07_a_commit_costs_one_request_however_many_files_there_are() {
    let place = &Place::all()[0];
    let (lake, faults) = place.faulty(&settings());
    let mut appender = appender(&lake).await;
    let mut costs = Vec::new();
    for round in 0..40 {
        let files = pending(appender.table(), "a", round * 100, round * 100 + 2).await;
        faults.asked();
        let base = appender.txn("a");
        let advances = vec![advance("a", base, (round + 1) * 100)];
        appender.commit(files, advances).await.unwrap();
        costs.push(faults.asked());
    }
    assert_eq!(costs, vec![1; 40]);
}

#[tokio::test(flavor = "multi_thread")]
async fn advances_that_say_nothing_are_refused() {
    let place = &Place::all()[0];
    let mut appender = appender(&place.lake()).await;
    for advances in [
        vec![],
        vec![advance("a", 5, 5)],
        vec![advance("a", 5, 4)],
        vec![advance("a", None, 1), advance("a", None, 2)],
    ] {
        assert!(appender.commit(vec![], advances).await.is_err());
    }
    assert_eq!(Appender::open(appender.table().clone()).await.unwrap().version(), 0);
}
