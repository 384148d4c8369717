//! What aggregates over events have in common: arguments, state, and one answer per group.

use std::fmt::Debug;
use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator,
    Signature, Volatility,
};

use super::arguments::{Arguments, constants};
use super::events::{Batch, Event, Events, Width};
use super::single_group::SingleGroup;
use super::time_axis::TimeAxis;

/// A function that answers from the set of a group's events.
pub(super) trait EventFunction: Debug + Default + Eq + Hash + Send + Sync + 'static {
    const NAME: &'static str;
    const ARGUMENTS: Arguments;

    /// The type of the answer, from that of the time.
    fn return_type(time: &DataType) -> DataType;

    /// The answer to no rows at all, where it is not NULL.
    fn of_nothing() -> Option<ScalarValue>;

    /// What answers one call.
    fn evaluator(call: &Call) -> Result<Box<dyn Evaluator>>;

    fn documentation() -> &'static Documentation;
}

/// A call with its constants.
pub(super) struct Call {
    pub axis: TimeAxis,
    /// Number of conditions.
    pub conditions: usize,
    pub constants: Vec<ScalarValue>,
}

/// Answers group by group.
pub(super) trait Evaluator: Debug + Send + Sync {
    /// Whether events that meet no condition count.
    fn needs_unmatched(&self) -> bool {
        false
    }

    /// Answers for one more group, whose events come in their order.
    fn append(&mut self, events: &[Event]) -> Result<()>;

    /// All answers since the last time.
    fn finish(&mut self) -> Result<ArrayRef>;
}

/// The function as SQL knows it.
pub(super) fn udaf<F: EventFunction>() -> AggregateUDF {
    let signature = Signature::user_defined(Volatility::Immutable);
    AggregateUDF::from(EventAggregate { function: F::default(), signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct EventAggregate<F> {
    function: F,
    signature: Signature,
}

impl<F: EventFunction> EventAggregate<F> {
    fn groups(args: &AccumulatorArgs<'_>) -> Result<EventGroups> {
        if args.is_distinct {
            return plan_err!("{} takes no DISTINCT: equal events count each", F::NAME);
        }
        let types: Vec<DataType> =
            args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        let shape = F::ARGUMENTS.shape(&types);
        let axis = TimeAxis::new(&types[shape.time]);
        let call = Call {
            axis: axis.clone(),
            conditions: shape.conditions.len(),
            constants: constants(F::NAME, args, &shape)?,
        };
        Ok(EventGroups {
            axis,
            time: shape.time,
            width: Width::of(shape.conditions.len()),
            conditions: shape.conditions,
            events: Events::default(),
            evaluator: F::evaluator(&call)?,
        })
    }
}

impl<F: EventFunction> AggregateUDFImpl for EventAggregate<F> {
    fn name(&self) -> &str {
        F::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        F::ARGUMENTS.coerce(F::NAME, types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(F::return_type(&types[F::ARGUMENTS.leading.len()]))
    }

    fn is_nullable(&self) -> bool {
        F::of_nothing().is_none()
    }

    fn default_value(&self, kind: &DataType) -> Result<ScalarValue> {
        F::of_nothing().map_or_else(|| ScalarValue::try_from(kind), Ok)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "events");
        Ok(vec![Arc::new(Field::new(name, DataType::LargeBinary, true))])
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
        Ok(Box::new(Self::groups(&args)?))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(SingleGroup(Self::groups(&args)?)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(F::documentation())
    }
}

/// The events of all groups, and what answers from them.
#[derive(Debug)]
struct EventGroups {
    axis: TimeAxis,
    time: usize,
    conditions: Range<usize>,
    width: Width,
    events: Events,
    evaluator: Box<dyn Evaluator>,
}

impl EventGroups {
    fn batch(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Batch> {
        let times = self.axis.values(&values[self.time])?;
        let unmatched = self.evaluator.needs_unmatched();
        Ok(Batch::new(times, &values[self.conditions.clone()], filter, unmatched))
    }
}

impl GroupsAccumulator for EventGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.events.grow(total_num_groups);
        let batch = self.batch(values, opt_filter)?;
        self.events.push(&batch, group_indices)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut emitted = self.events.emit(emit_to);
        emitted.for_each(|events| self.evaluator.append(events))?;
        self.evaluator.finish()
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(self.events.emit(emit_to).states(self.width))])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.events.grow(total_num_groups);
        for states in values {
            self.events.merge(states.as_binary::<i64>(), group_indices, self.width)?;
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(self.batch(values, opt_filter)?.states(self.width))])
    }

    fn size(&self) -> usize {
        self.events.size()
    }
}
