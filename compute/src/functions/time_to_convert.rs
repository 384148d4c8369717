//! `time_to_convert(ts, from, to [, window])`: seconds from one stage to the next.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{AggregateUDF, Documentation};
use onramp_schemas::funnel::Order;

use super::arguments::{Arguments, Constant};
use super::event_aggregate::{self, Call, Evaluator, EventFunction};
use super::events::Event;
use super::time_axis::TimeAxis;
use super::{Page, TIME};
use crate::fold::{Rules, stage_at};

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Page {
        description: "Seconds from the first event of a group that meets one condition to the first \
            other one, at that instant or later, that meets another: the time to stage 2 of an ordered \
            funnel of two. For times that are whole numbers, in their unit. NULL where the second was \
            not reached. Times are subtracted as whole numbers and divided once.",
        syntax: "time_to_convert(ts, from, to [, window])",
        arguments: &[
            TIME,
            ("from", "Condition of the event that opens. NULL does not match."),
            ("to", "Condition of the event that converts. NULL does not match."),
            ("window", "How long it may take, inclusive: as that of `window_funnel`."),
        ],
        example: "\
SELECT person, time_to_convert(at, step = 'start', step = 'done', INTERVAL '1 hour') AS seconds
FROM (VALUES
  ('ada', TIMESTAMP '2026-03-02 10:00:00', 'start'),
  ('ada', TIMESTAMP '2026-03-02 10:00:01.5', 'done'),
  ('bo', TIMESTAMP '2026-03-02 10:00:00', 'start'),
  ('bo', TIMESTAMP '2026-03-02 11:00:01', 'done')
) AS v(person, at, step)
GROUP BY person ORDER BY person

+--------+---------+
| person | seconds |
+--------+---------+
| ada    | 1.5     |
| bo     |         |
+--------+---------+",
    }
    .documentation()
});

pub(super) fn udaf() -> AggregateUDF {
    event_aggregate::udaf::<TimeToConvert>()
}

#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct TimeToConvert;

impl EventFunction for TimeToConvert {
    const NAME: &'static str = "time_to_convert";
    const ARGUMENTS: Arguments =
        Arguments { leading: &[], conditions: 2..=2, trailing: Some(Constant::Window) };

    fn return_type(_time: &DataType) -> DataType {
        DataType::Float64
    }

    fn of_nothing() -> Option<ScalarValue> {
        None
    }

    fn evaluator(call: &Call) -> Result<Box<dyn Evaluator>> {
        let window = call.constants.first();
        let window = window.map(|window| call.axis.window(Self::NAME, window)).transpose()?;
        Ok(Box::new(Times {
            axis: call.axis.clone(),
            rules: Rules::of_stages(2, Order::Ordered, window),
            seconds: Vec::new(),
        }))
    }

    fn documentation() -> &'static Documentation {
        &PAGE
    }
}

#[derive(Debug)]
struct Times {
    axis: TimeAxis,
    rules: Rules,
    seconds: Vec<Option<f64>>,
}

impl Evaluator for Times {
    fn append(&mut self, events: &[Event]) -> Result<()> {
        let seconds = match stage_at(events, &self.rules).as_deref() {
            Some(&[Some(from), Some(to)]) => Some(self.axis.seconds(from, to)),
            _ => None,
        };
        self.seconds.push(seconds);
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(Float64Array::from(std::mem::take(&mut self.seconds))))
    }
}
