//! Funnel functions for SQL: aggregates over the events of a group, and figures from two counts.
//!
//! One file per function; this registry makes them known to a session and to the reference page. An
//! aggregate keeps the *set* of a group's events, so order, split and repetition of merging cannot
//! matter; its state is plain bytes (see [`events`]), so that it also runs distributed.

use datafusion::logical_expr::{AggregateUDF, DocSection, Documentation, ScalarUDF};
use datafusion::prelude::SessionContext;

mod arguments;
mod conversion_rate;
mod docs;
mod event_aggregate;
mod events;
mod funnel_steps;
mod proportion;
mod retention;
mod sequence;
mod sequence_count;
mod sequence_match;
mod single_group;
mod time_axis;
mod time_to_convert;
mod wilson_lower;
mod wilson_upper;
mod window_funnel;

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use docs::reference;

/// The aggregate functions, in the order of the reference.
pub fn aggregates() -> Vec<AggregateUDF> {
    vec![
        funnel_steps::udaf(),
        time_to_convert::udaf(),
        window_funnel::udaf(),
        sequence_match::udaf(),
        sequence_count::udaf(),
        retention::udaf(),
    ]
}

/// The scalar functions, in the order of the reference.
pub fn scalars() -> Vec<ScalarUDF> {
    vec![conversion_rate::udf(), wilson_lower::udf(), wilson_upper::udf()]
}

/// Makes the functions known to a session's SQL.
pub fn register(context: &SessionContext) {
    for function in aggregates() {
        context.register_udaf(function);
    }
    for function in scalars() {
        context.register_udf(function);
    }
}

/// What the reference tells of a function: one-line meaning, rules, arguments, an example.
struct Page {
    description: &'static str,
    syntax: &'static str,
    arguments: &'static [(&'static str, &'static str)],
    /// A statement, an empty line, and the answer as a table.
    example: &'static str,
}

impl Page {
    fn documentation(&self) -> Documentation {
        let section = DocSection { include: true, label: "Funnel Functions", description: None };
        let builder = Documentation::builder(section, self.description, self.syntax)
            .with_sql_example(self.example);
        let arguments = self.arguments.iter();
        arguments.fold(builder, |page, (name, meaning)| page.with_argument(*name, *meaning)).build()
    }
}

/// The last arguments of an aggregate.
const CONDITIONS: (&str, &str) =
    ("c1, …, cn", "Conditions, in the order of the stages. NULL does not match.");
/// The argument that orders events.
const TIME: (&str, &str) = (
    "ts",
    "When the event happened: a timestamp, a date or a whole number. Rows without are skipped.",
);
