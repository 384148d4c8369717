//! The table reference.

use super::{GENERATED, code, head, row};
use crate::tables::{ALL, Column, Kind, Table};

/// The reference of the lake's tables, as Markdown.
pub fn tables() -> String {
    let mut page = format!(
        "{GENERATED}# Tables of the lake\n\nEvery table is a Delta table in the folder of its name. \
         Instants are UTC with microseconds, days are UTC days.\n"
    );
    for table in ALL {
        page.push_str(&section(table));
    }
    page
}

fn section(table: &Table) -> String {
    let mut section = format!(
        "\n## {}\n\n{}\n\n- Partitioned by {}.\n- Statistics in the log: {}.\n\n",
        table.name,
        table.doc,
        code(table.partition_by),
        code(table.stats)
    );
    section.push_str(&columns(table.columns));
    for column in table.columns {
        if let Kind::List(Kind::Struct(inner)) = column.kind {
            section.push_str(&format!("\nAn element of `{}`:\n\n", column.name));
            section.push_str(&columns(inner));
        }
    }
    section
}

fn columns(columns: &[Column]) -> String {
    let mut table = head(["column", "type", "null", "meaning"]);
    for column in columns {
        let name = format!("`{}`", column.name);
        let null = if column.nullable { "yes" } else { "" };
        table.push_str(&row([&name, &kind(column.kind), null, column.doc]));
    }
    table
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".into(),
        Kind::Int64 => "64-bit integer".into(),
        Kind::Int32 => "32-bit integer".into(),
        Kind::Float64 => "64-bit float".into(),
        Kind::Bool => "truth value".into(),
        Kind::Timestamp => "instant".into(),
        Kind::Date => "day".into(),
        Kind::Binary => "bytes".into(),
        Kind::List(element) => format!("list of {}", self::kind(*element)),
        Kind::Struct(_) => "structure".into(),
        Kind::TextMap => "map of text to text".into(),
    }
}
