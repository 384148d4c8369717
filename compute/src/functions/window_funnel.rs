//! `window_funnel(window, mode, ts, c1, …, cn)`: the longest chain of stages within a sliding window.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int32Array};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::arguments::{self, Arguments, Constant, MOST_CONDITIONS};
use super::event_aggregate::{self, Call, Evaluator, EventFunction};
use super::events::Event;
use super::{CONDITIONS, Page, TIME};

mod chain;
mod once;

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Page {
        description: "How many stages the longest chain of a group has: an event that meets c1, then \
            one that meets c2, and so on, the last no later than the window after the first \
            (inclusive). It may start at any event that meets c1, and one event may stand for several \
            stages. The answers are those of ClickHouse's `windowFunnel` in every mode and in every \
            combination of modes, save that a NULL condition does not match (there the row is left \
            out), that up to 64 conditions are taken, and that events of one instant that a mode tells \
            apart are taken in the order of the conditions they meet, whatever the order of rows. No \
            events: 0.",
        syntax: "window_funnel(window, mode, ts, c1, …, cn)",
        arguments: &[
            (
                "window",
                "How long a chain may take: a constant INTERVAL of days or less, or a constant whole \
                    number of seconds for timestamps, of days for dates, of the same unit for numbers.",
            ),
            (
                "mode",
                "A constant text, empty or of these, with commas between. `strict_order`: a later \
                    stage whose predecessor was not reached ends the search, and so does an event of \
                    no stage after the first; `allow_reentry`, only with it: such a stage is passed \
                    over. `strict_deduplication`: a stage met again ends the search. \
                    `strict_increase`: each stage is later than the one before. `strict_once`: an \
                    event stands for one stage only.",
            ),
            TIME,
            CONDITIONS,
        ],
        example: "\
SELECT person, window_funnel(60, '', at, step = 'start', step = 'fill', step = 'done') AS level
FROM (VALUES
  ('ada', TIMESTAMP '2026-03-02 10:00:00', 'start'),
  ('ada', TIMESTAMP '2026-03-02 10:00:20', 'fill'),
  ('ada', TIMESTAMP '2026-03-02 10:01:00', 'done'),
  ('bo', TIMESTAMP '2026-03-02 10:00:00', 'start'),
  ('bo', TIMESTAMP '2026-03-02 10:01:01', 'fill')
) AS v(person, at, step)
GROUP BY person ORDER BY person

+--------+-------+
| person | level |
+--------+-------+
| ada    | 3     |
| bo     | 1     |
+--------+-------+",
    }
    .documentation()
});

pub(super) fn udaf() -> AggregateUDF {
    event_aggregate::udaf::<WindowFunnel>()
}

#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct WindowFunnel;

impl EventFunction for WindowFunnel {
    const NAME: &'static str = "window_funnel";
    const ARGUMENTS: Arguments = Arguments {
        leading: &[Constant::Window, Constant::Text],
        conditions: 1..=MOST_CONDITIONS,
        trailing: None,
    };

    fn return_type(_time: &DataType) -> DataType {
        DataType::Int32
    }

    fn of_nothing() -> Option<ScalarValue> {
        Some(ScalarValue::Int32(Some(0)))
    }

    fn evaluator(call: &Call) -> Result<Box<dyn Evaluator>> {
        let window = call.axis.window(Self::NAME, &call.constants[0])?;
        let mode = Mode::parse(arguments::text(call.constants.get(1)))?;
        Ok(Box::new(Levels {
            search: Search { window, mode, conditions: call.conditions },
            levels: Vec::new(),
        }))
    }

    fn documentation() -> &'static Documentation {
        &PAGE
    }
}

/// Which events stand for a stage, and which end the search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mode {
    deduplication: bool,
    order: bool,
    increase: bool,
    once: bool,
    reentry: bool,
}

impl Mode {
    fn parse(text: &str) -> Result<Mode> {
        let mut mode = Mode::default();
        for name in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
            match name {
                "strict_deduplication" => mode.deduplication = true,
                "strict_order" => mode.order = true,
                "strict_increase" => mode.increase = true,
                "strict_once" => mode.once = true,
                "allow_reentry" => mode.reentry = true,
                other => {
                    return plan_err!(
                        "window_funnel: {other:?} is no mode; modes are strict_deduplication, \
                         strict_order, strict_increase, strict_once and allow_reentry"
                    );
                }
            }
        }
        if mode.reentry && !mode.order {
            return plan_err!("window_funnel: allow_reentry goes only with strict_order");
        }
        Ok(mode)
    }
}

/// What is searched for.
#[derive(Clone, Copy, Debug)]
struct Search {
    /// In ticks, inclusive.
    window: u64,
    mode: Mode,
    conditions: usize,
}

impl Search {
    /// Whether `at`, that is not before `first`, lies within the window from there.
    fn within(&self, first: i64, at: i64) -> bool {
        at.wrapping_sub(first).cast_unsigned() <= self.window
    }
}

#[derive(Debug)]
struct Levels {
    search: Search,
    levels: Vec<i32>,
}

impl Evaluator for Levels {
    /// In strict order an event of no stage ends the search.
    fn needs_unmatched(&self) -> bool {
        self.search.mode.order
    }

    fn append(&mut self, events: &[Event]) -> Result<()> {
        let level = match self.search.mode.once {
            true => once::level(&self.search, events),
            false => chain::level(&self.search, events),
        };
        // At most 64.
        self.levels.push(level as i32);
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(Int32Array::from(std::mem::take(&mut self.levels))))
    }
}
