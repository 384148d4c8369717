//! Functions that clients call to look around, beside those that come with the catalogue's tables.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Int32Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarFunctionImplementation, ScalarUDF, ScalarUDFImpl,
    Signature, TypeSignature, Volatility, create_udf,
};
use datafusion::scalar::ScalarValue;
use datafusion_postgres::pgwire::api::Type;

use super::View;
use super::tables::Numbers;
use crate::postgres::settings::Settings;

/// All but [`current_setting`], which is a session's own.
pub fn all(views: &[View], numbers: &Numbers) -> Vec<Arc<ScalarUDF>> {
    let numbered = |view: &View| numbers.get(&view.name).copied();
    let told = views.iter().filter_map(|view| Some((numbered(view)?, view)));
    let comments: Arc<HashMap<(i32, i32), Arc<str>>> = Arc::new(
        told.flat_map(|(number, view)| {
            view.comments().map(move |(place, text)| ((number, place), Arc::from(text)))
        })
        .collect(),
    );
    let of_columns = Arc::clone(&comments);
    let column_comment =
        texts("col_description", &[DataType::Int32, DataType::Int32], move |row| {
            of_columns.get(&(number(row, 0)?, number(row, 1)?)).cloned()
        });
    let object_comment = texts("obj_description", &[DataType::Int32, DataType::Utf8], move |row| {
        comments.get(&(number(row, 0)?, 0)).cloned()
    });
    let version: Arc<str> = Arc::from(VERSION);
    let version = texts("version", &[], move |_| Some(Arc::clone(&version)));
    let mut all = vec![column_comment, object_comment, version, types()];
    all.extend(NOTHING.iter().map(|(name, kind)| {
        let signature = Signature::variadic_any(Volatility::Stable);
        ScalarUDF::new_from_impl(Nothing { name, kind: kind.clone(), signature })
    }));
    all.into_iter().map(Arc::new).collect()
}

/// Questions for what views have not; the answer is always NULL, of this type.
const NOTHING: [(&str, DataType); 9] = [
    ("json_build_object", DataType::Utf8),
    ("pg_collation_is_visible", DataType::Boolean),
    ("pg_get_indexdef", DataType::Utf8),
    ("pg_get_serial_sequence", DataType::Utf8),
    ("pg_get_viewdef", DataType::Utf8),
    ("pg_size_pretty", DataType::Utf8),
    ("pg_table_size", DataType::Int64),
    ("pg_tablespace_location", DataType::Utf8),
    ("shobj_description", DataType::Utf8),
];

#[derive(Debug, PartialEq, Eq, Hash)]
struct Nothing {
    name: &'static str,
    kind: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Nothing {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.kind.clone())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::try_from(&self.kind)?))
    }
}

/// What `version()` says: tools read the number after the name.
const VERSION: &str = concat!("PostgreSQL 16.6 (Onramp ", env!("CARGO_PKG_VERSION"), ")");

/// The numbers of PostgreSQL's own types.
const BUILT_IN: std::ops::Range<u32> = 16..6_000;

/// A row of arguments.
type Row<'a> = (&'a [ArrayRef], usize);

fn number(row: Row<'_>, argument: usize) -> Option<i32> {
    let array = row.0[argument].as_primitive::<Int32Type>();
    array.is_valid(row.1).then(|| array.value(row.1))
}

/// A function of these arguments that gives a text or NULL.
fn texts(
    name: &str,
    arguments: &[DataType],
    text: impl Fn(Row<'_>) -> Option<Arc<str>> + Send + Sync + 'static,
) -> ScalarUDF {
    let function: ScalarFunctionImplementation = Arc::new(move |given: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(given)?;
        let rows = arrays.first().map_or(1, |array| array.len());
        let texts: StringArray = (0..rows).map(|row| text((&arrays, row))).collect();
        Ok(ColumnarValue::Array(Arc::new(texts)))
    });
    create_udf(name, arguments.to_vec(), DataType::Utf8, Volatility::Stable, function)
}

/// `to_regtype(name)`: the number of a type, or NULL.
fn types() -> ScalarUDF {
    let function: ScalarFunctionImplementation = Arc::new(|given| {
        let names = ColumnarValue::values_to_arrays(given)?;
        let names = names[0].as_string::<i32>();
        let numbers = names.iter().map(|name| {
            let mut known = BUILT_IN.filter_map(Type::from_oid);
            known.find(|kind| Some(kind.name()) == name).and_then(|kind| kind.oid().try_into().ok())
        });
        let numbers: Int32Array = numbers.collect();
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    });
    let (name, argument) = ("to_regtype", vec![DataType::Utf8]);
    create_udf(name, argument, DataType::Int32, Volatility::Stable, function)
}

/// `current_setting(name [, missing_ok])` of a session.
pub fn current_setting(settings: Settings) -> ScalarUDF {
    ScalarUDF::new_from_impl(CurrentSetting { settings, signature: signature() })
}

fn signature() -> Signature {
    let name = TypeSignature::Exact(vec![DataType::Utf8]);
    let lenient = TypeSignature::Exact(vec![DataType::Utf8, DataType::Boolean]);
    Signature::one_of(vec![name, lenient], Volatility::Stable)
}

#[derive(Debug)]
struct CurrentSetting {
    settings: Settings,
    signature: Signature,
}

// There is one in a session: its name is what it is.
impl PartialEq for CurrentSetting {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for CurrentSetting {}

impl std::hash::Hash for CurrentSetting {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        "current_setting".hash(state);
    }
}

impl ScalarUDFImpl for CurrentSetting {
    fn name(&self) -> &'static str {
        "current_setting"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let names = arrays[0].as_string::<i32>();
        let lenient = |row| arrays.get(1).is_some_and(|array| array.as_boolean().value(row));
        let values = names.iter().enumerate().map(|(row, name)| {
            let Some(name) = name else { return Ok(None) };
            match self.settings.get(name) {
                None if !lenient(row) => Err(DataFusionError::Execution(format!(
                    "unrecognized configuration parameter {name:?}"
                ))),
                value => Ok(value),
            }
        });
        let values: StringArray = values.collect::<Result<_>>()?;
        Ok(ColumnarValue::Array(Arc::new(values)))
    }
}
