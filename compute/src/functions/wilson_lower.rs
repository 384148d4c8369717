//! `wilson_lower(successes, n)`: the lower limit of a share.

use std::sync::LazyLock;

use datafusion::logical_expr::{Documentation, ScalarUDF};

use super::Page;
use super::proportion::{self, Figure};
use crate::statistics::proportion::Proportion;

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Page {
        description: "The lower limit of the two-sided 95 % Wilson interval of successes / n, without continuity correction; exactly 0 where there are no successes.",
        syntax: "wilson_lower(successes, n)",
        arguments: proportion::ARGUMENTS,
        example: "\
SELECT round(wilson_lower(45, 60), 6) AS low, wilson_lower(0, 60) AS none

+----------+------+
| low      | none |
+----------+------+
| 0.627679 | 0.0  |
+----------+------+",
    }
    .documentation()
});

pub(super) fn udf() -> ScalarUDF {
    proportion::udf::<WilsonLower>()
}

#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct WilsonLower;

impl Figure for WilsonLower {
    const NAME: &'static str = "wilson_lower";

    fn of(proportion: Proportion) -> Option<f64> {
        proportion.wilson().map(|interval| interval.low)
    }

    fn documentation() -> &'static Documentation {
        &PAGE
    }
}
