//! What a user writes to say how the columns of a CSV file make an event.

mod row;
mod time;

use std::collections::BTreeMap;

use chrono_tz::Tz;
use csv::StringRecord;
use serde::Deserialize;

use crate::json;
use row::{Row, slug};
use time::TimeFormat;

/// A mapping file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// It is no TOML of the expected form.
    #[error("mapping {origin}: {message}")]
    Syntax {
        /// The file.
        origin: String,
        /// Where and what.
        message: String,
    },
    /// It says something that cannot be done.
    #[error("mapping {origin}: {place}: {message}")]
    Meaning {
        /// The file.
        origin: String,
        /// The part of the file.
        place: String,
        /// What is wrong with it, and what to write instead.
        message: String,
    },
}

/// How each row of a CSV file with a header becomes one CloudEvent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// What separates fields: one ASCII character, a comma when absent.
    #[serde(default = "comma")]
    delimiter: char,
    /// The envelope.
    columns: Envelope,
    /// Event types by the value of `columns.type`'s column.
    #[serde(default)]
    types: BTreeMap<String, String>,
    /// Fields of the payload and the columns that fill them.
    #[serde(default)]
    data: BTreeMap<String, Field>,
}

/// Where the attributes of the envelope come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    /// Without it: a hash of the row and its line, so that importing a grown file again adds only
    /// its new rows.
    id: Option<Origin>,
    /// Without it: the source given on the command line.
    source: Option<Origin>,
    #[serde(rename = "type")]
    event_type: TypeOrigin,
    subject: Origin,
    time: TimeOrigin,
    clientid: Origin,
    userid: Option<Origin>,
    correlationid: Option<Origin>,
    causationid: Option<Origin>,
}

/// A column's value, or the same value for every row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    column: Option<String>,
    value: Option<String>,
}

/// As [`Origin`]; a value that `[types]` does not name may become a type by a prefix.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypeOrigin {
    column: Option<String>,
    value: Option<String>,
    /// Put before the column's value in lower case with `_` for all but letters and digits.
    prefix: Option<String>,
}

/// The column of the time and how to read it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeOrigin {
    column: String,
    /// See [`TimeFormat`].
    format: Option<String>,
    #[serde(default, deserialize_with = "time::zone")]
    timezone: Option<Tz>,
}

impl TimeOrigin {
    fn format(&self) -> TimeFormat<'_> {
        TimeFormat { pattern: self.format.as_deref(), timezone: self.timezone }
    }
}

/// A column that fills a field of the payload; an empty cell leaves the field out.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Field {
    /// Text as it stands.
    Text(String),
    /// A value of some kind.
    Typed(TypedField),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedField {
    column: String,
    #[serde(default)]
    kind: Kind,
}

/// What a cell is read as.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Text,
    Integer,
    Number,
    Boolean,
}

impl Field {
    fn column(&self) -> &str {
        match self {
            Field::Text(column) => column,
            Field::Typed(field) => &field.column,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Field::Text(_) => Kind::Text,
            Field::Typed(field) => field.kind,
        }
    }
}

fn comma() -> char {
    ','
}

impl Mapping {
    /// Reads a mapping; `origin` names it in errors.
    ///
    /// # Errors
    /// No TOML, an unknown key, or a combination that says nothing or two things.
    pub fn parse(text: &str, origin: &str) -> Result<Self, MappingError> {
        let mapping: Self = toml::from_str(text).map_err(|error| MappingError::Syntax {
            origin: origin.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        mapping.verify().map_err(|(place, message)| MappingError::Meaning {
            origin: origin.to_owned(),
            place: place.to_owned(),
            message,
        })?;
        Ok(mapping)
    }

    fn verify(&self) -> Result<(), (&'static str, String)> {
        if !self.delimiter.is_ascii() || matches!(self.delimiter, '"' | '\n' | '\r') {
            return Err(("delimiter", "write one ASCII character, such as \",\" or \";\"".into()));
        }
        for (place, origin) in self.columns.origins() {
            if origin.column.is_some() == origin.value.is_some() {
                return Err((place, "write either column = \"…\" or value = \"…\"".into()));
            }
        }
        let kind = &self.columns.event_type;
        if kind.column.is_some() == kind.value.is_some() {
            return Err(("columns.type", "write either column = \"…\" or value = \"…\"".into()));
        }
        if kind.column.is_none() && (kind.prefix.is_some() || !self.types.is_empty()) {
            let message = "a prefix and [types] need a column whose values they name";
            return Err(("columns.type", message.into()));
        }
        self.columns.time.format().check().map_err(|message| ("columns.time", message))
    }

    /// The byte that separates fields.
    pub fn delimiter(&self) -> u8 {
        self.delimiter as u8
    }

    /// Whether the events' source must be given from outside.
    pub fn lacks_source(&self) -> bool {
        self.columns.source.is_none()
    }

    /// Whether a file with these headers has every column that the mapping names, each once.
    ///
    /// # Errors
    /// The first column that is missing or ambiguous, with the ones that there are.
    pub fn check(&self, headers: &StringRecord) -> Result<(), String> {
        for column in self.named_columns() {
            let found = headers.iter().filter(|header| *header == column).count();
            if found == 1 {
                continue;
            }
            let known = headers.iter().map(|h| format!("{h:?}")).collect::<Vec<_>>().join(", ");
            let problem = if found == 0 { "no column" } else { "more than one column" };
            return Err(format!("the file has {problem} {column:?}; its columns are {known}"));
        }
        Ok(())
    }

    fn named_columns(&self) -> impl Iterator<Item = &str> {
        let origins = self.columns.origins().filter_map(|(_, origin)| origin.column.as_deref());
        origins
            .chain(self.columns.event_type.column.as_deref())
            .chain([self.columns.time.column.as_str()])
            .chain(self.data.values().map(Field::column))
    }

    /// The row as a structured-mode CloudEvent in JSON, without a line break.
    ///
    /// `line` is where the row begins, from 1; `source` serves when the mapping names none.
    ///
    /// # Errors
    /// A cell that cannot be read as the mapping wants it, with the column and the cell.
    pub fn event_json(
        &self,
        headers: &StringRecord,
        record: &StringRecord,
        line: i64,
        source: Option<&str>,
    ) -> Result<Vec<u8>, String> {
        let row = Row { headers, record };
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(b"{\"specversion\":\"1.0\",\"id\":\"");
        match &self.columns.id {
            Some(origin) => {
                out.pop();
                json::string(&mut out, row.value(origin)?);
            }
            None => {
                json::uuid(&mut out, row.hash(line));
                out.push(b'"');
            }
        }
        let source = match &self.columns.source {
            Some(origin) => Some(row.value(origin)?),
            None => source,
        };
        let event_type = self.event_type(&row)?;
        let texts = [
            ("source", source),
            ("type", Some(event_type.as_str())),
            ("subject", Some(row.value(&self.columns.subject)?)),
            ("clientid", Some(row.value(&self.columns.clientid)?)),
            ("userid", row.optional(self.columns.userid.as_ref())?),
            ("correlationid", row.optional(self.columns.correlationid.as_ref())?),
            ("causationid", row.optional(self.columns.causationid.as_ref())?),
        ];
        for (name, text) in texts {
            let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
            out.push(b',');
            json::string(&mut out, name);
            out.push(b':');
            json::string(&mut out, text);
        }
        let when = &self.columns.time;
        let cell = row.cell(&when.column)?;
        let time =
            when.format().rfc3339(cell).map_err(|e| format!("column {:?}: {e}", when.column))?;
        out.extend_from_slice(b",\"time\":");
        json::string(&mut out, &time);
        self.payload(&mut out, &row)?;
        out.push(b'}');
        Ok(out)
    }

    fn event_type(&self, row: &Row<'_>) -> Result<String, String> {
        let TypeOrigin { column, value, prefix } = &self.columns.event_type;
        let Some(column) = column else { return Ok(value.clone().unwrap_or_default()) };
        let cell = row.cell(column)?;
        if let Some(named) = self.types.get(cell) {
            return Ok(named.clone());
        }
        match prefix {
            Some(prefix) if !slug(cell).is_empty() => Ok(format!("{prefix}{}", slug(cell))),
            _ => Err(format!("column {column:?}: no event type is mapped to {cell:?}")),
        }
    }

    fn payload(&self, out: &mut Vec<u8>, row: &Row<'_>) -> Result<(), String> {
        out.extend_from_slice(b",\"data\":{");
        let mut first = true;
        for (name, field) in &self.data {
            let column = field.column();
            let cell = row.cell(column)?;
            if cell.is_empty() {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            json::string(out, name);
            out.push(b':');
            let wrong = |kind: &str| format!("column {column:?}: {cell:?} is no {kind}");
            match field.kind() {
                Kind::Text => json::string(out, cell),
                Kind::Integer => {
                    let value: i64 = cell.parse().map_err(|_| wrong("integer"))?;
                    out.extend_from_slice(value.to_string().as_bytes());
                }
                Kind::Number => {
                    let value: f64 = cell.parse().map_err(|_| wrong("number"))?;
                    let value = serde_json::Number::from_f64(value).ok_or(wrong("number"))?;
                    out.extend_from_slice(value.to_string().as_bytes());
                }
                Kind::Boolean => match cell.to_ascii_lowercase().as_str() {
                    "true" | "yes" | "1" => out.extend_from_slice(b"true"),
                    "false" | "no" | "0" => out.extend_from_slice(b"false"),
                    _ => return Err(wrong("boolean (true/false, yes/no, 1/0)")),
                },
            }
        }
        out.push(b'}');
        Ok(())
    }
}

impl Envelope {
    /// Every attribute that is taken from a column or a fixed value, with its place in the file.
    fn origins(&self) -> impl Iterator<Item = (&'static str, &Origin)> {
        [
            ("columns.id", self.id.as_ref()),
            ("columns.source", self.source.as_ref()),
            ("columns.subject", Some(&self.subject)),
            ("columns.clientid", Some(&self.clientid)),
            ("columns.userid", self.userid.as_ref()),
            ("columns.correlationid", self.correlationid.as_ref()),
            ("columns.causationid", self.causationid.as_ref()),
        ]
        .into_iter()
        .filter_map(|(place, origin)| Some((place, origin?)))
    }
}

#[cfg(test)]
mod tests;
