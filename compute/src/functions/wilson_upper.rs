//! `wilson_upper(successes, n)`: the upper limit of a share.

use std::sync::LazyLock;

use datafusion::logical_expr::{Documentation, ScalarUDF};

use super::Page;
use super::proportion::{self, Figure};
use crate::statistics::proportion::Proportion;

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Page {
        description: "The upper limit of the two-sided 95 % Wilson interval of successes / n, without continuity correction; exactly 1 where all were successes.",
        syntax: "wilson_upper(successes, n)",
        arguments: proportion::ARGUMENTS,
        example: "\
SELECT round(wilson_upper(45, 60), 6) AS high, wilson_upper(60, 60) AS every

+----------+-------+
| high     | every |
+----------+-------+
| 0.842235 | 1.0   |
+----------+-------+",
    }
    .documentation()
});

pub(super) fn udf() -> ScalarUDF {
    proportion::udf::<WilsonUpper>()
}

#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct WilsonUpper;

impl Figure for WilsonUpper {
    const NAME: &'static str = "wilson_upper";

    fn of(proportion: Proportion) -> Option<f64> {
        proportion.wilson().map(|interval| interval.high)
    }

    fn documentation() -> &'static Documentation {
        &PAGE
    }
}
