//! The engine's functions that make much of little, each within bounds.
//!
//! What a function makes is not counted by the memory pool, so it is estimated before it is made. A value
//! may be copied to every row of a batch, so a single one is bounded far below a batch.

mod concatenate;
mod percentile;
mod series;
pub(super) mod size;

#[cfg(test)]
mod tests;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};
use datafusion::prelude::SessionContext;

use super::SqlError;
use size::Size;

/// The most bytes of a value that stands for all rows: it is copied to each of a batch.
const MOST_OF_CONSTANT: usize = 64 << 10;
/// The most bytes that one call may make of a batch.
pub(super) const MOST_OF_BATCH: u64 = 16 << 20;

/// Puts a bound around every function that may make more than it is given.
///
/// # Errors
/// Never with this version of the engine: it takes every function.
pub(super) fn bound(context: &SessionContext) -> Result<(), SqlError> {
    let state = context.state();
    for (name, size) in size::GROWING {
        if let Some(inner) = state.scalar_functions().get(name) {
            context.register_udf(ScalarUDF::from(Bounded { inner: Arc::clone(inner), size }));
        }
    }
    series::bound(context)?;
    percentile::exact(context)?;
    let join = Bounded { inner: Arc::new(concatenate::udf()), size: Size::JOINED };
    let planner = Arc::new(concatenate::Operator(Arc::new(ScalarUDF::from(join))));
    context.state_ref().write().register_expr_planner(planner)?;
    Ok(())
}

/// A function that is asked what it will make before it makes it.
#[derive(Debug)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    size: Size,
}

// The function tells its size.
impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl Bounded {
    fn too_large(&self, bytes: u64, most: u64) -> DataFusionError {
        SqlError::Refused(format!(
            "{} would make {bytes} bytes at once, at most {most} may be made",
            self.inner.name()
        ))
        .into()
    }

    /// Calls the function on as many rows at a time as may become large together.
    fn in_pieces(&self, args: &ScalarFunctionArgs, bounds: &[u64]) -> Result<ColumnarValue> {
        let (mut pieces, mut made, mut start) = (Vec::<ArrayRef>::new(), 0, 0);
        while start < bounds.len() {
            let mut sum = bounds[start];
            let mut end = start + 1;
            while end < bounds.len() && sum + bounds[end] <= MOST_OF_BATCH {
                sum += bounds[end];
                end += 1;
            }
            let piece = slice(args, start, end - start);
            let piece = self.inner.invoke_with_args(piece)?.into_array(end - start)?;
            made += piece.get_buffer_memory_size() as u64;
            if made > MOST_OF_BATCH {
                return Err(self.too_large(made, MOST_OF_BATCH));
            }
            pieces.push(piece);
            start = end;
        }
        let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&pieces)?))
    }
}

fn slice(args: &ScalarFunctionArgs, start: usize, length: usize) -> ScalarFunctionArgs {
    let part = |value: &ColumnarValue| match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(start, length)),
        ColumnarValue::Scalar(scalar) => ColumnarValue::Scalar(scalar.clone()),
    };
    let mut piece = args.clone();
    piece.args = args.args.iter().map(part).collect();
    piece.number_rows = length;
    piece
}

impl ScalarUDFImpl for Bounded {
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

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bounds = self.size.of_rows(&args)?;
        let largest = bounds.iter().copied().max().unwrap_or_default();
        let most = self.size.most_of_value();
        if largest > most {
            return Err(self.too_large(largest, most));
        }
        let all = bounds.iter().fold(0_u64, |sum, &bound| sum.saturating_add(bound));
        if all > MOST_OF_BATCH {
            return self.in_pieces(&args, &bounds);
        }
        let made = self.inner.invoke_with_args(args)?;
        match &made {
            ColumnarValue::Scalar(value) if value.size() > MOST_OF_CONSTANT => {
                Err(self.too_large(value.size() as u64, MOST_OF_CONSTANT as u64))
            }
            _ => Ok(made),
        }
    }
}
