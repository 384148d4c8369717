//! A set of session keys as a filter that files and row groups can be pruned by.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, col,
    lit,
};

/// Session keys.
pub(crate) type Keys = Arc<HashSet<i64>>;

/// Up to here the keys stand in the plan one by one, so that files and row groups between them are skipped.
const LISTED: usize = 16;

/// True for rows whose `session_key` is one of these.
pub(crate) fn filter(keys: &Keys) -> Expr {
    let (Some(least), Some(greatest)) = (keys.iter().min(), keys.iter().max()) else {
        return lit(false);
    };
    if keys.len() <= LISTED {
        let mut listed: Vec<i64> = keys.iter().copied().collect();
        listed.sort_unstable();
        return col("session_key").in_list(listed.into_iter().map(lit).collect(), false);
    }
    let contains = ScalarUDF::from(InKeys {
        keys: Arc::clone(keys),
        signature: Signature::exact(vec![DataType::Int64], Volatility::Immutable),
    });
    col("session_key")
        .between(lit(*least), lit(*greatest))
        .and(contains.call(vec![col("session_key")]))
}

#[derive(Debug)]
struct InKeys {
    keys: Keys,
    signature: Signature,
}

impl PartialEq for InKeys {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keys, &other.keys)
    }
}

impl Eq for InKeys {}

impl Hash for InKeys {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.keys).hash(state);
    }
}

impl ScalarUDFImpl for InKeys {
    fn name(&self) -> &str {
        "in_session_keys"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let values = array.as_primitive::<Int64Type>();
        let held: BooleanArray = (0..values.len())
            .map(|row| Some(values.is_valid(row) && self.keys.contains(&values.value(row))))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(held)))
    }
}
