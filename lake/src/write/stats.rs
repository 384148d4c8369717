//! The statistics of an `add`, taken from those that the Parquet writer kept: only the table's statistics columns.

use chrono::{DateTime, NaiveDate, TimeDelta};
use onramp_schemas::tables;
use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;
use serde_json::{Map, Value, json};

/// A bound that JSON can carry, comparable within its column.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Bound {
    Integer(i64),
    Float(f64),
    Text(String),
}

/// `{"numRecords", "minValues", "maxValues", "nullCount"}` as Delta defines it.
///
/// A column without a bound (all null, or of a kind that has none) has no entry in `minValues` and `maxValues`. Text is cut
/// to the length that Parquet keeps: a prefix below, above a prefix that is made greater.
pub(super) fn json(def: &tables::Table, metadata: &ParquetMetaData) -> Value {
    let (mut min_values, mut max_values, mut null_count) = (Map::new(), Map::new(), Map::new());
    for (index, column) in metadata.file_metadata().schema_descr().columns().iter().enumerate() {
        let path = column.path();
        if path.parts().len() != 1 || !def.stats.contains(&column.name()) {
            continue;
        }
        let groups =
            || metadata.row_groups().iter().filter_map(|group| group.column(index).statistics());
        let mins: Option<Vec<Bound>> = groups()
            .filter(|stats| has_values(stats))
            .map(|stats| bounds(stats).map(|both| both.0))
            .collect();
        let maxs: Option<Vec<Bound>> = groups()
            .filter(|stats| has_values(stats))
            .map(|stats| bounds(stats).map(|both| both.1))
            .collect();
        let least = mins.and_then(|all| all.into_iter().reduce(|a, b| if b < a { b } else { a }));
        let most = maxs.and_then(|all| all.into_iter().reduce(|a, b| if b > a { b } else { a }));
        if let (Some(least), Some(most)) = (
            least.and_then(|bound| value(column, bound)),
            most.and_then(|bound| value(column, bound)),
        ) {
            min_values.insert(column.name().to_owned(), least);
            max_values.insert(column.name().to_owned(), most);
        }
        let nulls: u64 = groups().filter_map(Statistics::null_count_opt).sum();
        null_count.insert(column.name().to_owned(), json!(nulls));
    }
    json!({
        "numRecords": metadata.file_metadata().num_rows(),
        "minValues": min_values,
        "maxValues": max_values,
        "nullCount": null_count,
    })
}

/// Row groups in which a column is all null carry no bounds and do not take the bounds of the others away.
fn has_values(stats: &Statistics) -> bool {
    stats.min_bytes_opt().is_some()
}

fn bounds(stats: &Statistics) -> Option<(Bound, Bound)> {
    let text =
        |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(|text| Bound::Text(text.to_owned()));
    match stats {
        Statistics::Int32(stats) => Some((
            Bound::Integer(i64::from(*stats.min_opt()?)),
            Bound::Integer(i64::from(*stats.max_opt()?)),
        )),
        Statistics::Int64(stats) => {
            Some((Bound::Integer(*stats.min_opt()?), Bound::Integer(*stats.max_opt()?)))
        }
        Statistics::Double(stats) => {
            Some((Bound::Float(*stats.min_opt()?), Bound::Float(*stats.max_opt()?)))
        }
        Statistics::ByteArray(stats) => {
            Some((text(stats.min_opt()?.data())?, text(stats.max_opt()?.data())?))
        }
        _ => None,
    }
}

fn value(column: &ColumnDescriptor, bound: Bound) -> Option<Value> {
    match (column.logical_type_ref(), bound) {
        (Some(LogicalType::Timestamp(time)), Bound::Integer(micros))
            if time.unit == TimeUnit::MICROS =>
        {
            let time = DateTime::from_timestamp_micros(micros)?;
            Some(json!(time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()))
        }
        (Some(LogicalType::Date), Bound::Integer(days)) => {
            let date = NaiveDate::default().checked_add_signed(TimeDelta::try_days(days)?)?;
            Some(json!(date.to_string()))
        }
        (_, Bound::Integer(integer)) => Some(json!(integer)),
        (_, Bound::Float(float)) => float.is_finite().then(|| json!(float)),
        (_, Bound::Text(text)) => Some(json!(text)),
    }
}
