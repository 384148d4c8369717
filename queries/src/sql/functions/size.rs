//! How large what a function makes can become, from its arguments.

use arrow::array::{Array, AsArray, OffsetSizeTrait};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit, UInt64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

/// The functions that may make more than they are given, and how much.
pub const GROWING: [(&str, Size); 19] = [
    ("repeat", Size { bytes: repeated, large: false }),
    ("lpad", Size { bytes: padded, large: false }),
    ("rpad", Size { bytes: padded, large: false }),
    ("replace", Size { bytes: replaced, large: true }),
    ("regexp_replace", Size { bytes: pattern_replaced, large: true }),
    ("translate", Size { bytes: translated, large: true }),
    ("concat", Size::JOINED),
    ("concat_ws", Size { bytes: separated, large: true }),
    ("make_array", Size::JOINED),
    ("array_concat", Size::JOINED),
    ("array_repeat", Size { bytes: array_repeated, large: false }),
    ("array_resize", Size { bytes: resized, large: false }),
    ("range", Size { bytes: series, large: false }),
    ("generate_series", Size { bytes: series, large: false }),
    ("array_to_string", Size { bytes: listed, large: true }),
    ("array_replace", Size { bytes: element_replaced, large: true }),
    ("array_replace_n", Size { bytes: element_replaced, large: true }),
    ("array_replace_all", Size { bytes: element_replaced, large: true }),
    // Its time is the product of the lengths.
    ("levenshtein", Size { bytes: compared, large: true }),
];

/// Bytes of a value that is no text, roughly.
pub const ELEMENT: u64 = 16;
/// Bytes of a character, at most.
const CHARACTER: u64 = 4;

/// How large one value that a function makes may become.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Bytes, from a row's arguments: a text's bytes, a list's elements, a number itself; instants and
    /// spans of time in nanoseconds.
    bytes: fn(&[i128]) -> i128,
    /// Whether what it is given may be large already.
    large: bool,
}

impl Size {
    /// Of what puts its arguments one after the other.
    pub(super) const JOINED: Self = Self { bytes: joined, large: true };

    /// The most bytes of one value.
    pub(super) fn most_of_value(self) -> u64 {
        match self.large {
            true => 2 << 20,
            false => 8 << 10,
        }
    }

    /// Bytes that each row can take; one row, where all arguments are constant.
    pub(super) fn of_rows(self, args: &ScalarFunctionArgs) -> Result<Vec<u64>> {
        let constant = args.args.iter().all(|it| matches!(it, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let measured = args.args.iter().map(measure).collect::<Result<Vec<_>>>()?;
        let mut row_of = vec![0; measured.len()];
        let bound = |row: usize| {
            for (value, column) in row_of.iter_mut().zip(&measured) {
                *value = match column {
                    Measured::Constant(value) => *value,
                    Measured::Rows(values) => values[row],
                };
            }
            u64::try_from((self.bytes)(&row_of).max(0)).unwrap_or(u64::MAX)
        };
        Ok((0..rows).map(bound).collect())
    }
}

enum Measured {
    Constant(i128),
    Rows(Vec<i128>),
}

fn measure(value: &ColumnarValue) -> Result<Measured> {
    Ok(match value {
        ColumnarValue::Scalar(scalar) => Measured::Constant(of_scalar(scalar)?),
        ColumnarValue::Array(array) => match array.data_type() {
            kind if kind.is_string() || kind.is_nested() => {
                Measured::Rows(weights(array.as_ref())?.into_iter().map(i128::from).collect())
            }
            _ => {
                let row = |row| of_scalar(&ScalarValue::try_from_array(array.as_ref(), row)?);
                Measured::Rows((0..array.len()).map(row).collect::<Result<_>>()?)
            }
        },
    })
}

/// Bytes of each row, roughly: a text's length, a list's elements and what is in them.
pub fn weights(array: &dyn Array) -> Result<Vec<u64>> {
    Ok(match array.data_type() {
        kind if kind.is_string() || kind.is_binary() => {
            let lengths = cast(&length(array)?, &DataType::UInt64)?;
            let lengths = lengths.as_primitive::<UInt64Type>();
            lengths.iter().map(Option::unwrap_or_default).collect()
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            summed(list.offsets(), list.values())?
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            summed(list.offsets(), list.values())?
        }
        DataType::Map(..) => {
            let map = array.as_map();
            summed(map.offsets(), map.entries())?
        }
        DataType::Struct(_) => {
            let mut sums = vec![0; array.len()];
            for field in array.as_struct().columns() {
                for (sum, weight) in sums.iter_mut().zip(weights(field.as_ref())?) {
                    *sum += weight;
                }
            }
            sums
        }
        DataType::Dictionary(_, values) => weights(&cast(&array.slice(0, array.len()), values)?)?,
        _ => vec![ELEMENT; array.len()],
    })
}

fn summed<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>, values: &dyn Array) -> Result<Vec<u64>> {
    let weights = weights(values)?;
    let list = |ends: &[O]| {
        let elements = &weights[ends[0].as_usize()..ends[1].as_usize()];
        elements.iter().fold(0, |sum, weight| sum + ELEMENT + weight)
    };
    Ok(offsets.windows(2).map(list).collect())
}

/// What one value counts as.
pub(super) fn of_scalar(value: &ScalarValue) -> Result<i128> {
    const DAY: i128 = 86_400_000_000_000;
    if let Some(text) = value.try_as_str() {
        return Ok(text.map_or(0, |text| text.len() as i128));
    }
    let number = |unit: i128| -> Result<i128> {
        let number = value.cast_to(&DataType::Int64)?;
        Ok(match number {
            ScalarValue::Int64(Some(number)) => i128::from(number) * unit,
            _ => 0,
        })
    };
    Ok(match value {
        ScalarValue::IntervalMonthDayNano(span) => span.map_or(0, |span| {
            let days = i128::from(span.months) * 28 + i128::from(span.days);
            days * DAY + i128::from(span.nanoseconds)
        }),
        other if other.data_type().is_nested() => {
            weights(&other.to_array()?)?.first().map_or(0, |&weight| i128::from(weight))
        }
        other => match other.data_type() {
            kind if kind.is_integer() => number(1)?,
            DataType::Date32 => match other {
                ScalarValue::Date32(Some(day)) => i128::from(*day) * DAY,
                _ => 0,
            },
            DataType::Timestamp(TimeUnit::Second, _) => number(1_000_000_000)?,
            DataType::Timestamp(TimeUnit::Millisecond, _) => number(1_000_000)?,
            DataType::Timestamp(TimeUnit::Microsecond, _) => number(1_000)?,
            DataType::Timestamp(TimeUnit::Nanosecond, _) => number(1)?,
            DataType::Interval(IntervalUnit::DayTime | IntervalUnit::YearMonth) => DAY,
            _ => i128::from(ELEMENT),
        },
    })
}

fn at(values: &[i128], place: usize) -> i128 {
    values.get(place).copied().unwrap_or_default().max(0)
}

fn joined(values: &[i128]) -> i128 {
    values.iter().fold(0, |sum, &value| sum.saturating_add(value.max(0)))
}

fn separated(values: &[i128]) -> i128 {
    joined(values).saturating_add(at(values, 0).saturating_mul(values.len() as i128))
}

fn repeated(values: &[i128]) -> i128 {
    at(values, 0).saturating_mul(at(values, 1))
}

fn padded(values: &[i128]) -> i128 {
    at(values, 1).saturating_mul(i128::from(CHARACTER))
}

fn replaced(values: &[i128]) -> i128 {
    let (text, from, to) = (at(values, 0), at(values, 1), at(values, 2));
    match from {
        0 => text,
        _ => text.saturating_add((text / from).saturating_mul(to)),
    }
}

/// A match may be empty, and a reference to a group as short as two bytes gives all of it.
fn pattern_replaced(values: &[i128]) -> i128 {
    let (text, to) = (at(values, 0), at(values, 2));
    text.saturating_add((text + 1).saturating_mul(to)).saturating_add(text.saturating_mul(to / 2))
}

/// A list as text: elements are digits where they are no text.
fn listed(values: &[i128]) -> i128 {
    let elements = at(values, 0) / i128::from(ELEMENT);
    let between = at(values, 1).saturating_add(at(values, 2)).saturating_add(24);
    at(values, 0).saturating_add(elements.saturating_mul(between))
}

fn element_replaced(values: &[i128]) -> i128 {
    let elements = at(values, 0) / i128::from(ELEMENT);
    at(values, 0).saturating_add(elements.saturating_mul(at(values, 2).max(i128::from(ELEMENT))))
}

fn translated(values: &[i128]) -> i128 {
    at(values, 0).saturating_mul(i128::from(CHARACTER))
}

fn array_repeated(values: &[i128]) -> i128 {
    at(values, 0).saturating_add(i128::from(ELEMENT)).saturating_mul(at(values, 1))
}

fn resized(values: &[i128]) -> i128 {
    at(values, 1).saturating_mul(i128::from(ELEMENT).saturating_add(at(values, 2)))
}

fn compared(values: &[i128]) -> i128 {
    at(values, 0).saturating_mul(at(values, 1)) / 64
}

fn series(values: &[i128]) -> i128 {
    elements(values).saturating_mul(8)
}

/// Elements of a series from these arguments: `end`, `start, end`, or `start, end, step`.
pub(super) fn elements(values: &[i128]) -> i128 {
    let (start, end, step) = match *values {
        [end] => (0, end, 1),
        [start, end] => (start, end, 1),
        [start, end, step, ..] => (start, end, step),
        [] => return 0,
    };
    let way = end.saturating_sub(start);
    match step {
        0 => i128::MAX,
        _ if (way < 0) != (step < 0) => 0,
        _ => way / step + 1,
    }
}
