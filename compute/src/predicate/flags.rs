//! Many conditions in one integer: what the fold needs of an event, in one sortable column.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Bit k of the result is the k-th condition; at most 63 of them. NULL counts as false.
pub(crate) fn pack_flags(conditions: Vec<Expr>) -> Expr {
    ScalarUDF::from(PackFlags {
        signature: Signature::variadic(vec![DataType::Boolean], Volatility::Immutable),
    })
    .call(conditions)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PackFlags {
    signature: Signature,
}

impl ScalarUDFImpl for PackFlags {
    fn name(&self) -> &str {
        "pack_flags"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut packed = vec![0_i64; args.number_rows];
        for (bit, condition) in args.args.into_iter().enumerate() {
            let array = condition.into_array(args.number_rows)?;
            let holds = array.as_boolean();
            for (row, flags) in packed.iter_mut().enumerate() {
                *flags |= i64::from(holds.is_valid(row) && holds.value(row)) << bit;
            }
        }
        Ok(ColumnarValue::Array(Arc::new(Int64Array::from(packed))))
    }
}
