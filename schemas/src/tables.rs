//! The lake's tables, each in one place: columns with their meaning, partitioning, statistics.

mod dead_letters;
mod duplicates;
mod events;
mod reports;
mod sessions;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

pub use dead_letters::DEAD_LETTERS;
pub use duplicates::DUPLICATES;
pub use events::EVENTS;
pub use reports::REPORTS;
pub use sessions::SESSIONS;

/// Every table.
pub const ALL: [&Table; 5] = [&EVENTS, &DEAD_LETTERS, &DUPLICATES, &SESSIONS, &REPORTS];

/// A table of the lake.
#[derive(Debug)]
pub struct Table {
    /// Its name, and the folder that it lies in.
    pub name: &'static str,
    /// What one row is.
    pub doc: &'static str,
    /// The columns in order.
    pub columns: &'static [Column],
    /// Columns that it is partitioned by.
    pub partition_by: &'static [&'static str],
    /// Columns with statistics in the log: never a personal value.
    pub stats: &'static [&'static str],
}

/// A column of a table.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
    /// What it means, with its unit.
    pub doc: &'static str,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// 64-bit integer.
    Int64,
    /// 32-bit integer.
    Int32,
    /// 64-bit float.
    Float64,
    /// Truth value.
    Bool,
    /// Instant, microseconds UTC.
    Timestamp,
    /// Calendar day, UTC.
    Date,
    /// Bytes.
    Binary,
    /// List of another kind; elements may be null.
    List(&'static Kind),
    /// Structure of columns.
    Struct(&'static [Column]),
    /// Text to text.
    TextMap,
}

impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.kind == other.kind && self.nullable == other.nullable
    }
}

impl Kind {
    /// The Arrow type.
    pub fn arrow(self) -> DataType {
        match self {
            Kind::Text => DataType::Utf8,
            Kind::Int64 => DataType::Int64,
            Kind::Int32 => DataType::Int32,
            Kind::Float64 => DataType::Float64,
            Kind::Bool => DataType::Boolean,
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Date => DataType::Date32,
            Kind::Binary => DataType::Binary,
            Kind::List(element) => {
                DataType::List(Arc::new(Field::new("element", element.arrow(), true)))
            }
            Kind::Struct(columns) => DataType::Struct(fields(columns)),
            Kind::TextMap => {
                let entry = Fields::from(vec![
                    Field::new("key", DataType::Utf8, false),
                    Field::new("value", DataType::Utf8, true),
                ]);
                let entries = Field::new("key_value", DataType::Struct(entry), false);
                DataType::Map(Arc::new(entries), false)
            }
        }
    }
}

impl Table {
    /// The columns as an Arrow schema.
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(fields(self.columns)))
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

fn fields(columns: &[Column]) -> Fields {
    columns.iter().map(|c| Field::new(c.name, c.kind.arrow(), c.nullable)).collect()
}

/// A column that is never null.
const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Column {
    Column { name, kind, nullable: false, doc }
}

/// A column that may be null.
const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Column {
    Column { name, kind, nullable: true, doc }
}
