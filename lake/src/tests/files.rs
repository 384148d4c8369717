//! What is in a data file and what the log says of it.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, StringArray};
use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::basic::{Compression, Encoding};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};

use super::fixture::*;
use crate::{LakeError, Table};

async fn table() -> (Place, Table) {
    let place = Place::all().remove(0);
    let table = place.lake().create(&NUMBERS).await.unwrap();
    (place, table)
}

fn stats(file: &crate::PendingFile) -> Value {
    serde_json::from_str(file.add.stats.as_deref().unwrap()).unwrap()
}

/// Rows in which one column is replaced.
fn with_column(batch: &RecordBatch, name: &str, values: StringArray) -> RecordBatch {
    let mut columns = batch.columns().to_vec();
    columns[batch.schema().index_of(name).unwrap()] = Arc::new(values);
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

#[tokio::test]
async fn rows_are_split_by_partition_value_in_their_order() {
    let (_place, table) = table().await;
    let files = pending(&table, "a", 0, 7).await;
    assert_eq!(files.len(), 2);
    for (file, day, expected) in
        [(&files[0], "2026-11-23", [0, 2, 4, 6].as_slice()), (&files[1], "2026-11-24", &[1, 3, 5])]
    {
        let file = file.file();
        assert_eq!(file.partition_values["day"].as_deref(), Some(day));
        assert!(file.path.starts_with(&format!("day={day}/part-")), "{}", file.path);
        assert!(file.path.ends_with(".zstd.parquet"));
        assert_eq!((file.rows, file.modified_at), (Some(expected.len() as i64), NOON));
        let batch = read(&table, &file.path).await.remove(0);
        assert!(batch.column_by_name("day").is_none(), "partition values stand in the log");
        let found = batch.column_by_name("sequence").unwrap();
        let found = found.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec();
        assert_eq!(found, expected);
        let size = table.store().head(&Path::from(file.path.as_str())).await.unwrap().size;
        assert_eq!(file.size, size as i64);
    }
}

#[tokio::test]
async fn invariant_07_statistics_cover_only_the_listed_columns() {
    let (_place, table) = table().await;
    let files = pending(&table, "a", 0, 7).await;
    let expected = json!({
        "numRecords": 4,
        "minValues": {"label": "l002", "at": "2026-11-23T00:00:00.000000Z", "sequence": 0},
        "maxValues": {"label": "l004", "at": "2026-11-23T00:00:00.000006Z", "sequence": 6},
        "nullCount": {"label": 2, "at": 0, "sequence": 0},
    });
    assert_eq!(stats(&files[0]), expected);
    let file = files[0].file();
    assert_eq!(file.range("sequence"), Some((0, 6)));
    assert_eq!(file.range("at"), Some((NOON, NOON + 6)));
    assert_eq!((file.range("label"), file.range("secret"), file.range("id")), (None, None, None));
}

#[tokio::test]
async fn long_text_is_cut_to_bounds_that_still_hold() {
    let (_place, table) = table().await;
    let low = format!("a{}", "ü".repeat(100));
    let high = format!("z{}", "\u{10FFFF}".repeat(100));
    let batch = rows("a", 0, 2).slice(0, 1);
    for (value, below, above) in [(&low, &low, &low), (&high, &high, &high)] {
        let batch = with_column(&batch, "label", StringArray::from(vec![value.as_str()]));
        let file = table.write(batch, &[]).await.unwrap().remove(0);
        let stats = stats(&file);
        let bound = |side: &str| stats[side]["label"].as_str().unwrap().to_owned();
        assert!(bound("minValues") <= *below, "{stats}");
        assert!(bound("maxValues") >= *above, "{stats}");
        assert!(bound("minValues").len() <= 64);
    }
}

#[tokio::test]
async fn a_column_without_values_has_no_bounds() {
    let (_place, table) = table().await;
    let batch = rows("a", 0, 4);
    let batch = with_column(&batch, "label", StringArray::new_null(4));
    let file = table.write(batch, &[]).await.unwrap().remove(0);
    let stats = stats(&file);
    assert!(stats["minValues"].get("label").is_none() && stats["maxValues"].get("label").is_none());
    assert_eq!(stats["nullCount"]["label"], 2);
}

#[tokio::test]
async fn parquet_is_laid_out_for_folding() {
    let (_place, table) = table().await;
    // More rows than a row group holds, all of one day.
    let mut batch = rows("a", 0, 140_000);
    let mut columns = batch.columns().to_vec();
    columns[0] = Arc::new(arrow::array::Date32Array::from(vec![DAY; batch.num_rows()]));
    batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let file = table.write(batch, &[]).await.unwrap().remove(0);
    let bytes: Bytes = table
        .store()
        .get(&Path::from(file.file().path.as_str()))
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let reader = SerializedFileReader::new(bytes).unwrap();
    let groups = reader.metadata().row_groups();
    assert_eq!(groups.iter().map(|group| group.num_rows()).collect::<Vec<_>>(), [131_072, 8_928]);
    for column in groups[0].columns() {
        assert!(matches!(column.compression(), Compression::ZSTD(_)));
        let dictionary = column.encodings().any(|encoding| encoding == Encoding::RLE_DICTIONARY);
        match column.column_path().string().as_str() {
            "id" => assert!(!dictionary),
            "label" | "source_partition" => assert!(dictionary),
            _ => {}
        }
    }
    assert_eq!(file.file().range("sequence"), Some((0, 139_999)), "bounds span all row groups");
}

#[tokio::test]
async fn a_batch_of_other_columns_is_refused() {
    let (_place, table) = table().await;
    let batch = rows("a", 0, 2);
    let fewer = batch.project(&[0, 1, 2]).unwrap();
    let swapped = batch.project(&[0, 2, 1, 3, 4, 5, 6]).unwrap();
    let null_day = {
        let mut columns = batch.columns().to_vec();
        columns[1] = Arc::new(StringArray::new_null(2));
        let schema = arrow::datatypes::Schema::new(
            batch
                .schema()
                .fields()
                .iter()
                .map(|field| field.as_ref().clone().with_nullable(true))
                .collect::<Vec<_>>(),
        );
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    };
    for bad in [fewer, swapped, null_day] {
        let error = table.write(bad, &[]).await.unwrap_err();
        assert!(matches!(error, LakeError::Batch { table: "numbers", .. }), "{error}");
    }
    assert_eq!(table.write(batch.slice(0, 0), &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_file_written_in_parts_reads_back() {
    let (_place, table) = table().await;
    let mut writer = table.file_writer();
    let mut wanted = 0;
    // Incompressible text, beyond the size of a part.
    for round in 0..16_i64 {
        let batch = rows("a", round * 40_000, (round + 1) * 40_000);
        let noise = (0..40_000).map(|_| uuid::Uuid::new_v4().to_string());
        let mut columns =
            with_column(&batch, "secret", StringArray::from_iter_values(noise)).columns().to_vec();
        columns[0] = Arc::new(arrow::array::Date32Array::from(vec![DAY; 40_000]));
        wanted += 40_000;
        writer.write(RecordBatch::try_new(batch.schema(), columns).unwrap()).await.unwrap();
    }
    let file = writer.finish().await.unwrap().unwrap();
    let size = table.store().head(&Path::from(file.file().path.as_str())).await.unwrap().size;
    assert_eq!(file.file().size, size as i64);
    assert!(size > 16 << 20, "{size}");
    let found: usize =
        read(&table, &file.file().path).await.iter().map(RecordBatch::num_rows).sum();
    assert_eq!((found, file.file().rows), (wanted, Some(wanted as i64)));

    let mut mixed = table.file_writer();
    assert!(mixed.write(rows("a", 0, 2)).await.is_err(), "two days in one file");
    assert!(table.file_writer().finish().await.unwrap().is_none());
}
