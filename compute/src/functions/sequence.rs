//! Patterns over the events of a group, as `sequence_match` and `sequence_count` look for them.
//!
//! Events that meet no condition are not there. The meaning of a pattern is ClickHouse's, down to the
//! order in which alternatives are tried.

use datafusion::common::Result;

use super::arguments::{Arguments, Constant, MOST_CONDITIONS, text};
use super::event_aggregate::Call;

mod matching;
mod pattern;

pub(super) use pattern::Pattern;

pub(super) const ARGUMENTS: Arguments =
    Arguments { leading: &[Constant::Text], conditions: 1..=MOST_CONDITIONS, trailing: None };

/// The pattern argument of the reference.
pub(super) const PATTERN: (&str, &str) = (
    "pattern",
    "A constant text of these, one after the other. `(?1)`: an event that meets c1. `.`: any event that \
        meets some condition. `.*`: any number of them. `(?t<=10)`: the time from the event before to the \
        one after, with `<`, `<=`, `==`, `>=` or `>`, in whole seconds for timestamps, in days for dates, \
        in the same unit for numbers; events may lie between.",
);

/// The pattern of a call.
pub(super) fn pattern(function: &str, call: &Call) -> Result<Pattern> {
    let mut pattern = Pattern::parse(function, text(call.constants.first()), call.conditions)?;
    pattern.scale(|count| call.axis.ticks(count));
    Ok(pattern)
}
