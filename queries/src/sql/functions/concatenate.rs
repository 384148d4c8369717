//! `a || b` of texts as a function, so that it has a bound as the others.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// Plans the operator as a call of the function.
#[derive(Debug)]
pub(super) struct Operator(pub Arc<ScalarUDF>);

impl ExprPlanner for Operator {
    fn plan_binary_op(
        &self,
        operation: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let of_lists = |side: &Expr| {
            Ok::<_, datafusion::error::DataFusionError>(side.get_type(schema)?.is_nested())
        };
        if operation.op != BinaryOperator::StringConcat
            || of_lists(&operation.left)?
            || of_lists(&operation.right)?
        {
            return Ok(PlannerResult::Original(operation));
        }
        let call =
            ScalarFunction::new_udf(Arc::clone(&self.0), vec![operation.left, operation.right]);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}

/// The function: NULL where either side is.
pub(super) fn udf() -> ScalarUDF {
    ScalarUDF::from(Concatenate { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Concatenate {
    signature: Signature,
}

impl ScalarUDFImpl for Concatenate {
    fn name(&self) -> &str {
        "||"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, _: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Utf8; 2])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let sides: [Side; 2] = [Side::of(&args.args[0]), Side::of(&args.args[1])];
        let constant = sides.iter().all(|side| matches!(side, Side::Constant(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let mut texts = StringBuilder::new();
        for row in 0..rows {
            match (sides[0].text(row), sides[1].text(row)) {
                (Some(left), Some(right)) => texts.append_value([left, right].concat()),
                _ => texts.append_null(),
            }
        }
        let texts: ArrayRef = Arc::new(texts.finish());
        Ok(match constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&texts, 0)?),
            false => ColumnarValue::Array(texts),
        })
    }
}

enum Side<'a> {
    Constant(Option<&'a str>),
    Rows(&'a ArrayRef),
}

impl<'a> Side<'a> {
    fn of(value: &'a ColumnarValue) -> Self {
        match value {
            ColumnarValue::Scalar(scalar) => Self::Constant(scalar.try_as_str().flatten()),
            ColumnarValue::Array(array) => Self::Rows(array),
        }
    }

    fn text(&self, row: usize) -> Option<&str> {
        match self {
            Self::Constant(text) => *text,
            Self::Rows(array) => array.is_valid(row).then(|| array.as_string::<i32>().value(row)),
        }
    }
}
