//! The columns of a batch of `sessions` by name and type, and rows made of them.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, ListArray, MapArray,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};

use super::encode::{ABANDONMENT, ACTIVITY, ERROR};
use super::row::{Attributes, Row};
use crate::error::ComputeError;
use crate::fold::{CodedError, Digest, Summary};

/// Access to the columns of a batch of `sessions` by name.
pub(crate) struct Columns<'a>(pub &'a RecordBatch);

impl<'a> Columns<'a> {
    fn column(&self, name: &str) -> Result<&'a ArrayRef, ComputeError> {
        let missing = || ComputeError::Damaged { reason: format!("the column {name} is missing") };
        self.0.column_by_name(name).ok_or_else(missing)
    }

    /// A text column.
    pub fn text(&self, name: &str) -> Result<&'a StringArray, ComputeError> {
        self.column(name)?.as_string_opt().ok_or_else(|| mistyped(name))
    }

    /// An integer column.
    pub fn integer(&self, name: &str) -> Result<&'a Int64Array, ComputeError> {
        self.column(name)?.as_primitive_opt::<Int64Type>().ok_or_else(|| mistyped(name))
    }

    /// An integer column of half the width.
    pub fn short(&self, name: &str) -> Result<&'a Int32Array, ComputeError> {
        self.column(name)?.as_primitive_opt::<Int32Type>().ok_or_else(|| mistyped(name))
    }

    /// A column of instants.
    pub fn instant(&self, name: &str) -> Result<&'a TimestampMicrosecondArray, ComputeError> {
        self.column(name)?
            .as_primitive_opt::<TimestampMicrosecondType>()
            .ok_or_else(|| mistyped(name))
    }

    /// A truth column.
    pub fn flag(&self, name: &str) -> Result<&'a BooleanArray, ComputeError> {
        self.column(name)?.as_boolean_opt().ok_or_else(|| mistyped(name))
    }

    /// The attributes.
    pub fn attributes(&self) -> Result<AttributeColumn<'a>, ComputeError> {
        let map = self.column("attributes")?.as_map_opt().ok_or_else(|| mistyped("attributes"))?;
        let text =
            |array: &'a ArrayRef| array.as_string_opt().ok_or_else(|| mistyped("attributes"));
        Ok(AttributeColumn { map, names: text(map.keys())?, values: text(map.values())? })
    }

    /// The digests.
    pub fn digests(&self) -> Result<DigestColumn<'a>, ComputeError> {
        let damaged = || mistyped("digests");
        let list = self.column("digests")?.as_list_opt::<i32>().ok_or_else(damaged)?;
        let fields = list.values().as_struct_opt().ok_or_else(damaged)?;
        let field = |name: &str| fields.column_by_name(name).ok_or_else(damaged);
        let integer = |name: &str| field(name)?.as_primitive_opt::<Int64Type>().ok_or_else(damaged);
        Ok(DigestColumn {
            list,
            id_high: integer("id_high")?,
            id_low: integer("id_low")?,
            occurred_at: field("occurred_at")?.as_primitive_opt().ok_or_else(damaged)?,
            stages: integer("stages")?,
            exclusions: integer("exclusions")?,
            flags: field("flags")?.as_primitive_opt().ok_or_else(damaged)?,
            reason: field("reason")?.as_string_opt().ok_or_else(damaged)?,
            code: field("code")?.as_string_opt().ok_or_else(damaged)?,
        })
    }

    /// When the stages were reached.
    pub fn stage_at(&self) -> Result<StageColumn<'a>, ComputeError> {
        let damaged = || mistyped("stage_at");
        let list = self.column("stage_at")?.as_list_opt::<i32>().ok_or_else(damaged)?;
        let at = list.values().as_primitive_opt().ok_or_else(damaged)?;
        Ok(StageColumn { list, at })
    }

    /// The errors.
    pub fn errors(&self) -> Result<ErrorColumn<'a>, ComputeError> {
        let damaged = || mistyped("errors");
        let list = self.column("errors")?.as_list_opt::<i32>().ok_or_else(damaged)?;
        let fields = list.values().as_struct_opt().ok_or_else(damaged)?;
        let field = |name: &str| fields.column_by_name(name).ok_or_else(damaged);
        let occurred_at = field("occurred_at")?.as_primitive_opt().ok_or_else(damaged)?;
        Ok(ErrorColumn {
            list,
            occurred_at,
            code: field("code")?.as_string_opt().ok_or_else(damaged)?,
        })
    }

    /// Whole rows.
    pub fn rows(&self) -> Result<Vec<Row>, ComputeError> {
        let (client_id, session_id) = (self.text("client_id")?, self.text("session_id")?);
        let (session_key, events) = (self.integer("session_key")?, self.integer("events")?);
        let (seen, truncated) = (self.instant("last_seen_at")?, self.flag("truncated")?);
        let (attributes, digests) = (self.attributes()?, self.digests()?);
        let summaries = self.summaries()?;
        let row = |(row, summary): (usize, Summary)| Row {
            client_id: client_id.value(row).into(),
            session_id: session_id.value(row).into(),
            session_key: session_key.value(row),
            summary,
            events: events.value(row),
            last_seen_at: seen.value(row),
            attributes: attributes.all(row),
            digests: digests.get(row),
            truncated: truncated.value(row),
        };
        Ok(summaries.into_iter().enumerate().map(row).collect())
    }

    /// What the events of each session make of it.
    pub fn summaries(&self) -> Result<Vec<Summary>, ComputeError> {
        let (first, last) = (self.instant("first_event_at")?, self.instant("last_event_at")?);
        let (reached, in_horizon) = (self.short("reached")?, self.short("reached_in_horizon")?);
        let (furthest, interrupted) =
            (self.short("furthest_stage")?, self.instant("interrupted_at")?);
        let (excluded, given_up) = (self.flag("excluded")?, self.flag("given_up")?);
        let (reason, stage_at) = (self.text("loss_reason")?, self.stage_at()?);
        let errors = self.errors()?;
        let error = |place: usize| CodedError {
            occurred_at: errors.occurred_at.value(place),
            code: errors.code.value(place).into(),
        };
        let summary = |row: usize| Summary {
            stage_at: stage_at.range(row).map(|place| stage_at.get(place)).collect(),
            reached: reached.value(row) as u32,
            in_horizon: in_horizon.value(row) as u32,
            furthest: furthest.value(row) as usize,
            first_event_at: first.value(row),
            last_event_at: last.value(row),
            given_up: given_up.value(row),
            interrupted_at: interrupted.is_valid(row).then(|| interrupted.value(row)),
            reason: reason.is_valid(row).then(|| reason.value(row).into()),
            excluded: excluded.value(row),
            errors: errors.range(row).map(error).collect(),
        };
        Ok((0..self.0.num_rows()).map(summary).collect())
    }
}

fn mistyped(name: &str) -> ComputeError {
    ComputeError::Damaged { reason: format!("the column {name} is of another type") }
}

/// The column `stage_at`.
pub(crate) struct StageColumn<'a> {
    list: &'a ListArray,
    pub at: &'a TimestampMicrosecondArray,
}

impl StageColumn<'_> {
    /// The places of a row's stages among all.
    pub fn range(&self, row: usize) -> Range<usize> {
        range(self.list, row)
    }

    fn get(&self, place: usize) -> Option<i64> {
        self.at.is_valid(place).then(|| self.at.value(place))
    }
}

/// The column `errors`.
pub(crate) struct ErrorColumn<'a> {
    list: &'a ListArray,
    pub occurred_at: &'a TimestampMicrosecondArray,
    pub code: &'a StringArray,
}

impl ErrorColumn<'_> {
    /// The places of a row's errors among all.
    pub fn range(&self, row: usize) -> Range<usize> {
        range(self.list, row)
    }
}

fn range(list: &ListArray, row: usize) -> Range<usize> {
    let offsets = list.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}

/// The column `attributes`.
pub(crate) struct AttributeColumn<'a> {
    map: &'a MapArray,
    names: &'a StringArray,
    values: &'a StringArray,
}

impl<'a> AttributeColumn<'a> {
    /// The name-value pairs of a row.
    pub fn pairs(&self, row: usize) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let offsets = self.map.value_offsets();
        let (names, values) = (self.names, self.values);
        (offsets[row] as usize..offsets[row + 1] as usize)
            .filter(move |&entry| values.is_valid(entry))
            .map(move |entry| (names.value(entry), values.value(entry)))
    }

    /// The value of an attribute in a row.
    pub fn get(&self, row: usize, name: &str) -> Option<&'a str> {
        self.pairs(row).find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn all(&self, row: usize) -> Attributes {
        self.pairs(row).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// The column `digests`.
pub(crate) struct DigestColumn<'a> {
    list: &'a ListArray,
    id_high: &'a Int64Array,
    id_low: &'a Int64Array,
    occurred_at: &'a TimestampMicrosecondArray,
    stages: &'a Int64Array,
    exclusions: &'a Int64Array,
    flags: &'a Int32Array,
    reason: &'a StringArray,
    code: &'a StringArray,
}

impl DigestColumn<'_> {
    /// The digests of a row; `None` where they were dropped.
    pub fn get(&self, row: usize) -> Option<Vec<Digest>> {
        if self.list.is_null(row) {
            return None;
        }
        Some(range(self.list, row).map(|place| self.digest(place)).collect())
    }

    fn digest(&self, place: usize) -> Digest {
        let (high, low) = (self.id_high.value(place) as u64, self.id_low.value(place) as u64);
        let flags = self.flags.value(place);
        let text =
            |column: &StringArray| column.is_valid(place).then(|| Arc::from(column.value(place)));
        Digest {
            id: (u128::from(high) << 64) | u128::from(low),
            occurred_at: self.occurred_at.value(place),
            stages: self.stages.value(place) as u32,
            exclusions: self.exclusions.value(place) as u32,
            abandonment: flags & ABANDONMENT != 0,
            error: flags & ERROR != 0,
            activity: flags & ACTIVITY != 0,
            reason: text(self.reason),
            code: text(self.code),
        }
    }
}
