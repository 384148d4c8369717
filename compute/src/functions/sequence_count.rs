//! `sequence_count(pattern, ts, c1, …, cn)`: how often a group's events hold a pattern.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int64Array};
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
        description: "How often the events of a group hold a pattern, as ClickHouse's `sequenceCount` \
            counts: each match begins after the one before has ended. Else as `sequence_match`. No \
            events: 0.",
        syntax: "sequence_count(pattern, ts, c1, …, cn)",
        arguments: &[sequence::PATTERN, TIME, CONDITIONS],
        example: "\
SELECT sequence_count('(?1)(?2)', at, what = 'error', what = 'retry') AS retried
FROM (VALUES (1, 'error'), (2, 'retry'), (3, 'error'), (4, 'error'), (5, 'retry')) AS v(at, what)

+---------+
| retried |
+---------+
| 2       |
+---------+",
    }
    .documentation()
});

pub(super) fn udaf() -> AggregateUDF {
    event_aggregate::udaf::<SequenceCount>()
}

#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct SequenceCount;

impl EventFunction for SequenceCount {
    const NAME: &'static str = "sequence_count";
    const ARGUMENTS: Arguments = sequence::ARGUMENTS;

    fn return_type(_time: &DataType) -> DataType {
        DataType::Int64
    }

    fn of_nothing() -> Option<ScalarValue> {
        Some(ScalarValue::Int64(Some(0)))
    }

    fn evaluator(call: &Call) -> Result<Box<dyn Evaluator>> {
        let pattern = sequence::pattern(Self::NAME, call)?;
        Ok(Box::new(Counts { pattern, counts: Vec::new() }))
    }

    fn documentation() -> &'static Documentation {
        &PAGE
    }
}

#[derive(Debug)]
struct Counts {
    pattern: Pattern,
    counts: Vec<i64>,
}

impl Evaluator for Counts {
    fn append(&mut self, events: &[Event]) -> Result<()> {
        self.counts.push(self.pattern.count(events)?);
        Ok(())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(std::mem::take(&mut self.counts))))
    }
}
