//! One answer in the form that the caller accepts: JSON, CSV, or an Arrow stream.

use std::fmt::Formatter;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::JsonArray;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::accept::{ARROW, Form};
use super::problem::Problem;
use super::question::Question;

impl Question {
    /// The tag of an answer, from what it depends on: equal questions of equal sight about equal positions
    /// have equal answers. It is weak, because the encoding of the bytes is not part of it.
    pub fn tag(&self, basis: &impl Serialize) -> String {
        let basis = serde_json::to_string(basis).unwrap_or_default();
        let words = format!("{} {basis}", self.words());
        format!("W/\"{:032x}\"", xxh3_128(words.as_bytes()))
    }

    /// Answers with a document, whose `list` becomes rows in CSV and Arrow; to a caller that holds it
    /// already, with 304.
    ///
    /// # Errors
    /// A document that is not what its type says, which only a defect can cause.
    pub fn answer<R: Serialize>(
        &self,
        tag: &str,
        document: &impl Serialize,
        list: &[R],
    ) -> Result<Response, Problem> {
        if self.holds(tag) {
            return Ok(self.unchanged(tag));
        }
        let bytes = match self.form {
            Form::Json => serde_json::to_vec(document).map_err(|error| broken(&error))?,
            form => {
                let (schema, batch) = table(list).map_err(|error| broken(&error))?;
                encoded(form, &schema, &[batch]).map_err(|error| broken(&error))?
            }
        };
        Ok(tagged(tag, in_form(self.form, bytes)))
    }

    /// Tells the caller that the answer of this tag is still the answer.
    pub fn unchanged(&self, tag: &str) -> Response {
        tagged(tag, StatusCode::NOT_MODIFIED.into_response())
    }

    /// Whether the caller holds an answer to some question.
    pub fn holds_any(&self) -> bool {
        self.known.is_some()
    }

    /// Whether the caller holds the answer of this tag.
    pub fn holds(&self, tag: &str) -> bool {
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let known = self.known.as_deref().unwrap_or_default();
        known.split(',').any(|one| opaque(one) == opaque(tag) || one.trim() == "*")
    }
}

fn tagged(tag: &str, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept, authorization"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// Answers with rows.
///
/// # Errors
/// Columns that a form has no text for.
pub fn rows(form: Form, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Response, Problem> {
    let bytes = encoded(form, schema, batches).map_err(|error| {
        let detail = format!("the rows cannot be written in this form ({error}); accept {ARROW}");
        Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail)
    })?;
    let mut response = in_form(form, bytes);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn in_form(form: Form, bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, form.media_type())], bytes).into_response()
}

fn encoded(form: Form, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    match form {
        Form::Json => {
            let builder = arrow::json::WriterBuilder::new().with_explicit_nulls(true);
            let mut writer = builder.build::<_, JsonArray>(&mut bytes);
            batches.iter().try_for_each(|batch| writer.write(batch))?;
            writer.finish()?;
        }
        // A list without rows tells no columns either.
        Form::Csv if schema.fields().is_empty() => {}
        Form::Csv => {
            let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(&mut bytes);
            // An answer without rows has its header all the same.
            writer.write(&as_text(&RecordBatch::new_empty(Arc::clone(schema)))?)?;
            batches.iter().try_for_each(|batch| writer.write(&as_text(batch)?))?;
        }
        Form::Arrow => {
            let mut writer = StreamWriter::try_new(&mut bytes, schema)?;
            batches.iter().try_for_each(|batch| writer.write(batch))?;
            writer.finish()?;
        }
    }
    Ok(bytes)
}

/// The same rows with lists, maps and structs as text, which CSV has no cells for.
fn as_text(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let options = FormatOptions::default();
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if !column.data_type().is_nested() {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
            continue;
        }
        let formatter = ArrayFormatter::try_new(column, &options)?;
        let cell = |row| column.is_valid(row).then(|| formatter.value(row).to_string());
        columns.push(Arc::new((0..column.len()).map(cell).collect::<StringArray>()) as ArrayRef);
        fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Rows of a list of objects, nested objects as columns of their own, in the order of their members.
fn table<R: Serialize>(rows: &[R]) -> Result<(SchemaRef, RecordBatch), ArrowError> {
    let flat = rows.iter().map(flattened).collect::<Result<Vec<_>, _>>();
    let flat = flat.map_err(|error| ArrowError::JsonError(error.to_string()))?;
    let mut order: Vec<&String> = Vec::new();
    for (name, _) in flat.iter().flatten() {
        if !order.contains(&name) {
            order.push(name);
        }
    }
    let values: Vec<Value> =
        flat.iter().map(|row| Value::Object(row.iter().cloned().collect())).collect();
    let inferred = arrow::json::reader::infer_json_schema_from_iterator(values.iter().map(Ok))?;
    let fields = order.iter().filter_map(|name| inferred.field_with_name(name).ok().cloned());
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut decoder = arrow::json::ReaderBuilder::new(Arc::clone(&schema))
        .with_batch_size(values.len().max(1))
        .build_decoder()?;
    decoder.serialize(&values)?;
    let batch = decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&schema)));
    Ok((schema, batch))
}

fn flattened<R: Serialize>(row: &R) -> Result<Vec<(String, Value)>, serde_json::Error> {
    fn add(into: &mut Vec<(String, Value)>, name: String, value: Value) {
        match value {
            Value::Object(members) => {
                for (inner, value) in members {
                    add(into, format!("{name}_{inner}"), value);
                }
            }
            Value::Array(_) => into.push((name, Value::String(value.to_string()))),
            plain => into.push((name, plain)),
        }
    }
    let members: Members = serde_json::from_str(&serde_json::to_string(row)?)?;
    let mut flat = Vec::new();
    members.0.into_iter().for_each(|(name, value)| add(&mut flat, name, value));
    Ok(flat)
}

/// The members of an object in their own order, which a map of `serde_json` does not keep.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members;

            fn expecting(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::broken(&format!("a document could not be written: {error}"))
}
