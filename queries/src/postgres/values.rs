//! The values of columns as a client asked for them: how one is written is decided once for a column of a
//! batch, for the types that answers consist of. All others are written by `arrow_pg`.

use bytes::{BufMut, BytesMut};
use chrono::{DateTime, Datelike, Timelike};
use datafusion::arrow::array::{
    Array, ArrayAccessor, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Field, Float64Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion_postgres::arrow_pg::encoder::{Encoder, encode_value};
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo};
use datafusion_postgres::pgwire::error::PgWireResult;

use super::errors;

/// Microseconds from 1970 to 2000, where PostgreSQL begins to count.
const EPOCH: i64 = 946_684_800_000_000;
/// The times of the years 1 to 9999, which need no sign and no fifth digit.
const COMMON: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// Appends a value, which is not null, without its length.
type Write<'a> = Box<dyn FnMut(usize, &mut BytesMut) -> PgWireResult<()> + Send + 'a>;

/// A column of a batch.
pub struct Values<'a> {
    nulls: Option<NullBuffer>,
    write: Write<'a>,
}

impl<'a> Values<'a> {
    /// A column as it was computed, which the client was told of as `column` and `field`.
    pub fn new(array: &'a ArrayRef, column: &'a Field, field: &'a FieldInfo) -> PgWireResult<Self> {
        let nulls = array.logical_nulls();
        if let Some(write) = quick(array, field) {
            return Ok(Self { nulls, write });
        }
        let write = any(told(array, column.data_type())?, column, field);
        Ok(Self { nulls, write })
    }

    /// Appends the length and the value of a row.
    pub fn write(&mut self, row: usize, out: &mut BytesMut) -> PgWireResult<()> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.put_i32(-1);
            return Ok(());
        }
        let start = out.len();
        out.put_i32(0);
        (self.write)(row, out)?;
        let length = (out.len() - start - 4) as i32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// The column in the type that the client was told.
fn told(array: &ArrayRef, kind: &DataType) -> PgWireResult<ArrayRef> {
    if array.data_type() == kind {
        return Ok(ArrayRef::clone(array));
    }
    cast(array, kind).map_err(|error| errors::of_engine(&error.into()))
}

/// For the types that answers consist of.
fn quick<'a>(array: &'a ArrayRef, field: &FieldInfo) -> Option<Write<'a>> {
    let binary = field.format() == FieldFormat::Binary;
    Some(match (array.data_type(), field.datatype()) {
        (DataType::Utf8, &Type::TEXT) => text(array.as_string::<i32>()),
        (DataType::LargeUtf8, &Type::TEXT) => text(array.as_string::<i64>()),
        (DataType::Utf8View, &Type::TEXT) => text(array.as_string_view()),
        (DataType::Dictionary(_, kind), &Type::TEXT) if **kind == DataType::Utf8 => {
            let dictionary = array.as_any_dictionary();
            let (keys, values) = (dictionary.normalized_keys(), dictionary.values());
            let values = values.as_string::<i32>();
            Box::new(move |row, out| append(out, values.value(keys[row]).as_bytes()))
        }
        (DataType::Boolean, &Type::BOOL) => {
            let values = array.as_boolean();
            let words = if binary { [[0], [1]] } else { [*b"f", *b"t"] };
            Box::new(move |row, out| append(out, &words[usize::from(values.value(row))]))
        }
        (DataType::Int16, &Type::INT2) => number::<Int16Type, _>(array, binary, i16::to_be_bytes),
        (DataType::Int32, &Type::INT4) => number::<Int32Type, _>(array, binary, i32::to_be_bytes),
        (DataType::Int64, &Type::INT8) => number::<Int64Type, _>(array, binary, i64::to_be_bytes),
        // As text it depends on how many digits a client wants.
        (DataType::Float64, &Type::FLOAT8) if binary => {
            number::<Float64Type, _>(array, binary, f64::to_be_bytes)
        }
        (DataType::Timestamp(TimeUnit::Microsecond, zone), kind) => {
            let values = array.as_primitive::<TimestampMicrosecondType>();
            let zone = match (zone.as_deref(), kind) {
                (None, &Type::TIMESTAMP) => "",
                (Some("UTC" | "+00:00"), &Type::TIMESTAMPTZ) => "+00",
                _ => return None,
            };
            let common = values.iter().flatten().all(|at| COMMON.contains(&at));
            if !common {
                return None;
            }
            if binary {
                Box::new(move |row, out| append(out, &(values.value(row) - EPOCH).to_be_bytes()))
            } else {
                Box::new(move |row, out| time(values.value(row), zone, out))
            }
        }
        _ => return None,
    })
}

fn append(out: &mut BytesMut, bytes: &[u8]) -> PgWireResult<()> {
    out.put_slice(bytes);
    Ok(())
}

fn text<'a>(values: impl ArrayAccessor<Item = &'a str> + Send + 'a) -> Write<'a> {
    Box::new(move |row, out| append(out, values.value(row).as_bytes()))
}

fn number<'a, T: ArrowPrimitiveType, const N: usize>(
    array: &'a ArrayRef,
    binary: bool,
    bytes: fn(T::Native) -> [u8; N],
) -> Write<'a>
where
    T::Native: std::fmt::Display,
{
    let values: &PrimitiveArray<T> = array.as_primitive();
    if binary {
        return Box::new(move |row, out| append(out, &bytes(values.value(row))));
    }
    Box::new(move |row, out| {
        use std::io::Write as _;
        Ok(write!(out.writer(), "{}", values.value(row))?)
    })
}

/// `2026-03-01 08:00:00.000000` and the zone; the time is one of [`COMMON`].
fn time(at: i64, zone: &str, out: &mut BytesMut) -> PgWireResult<()> {
    let time = DateTime::from_timestamp_micros(at).unwrap_or_default();
    let mut text = *b"0000-00-00 00:00:00.000000";
    let mut set = |end: usize, digits: usize, mut number: u32| {
        for place in (end - digits..end).rev() {
            text[place] += (number % 10) as u8;
            number /= 10;
        }
    };
    set(4, 4, time.year().unsigned_abs());
    set(7, 2, time.month());
    set(10, 2, time.day());
    set(13, 2, time.hour());
    set(16, 2, time.minute());
    set(19, 2, time.second());
    set(26, 6, time.nanosecond() / 1_000);
    append(out, &text)?;
    append(out, zone.as_bytes())
}

/// For any type, value by value.
fn any<'a>(array: ArrayRef, column: &'a Field, field: &'a FieldInfo) -> Write<'a> {
    let mut encoder = DataRowEncoder::new(std::sync::Arc::new(vec![field.clone()]));
    Box::new(move |row, out| {
        match times(&array, row, field)? {
            Some(times) => {
                let (kind, options) = (Type::TEXT, field.format_options());
                let form = FieldFormat::Text;
                encoder.encode_field_with_type_and_format(&times, &kind, form, options)?;
            }
            None => encode_value(&mut encoder, &array, row, column, field)?,
        }
        // The value stands behind its length.
        append(out, Encoder::take_row(&mut encoder).data.get(4..).unwrap_or_default())
    })
}

/// A list of times as text: quoted, as there is a blank in each.
fn times(array: &ArrayRef, row: usize, field: &FieldInfo) -> PgWireResult<Option<String>> {
    let zone = match *field.datatype() {
        Type::TIMESTAMPTZ_ARRAY => "+00",
        Type::TIMESTAMP_ARRAY => "",
        _ => return Ok(None),
    };
    let Some(list) = array.as_list_opt::<i32>().filter(|_| field.format() == FieldFormat::Text)
    else {
        return Ok(None);
    };
    let plain = DataType::Timestamp(TimeUnit::Microsecond, None);
    let times = told(&list.value(row), &plain)?;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let texts = (0..times.len()).map(|place| match times.value_as_datetime(place) {
        Some(time) if times.is_valid(place) => {
            format!("\"{}{zone}\"", time.format("%Y-%m-%d %H:%M:%S%.6f"))
        }
        _ => "NULL".to_owned(),
    });
    Ok(Some(format!("{{{}}}", texts.collect::<Vec<_>>().join(","))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        BooleanArray, DictionaryArray, Float64Array, Int16Array, Int32Array, Int64Array,
        LargeStringArray, ListArray, StringArray, StringViewArray, TimestampMicrosecondArray,
    };
    use datafusion::arrow::datatypes::Schema;
    use datafusion_postgres::arrow_pg::datatypes::arrow_schema_to_pg_fields;
    use datafusion_postgres::pgwire::api::portal::Format;

    use super::super::rows::columns;
    use super::*;

    fn samples() -> Vec<ArrayRef> {
        let texts = [Some("a"), None, Some(""), Some("zwölf Ärzte \\ \"und\" {mehr}"), Some("a")];
        let keyed: DictionaryArray<Int32Type> = texts.into_iter().collect();
        let times = [0, -1, 951_782_400_123_456, -62_135_596_800_000_000, 253_402_300_799_999_999];
        let times = TimestampMicrosecondArray::from(times.map(Some).to_vec());
        let far = [
            Some(-62_135_596_800_000_001),
            None,
            Some(EPOCH),
            Some(0),
            Some(253_402_300_800_000_000),
        ];
        let far = TimestampMicrosecondArray::from(far.to_vec());
        let floats = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE];
        vec![
            Arc::new(StringArray::from(texts.to_vec())),
            Arc::new(LargeStringArray::from(texts.to_vec())),
            Arc::new(StringViewArray::from(texts.to_vec())),
            Arc::new(keyed),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None, Some(true)])),
            Arc::new(Int16Array::from(vec![i16::MIN, i16::MAX, 0, -1, 7])),
            Arc::new(Int32Array::from(vec![
                Some(i32::MIN),
                Some(i32::MAX),
                None,
                Some(-1),
                Some(7),
            ])),
            Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX, 0, -1, 7])),
            Arc::new(Float64Array::from(floats.to_vec())),
            Arc::new(times.clone()),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(far.clone()),
            Arc::new(far.with_timezone("+00:00")),
        ]
    }

    #[test]
    fn what_is_written_quickly_is_what_arrow_pg_writes() {
        for array in samples() {
            // A part of a longer array, as batches are.
            for array in [Arc::clone(&array), array.slice(1, 3)] {
                for format in [Format::UnifiedText, Format::UnifiedBinary] {
                    let kind = array.data_type().clone();
                    let schema = columns(&Schema::new(vec![Field::new("c", kind, true)]));
                    let fields = arrow_schema_to_pg_fields(&schema, &format, None).unwrap();
                    let (column, field) = (schema.field(0), &fields[0]);
                    let mut quick = Values::new(&array, column, field).unwrap();
                    let slow = told(&array, column.data_type()).unwrap();
                    let nulls = array.logical_nulls();
                    let mut slow = Values { nulls, write: any(slow, column, field) };
                    for row in 0..array.len() {
                        let [mut one, mut other] = [BytesMut::new(), BytesMut::new()];
                        quick.write(row, &mut one).unwrap();
                        slow.write(row, &mut other).unwrap();
                        assert_eq!(one, other, "{:?} {format:?} row {row}", array.data_type());
                    }
                }
            }
        }
    }

    #[test]
    fn most_columns_are_written_quickly() {
        let (arrays, far) = (samples(), 2);
        for array in &arrays[..arrays.len() - far] {
            let kind = array.data_type().clone();
            let schema = columns(&Schema::new(vec![Field::new("c", kind, true)]));
            let format = Format::UnifiedBinary;
            let fields = arrow_schema_to_pg_fields(&schema, &format, None).unwrap();
            assert!(quick(array, &fields[0]).is_some(), "{:?}", array.data_type());
        }
    }

    #[test]
    fn lists_of_times_are_quoted() {
        let times = vec![Some(vec![Some(0), None])];
        let list = ListArray::from_iter_primitive::<TimestampMicrosecondType, _, _>(times);
        let array: ArrayRef = Arc::new(list);
        let field = Field::new("c", array.data_type().clone(), true);
        let schema = Schema::new(vec![field]);
        let fields = arrow_schema_to_pg_fields(&schema, &Format::UnifiedText, None).unwrap();
        let mut out = BytesMut::new();
        Values::new(&array, schema.field(0), &fields[0]).unwrap().write(0, &mut out).unwrap();
        assert_eq!(&out[4..], br#"{"1970-01-01 00:00:00.000000",NULL}"#);
    }
}
