//! The reference of what statements can name, from the definitions.

use super::{Session, SqlError};

/// Tables and views with the meaning of every column, as Markdown; views of a funnel for each funnel of
/// the session.
///
/// # Errors
/// A funnel whose sessions cannot be planned.
pub async fn reference(session: &Session) -> Result<String, SqlError> {
    let mut page = String::from(
        "<!-- Generated from the definitions in schemas/, compute/src/views.rs and queries/src/sql/; edit those. -->\n\
         # What SQL sees\n\n\
         Tables are those of the lake ([tables.md](tables.md)), views are computed when they are read and up \
         to date with the newest event. The views of the funnel `onboarding` stand for those of every funnel: \
         `sessions_<funnel>` has a column for each of its stages and of its segments. Instants are UTC with \
         microseconds, days are UTC days, durations seconds. Functions: [functions.md](functions.md).\n",
    );
    for name in session.tables() {
        let Some(described) = session.describe(&name).await? else { continue };
        page.push_str(&format!("\n## {name}\n\n{}\n\n", described.doc));
        page.push_str("| column | type | null | meaning |\n| --- | --- | --- | --- |\n");
        for column in described.columns {
            let null = if column.nullable { "yes" } else { "" };
            page.push_str(&format!(
                "| `{}` | {} | {null} | {} |\n",
                column.name, column.kind, column.doc
            ));
        }
    }
    Ok(page)
}
