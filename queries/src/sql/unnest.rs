//! `unnest` in pieces: each element of a list takes a copy of its row, which no pool counts.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use futures::{StreamExt, TryStreamExt, stream};

use super::SqlError;
use super::functions::MOST_OF_BATCH;
use super::functions::size::{ELEMENT, weights};
use super::through::through;

/// Puts a knife before an operator that unnests; others stay as they are.
pub(super) fn in_pieces(node: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(unnest) = node.downcast_ref::<UnnestExec>() else {
        return Ok(node);
    };
    let lists = unnest.list_column_indices().iter().map(|list| list.index_in_input_schema);
    let lists: Arc<[usize]> = lists.collect();
    let cut = through("Cut", Arc::clone(unnest.input()), move |rows| {
        let (schema, lists) = (rows.schema(), Arc::clone(&lists));
        let pieces = rows.map(move |batch| {
            let pieces = pieces(&batch?, &lists)?;
            Ok::<_, DataFusionError>(stream::iter(pieces.into_iter().map(Ok)))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, pieces.try_flatten()))
    });
    replace_children_if_necessary(node, vec![cut])
}

/// The pieces of a batch so that what becomes of each has a bound.
///
/// # Errors
/// A row that alone becomes too large.
fn pieces(batch: &RecordBatch, lists: &[usize]) -> Result<Vec<RecordBatch>> {
    let rows = batch.num_rows();
    let (mut elements, mut copied) = (vec![0_u64; rows], vec![0_u64; rows]);
    for (place, column) in batch.columns().iter().enumerate() {
        let is_list = lists.contains(&place);
        for (row, weight) in weights(column.as_ref())?.into_iter().enumerate() {
            match is_list {
                true => elements[row] = elements[row].saturating_add(weight / ELEMENT),
                false => copied[row] = copied[row].saturating_add(weight),
            }
        }
    }
    let (mut pieces, mut start, mut sum) = (Vec::new(), 0, 0_u64);
    for row in 0..rows {
        let bytes = elements[row].saturating_mul(copied[row].saturating_add(ELEMENT));
        if bytes > MOST_OF_BATCH {
            return Err(SqlError::Refused(format!(
                "unnest would make {bytes} bytes of one row, at most {MOST_OF_BATCH} may be made; \
                 select fewer columns beside it"
            ))
            .into());
        }
        if sum.saturating_add(bytes) > MOST_OF_BATCH {
            pieces.push(batch.slice(start, row - start));
            (start, sum) = (row, 0);
        }
        sum += bytes;
    }
    pieces.push(batch.slice(start, rows - start));
    Ok(pieces)
}
