//! What the log knows of the values in each file, in the form that DataFusion prunes by.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, UInt64Array};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use onramp_lake::DataFile;
use onramp_schemas::tables::Table as Definition;

use super::{FILE_COLUMN, partition_value};

/// Partition values and the statistics of the files' `add` actions, one container per file.
pub(super) struct Bounds<'a> {
    definition: &'static Definition,
    schema: &'a Schema,
    files: &'a [DataFile],
}

impl<'a> Bounds<'a> {
    pub(super) fn new(
        definition: &'static Definition,
        schema: &'a Schema,
        files: &'a [DataFile],
    ) -> Self {
        Self { definition, schema, files }
    }

    fn bound(&self, column: &Column, pick: fn((i64, i64)) -> i64) -> Option<ArrayRef> {
        let field = self.schema.field_with_name(column.name()).ok()?;
        let kind = field.data_type();
        if column.name() == FILE_COLUMN {
            let indices = (0..self.files.len() as i32).map(|index| ScalarValue::Int32(Some(index)));
            return ScalarValue::iter_to_array(indices).ok();
        }
        if self.definition.partition_by.contains(&column.name()) {
            let values = self.files.iter().map(|file| partition_value(file, column.name(), kind));
            return ScalarValue::iter_to_array(values.collect::<Result<Vec<_>, _>>().ok()?).ok();
        }
        let integers: Int64Array =
            self.files.iter().map(|file| file.range(column.name()).map(pick)).collect();
        match kind {
            DataType::Int64 => Some(Arc::new(integers)),
            DataType::Timestamp(..) => arrow::compute::cast(&integers, kind).ok(),
            // Text bounds may be cut short in the log, and the other kinds have none.
            _ => None,
        }
    }
}

impl PruningStatistics for Bounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, |(min, _)| min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, |(_, max)| max)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows: UInt64Array = self
            .files
            .iter()
            .map(|file| file.rows.and_then(|rows| u64::try_from(rows).ok()))
            .collect();
        Some(Arc::new(rows))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
