//! The reference of the functions, from the registry.

use datafusion::logical_expr::Documentation;

use super::{aggregates, scalars};

#[cfg(test)]
mod tests;

/// The reference of all functions, as Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "<!-- Generated from the registry in compute/src/functions.rs; edit the functions. -->\n\
         # Funnel functions for SQL\n\n\
         `onramp sql` knows them, beside all of DataFusion's. Aggregates take FILTER, GROUP BY and OVER; \
         events need not be in order, and rows of equal time give the same answer in any order.\n",
    );
    page.push_str("\n## Aggregates\n");
    for function in aggregates() {
        page.push_str(&section(function.name(), function.documentation()));
    }
    page.push_str("\n## Scalars\n");
    for function in scalars() {
        page.push_str(&section(function.name(), function.documentation()));
    }
    page
}

fn section(name: &str, documentation: Option<&Documentation>) -> String {
    let page = documentation.expect("every function of the registry is documented");
    let mut section =
        format!("\n### {name}\n\n`{}`\n\n{}\n\n", page.syntax_example, page.description);
    section.push_str("| argument | meaning |\n| --- | --- |\n");
    for (name, meaning) in page.arguments.iter().flatten() {
        section.push_str(&format!("| `{name}` | {meaning} |\n"));
    }
    let (statement, answer) = example(page);
    section.push_str(&format!("\n```sql\n{statement}\n```\n```text\n{answer}\n```\n"));
    section
}

/// The example of a function: a statement and its answer as a table.
fn example(page: &Documentation) -> (&str, &str) {
    let example = page.sql_example.as_deref().unwrap_or_default();
    example.split_once("\n\n").expect("an example is a statement, an empty line, and a table")
}
