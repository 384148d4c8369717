//! Reference pages in Markdown and the schema files, rendered from the definitions.

mod events;
mod funnel;
mod tables;
#[cfg(test)]
mod tests;

pub use events::events;
pub use funnel::{funnel, funnel_schema};
pub use tables::tables;

/// Tells readers of a page not to edit it.
const GENERATED: &str = "<!-- Generated from the definitions in schemas/; edit those. -->\n";

/// A row of a Markdown table.
fn row<const N: usize>(cells: [&str; N]) -> String {
    let escaped = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
    format!("| {} |\n", escaped.join(" | "))
}

/// The head of a Markdown table.
fn head<const N: usize>(names: [&str; N]) -> String {
    row(names) + &row([const { "---" }; N])
}

/// Names as code, with commas between.
fn code(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
