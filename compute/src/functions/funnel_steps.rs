//! `funnel_steps(ts, c1, …, cn [, options])`: when a group reached each stage of a funnel.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{AggregateUDF, Documentation};
use onramp_schemas::funnel::Order;

use super::arguments::{Arguments, Constant, text};
use super::event_aggregate::{self, Call, Evaluator, EventFunction};
use super::events::Event;
use super::time_axis::TimeAxis;
use super::{CONDITIONS, Page, TIME};
use crate::fold::{Mark, Rules, stage_at};

/// As many stages as a funnel may have.
const MOST_STAGES: usize = 32;

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Page {
        description: "A list of the times at which a group reached the stages of a funnel, NULL for a \
            stage that it did not reach: the stage times of reports. The first event that meets c1 \
            opens; each later stage takes the earliest event that no stage before it took. In an \
            unordered funnel element k is the time when k distinct stages had been reached. Of equal \
            events of one instant, those that meet lower conditions come first. No rows: all NULL.",
        syntax: "funnel_steps(ts, c1, …, cn [, options])",
        arguments: &[
            TIME,
            CONDITIONS,
            (
                "options",
                "A constant text of settings with commas between: `mode=ordered` (as without), \
                    `mode=strict` (a stage other than the last reached and the next ends the search) or \
                    `mode=unordered`; `window=7d` counts stages only within this long of the first \
                    (inclusive), with `us`, `ms`, `s`, `m`, `h`, `d` or `w`; a bare number is in the \
                    unit of `window_funnel`.",
            ),
        ],
        example: "\
SELECT person, funnel_steps(at, step = 'start', step = 'fill', 'window=1m') AS reached
FROM (VALUES
  ('ada', TIMESTAMP '2026-03-02 10:00:00', 'start'),
  ('ada', TIMESTAMP '2026-03-02 10:00:20', 'fill'),
  ('bo', TIMESTAMP '2026-03-02 10:00:00', 'start'),
  ('bo', TIMESTAMP '2026-03-02 10:01:01', 'fill')
) AS v(person, at, step)
GROUP BY person ORDER BY person

+--------+--------------------------------------------+
| person | reached                                    |
+--------+--------------------------------------------+
| ada    | [2026-03-02T10:00:00, 2026-03-02T10:00:20] |
| bo     | [2026-03-02T10:00:00, ]                    |
+--------+--------------------------------------------+",
    }
    .documentation()
});

pub(super) fn udaf() -> AggregateUDF {
    event_aggregate::udaf::<FunnelSteps>()
}

/// The fold's view of an event; what it takes out of counts is no matter of stage times.
impl Mark for Event {
    fn occurred_at(&self) -> i64 {
        self.at
    }

    fn stages(&self) -> u32 {
        self.conditions as u32
    }

    fn exclusions(&self) -> u32 {
        0
    }
}

#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct FunnelSteps;

impl EventFunction for FunnelSteps {
    const NAME: &'static str = "funnel_steps";
    const ARGUMENTS: Arguments =
        Arguments { leading: &[], conditions: 1..=MOST_STAGES, trailing: Some(Constant::Text) };

    fn return_type(time: &DataType) -> DataType {
        DataType::new_list(time.clone(), true)
    }

    fn of_nothing() -> Option<ScalarValue> {
        None
    }

    fn evaluator(call: &Call) -> Result<Box<dyn Evaluator>> {
        let (order, window) = options(text(call.constants.first()), &call.axis)?;
        Ok(Box::new(Steps {
            axis: call.axis.clone(),
            rules: Rules::of_stages(call.conditions, order, window),
            stages: call.conditions,
            times: Vec::new(),
        }))
    }

    fn documentation() -> &'static Documentation {
        &PAGE
    }
}

/// Reads the options: the order of stages, and the window in ticks.
fn options(text: &str, axis: &TimeAxis) -> Result<(Order, Option<u64>)> {
    let (mut order, mut window) = (Order::Ordered, None);
    for setting in text.split(',').map(str::trim).filter(|setting| !setting.is_empty()) {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        match (name.trim(), value.trim()) {
            ("mode", "ordered") => order = Order::Ordered,
            ("mode", "strict") => order = Order::Strict,
            ("mode", "unordered") => order = Order::Unordered,
            ("window", length) => window = Some(ticks(length, axis)?),
            _ => {
                return plan_err!(
                    "funnel_steps: {setting:?} is no option; give mode=ordered, mode=strict, \
                     mode=unordered or window=7d"
                );
            }
        }
    }
    Ok((order, window))
}

fn ticks(length: &str, axis: &TimeAxis) -> Result<u64> {
    let digits = length.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = length.split_at(digits);
    let nanos = match unit {
        "us" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        "h" => Some(3_600_000_000_000),
        "d" => Some(86_400_000_000_000),
        "w" => Some(604_800_000_000_000),
        _ => None,
    };
    match (count.parse::<u64>(), nanos) {
        (Ok(count), None) if unit.is_empty() => Ok(axis.ticks(count)),
        (Ok(count), Some(nanos)) => axis.ticks_within(FunnelSteps::NAME, i128::from(count) * nanos),
        _ => plan_err!(
            "funnel_steps: the window {length:?} is no whole number with us, ms, s, m, h, d or w"
        ),
    }
}

#[derive(Debug)]
struct Steps {
    axis: TimeAxis,
    rules: Rules,
    stages: usize,
    /// One after the other, `stages` a group.
    times: Vec<Option<i64>>,
}

impl Evaluator for Steps {
    fn append(&mut self, events: &[Event]) -> Result<()> {
        let before = self.times.len();
        self.times.extend(stage_at(events, &self.rules).into_iter().flatten());
        self.times.resize(before + self.stages, None);
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let times = std::mem::take(&mut self.times);
        let groups = times.len() / self.stages;
        let times = self.axis.times(Int64Array::from(times))?;
        let field = Field::new_list_field(times.data_type().clone(), true);
        let offsets = OffsetBuffer::from_repeated_length(self.stages, groups);
        Ok(Arc::new(ListArray::try_new(Arc::new(field), offsets, times, None)?))
    }
}
