//! Which sequences the rows of a file come from.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use arrow::error::ArrowError;

use crate::file::SequenceRange;

/// The columns that tell which source partition a row came from and where in it.
const SOURCE_COLUMNS: (&str, &str) = ("source_partition", "sequence");

/// The first and the last sequence of each source partition.
#[derive(Default)]
pub(super) struct Sequences(BTreeMap<String, (i64, i64)>);

impl Sequences {
    /// The columns of a batch that tell them, if it has them.
    pub(super) fn columns(rows: &RecordBatch) -> Option<[&ArrayRef; 2]> {
        let (source, sequence) = SOURCE_COLUMNS;
        Some([rows.column_by_name(source)?, rows.column_by_name(sequence)?])
    }

    /// Widens the ranges by those of these rows.
    ///
    /// # Errors
    /// A source that is no text.
    pub(super) fn note(&mut self, [source, sequence]: [&ArrayRef; 2]) -> Result<(), ArrowError> {
        let dictionary = DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into());
        let source = cast(source, &dictionary)?;
        let source = source.as_dictionary::<Int32Type>();
        let Some(sequences) = sequence.as_primitive_opt::<Int64Type>() else { return Ok(()) };
        let mut ranges = vec![None; source.values().len()];
        for (key, sequence) in source.keys().iter().zip(sequences) {
            if let (Some(key), Some(sequence)) = (key, sequence) {
                let range = ranges[key as usize].get_or_insert((sequence, sequence));
                *range = (range.0.min(sequence), range.1.max(sequence));
            }
        }
        let names = source.values().as_string::<i32>();
        for (name, range) in names.iter().zip(ranges) {
            if let (Some(name), Some((first, last))) = (name, range) {
                let known = self.0.entry(name.to_owned()).or_insert((first, last));
                *known = (known.0.min(first), known.1.max(last));
            }
        }
        Ok(())
    }

    /// What was noted; none: no row told.
    pub(super) fn finish(self) -> Option<Vec<SequenceRange>> {
        let ranges = self.0.into_iter();
        let ranges = ranges.map(|(app_id, (first, last))| SequenceRange { app_id, first, last });
        Some(ranges.collect()).filter(|ranges: &Vec<_>| !ranges.is_empty())
    }
}
