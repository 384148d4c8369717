//! Rule 2 when the store misbehaves, and when a writer sleeps.

use std::sync::Arc;
use std::time::Duration;

use super::fixture::*;
use crate::{Appender, LakeError, Outcome, StoreSettings};

async fn opened(lake: &crate::Lake) -> Appender {
    appender(lake).await
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_02_an_error_after_the_put_is_done() {
    for place in Place::all() {
        let (lake, faults) = place.faulty(&settings());
        let mut appender = opened(&lake).await;
        append(&mut appender, "a", 0, 10).await;
        faults.next([Fault::FailAfter]);
        assert_eq!(append(&mut appender, "a", 10, 20).await, 2);
        assert_eq!(append(&mut appender, "a", 20, 30).await, 3);
        assert_eq!(contents(appender.table()).await["a"], sequences(0..30));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_02_an_error_before_the_put_is_put_again() {
    for place in Place::all() {
        let (lake, faults) = place.faulty(&settings());
        let mut appender = opened(&lake).await;
        faults.next([Fault::FailBefore, Fault::FailBefore, Fault::FailAfter]);
        assert_eq!(append(&mut appender, "a", 0, 10).await, 1);
        assert_eq!(contents(appender.table()).await["a"], sequences(0..10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_02_a_put_without_an_answer_is_done() {
    for place in Place::all() {
        let (lake, faults) = place.faulty(&impatient());
        let mut appender = opened(&lake).await;
        faults.next([Fault::HangAfter]);
        assert_eq!(append(&mut appender, "a", 0, 10).await, 1);
        assert_eq!(contents(appender.table()).await["a"], sequences(0..10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_02_rows_without_a_txn_land_once_as_well() {
    for place in Place::all() {
        let (lake, faults) = place.faulty(&settings());
        let mut appender = opened(&lake).await;
        let files = pending(appender.table(), "a", 0, 4).await;
        faults.next([Fault::FailBefore, Fault::FailAfter]);
        let outcome = appender.commit(files, vec![]).await.unwrap();
        assert_eq!(outcome, Outcome::Committed { version: 1 });
        assert_eq!(appender.table().latest_version().await.unwrap(), Some(1));
        assert_eq!(contents(appender.table()).await["a"], sequences(0..4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_02_a_store_that_stays_broken_leaves_the_commit_open_and_repeatable() {
    for place in Place::all() {
        let (lake, faults) = place.faulty(&StoreSettings { put_attempts: 2, ..settings() });
        let mut appender = opened(&lake).await;
        let files = pending(appender.table(), "a", 0, 10).await;
        let advances = vec![advance("a", None, 10)];

        faults.next([Fault::FailBefore, Fault::FailBefore]);
        let error = appender.commit(files.clone(), advances.clone()).await.unwrap_err();
        assert!(matches!(error, LakeError::Store { .. }) && error.is_transient(), "{error}");
        assert_eq!(contents(appender.table()).await.len(), 0);

        // The put went through, yet neither its answer nor the log can be read.
        faults.next([Fault::FailAfter]);
        faults.fail_reads(100);
        appender.commit(files.clone(), advances.clone()).await.unwrap_err();
        faults.fail_reads(0);

        let outcome = appender.commit(files, advances).await.unwrap();
        assert_eq!(outcome, Outcome::Committed { version: 1 });
        assert_eq!(contents(appender.table()).await["a"], sequences(0..10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_02_a_put_that_arrives_late_changes_nothing() {
    for place in Place::all() {
        let (lake, faults) = place.faulty(&settings());
        let mut appender = opened(&lake).await;
        let files = pending(appender.table(), "a", 0, 10).await;
        let (reached, release) = faults.hold();
        let mut zombie = Appender::open(appender.table().clone()).await.unwrap();
        let held = files.clone();
        let late =
            tokio::spawn(async move { zombie.commit(held, vec![advance("a", None, 10)]).await });
        reached.notified().await;
        appender.commit(files, vec![advance("a", None, 10)]).await.unwrap();
        append(&mut appender, "a", 10, 20).await;
        release.notify_one();
        // It finds its txn moved beyond what it wanted: its rows are there, though not by its own hand.
        assert_eq!(late.await.unwrap().unwrap(), Outcome::Lost { app_ids: vec!["a".into()] });
        assert_eq!(contents(appender.table()).await["a"], sequences(0..20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_02_a_commit_given_up_half_way_is_found_by_the_next() {
    for place in Place::all() {
        let (lake, faults) = place.faulty(&settings());
        let mut appender = opened(&lake).await;
        let files = pending(appender.table(), "a", 0, 10).await;
        faults.next([Fault::HangAfter]);
        let table = appender.table().clone();
        {
            let advances = vec![advance("a", None, 10)];
            let commit = appender.commit(files.clone(), advances);
            tokio::pin!(commit);
            // Poll the commit only until its file is there, then drop it.
            loop {
                tokio::select! {
                    biased;
                    _ = tokio::time::timeout(Duration::from_millis(20), &mut commit) => {}
                }
                if table.latest_version().await.unwrap() == Some(1) {
                    break;
                }
            }
        }
        let outcome = appender.commit(files, vec![advance("a", None, 10)]).await.unwrap();
        assert_eq!(outcome, Outcome::Committed { version: 1 });
        assert_eq!(contents(appender.table()).await["a"], sequences(0..10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_02_a_stale_zombie_loses() {
    for place in Place::all() {
        let (lake, faults) = place.faulty(&settings());
        let mut zombie = opened(&lake).await;
        append(&mut zombie, "a", 0, 10).await;
        let (reached, release) = faults.hold();
        let stopped = tokio::spawn(async move {
            let files = pending(zombie.table(), "a", 10, 15).await;
            let outcome = zombie.commit(files, vec![advance("a", 10, 15)]).await.unwrap();
            (outcome, zombie)
        });
        reached.notified().await;
        // The partition was given to another process meanwhile, which flushed elsewhere.
        let mut heir = opened(&place.lake()).await;
        append(&mut heir, "a", 10, 12).await;
        append(&mut heir, "a", 12, 30).await;
        release.notify_one();
        let (outcome, mut zombie) = stopped.await.unwrap();
        assert_eq!(outcome, Outcome::Lost { app_ids: vec!["a".into()] });
        assert_eq!(zombie.txn("a"), Some(30));
        append(&mut zombie, "a", 30, 31).await;
        assert_eq!(contents(heir.table()).await["a"], sequences(0..31));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_02_a_zombie_that_outslept_the_log_loses() {
    for place in Place::all() {
        // Nothing is trusted, as after a sleep of hours.
        let settings = StoreSettings { log_trust: Duration::ZERO, ..settings() };
        let (lake, faults) = place.faulty(&settings);
        let mut zombie = opened(&lake).await;
        append(&mut zombie, "a", 0, 10).await;
        let (reached, release) = faults.hold();
        let stopped = tokio::spawn(async move {
            let files = pending(zombie.table(), "a", 10, 15).await;
            let outcome = zombie.commit(files, vec![advance("a", 10, 15)]).await.unwrap();
            (outcome, zombie)
        });
        reached.notified().await;
        let mut heir = opened(&place.lake()).await;
        append(&mut heir, "a", 10, 12).await;
        append(&mut heir, "a", 12, 30).await;
        // The version that the zombie is about to put is cleaned away: its name is free again.
        let later = Arc::new(onramp_schemas::clock::FixedClock(i64::MAX / 2));
        let keeper = place.lake_with(&StoreSettings { clock: later, ..settings.clone() });
        let table = keeper.open_table(&NUMBERS).await.unwrap().unwrap();
        assert!(table.checkpoint().await.unwrap().cleaned_up >= 3);
        release.notify_one();
        let (outcome, zombie) = stopped.await.unwrap();
        assert_eq!(outcome, Outcome::Lost { app_ids: vec!["a".into()] });
        assert_eq!(zombie.txn("a"), Some(30));
        assert_eq!(contents(heir.table()).await["a"], sequences(0..30));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_02_a_changed_table_stops_its_writers() {
    for place in Place::all() {
        let lake = place.lake();
        let mut appender = opened(&lake).await;
        append(&mut appender, "a", 0, 10).await;
        super::tables::commit_by_hand(
            appender.table(),
            2,
            &[r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}"#],
        )
        .await;
        let files = pending(appender.table(), "a", 10, 20).await;
        let error = appender.commit(files, vec![advance("a", 10, 20)]).await.unwrap_err();
        assert!(matches!(error, LakeError::TableChanged { version: 2, .. }), "{error}");
        let error = lake.open_table(&NUMBERS).await.unwrap_err();
        assert!(matches!(error, LakeError::NewerProtocol { .. }), "{error}");
    }
}
