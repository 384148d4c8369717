//! `sequence_match(pattern, ts, c1, …, cn)`: whether a group's events hold a pattern.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::arguments::Arguments;
use super::event_aggregate::{self, Call, Evaluator, EventFunction};
use super::events::Event;
use super::sequence::{self, Pattern};
use super::{CONDITIONS, Page, TIME};

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Page {
        description: "Whether the events of a group hold a pattern, as ClickHouse's `sequenceMatch` \
            reads it; events that meet no condition are left out before, those of one instant are \
            taken in the order of the conditions they meet. A search that needs more than a million \
            steps is an error. No events: false.",
        syntax: "sequence_match(pattern, ts, c1, …, cn)",
        arguments: &[sequence::PATTERN, TIME, CONDITIONS],
        example: "\
SELECT person, sequence_match('(?1)(?t<=60)(?2)', at, step = 'fill', step = 'done') AS quick
FROM (VALUES
  ('ada', TIMESTAMP '2026-03-02 10:00:00', 'fill'),
  ('ada', TIMESTAMP '2026-03-02 10:01:00', 'done'),
  ('bo', TIMESTAMP '2026-03-02 10:00:00', 'fill'),
  ('bo', TIMESTAMP '2026-03-02 10:01:01', 'done')
) AS v(person, at, step)
GROUP BY person ORDER BY person

+--------+-------+
| person | quick |
+--------+-------+
| ada    | true  |
| bo     | false |
+--------+-------+",
    }
    .documentation()
});

pub(super) fn udaf() -> AggregateUDF {
    event_aggregate::udaf::<SequenceMatch>()
}

#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct SequenceMatch;

impl EventFunction for SequenceMatch {
    const NAME: &'static str = "sequence_match";
    const ARGUMENTS: Arguments = sequence::ARGUMENTS;

    fn return_type(_time: &DataType) -> DataType {
        DataType::Boolean
    }

    fn of_nothing() -> Option<ScalarValue> {
        Some(ScalarValue::Boolean(Some(false)))
    }

    fn evaluator(call: &Call) -> Result<Box<dyn Evaluator>> {
        let pattern = sequence::pattern(Self::NAME, call)?;
        Ok(Box::new(Matches { pattern, found: Vec::new() }))
    }

    fn documentation() -> &'static Documentation {
        &PAGE
    }
}

#[derive(Debug)]
struct Matches {
    pattern: Pattern,
    found: Vec<bool>,
}

impl Evaluator for Matches {
    fn append(&mut self, events: &[Event]) -> Result<()> {
        self.found.push(self.pattern.is_in(events)?);
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanArray::from(std::mem::take(&mut self.found))))
    }
}
