//! Two periods side by side.

use onramp_compute::metrics::cohorts::Direction;
use onramp_compute::metrics::comparison::{Change, Comparison};

use super::figures::{percent, points};
use super::{drawn, plain, right};
use crate::instant;
use crate::output::count;

/// The rates of both periods, their change, and its judgement, which rests on mature rates.
pub fn text(comparison: &Comparison, zone: &str) -> String {
    let (before, after) = (&comparison.period1, &comparison.period2);
    let mut text = format!(
        "\nAgainst {} to {}: {} sessions then, {} now; {}\n",
        instant::local(before.from.0, zone),
        instant::local(before.to.0, zone),
        count(before.sessions),
        count(after.sessions),
        judgement(comparison),
    );
    let mut table = plain(["stage", "then", "now", "change", "mature", "", "mature step", ""]);
    let both = comparison.raw.stages.iter().zip(&comparison.mature.stages);
    for (raw, mature) in both.skip(1) {
        let (from_start, judged) = change(Some(&mature.from_start));
        let (step, step_judged) = change(mature.from_previous.as_ref());
        table.add_row([
            raw.name.clone(),
            percent(raw.before.from_start.rate),
            percent(raw.after.from_start.rate),
            change(Some(&raw.from_start)).0,
            from_start,
            judged,
            step,
            step_judged,
        ]);
    }
    right(&mut table, [1, 2, 3, 4, 6]);
    text += &drawn(&table);
    if let Some(parts) = &comparison.raw.decomposition {
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

fn judgement(comparison: &Comparison) -> String {
    let watched = comparison.mature.stages.first();
    match watched.is_some_and(|stage| stage.before.count > 0 && stage.after.count > 0) {
        true => format!("{} by mature rates", direction(comparison.trend)),
        false => "not judged yet, too few were watched long enough".to_owned(),
    }
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
