//! What to do, the most promising first.

use comfy_table::ColumnConstraint;
use onramp_compute::metrics::recommendations::{Impact, Priority, Recommendation};

use super::{drawn, plain, right};
use crate::output::Sheet;

/// Recommendations that a terminal shows.
const SHOWN: usize = 5;

/// The first of them with their reasons; nothing where there are none.
pub fn text(found: &[Recommendation]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let mut table = plain(["priority", "what to do something about", "completions a week"]);
    for it in found.iter().take(SHOWN) {
        let reason = format!("{}\n{}", it.title, it.description);
        table.add_row([priority(it.priority), &reason, &gain(&it.estimated_impact)]);
    }
    right(&mut table, [2]);
    for column in [0, 2] {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let mut text = format!("\n{}", drawn(&table));
    if found.len() > SHOWN {
        text += &format!("and {} more (--format json has all)\n", found.len() - SHOWN);
    }
    text
}

/// All of them as data.
pub fn sheet(found: &[Recommendation]) -> Sheet {
    let mut sheet =
        Sheet::new(["priority", "recommendation", "reason", "completions a week"]).right([3]);
    for it in found {
        let gain = gain(&it.estimated_impact);
        sheet.row([priority(it.priority), &it.title, &it.description, &gain]);
    }
    sheet
}

fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::High => "high",
        Priority::Medium => "medium",
        Priority::Low => "low",
    }
}

/// `+24.3 (20.4–55.8)`; a dash where none are promised.
fn gain(impact: &Impact) -> String {
    match impact.high > 0.0 {
        true => format!("{:+.1} ({:.1}–{:.1})", impact.expected, impact.low, impact.high),
        false => "–".to_owned(),
    }
}
