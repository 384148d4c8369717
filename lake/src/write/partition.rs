//! Splitting a batch by its partition values.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::DataType;
use onramp_schemas::tables;

use super::file_schema;
use crate::error::LakeError;

/// What Hive and Delta call the folder of a null.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// The value of each partition column, in the table's order, as Delta writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Partition(pub Vec<(&'static str, Option<String>)>);

impl Partition {
    /// `column=value/…/`, empty without partition columns.
    pub(super) fn folder(&self) -> String {
        self.0
            .iter()
            .map(|(column, value)| {
                format!("{column}={}/", value.as_deref().map_or(NULL_FOLDER.into(), escaped))
            })
            .collect()
    }
}

/// Anything but letters, digits and `-_.` as `%XX`, so that a value can be the name of a folder anywhere.
fn escaped(value: &str) -> String {
    let mut name = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if !name.is_empty() => name.push('.'),
            other => name.push_str(&format!("%{other:02X}")),
        }
    }
    name
}

/// Checks a batch against the table and gives it the table's own schema.
pub(super) fn conform(
    def: &'static tables::Table,
    batch: RecordBatch,
) -> Result<RecordBatch, LakeError> {
    let refuse = |reason: String| LakeError::Batch { table: def.name, reason };
    let schema = def.arrow_schema();
    let given = batch.schema();
    if given.fields().len() != schema.fields().len() {
        return Err(refuse(format!(
            "{} columns instead of {}",
            given.fields().len(),
            schema.fields().len()
        )));
    }
    for (is, should) in given.fields().iter().zip(schema.fields()) {
        if is.name() != should.name() {
            return Err(refuse(format!(
                "column {} stands where {} should",
                is.name(),
                should.name()
            )));
        }
    }
    RecordBatch::try_new(schema, batch.columns().to_vec())
        .map_err(|error| refuse(error.to_string()))
}

/// The rows of each partition in their order, partitions in the order of their first rows, without the partition columns.
pub(super) fn split(
    def: &'static tables::Table,
    batch: RecordBatch,
) -> Result<Vec<(Partition, RecordBatch)>, LakeError> {
    let arrow = |source| LakeError::Arrow { table: def.name, source };
    if batch.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let mut values: Vec<(&'static str, StringArray)> = Vec::with_capacity(def.partition_by.len());
    let mut kept: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if !def.partition_by.contains(&field.name().as_str()) {
            kept.push(column.clone());
        }
    }
    for name in def.partition_by {
        let column = batch.column_by_name(name).ok_or_else(|| LakeError::Batch {
            table: def.name,
            reason: format!("no partition column {name}"),
        })?;
        let text = cast(column, &DataType::Utf8).map_err(arrow)?;
        values.push((name, StringArray::from(text.to_data())));
    }
    let rows = RecordBatch::try_new(file_schema(def), kept).map_err(arrow)?;
    let mut groups = group(&values, rows.num_rows());
    if groups.len() == 1 {
        let (partition, _) = groups.remove(0);
        return Ok(vec![(partition, rows)]);
    }
    groups
        .into_iter()
        .map(|(partition, indices)| {
            let part = take_record_batch(&rows, &UInt32Array::from(indices)).map_err(arrow)?;
            Ok((partition, part))
        })
        .collect()
}

fn group(values: &[(&'static str, StringArray)], rows: usize) -> Vec<(Partition, Vec<u32>)> {
    let value =
        |array: &StringArray, row: usize| array.is_valid(row).then(|| array.value(row).to_owned());
    let same = |a: usize, b: usize| {
        values.iter().all(|(_, array)| {
            array.is_null(a) == array.is_null(b) && array.value(a) == array.value(b)
        })
    };
    let mut groups: Vec<(Partition, Vec<u32>)> = Vec::new();
    let mut known: HashMap<Partition, usize> = HashMap::new();
    let mut current = 0;
    for (row, index) in (0..rows).zip(0u32..) {
        // Neighbours mostly share their partition; only a change costs a look-up.
        if row == 0 || !same(row - 1, row) {
            let partition = Partition(
                values.iter().map(|(column, array)| (*column, value(array, row))).collect(),
            );
            current = *known.entry(partition.clone()).or_insert(groups.len());
            if current == groups.len() {
                groups.push((partition, Vec::new()));
            }
        }
        groups[current].1.push(index);
    }
    groups
}
