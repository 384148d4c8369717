//! `retention(c1, …, cn)`: who met the first condition, and which others as well.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Builder, ListBuilder, UInt64Array,
};
use arrow::datatypes::{DataType, Field, FieldRef, UInt64Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator,
    Signature, Volatility,
};

use super::arguments::{MOST_CONDITIONS, conditions};
use super::events::{holds, masks};
use super::single_group::SingleGroup;
use super::{CONDITIONS, Page};

const NAME: &str = "retention";

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Page {
        description: "A list of 0 and 1: whether some row met the first condition, then for each \
            other condition whether some row met it and some row the first. As in ClickHouse, when a \
            row meets a condition does not matter; the sum over all groups of the k-th element is the \
            number of those who came back. No rows: all 0.",
        syntax: "retention(c1, …, cn)",
        arguments: &[CONDITIONS],
        example: "\
SELECT person, retention(day = '2026-03-02', day = '2026-03-03', day = '2026-03-09') AS came
FROM (VALUES ('ada', '2026-03-02'), ('ada', '2026-03-09'), ('bo', '2026-03-03')) AS v(person, day)
GROUP BY person ORDER BY person

+--------+-----------+
| person | came      |
+--------+-----------+
| ada    | [1, 0, 1] |
| bo     | [0, 0, 0] |
+--------+-----------+",
    }
    .documentation()
});

pub(super) fn udaf() -> AggregateUDF {
    let signature = Signature::user_defined(Volatility::Immutable);
    AggregateUDF::from(Retention { signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Retention {
    signature: Signature,
}

impl Retention {
    fn groups(args: &AccumulatorArgs<'_>) -> MetConditions {
        MetConditions { conditions: args.exprs.len(), met: Vec::new() }
    }
}

impl AggregateUDFImpl for Retention {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() > MOST_CONDITIONS {
            return plan_err!(
                "{NAME} takes 1 to {MOST_CONDITIONS} conditions, not {}",
                types.len()
            );
        }
        conditions(NAME, types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::new_list(DataType::Int32, true))
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "met");
        Ok(vec![Arc::new(Field::new(name, DataType::UInt64, true))])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Self::groups(&args)))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(SingleGroup(Self::groups(&args))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&PAGE)
    }
}

/// Which conditions the rows of each group met; that is the state as well, one number a group.
#[derive(Debug)]
struct MetConditions {
    conditions: usize,
    met: Vec<u64>,
}

impl MetConditions {
    fn rows(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Vec<u64> {
        let mut masks = masks(values, values.first().map_or(0, |array| array.len()));
        if let Some(filter) = filter.map(holds) {
            for (mask, counts) in masks.iter_mut().zip(&filter) {
                *mask = if counts { *mask } else { 0 };
            }
        }
        masks
    }

    fn unite(&mut self, masks: impl Iterator<Item = u64>, groups: &[usize], total: usize) {
        self.met.resize(total, 0);
        for (mask, &group) in masks.zip(groups) {
            self.met[group] |= mask;
        }
    }
}

impl GroupsAccumulator for MetConditions {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let rows = self.rows(values, opt_filter);
        self.unite(rows.into_iter(), group_indices, total_num_groups);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut lists = ListBuilder::new(Int32Builder::new());
        for met in emit_to.take_needed(&mut self.met) {
            for condition in 0..self.conditions {
                lists.values().append_value((met & (met >> condition) & 1) as i32);
            }
            lists.append(true);
        }
        Ok(Arc::new(lists.finish()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(UInt64Array::from(emit_to.take_needed(&mut self.met)))])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        let states = values.first().map(|states| states.as_primitive::<UInt64Type>());
        let masks = states.into_iter().flatten().map(Option::unwrap_or_default);
        self.unite(masks, group_indices, total_num_groups);
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(UInt64Array::from(self.rows(values, opt_filter)))])
    }

    fn size(&self) -> usize {
        self.met.capacity() * size_of::<u64>()
    }
}
