//! Rows of `sessions` to Arrow; back again in [`super::columns`].

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Int32Array, Int64Array, ListArray, ListBuilder, MapArray,
    RecordBatch, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::error::ArrowError;
use onramp_schemas::tables::SESSIONS;

use super::definition::Definition;
use super::row::Row;
use crate::fold::{CodedError, Digest};

pub(super) const ABANDONMENT: i32 = 1;
pub(super) const ERROR: i32 = 2;
pub(super) const ACTIVITY: i32 = 4;

/// The rows as a batch of the table's columns.
pub(crate) fn encode(definition: &Definition, rows: &[Row]) -> Result<RecordBatch, ArrowError> {
    let schema = SESSIONS.arrow_schema();
    let same = |value: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| value)))
    };
    let text = |pick: fn(&Row) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(pick).collect::<StringArray>())
    };
    let instants = |pick: fn(&Row) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(pick).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let integers = |pick: fn(&Row) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(pick)))
    };
    let shorts = |pick: fn(&Row) -> i32| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(rows.iter().map(pick)))
    };
    let flags = |pick: fn(&Row) -> bool| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(pick(row))).collect::<BooleanArray>())
    };
    let columns = schema.fields().iter().map(|field| -> Result<ArrayRef, ArrowError> {
        Ok(match field.name().as_str() {
            "funnel" => same(&definition.name),
            "funnel_hash" => same(&definition.hash),
            "started_date" => {
                Arc::new(rows.iter().map(|row| Some(row.started_date())).collect::<Date32Array>())
            }
            "client_id" => text(|row| Some(&row.client_id)),
            "session_id" => text(|row| Some(&row.session_id)),
            "session_key" => integers(|row| row.session_key),
            "started_at" => instants(Row::started_at),
            "first_event_at" => instants(|row| Some(row.summary.first_event_at)),
            "last_event_at" => instants(|row| Some(row.summary.last_event_at)),
            "last_seen_at" => instants(|row| Some(row.last_seen_at)),
            "furthest_stage" => shorts(|row| row.summary.furthest as i32),
            "truncated" => flags(|row| row.truncated),
            "events" => integers(|row| row.events),
            "reached" => shorts(|row| row.summary.reached as i32),
            "reached_in_horizon" => shorts(|row| row.summary.in_horizon as i32),
            "excluded" => flags(|row| row.summary.excluded),
            "given_up" => flags(|row| row.summary.given_up),
            "interrupted_at" => instants(|row| row.summary.interrupted_at),
            "loss_reason" => text(|row| row.summary.reason.as_deref()),
            "errors" => errors(rows, field)?,
            "stage_at" => stage_at(rows, field)?,
            "attributes" => attributes(rows, field)?,
            "digests" => digests(rows, field)?,
            other => {
                return Err(ArrowError::SchemaError(format!(
                    "sessions has an unknown column {other}"
                )));
            }
        })
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<Vec<_>, _>>()?)
}

fn stage_at(rows: &[Row], field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let DataType::List(element) = field.data_type() else { return Err(kind(field)) };
    let values = TimestampMicrosecondBuilder::new().with_data_type(element.data_type().clone());
    let mut builder = ListBuilder::new(values).with_field(Arc::clone(element));
    for row in rows {
        builder.append_value(row.summary.stage_at.iter().copied());
    }
    Ok(Arc::new(builder.finish()))
}

fn attributes(rows: &[Row], field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let DataType::Map(entries, sorted) = field.data_type() else { return Err(kind(field)) };
    let (mut names, mut values) = (StringBuilder::new(), StringBuilder::new());
    for (name, value) in rows.iter().flat_map(|row| &row.attributes) {
        names.append_value(name);
        values.append_value(value);
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(names.finish()), Arc::new(values.finish())];
    let fields = struct_fields(entries)?;
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.attributes.len()));
    let entries_array = StructArray::try_new(fields, columns, None)?;
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, entries_array, None, *sorted)?))
}

fn digests(rows: &[Row], field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let DataType::List(element) = field.data_type() else { return Err(kind(field)) };
    let all: Vec<&Digest> = rows.iter().filter_map(|row| row.digests.as_ref()).flatten().collect();
    let integers = |pick: fn(&Digest) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(all.iter().map(|digest| pick(digest))))
    };
    let fields = struct_fields(element)?;
    let columns = fields.iter().map(|column| -> Result<ArrayRef, ArrowError> {
        Ok(match column.name().as_str() {
            "id_high" => integers(|digest| (digest.id >> 64) as i64),
            "id_low" => integers(|digest| digest.id as i64),
            "occurred_at" => Arc::new(
                TimestampMicrosecondArray::from_iter_values(
                    all.iter().map(|digest| digest.occurred_at),
                )
                .with_timezone("UTC"),
            ),
            "stages" => integers(|digest| i64::from(digest.stages)),
            "exclusions" => integers(|digest| i64::from(digest.exclusions)),
            "flags" => {
                Arc::new(Int32Array::from_iter_values(all.iter().map(|digest| flags(digest))))
            }
            "reason" => {
                Arc::new(all.iter().map(|digest| digest.reason.as_deref()).collect::<StringArray>())
            }
            "code" => {
                Arc::new(all.iter().map(|digest| digest.code.as_deref()).collect::<StringArray>())
            }
            other => {
                return Err(ArrowError::SchemaError(format!(
                    "digests has an unknown field {other}"
                )));
            }
        })
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let offsets =
        OffsetBuffer::from_lengths(rows.iter().map(|row| row.digests.as_ref().map_or(0, Vec::len)));
    let given: NullBuffer = rows.iter().map(|row| row.digests.is_some()).collect();
    let values = StructArray::try_new(fields, columns, None)?;
    Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, Arc::new(values), Some(given))?))
}

fn errors(rows: &[Row], field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let DataType::List(element) = field.data_type() else { return Err(kind(field)) };
    let all: Vec<&CodedError> = rows.iter().flat_map(|row| &row.summary.errors).collect();
    let at = all.iter().map(|error| error.occurred_at);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(at).with_timezone("UTC")),
        Arc::new(StringArray::from_iter_values(all.iter().map(|error| &*error.code))),
    ];
    let values = StructArray::try_new(struct_fields(element)?, columns, None)?;
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.summary.errors.len()));
    Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, Arc::new(values), None)?))
}

fn flags(digest: &Digest) -> i32 {
    let bit = |set: bool, bit: i32| if set { bit } else { 0 };
    bit(digest.abandonment, ABANDONMENT) | bit(digest.error, ERROR) | bit(digest.activity, ACTIVITY)
}

fn struct_fields(field: &Field) -> Result<Fields, ArrowError> {
    match field.data_type() {
        DataType::Struct(fields) => Ok(fields.clone()),
        _ => Err(kind(field)),
    }
}

fn kind(field: &Field) -> ArrowError {
    ArrowError::SchemaError(format!("{} is a {}", field.name(), field.data_type()))
}
