//! What the functions of two counts have in common: successes out of n.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::statistics::proportion::Proportion;

/// The arguments of the reference.
pub(super) const ARGUMENTS: &[(&str, &str)] = &[
    ("successes", "How many did: a whole number from 0 to n, else it is an error."),
    ("n", "Of how many: a whole number. 0 gives NULL, and so does NULL for either."),
];

/// A figure of a proportion.
pub(super) trait Figure: Debug + Default + Eq + Hash + Send + Sync + 'static {
    const NAME: &'static str;

    /// `None` of nothing.
    fn of(proportion: Proportion) -> Option<f64>;

    fn documentation() -> &'static Documentation;
}

/// The function as SQL knows it.
pub(super) fn udf<F: Figure>() -> ScalarUDF {
    let signature = Signature::user_defined(Volatility::Immutable);
    ScalarUDF::from(ProportionFunction { figure: F::default(), signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ProportionFunction<F> {
    figure: F,
    signature: Signature,
}

impl<F: Figure> ScalarUDFImpl for ProportionFunction<F> {
    fn name(&self) -> &str {
        F::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() != 2 {
            return plan_err!("{} takes successes and n, not {} arguments", F::NAME, types.len());
        }
        match types.iter().find(|kind| !kind.is_integer() && !kind.is_null()) {
            Some(other) => plan_err!(
                "{}: successes and n are whole numbers, not {other}; write CAST(… AS BIGINT)",
                F::NAME
            ),
            None => Ok(vec![DataType::Int64; 2]),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let counts: Vec<ArrayRef> =
            args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<_>>()?;
        let [successes, totals] = [0, 1].map(|place| counts[place].as_primitive::<Int64Type>());
        let pairs = successes.iter().zip(totals);
        let figures: Float64Array = pairs
            .map(|pair| match pair {
                (Some(successes), Some(total)) => figure::<F>(successes, total),
                _ => Ok(None),
            })
            .collect::<Result<_>>()?;
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&figures, 0)?),
            false => ColumnarValue::Array(Arc::new(figures)),
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(F::documentation())
    }
}

fn figure<F: Figure>(successes: i64, total: i64) -> Result<Option<f64>> {
    match (u64::try_from(successes), u64::try_from(total)) {
        (Ok(successes), Ok(total)) if successes <= total => {
            Ok(F::of(Proportion::new(successes, total)))
        }
        _ => exec_err!("{}: {successes} of {total} is no proportion", F::NAME),
    }
}
