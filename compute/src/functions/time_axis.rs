//! The time of events as `i64`, whatever its type, and lengths of time in its unit.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, UInt64Type};
use datafusion::common::{Result, ScalarValue, plan_err};

const DAY_SECONDS: i64 = 86_400;
const SECOND_NANOS: i128 = 1_000_000_000;

/// What the first argument counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimeAxis {
    kind: DataType,
}

/// The type that a time is cast to: timestamps, days and unsigned 64-bit numbers stay what they are.
pub(super) fn coerce(function: &str, kind: &DataType) -> Result<DataType> {
    match kind {
        DataType::Timestamp(..) | DataType::Date32 | DataType::UInt64 => Ok(kind.clone()),
        DataType::Date64 => Ok(DataType::Date32),
        DataType::Dictionary(_, value) => coerce(function, value),
        kind if kind.is_integer() || kind.is_null() => Ok(DataType::Int64),
        other => plan_err!(
            "{function}: the time is of type {other}; it must be a timestamp, a date or a whole number"
        ),
    }
}

impl TimeAxis {
    /// The axis of a coerced type.
    pub fn new(kind: &DataType) -> Self {
        Self { kind: kind.clone() }
    }

    /// Times as numbers in the order of time, in the unit of the type.
    pub fn values(&self, times: &ArrayRef) -> Result<Int64Array> {
        if self.kind == DataType::UInt64 {
            return Ok(times.as_primitive::<UInt64Type>().unary::<_, Int64Type>(swapped));
        }
        Ok(cast(times, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    }

    /// Times of the axis' type again.
    pub fn times(&self, values: Int64Array) -> Result<ArrayRef> {
        if self.kind == DataType::UInt64 {
            let back = |value: i64| swapped(value.cast_unsigned()).cast_unsigned();
            return Ok(Arc::new(values.unary::<_, UInt64Type>(back)));
        }
        if self.kind == DataType::Date32 {
            return Ok(cast(&cast(&values, &DataType::Int32)?, &DataType::Date32)?);
        }
        Ok(cast(&values, &self.kind)?)
    }

    /// Ticks in so many seconds of a timestamp, days of a date, or units of a whole number.
    pub fn ticks(&self, count: u64) -> u64 {
        match self.kind {
            DataType::Timestamp(unit, _) => count.saturating_mul(per_second(unit).cast_unsigned()),
            _ => count,
        }
    }

    /// Seconds between two times; for whole numbers their difference.
    pub fn seconds(&self, from: i64, to: i64) -> f64 {
        let ticks = to.wrapping_sub(from).cast_unsigned() as f64;
        match self.kind {
            DataType::Timestamp(unit, _) => ticks / per_second(unit) as f64,
            DataType::Date32 => ticks * DAY_SECONDS as f64,
            _ => ticks,
        }
    }

    /// A window in ticks: a whole number as [`Self::ticks`] counts it, or an INTERVAL without months.
    pub fn window(&self, function: &str, window: &ScalarValue) -> Result<u64> {
        match window {
            ScalarValue::Int64(Some(count)) => match u64::try_from(*count) {
                Ok(count) => Ok(self.ticks(count)),
                Err(_) => plan_err!("{function}: the window is negative ({count})"),
            },
            ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
                let seconds = i128::from(interval.days) * i128::from(DAY_SECONDS);
                let nanos = seconds * SECOND_NANOS + i128::from(interval.nanoseconds);
                self.ticks_within(function, nanos)
            }
            other => {
                plan_err!("{function}: a window of {other} has no fixed length; give days or less")
            }
        }
    }

    /// The whole ticks in a length of time; times differ by whole ticks, so the rest cannot matter.
    pub fn ticks_within(&self, function: &str, nanos: i128) -> Result<u64> {
        let tick_nanos = match self.kind {
            DataType::Timestamp(unit, _) => SECOND_NANOS / i128::from(per_second(unit)),
            DataType::Date32 => SECOND_NANOS * i128::from(DAY_SECONDS),
            _ => {
                return plan_err!(
                    "{function}: the time is a whole number, so the window must be one too, in the \
                     same unit"
                );
            }
        };
        if nanos < 0 {
            return plan_err!("{function}: the window is negative");
        }
        Ok(u64::try_from(nanos / tick_nanos).unwrap_or(u64::MAX))
    }
}

/// Unsigned numbers as signed ones in the same order with the same distances, and back.
fn swapped(value: u64) -> i64 {
    (value ^ (1 << 63)).cast_signed()
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}
