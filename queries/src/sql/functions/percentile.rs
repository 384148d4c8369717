//! `percentile_cont` as reports reckon it: linear between order statistics. The engine's own rounds the
//! weight between two of them to a millionth, and so tells another number than the report.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Signature,
};
use datafusion::physical_expr::expressions::Literal;
use datafusion::prelude::SessionContext;

pub(super) fn exact(context: &SessionContext) -> Result<()> {
    let inner = context.udaf("percentile_cont")?;
    context.register_udaf(AggregateUDF::from(Percentile { inner }));
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arguments)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let part = args.exprs.get(1).and_then(|part| part.downcast_ref::<Literal>());
        let is_descending = args.order_bys.first().is_some_and(|it| it.options.descending);
        let is_plain = !args.is_distinct
            && args.expr_fields.first().is_some_and(|it| *it.data_type() == DataType::Float64);
        // It knows what is wrong with its arguments.
        let inner = self.inner.accumulator(args)?;
        match part.map(Literal::value) {
            Some(&ScalarValue::Float64(Some(part))) if is_plain => {
                let part = if is_descending { 1.0 - part } else { part };
                Ok(Box::new(Values { part, values: Vec::new() }))
            }
            _ => Ok(inner),
        }
    }
}

#[derive(Debug)]
struct Values {
    part: f64,
    values: Vec<f64>,
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.extend(values[0].as_primitive::<Float64Type>().iter().flatten());
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[list])?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<_> = self.values.iter().copied().map(ScalarValue::from).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Float64))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Some(last) = self.values.len().checked_sub(1) else {
            return Ok(ScalarValue::Float64(None));
        };
        let place = self.part * last as f64;
        let (_, &mut low, above) =
            self.values.select_nth_unstable_by(place as usize, f64::total_cmp);
        let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
        Ok(ScalarValue::from(low + (high - low) * place.fract()))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.values.capacity() * size_of::<f64>()
    }
}
