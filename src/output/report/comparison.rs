//! Two periods side by side.

use onramp_compute::metrics::cohorts::Direction;
use onramp_compute::metrics::comparison::{Change, Comparison};

use super::figures::{percent, points};
use super::{drawn, plain, right};
use crate::instant;
use crate::output::count;

/// The mature rates of both periods, their change and its judgement.
pub fn text(comparison: &Comparison) -> String {
    let (before, after) = (&comparison.period1, &comparison.period2);
    let mut text = format!(
        "\nAgainst {} to {}: {} sessions then, {} now; mature rates, {}\n",
        instant::format(before.from.0),
        instant::format(before.to.0),
        count(before.sessions),
        count(after.sessions),
        direction(comparison.trend),
    );
    let mut table = plain(["stage", "then", "now", "change", "", "step change", ""]);
    for stage in comparison.mature.stages.iter().skip(1) {
        let (from_start, judged) = change(Some(&stage.from_start));
        let (step, step_judged) = change(stage.from_previous.as_ref());
        table.add_row([
            stage.name.clone(),
            percent(stage.before.from_start.rate),
            percent(stage.after.from_start.rate),
            from_start,
            judged,
            step,
            step_judged,
        ]);
    }
    right(&mut table, [1, 2, 3, 5]);
    text += &drawn(&table);
    if let Some(parts) = &comparison.mature.decomposition {
        text += &format!(
            "by {}: {} of the change of {} is another mix, {} another rate\n",
            parts.attribute,
            points(parts.mix),
            points(parts.change),
            points(parts.rate)
        );
    }
    text
}

fn change(change: Option<&Change>) -> (String, String) {
    let Some(change) = change else { return Default::default() };
    let judged = match change.direction {
        Some(Direction::Stable) | None => String::new(),
        Some(moved) => direction(moved).to_owned(),
    };
    (change.difference.map_or_else(|| "–".to_owned(), points), judged)
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Improving => "improving",
        Direction::Declining => "declining",
        Direction::Stable => "stable",
    }
}
