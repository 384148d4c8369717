//! Taking text out of a row.

use csv::StringRecord;
use xxhash_rust::xxh3::xxh3_128;

use super::Origin;

/// A row beside its header.
pub struct Row<'a> {
    /// Names of the columns.
    pub headers: &'a StringRecord,
    /// The row's cells.
    pub record: &'a StringRecord,
}

impl<'a> Row<'a> {
    /// The cell of a column.
    pub fn cell(&self, column: &str) -> Result<&'a str, String> {
        self.headers
            .iter()
            .position(|header| header == column)
            .and_then(|at| self.record.get(at))
            .ok_or_else(|| format!("the row has no column {column:?}"))
    }

    /// The text that an attribute is taken from.
    pub fn value<'b>(&self, origin: &'b Origin) -> Result<&'b str, String>
    where
        'a: 'b,
    {
        match (&origin.column, &origin.value) {
            (Some(column), _) => self.cell(column),
            (None, Some(value)) => Ok(value),
            (None, None) => Ok(""),
        }
    }

    /// As [`Self::value`], for an attribute that may be left out.
    pub fn optional<'b>(&self, origin: Option<&'b Origin>) -> Result<Option<&'b str>, String>
    where
        'a: 'b,
    {
        origin.map(|origin| self.value(origin)).transpose()
    }

    /// A stable identity: the row's fields and its line.
    pub fn hash(&self, line: i64) -> u128 {
        let mut bytes = line.to_le_bytes().to_vec();
        for field in self.record {
            bytes.extend_from_slice(&(field.len() as u64).to_le_bytes());
            bytes.extend_from_slice(field.as_bytes());
        }
        xxh3_128(&bytes)
    }
}

/// Lower case, with one `_` for every run of anything but letters and digits.
pub fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for character in text.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('_') {
            slug.push('_');
        }
    }
    slug.truncate(slug.trim_end_matches('_').len());
    slug
}
