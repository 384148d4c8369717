//! An aggregate over one group, from the same aggregate over many.

use std::fmt::Debug;

use arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// The only group of a query without GROUP BY, or the frame of a window.
#[derive(Debug)]
pub(super) struct SingleGroup<G>(pub G);

/// Every row belongs to group 0.
fn indices(values: &[ArrayRef]) -> Vec<usize> {
    vec![0; values.first().map_or(0, |array| array.len())]
}

impl<G: GroupsAccumulator + Debug + Sync> Accumulator for SingleGroup<G> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values, &indices(values), None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states, &indices(states), 1)
    }

    /// Over a growing frame there are more rows to come, so the state is put back.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let state = self.0.state(EmitTo::All)?;
        self.merge_batch(&state)?;
        let answer = self.0.evaluate(EmitTo::All)?;
        self.merge_batch(&state)?;
        ScalarValue::try_from_array(&answer, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        // Before the first batch there is no group yet.
        self.merge_batch(&[])?;
        let state = self.0.state(EmitTo::All)?;
        state.iter().map(|array| ScalarValue::try_from_array(array, 0)).collect()
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
