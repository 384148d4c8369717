//! `json_get(json, field)`: one field of a JSON object as text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use sonic_rs::{JsonType, JsonValueTrait, LazyValue};

/// A call of `json_get` on an expression.
pub fn json_get(json: Expr, field: &str) -> Expr {
    udf().call(vec![json, super::text(field)])
}

/// The function as SQL knows it.
///
/// Text is given without quotes, numbers and booleans as they are written, objects and arrays as
/// JSON. NULL: the field is missing or null, or the text is no JSON object.
pub(super) fn udf() -> ScalarUDF {
    ScalarUDF::from(JsonGet { signature: Signature::string(2, Volatility::Immutable) })
}

/// All scalar fields of a JSON object as text, as [`json_get`] gives them, without null fields.
pub fn scalars(json: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for entry in sonic_rs::to_object_iter(json) {
        let Ok((name, value)) = entry else { break };
        if matches!(value.get_type(), JsonType::Object | JsonType::Array) {
            continue;
        }
        // Of a name given twice the last counts.
        fields.retain(|(known, _): &(String, String)| *known != *name);
        fields.extend(as_text(&value).map(|value| (name.to_string(), value)));
    }
    fields
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonGet {
    signature: Signature,
}

impl ScalarUDFImpl for JsonGet {
    fn name(&self) -> &str {
        "json_get"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [json, field] = <[ColumnarValue; 2]>::try_from(args.args).map_err(|_| {
            datafusion::error::DataFusionError::Plan(
                "json_get takes a JSON text and a field name".into(),
            )
        })?;
        let scalar =
            matches!((&json, &field), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let json = arrow::compute::cast(&json.into_array(rows)?, &DataType::Utf8)?;
        let field = arrow::compute::cast(&field.into_array(rows)?, &DataType::Utf8)?;
        let (json, field) = (json.as_string::<i32>(), field.as_string::<i32>());
        let mut found = StringBuilder::with_capacity(rows, rows * 8);
        for row in 0..rows {
            let both = json.is_valid(row) && field.is_valid(row);
            found.append_option(both.then(|| get(json.value(row), field.value(row))).flatten());
        }
        let found: ArrayRef = Arc::new(found.finish());
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?),
            false => ColumnarValue::Array(found),
        })
    }
}

fn get(json: &str, field: &str) -> Option<String> {
    let mut found = None;
    for entry in sonic_rs::to_object_iter(json) {
        let (name, value) = entry.ok()?;
        if name == field {
            found = as_text(&value);
        }
    }
    found
}

fn as_text(value: &LazyValue<'_>) -> Option<String> {
    match value.get_type() {
        JsonType::Null => None,
        JsonType::String => value.as_str().map(str::to_owned),
        _ => Some(value.as_raw_str().to_owned()),
    }
}
