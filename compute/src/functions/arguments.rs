//! What a call may look like: constants, the time, conditions.

use std::ops::{Range, RangeInclusive};

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::physical_expr::expressions::Literal;

use super::time_axis;

/// Conditions fit the bits of one number.
pub(super) const MOST_CONDITIONS: usize = 64;

/// An argument that must be the same for all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Constant {
    /// A length of time: whole number or INTERVAL.
    Window,
    /// A text.
    Text,
}

/// The arguments of a function: constants, the time, conditions, perhaps one more constant.
#[derive(Debug)]
pub(super) struct Arguments {
    pub leading: &'static [Constant],
    pub conditions: RangeInclusive<usize>,
    pub trailing: Option<Constant>,
}

/// Where the arguments of one call stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub time: usize,
    pub conditions: Range<usize>,
}

impl Arguments {
    /// Where time and conditions stand; a last argument that is no condition is the constant.
    pub fn shape(&self, types: &[DataType]) -> Shape {
        let time = self.leading.len();
        let last = types.last().filter(|_| self.trailing.is_some() && types.len() > time + 1);
        let trailing = last.is_some_and(|kind| !is_condition(kind));
        Shape { time, conditions: time + 1..types.len() - usize::from(trailing) }
    }

    /// The types that arguments are cast to, or why they cannot be.
    pub fn coerce(&self, function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
        let time = self.leading.len();
        if types.len() < time + 2 {
            return plan_err!("{function} needs a time and at least one condition after it");
        }
        let shape = self.shape(types);
        let (least, most) = (*self.conditions.start(), *self.conditions.end());
        let count = shape.conditions.len();
        if !self.conditions.contains(&count) {
            let limits =
                if least == most { format!("{most}") } else { format!("{least} to {most}") };
            return plan_err!("{function} takes {limits} conditions, not {count}");
        }
        let mut coerced = Vec::with_capacity(types.len());
        for (constant, kind) in self.leading.iter().zip(types) {
            coerced.push(constant.coerce(function, kind)?);
        }
        coerced.push(time_axis::coerce(function, &types[time])?);
        coerced.extend(conditions(function, &types[shape.conditions.clone()])?);
        if let (Some(constant), Some(kind)) = (self.trailing, types.get(shape.conditions.end)) {
            coerced.push(constant.coerce(function, kind)?);
        }
        Ok(coerced)
    }
}

impl Constant {
    fn coerce(self, function: &str, kind: &DataType) -> Result<DataType> {
        match (self, kind) {
            (Constant::Window, kind) if kind.is_integer() => Ok(DataType::Int64),
            (Constant::Window, DataType::Interval(_)) => {
                Ok(DataType::Interval(IntervalUnit::MonthDayNano))
            }
            (Constant::Text, kind) if kind.is_string() => Ok(DataType::Utf8),
            (Constant::Window, other) => plan_err!(
                "{function}: the window is of type {other}; it must be a whole number or an INTERVAL"
            ),
            (Constant::Text, other) => {
                plan_err!("{function}: an argument of type {other} stands where a text must be")
            }
        }
    }
}

/// The types that conditions are cast to.
pub(super) fn conditions(function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    for (index, kind) in types.iter().enumerate() {
        if !is_condition(kind) {
            return plan_err!(
                "{function}: condition {} is of type {kind}, not BOOLEAN; compare it with something",
                index + 1
            );
        }
    }
    Ok(vec![DataType::Boolean; types.len()])
}

fn is_condition(kind: &DataType) -> bool {
    matches!(kind, DataType::Boolean | DataType::Null)
}

/// The values of the arguments that must be constant.
pub(super) fn constants(
    function: &str,
    args: &AccumulatorArgs<'_>,
    shape: &Shape,
) -> Result<Vec<ScalarValue>> {
    let places = (0..shape.time).chain(shape.conditions.end..args.exprs.len());
    let value = |place: usize| match args.exprs[place].downcast_ref::<Literal>() {
        Some(literal) if !literal.value().is_null() => Ok(literal.value().clone()),
        _ => plan_err!(
            "{function}: argument {} must be a constant that is not NULL, not {}",
            place + 1,
            args.exprs[place]
        ),
    };
    places.map(value).collect()
}

/// A constant text.
pub(super) fn text(constant: Option<&ScalarValue>) -> &str {
    constant.and_then(|value| value.try_as_str().flatten()).unwrap_or_default()
}
