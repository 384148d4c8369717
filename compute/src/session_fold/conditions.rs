//! A funnel's conditions on a batch of events: those on the type once per dictionary value, the others
//! only where a row's type makes them matter.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use datafusion::common::{DFSchema, Result, exec_datafusion_err};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use onramp_schemas::funnel::{Condition, Funnel};
use onramp_schemas::tables::EVENTS;

use super::COLUMNS;
use crate::error::ComputeError;
use crate::predicate::Compiler;

const TYPE: &str = "event_type";
/// Exclusions take the upper half of the flags, stages the lower.
const FIRST_EXCLUSION: usize = 32;

/// Bit k of an event's flags: it meets stage k + 1; bit 32 + x: it meets exclusion x + 1.
#[derive(Debug)]
pub(super) struct Conditions {
    /// What the type alone decides; none of a bit: any type will do.
    by_type: Vec<(u64, Option<Arc<dyn PhysicalExpr>>)>,
    /// What needs the rest of the row.
    by_row: Vec<(u64, Arc<dyn PhysicalExpr>)>,
    /// The columns that these are compiled for.
    row: SchemaRef,
}

impl Conditions {
    pub fn compile(context: &SessionContext, funnel: &Funnel) -> Result<Self, ComputeError> {
        let failed =
            |source| ComputeError::query(format!("compile the funnel {}", funnel.name), source);
        let compiler = Compiler::new(context, &funnel.name).map_err(failed)?;
        let stages = funnel.stages.iter().enumerate().map(|(index, stage)| {
            (index, format!("stage {} ({:?})", index + 1, stage.name), stage.condition())
        });
        let exclusions = funnel.exclusions.iter().enumerate().map(|(index, exclusion)| {
            (FIRST_EXCLUSION + index, format!("exclusion {}", index + 1), exclusion.condition())
        });
        let (mut by_type, mut by_row) = (Vec::new(), Vec::new());
        for (bit, place, Condition { event_type, predicate }) in stages.chain(exclusions) {
            let part = |event_type, predicate| {
                compiler.condition(&Condition { event_type, predicate }, &place)
            };
            let given = event_type.is_some();
            let types = given.then(|| part(event_type, None)).transpose()?;
            let rest = predicate.map(|predicate| part(None, Some(predicate))).transpose()?;
            let only_type =
                |expr: &Expr| expr.column_refs().iter().all(|column| column.name == TYPE);
            let (types, rest) = match (types, rest) {
                (None, Some(rest)) if only_type(&rest) => (Some(rest), None),
                parts => parts,
            };
            by_type.push((1_u64 << bit, types));
            by_row.extend(rest.map(|rest| (1_u64 << bit, rest)));
        }
        let used = |field: &&Arc<Field>| {
            let name = field.name();
            by_row.iter().any(|(_, expr)| expr.column_refs().iter().any(|it| it.name == *name))
        };
        let events = EVENTS.arrow_schema();
        let row: Vec<_> = events.fields().iter().filter(used).cloned().collect();
        let row = Arc::new(Schema::new(row));
        let text = Arc::new(Schema::new(vec![Field::new(TYPE, DataType::Utf8, false)]));
        let physical = |expr: Expr, schema: &SchemaRef| {
            let schema = DFSchema::try_from(Arc::clone(schema)).map_err(failed)?;
            context.create_physical_expr(expr, &schema).map_err(failed)
        };
        let by_type = by_type
            .into_iter()
            .map(|(bit, expr)| Ok((bit, expr.map(|expr| physical(expr, &text)).transpose()?)));
        let by_row = by_row.into_iter().map(|(bit, expr)| Ok((bit, physical(expr, &row)?)));
        Ok(Self {
            by_type: by_type.collect::<Result<_, ComputeError>>()?,
            by_row: by_row.collect::<Result<_, ComputeError>>()?,
            row: Arc::clone(&row),
        })
    }

    /// Columns beside [`COLUMNS`] that the conditions look at.
    pub fn further_columns(&self) -> impl Iterator<Item = &str> {
        let names = self.row.fields().iter().map(|field| field.name().as_str());
        names.filter(|name| !COLUMNS.contains(name))
    }

    /// The flags of every row. `known` is kept between the batches of one stream.
    pub fn flags(&self, batch: &RecordBatch, known: &mut Option<Types>) -> Result<Vec<u64>> {
        let types = dictionary(batch, TYPE)?;
        if known.as_ref().is_none_or(|known| !Arc::ptr_eq(&known.values, types.values())) {
            *known = Some(self.types(types.values())?);
        }
        let table = known.as_ref().map_or(&[][..], |known| &known.flags);
        let mut flags: Vec<u64> =
            types.keys().values().iter().map(|&key| table[key as usize]).collect();
        let mut row = None;
        for (bit, condition) in &self.by_row {
            if flags.iter().all(|flags| flags & bit == 0) {
                continue;
            }
            let row = match &row {
                Some(row) => row,
                None => row.insert(self.plain(batch)?),
            };
            let holds = condition.evaluate(row)?.into_array(row.num_rows())?;
            let holds = holds.as_boolean();
            for (index, flags) in flags.iter_mut().enumerate() {
                if holds.is_null(index) || !holds.value(index) {
                    *flags &= !bit;
                }
            }
        }
        Ok(flags)
    }

    fn types(&self, values: &ArrayRef) -> Result<Types> {
        let mut flags = vec![0; values.len()];
        let schema = Arc::new(Schema::new(vec![Field::new(TYPE, DataType::Utf8, false)]));
        let rows = RecordBatch::try_new(schema, vec![Arc::clone(values)])?;
        for (bit, condition) in &self.by_type {
            let holds = match condition {
                Some(condition) => Some(condition.evaluate(&rows)?.into_array(rows.num_rows())?),
                None => None,
            };
            for (index, flags) in flags.iter_mut().enumerate() {
                let met = holds.as_ref().is_none_or(|holds| holds.as_boolean().value(index));
                *flags |= if met { *bit } else { 0 };
            }
        }
        Ok(Types { values: Arc::clone(values), flags })
    }

    /// The columns that conditions on rows were compiled for, as they were.
    fn plain(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let column = |field: &Arc<Field>| {
            let column = batch.column_by_name(field.name());
            let column =
                column.ok_or_else(|| exec_datafusion_err!("no column {}", field.name()))?;
            Ok(cast(column, field.data_type())?)
        };
        let columns = self.row.fields().iter().map(column).collect::<Result<_>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.row), columns)?)
    }
}

/// What a dictionary's types mean.
pub(super) struct Types {
    values: ArrayRef,
    flags: Vec<u64>,
}

/// A column that is read as a dictionary.
pub(super) fn dictionary<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a DictionaryArray<Int32Type>> {
    let column = batch.column_by_name(name).and_then(|it| it.as_dictionary_opt::<Int32Type>());
    column.ok_or_else(|| exec_datafusion_err!("the column {name} was not read as a dictionary"))
}
