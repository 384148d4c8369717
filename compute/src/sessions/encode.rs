//! Rows of `sessions` to and from Arrow.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int32Array, Int64Array, ListArray,
    ListBuilder, MapArray, RecordBatch, StringArray, StringBuilder, StructArray,
    TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use onramp_schemas::tables::SESSIONS;

use super::definition::Definition;
use super::row::{Attributes, Row};
use crate::error::ComputeError;
use crate::fold::Digest;

const ABANDONMENT: i32 = 1;
const ERROR: i32 = 2;
const ACTIVITY: i32 = 4;

/// The rows as a batch of the table's columns.
pub(crate) fn encode(definition: &Definition, rows: &[Row]) -> Result<RecordBatch, ArrowError> {
    let schema = SESSIONS.arrow_schema();
    let same = |value: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| value)))
    };
    let instants = |pick: fn(&Row) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(pick).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let columns = schema.fields().iter().map(|field| -> Result<ArrayRef, ArrowError> {
        Ok(match field.name().as_str() {
            "funnel" => same(&definition.name),
            "funnel_hash" => same(&definition.hash),
            "started_date" => {
                Arc::new(rows.iter().map(|row| Some(row.started_date())).collect::<Date32Array>())
            }
            "client_id" => {
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &*row.client_id)))
            }
            "session_id" => {
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &*row.session_id)))
            }
            "session_key" => {
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.session_key)))
            }
            "started_at" => instants(Row::started_at),
            "first_event_at" => instants(|row| Some(row.first_event_at)),
            "last_event_at" => instants(|row| Some(row.last_event_at)),
            "last_seen_at" => instants(|row| Some(row.last_seen_at)),
            "furthest_stage" => {
                Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.furthest)))
            }
            "truncated" => {
                Arc::new(rows.iter().map(|row| Some(row.truncated)).collect::<BooleanArray>())
            }
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
        builder.append_value(row.stage_at.iter().copied());
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

/// Access to the columns of a batch of `sessions` by name.
pub(crate) struct Columns<'a>(pub &'a RecordBatch);

impl<'a> Columns<'a> {
    fn column(&self, name: &str) -> Result<&'a ArrayRef, ComputeError> {
        let missing = || ComputeError::Damaged { reason: format!("the column {name} is missing") };
        self.0.column_by_name(name).ok_or_else(missing)
    }

    /// A text column.
    pub fn text(&self, name: &str) -> Result<&'a StringArray, ComputeError> {
        self.column(name)?.as_string_opt().ok_or_else(|| mistyped(name))
    }

    /// An integer column.
    pub fn integer(&self, name: &str) -> Result<&'a Int64Array, ComputeError> {
        self.column(name)?.as_primitive_opt::<Int64Type>().ok_or_else(|| mistyped(name))
    }

    /// An integer column of half the width.
    pub fn short(&self, name: &str) -> Result<&'a Int32Array, ComputeError> {
        self.column(name)?.as_primitive_opt::<Int32Type>().ok_or_else(|| mistyped(name))
    }

    /// A column of instants.
    pub fn instant(&self, name: &str) -> Result<&'a TimestampMicrosecondArray, ComputeError> {
        self.column(name)?
            .as_primitive_opt::<TimestampMicrosecondType>()
            .ok_or_else(|| mistyped(name))
    }

    /// A truth column.
    pub fn flag(&self, name: &str) -> Result<&'a BooleanArray, ComputeError> {
        self.column(name)?.as_boolean_opt().ok_or_else(|| mistyped(name))
    }

    /// The attributes.
    pub fn attributes(&self) -> Result<AttributeColumn<'a>, ComputeError> {
        let map = self.column("attributes")?.as_map_opt().ok_or_else(|| mistyped("attributes"))?;
        let text =
            |array: &'a ArrayRef| array.as_string_opt().ok_or_else(|| mistyped("attributes"));
        Ok(AttributeColumn { map, names: text(map.keys())?, values: text(map.values())? })
    }

    /// The digests.
    pub fn digests(&self) -> Result<DigestColumn<'a>, ComputeError> {
        let damaged = || mistyped("digests");
        let list = self.column("digests")?.as_list_opt::<i32>().ok_or_else(damaged)?;
        let fields = list.values().as_struct_opt().ok_or_else(damaged)?;
        let field = |name: &str| fields.column_by_name(name).ok_or_else(damaged);
        let integer = |name: &str| field(name)?.as_primitive_opt::<Int64Type>().ok_or_else(damaged);
        Ok(DigestColumn {
            list,
            id_high: integer("id_high")?,
            id_low: integer("id_low")?,
            occurred_at: field("occurred_at")?.as_primitive_opt().ok_or_else(damaged)?,
            stages: integer("stages")?,
            exclusions: integer("exclusions")?,
            flags: field("flags")?.as_primitive_opt().ok_or_else(damaged)?,
            reason: field("reason")?.as_string_opt().ok_or_else(damaged)?,
            code: field("code")?.as_string_opt().ok_or_else(damaged)?,
        })
    }

    /// Whole rows.
    pub fn rows(&self) -> Result<Vec<Row>, ComputeError> {
        let (client_id, session_id) = (self.text("client_id")?, self.text("session_id")?);
        let (session_key, furthest) = (self.integer("session_key")?, self.short("furthest_stage")?);
        let (first, last) = (self.instant("first_event_at")?, self.instant("last_event_at")?);
        let (seen, truncated) = (self.instant("last_seen_at")?, self.flag("truncated")?);
        let (attributes, digests) = (self.attributes()?, self.digests()?);
        let stages =
            self.column("stage_at")?.as_list_opt::<i32>().ok_or_else(|| mistyped("stage_at"))?;
        let row = |row: usize| Row {
            client_id: client_id.value(row).into(),
            session_id: session_id.value(row).into(),
            session_key: session_key.value(row),
            stage_at: stages.value(row).as_primitive::<TimestampMicrosecondType>().iter().collect(),
            furthest: furthest.value(row),
            first_event_at: first.value(row),
            last_event_at: last.value(row),
            last_seen_at: seen.value(row),
            attributes: attributes.all(row),
            digests: digests.get(row),
            truncated: truncated.value(row),
        };
        Ok((0..self.0.num_rows()).map(row).collect())
    }
}

fn mistyped(name: &str) -> ComputeError {
    ComputeError::Damaged { reason: format!("the column {name} is of another type") }
}

/// The column `attributes`.
pub(crate) struct AttributeColumn<'a> {
    map: &'a MapArray,
    names: &'a StringArray,
    values: &'a StringArray,
}

impl<'a> AttributeColumn<'a> {
    /// The name-value pairs of a row.
    pub fn pairs(&self, row: usize) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let offsets = self.map.value_offsets();
        let (names, values) = (self.names, self.values);
        (offsets[row] as usize..offsets[row + 1] as usize)
            .filter(move |&entry| values.is_valid(entry))
            .map(move |entry| (names.value(entry), values.value(entry)))
    }

    fn all(&self, row: usize) -> Attributes {
        self.pairs(row).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// The column `digests`.
pub(crate) struct DigestColumn<'a> {
    list: &'a ListArray,
    id_high: &'a Int64Array,
    id_low: &'a Int64Array,
    occurred_at: &'a TimestampMicrosecondArray,
    stages: &'a Int64Array,
    exclusions: &'a Int64Array,
    flags: &'a Int32Array,
    reason: &'a StringArray,
    code: &'a StringArray,
}

impl DigestColumn<'_> {
    /// The digests of a row; `None` where they were dropped.
    pub fn get(&self, row: usize) -> Option<Vec<Digest>> {
        if self.list.is_null(row) {
            return None;
        }
        let offsets = self.list.value_offsets();
        Some(
            (offsets[row] as usize..offsets[row + 1] as usize)
                .map(|place| self.digest(place))
                .collect(),
        )
    }

    fn digest(&self, place: usize) -> Digest {
        let (high, low) = (self.id_high.value(place) as u64, self.id_low.value(place) as u64);
        let flags = self.flags.value(place);
        let text =
            |column: &StringArray| column.is_valid(place).then(|| Arc::from(column.value(place)));
        Digest {
            id: (u128::from(high) << 64) | u128::from(low),
            occurred_at: self.occurred_at.value(place),
            stages: self.stages.value(place) as u32,
            exclusions: self.exclusions.value(place) as u32,
            abandonment: flags & ABANDONMENT != 0,
            error: flags & ERROR != 0,
            activity: flags & ACTIVITY != 0,
            reason: text(self.reason),
            code: text(self.code),
        }
    }
}
