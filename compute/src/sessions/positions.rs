//! Where each source stood, as a filter on the rows that were read before.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, col,
};
use onramp_lake::{REWRITE_APP_ID, Snapshot};

/// The next sequence of each source partition.
pub type Positions = BTreeMap<String, i64>;

/// Where the sources of a table's rows stand.
pub fn positions(events: &Snapshot) -> Positions {
    // A txn with a # tells something else of a source than its position.
    let is_position = |app_id: &str| app_id != REWRITE_APP_ID && !app_id.contains('#');
    let txns = events.txns.iter().filter(|(app_id, _)| is_position(app_id));
    txns.map(|(app_id, next)| (app_id.clone(), *next)).collect()
}

/// True for rows of `source_partition` whose `sequence` (the name of a column) lies before these.
pub(crate) fn before(positions: &Arc<Positions>, sequence: &str) -> Expr {
    let before = ScalarUDF::from(Before {
        positions: Arc::clone(positions),
        signature: Signature::exact(vec![DataType::Utf8, DataType::Int64], Volatility::Immutable),
    });
    before.call(vec![col("source_partition"), col(sequence)])
}

#[derive(Debug)]
struct Before {
    positions: Arc<Positions>,
    signature: Signature,
}

impl PartialEq for Before {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.positions, &other.positions)
    }
}

impl Eq for Before {}

impl Hash for Before {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.positions).hash(state);
    }
}

impl ScalarUDFImpl for Before {
    fn name(&self) -> &str {
        "before_positions"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (sources, sequences) =
            (arrays[0].as_string::<i32>(), arrays[1].as_primitive::<Int64Type>());
        // Neighbouring rows are mostly of one source.
        let mut last: Option<(&str, Option<i64>)> = None;
        let rows = (0..sequences.len()).map(|row| {
            let source = sources.value(row);
            let next = match last {
                Some((known, next)) if known == source => next,
                _ => self.positions.get(source).copied(),
            };
            last = Some((source, next));
            Some(next.is_some_and(|next| sequences.value(row) < next))
        });
        Ok(ColumnarValue::Array(Arc::new(rows.collect::<BooleanArray>())))
    }
}
