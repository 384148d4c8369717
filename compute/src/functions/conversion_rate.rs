//! `conversion_rate(successes, n)`: the share of those who did.

use std::sync::LazyLock;

use datafusion::logical_expr::{Documentation, ScalarUDF};

use super::Page;
use super::proportion::{self, Figure};
use crate::statistics::proportion::Proportion;

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Page {
        description: "successes / n.",
        syntax: "conversion_rate(successes, n)",
        arguments: proportion::ARGUMENTS,
        example: "\
SELECT conversion_rate(45, 60) AS rate, conversion_rate(0, 0) AS of_nothing

+------+------------+
| rate | of_nothing |
+------+------------+
| 0.75 |            |
+------+------------+",
    }
    .documentation()
});

pub(super) fn udf() -> ScalarUDF {
    proportion::udf::<ConversionRate>()
}

#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct ConversionRate;

impl Figure for ConversionRate {
    const NAME: &'static str = "conversion_rate";

    fn of(proportion: Proportion) -> Option<f64> {
        proportion.rate()
    }

    fn documentation() -> &'static Documentation {
        &PAGE
    }
}
