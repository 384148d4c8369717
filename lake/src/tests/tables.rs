//! Creating tables, and refusing those that cannot be written without harm (rules 5, 7 and 8).

use object_store::{ObjectStoreExt, PutMode};
use onramp_schemas::tables::{ALL, DEAD_LETTERS, EVENTS, Table as Def};

use super::fixture::*;
use crate::log::commit_path;
use crate::{DEDUP_WINDOW, Lake, LakeError, Table};

/// Commits lines as another program would.
pub async fn commit_by_hand(table: &Table, version: i64, lines: &[&str]) {
    let body = lines.join("\n");
    let options = PutMode::Create.into();
    table.store().put_opts(&commit_path(version), body.into(), options).await.unwrap();
}

/// The first commit of a table, changed.
async fn recreate(
    lake: &Lake,
    change: impl Fn(String) -> String,
) -> Result<Option<Table>, LakeError> {
    let table = lake.create(&NUMBERS).await?;
    let store = table.store();
    let bytes = store.get(&commit_path(0)).await.unwrap().bytes().await.unwrap();
    let before = String::from_utf8(bytes.to_vec()).unwrap();
    let after = change(before.clone());
    assert_ne!(before, after, "the change must change something");
    store.put(&commit_path(0), after.into()).await.unwrap();
    lake.open_table(&NUMBERS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_07_tables_are_reader_1_writer_2_with_their_properties() {
    for place in Place::all() {
        let lake = place.lake();
        for def in ALL {
            let table = lake.create(def).await.unwrap();
            let delta = opened_by_delta(&table).await;
            let state = delta.snapshot().unwrap();
            let protocol = state.protocol();
            assert_eq!((protocol.min_reader_version(), protocol.min_writer_version()), (1, 2));
            assert!(protocol.reader_features().is_none() && protocol.writer_features().is_none());
            assert_eq!(state.metadata().partition_columns(), def.partition_by);
            assert_eq!(state.schema().fields().len(), def.columns.len());
            let properties = table.snapshot().await.unwrap().properties;
            assert_eq!(properties["delta.dataSkippingStatsColumns"], def.stats.join(","));
            assert_eq!(properties["delta.isolationLevel"], "writeSerializable");
            assert_eq!(properties["delta.logRetentionDuration"], "interval 2 days");
            assert_eq!(properties["delta.deletedFileRetentionDuration"], "interval 6 hours");
        }
    }
}

async fn opened_by_delta(table: &Table) -> deltalake::DeltaTable {
    let mut delta = deltalake::DeltaTable::new(table.log_store().unwrap());
    delta.load().await.unwrap();
    delta
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_05_the_window_is_fixed_when_events_is_created() {
    let place = &Place::all()[0];
    let property = async |def: &'static Def| {
        let table = place.lake().create(def).await.unwrap();
        table.snapshot().await.unwrap().properties.get(DEDUP_WINDOW).cloned()
    };
    assert_eq!(property(&EVENTS).await.as_deref(), Some("1000000"));
    assert_eq!(property(&DEAD_LETTERS).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_creators_end_up_with_one_table() {
    for place in Place::all() {
        let creators: Vec<_> = (0..8)
            .map(|_| {
                let lake = place.lake();
                tokio::spawn(async move { lake.create(&NUMBERS).await.unwrap() })
            })
            .collect();
        for creator in creators {
            let table = creator.await.unwrap();
            assert_eq!(table.snapshot().await.unwrap().version, 0);
        }
        assert!(place.lake().open_table(&NUMBERS).await.unwrap().is_some());
        assert!(place.lake().open_table(&EVENTS).await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_07_a_newer_protocol_is_refused() {
    for (from, to) in [
        (r#""minReaderVersion":1"#, r#""minReaderVersion":2"#),
        (r#""minWriterVersion":2"#, r#""minWriterVersion":4"#),
        (r#""minWriterVersion":2"#, r#""minWriterVersion":2,"writerFeatures":["rowTracking"]"#),
    ] {
        let place = &Place::all()[0];
        let error = recreate(&place.lake(), |text| text.replace(from, to)).await.unwrap_err();
        assert!(matches!(error, LakeError::NewerProtocol { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("written by a newer version") && text.contains("upgrade"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_07_a_table_that_forgets_its_txns_is_refused() {
    let place = &Place::all()[0];
    let to = r#""configuration":{"delta.setTransactionRetentionDuration":"interval 7 days","#;
    let change = |text: String| text.replace(r#""configuration":{"#, to);
    let error = recreate(&place.lake(), change).await.unwrap_err();
    assert!(matches!(error, LakeError::ForbiddenProperty { .. }), "{error}");
    assert!(error.to_string().contains("delta.setTransactionRetentionDuration"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_shape_is_refused() {
    for (from, to, told) in [
        (r#"\"name\":\"label\""#, r#"\"name\":\"other\""#, "lacks the column label"),
        (r#"\"type\":\"long\""#, r#"\"type\":\"integer\""#, "column sequence is \"integer\""),
        (r#""partitionColumns":["day"]"#, r#""partitionColumns":[]"#, "partitioned by []"),
    ] {
        let place = &Place::all()[0];
        let error = recreate(&place.lake(), |text| text.replace(from, to)).await.unwrap_err();
        assert!(matches!(error, LakeError::SchemaMismatch { .. }), "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_a_newer_program_are_added_once() {
    for place in Place::all() {
        let lake = place.lake();
        let without = |text: String| text.replace(r#"\"name\":\"label\""#, r#"\"name\":\"other\""#);
        let error = recreate(&lake, without).await.unwrap_err();
        assert!(error.to_string().contains("lacks the column label"), "{error}");
        let creators = (0..4).map(|_| {
            let lake = place.lake();
            tokio::spawn(async move { lake.create(&NUMBERS).await.unwrap() })
        });
        for creator in creators.collect::<Vec<_>>() {
            assert_eq!(creator.await.unwrap().snapshot().await.unwrap().version, 1);
        }
        let table = lake.create(&NUMBERS).await.unwrap();
        let mut appender = appender(&lake).await;
        append(&mut appender, "a", 0, 4).await;
        assert_eq!(contents(&table).await["a"], sequences(0..4));
        assert_eq!(opened_by_delta(&table).await.version(), Some(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_more_columns_is_accepted() {
    let place = &Place::all()[0];
    let more =
        r#"\"fields\":[{\"name\":\"more\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}},"#;
    let opened = recreate(&place.lake(), |text| text.replace(r#"\"fields\":["#, more)).await;
    assert!(opened.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_may_have_any_name_and_be_named_in_any_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mein lake/größe #1%20");
    let lake = Lake::open(path.to_str().unwrap(), &settings()).unwrap();
    let mut appender = appender(&lake).await;
    append(&mut appender, "a", 0, 4).await;
    appender.table().checkpoint().await.unwrap();
    append(&mut appender, "a", 4, 6).await;
    assert!(path.join("numbers/_delta_log/00000000000000000001.json").is_file());
    let same = Lake::open(lake.url().as_str(), &settings()).unwrap();
    assert_eq!(same.root(), lake.root());
    let table = same.open_table(&NUMBERS).await.unwrap().unwrap();
    assert_eq!(contents(&table).await["a"], sequences(0..6));
    assert_eq!(opened_by_delta(&table).await.version(), Some(2));
}
