//! Splitting a batch by its partition values.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use onramp_schemas::tables;

use crate::error::LakeError;

/// What Hive and Delta call the folder of a null.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// The value of each partition column, in the table's order, as Delta writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Partition(pub Vec<(&'static str, Option<String>)>);

impl Partition {
    /// That of a row; `values` are the partition columns.
    fn at(def: &tables::Table, values: &[ArrayRef], row: usize) -> Result<Self, ArrowError> {
        let text = |(name, column): (&&'static str, &ArrayRef)| {
            let text = cast(&column.slice(row, 1), &DataType::Utf8)?;
            let text = text.as_string::<i32>();
            Ok((*name, text.is_valid(0).then(|| text.value(0).to_owned())))
        };
        def.partition_by.iter().zip(values).map(text).collect::<Result<_, _>>().map(Self)
    }

    /// Column to value, as the log has them.
    pub(super) fn values(self) -> HashMap<String, Option<String>> {
        self.0.into_iter().map(|(column, value)| (column.to_owned(), value)).collect()
    }

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
    // A text may come as a dictionary; what is stored is the same.
    let own = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        match column.data_type() {
            DataType::Dictionary(_, value) if **value == *field.data_type() => {
                Arc::new(field.as_ref().clone().with_data_type(column.data_type().clone()))
            }
            _ => field.clone(),
        }
    });
    let schema = Arc::new(Schema::new(own.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, batch.columns().to_vec())
        .map_err(|error| refuse(error.to_string()))
}

/// The rows of a batch that make up one file, in their order.
pub(super) enum Picked {
    /// Neighbours.
    Range(Range<usize>),
    /// Rows by their places.
    Rows(UInt32Array),
}

impl Picked {
    fn new(mut ranges: Vec<Range<usize>>, order: Option<&UInt32Array>) -> Self {
        match (ranges.len(), order) {
            (1, None) => Self::Range(ranges.remove(0)),
            (1, Some(order)) => Self::Rows(order.slice(ranges[0].start, ranges[0].len())),
            (_, None) => Self::Rows(ranges.into_iter().flatten().map(|row| row as u32).collect()),
            (_, Some(order)) => {
                Self::Rows(ranges.into_iter().flatten().map(|place| order.value(place)).collect())
            }
        }
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.len(),
            Self::Rows(rows) => rows.len(),
        }
    }

    /// The values of a `part` of them.
    pub(super) fn pick(
        &self,
        column: &ArrayRef,
        part: &Range<usize>,
    ) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Range(range) => Ok(column.slice(range.start + part.start, part.len())),
            Self::Rows(rows) => take(column, &rows.slice(part.start, part.len()), None),
        }
    }
}

/// Which rows each partition gets, in their order, partitions in the order of their first rows. `order` are the places of
/// the rows as they shall be written; without it they are written as they are.
pub(super) fn split(
    def: &'static tables::Table,
    batch: &RecordBatch,
    order: Option<&UInt32Array>,
) -> Result<Vec<(Partition, Picked)>, LakeError> {
    let arrow = |source| LakeError::Arrow { table: def.name, source };
    let rows = order.map_or(batch.num_rows(), Array::len);
    let mut values: Vec<ArrayRef> = Vec::with_capacity(def.partition_by.len());
    for name in def.partition_by {
        let column = batch.column_by_name(name).ok_or_else(|| LakeError::Batch {
            table: def.name,
            reason: format!("no partition column {name}"),
        })?;
        values.push(match order {
            Some(order) => take(column, order, None).map_err(arrow)?,
            None => column.clone(),
        });
    }
    let ranges = match (rows, values.as_slice()) {
        (0, _) => Vec::new(),
        (_, []) => std::iter::once(0..rows).collect(),
        _ => arrow::compute::partition(&values).map_err(arrow)?.ranges(),
    };
    let mut groups: Vec<(Partition, Vec<Range<usize>>)> = Vec::new();
    let mut known: HashMap<Partition, usize> = HashMap::new();
    for range in ranges {
        let partition = Partition::at(def, &values, range.start).map_err(arrow)?;
        let group = *known.entry(partition.clone()).or_insert(groups.len());
        if group == groups.len() {
            groups.push((partition, Vec::new()));
        }
        groups[group].1.push(range);
    }
    Ok(groups.into_iter().map(|(partition, r)| (partition, Picked::new(r, order))).collect())
}

/// The picked rows as the file has them: without the partition columns.
pub(super) fn rows(
    def: &tables::Table,
    batch: &RecordBatch,
    picked: &Picked,
) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let kept = schema.fields().iter().zip(batch.columns());
    let kept = kept.filter(|(field, _)| !def.partition_by.contains(&field.name().as_str()));
    let (fields, columns): (Vec<_>, Vec<_>) =
        kept.map(|(field, column)| (field.clone(), column)).unzip();
    let all = 0..picked.len();
    let columns = columns.into_iter().map(|column| picked.pick(column, &all));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.collect::<Result<_, _>>()?)
}
