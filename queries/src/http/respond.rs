//! One answer in the form that the caller accepts: JSON, CSV, or an Arrow stream.

use std::fmt::Formatter;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::JsonArray;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::problem::Problem;

/// The media type of an Arrow IPC stream.
pub const ARROW: &str = "application/vnd.apache.arrow.stream";

/// A form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The whole document.
    Json,
    /// Its list, a line a row, nested members as `outer_inner`.
    Csv,
    /// Its list as an Arrow IPC stream.
    Arrow,
}

impl Form {
    /// What the caller likes best of what there is; JSON where nothing is said.
    ///
    /// # Errors
    /// 406, where the caller accepts nothing of it.
    pub fn accepted(headers: &HeaderMap) -> Result<Self, Problem> {
        let accept = headers.get(header::ACCEPT).map(HeaderValue::to_str);
        let Some(accept) = accept else { return Ok(Form::Json) };
        let accept = accept.unwrap_or_default();
        let mut best: Option<(f32, Form)> = None;
        for part in accept.split(',') {
            let mut words = part.split(';').map(str::trim);
            let form = match words.next().unwrap_or_default() {
                "application/json" | "application/*" | "*/*" => Form::Json,
                "text/csv" | "text/*" => Form::Csv,
                ARROW => Form::Arrow,
                _ => continue,
            };
            let weight = words.find_map(|word| word.strip_prefix("q=")?.parse().ok());
            let weight: f32 = weight.unwrap_or(1.0);
            if weight > 0.0 && best.is_none_or(|(heaviest, _)| weight > heaviest) {
                best = Some((weight, form));
            }
        }
        best.map(|(_, form)| form).ok_or_else(|| {
            let detail = format!(
                "nothing of {accept:?} is offered; accept application/json, text/csv or {ARROW}"
            );
            Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail)
        })
    }

    fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Form::Json => "application/json",
            Form::Csv => "text/csv; charset=utf-8",
            Form::Arrow => ARROW,
        })
    }
}

/// Answers with a document, whose `list` becomes rows in CSV and Arrow.
///
/// The tag of the answer is a hash of its bytes: equal positions and questions give equal bytes, and a
/// caller that holds them already is told so.
///
/// # Errors
/// 406, as [`Form::accepted`]; a document that is not what its type says, which only a defect can cause.
pub fn document<D: Serialize, R: Serialize>(
    headers: &HeaderMap,
    document: &D,
    list: impl FnOnce(&D) -> &[R],
) -> Result<Response, Problem> {
    let form = Form::accepted(headers)?;
    let bytes = match form {
        Form::Json => serde_json::to_vec(document).map_err(|error| broken(&error))?,
        Form::Csv | Form::Arrow => {
            let (schema, batch) = table(list(document)).map_err(|error| broken(&error))?;
            encoded(form, &schema, &[batch]).map_err(|error| broken(&error))?
        }
    };
    Ok(tagged(headers, form, bytes))
}

/// Answers with rows.
///
/// # Errors
/// Columns that a form has no text for.
pub fn rows(
    headers: &HeaderMap,
    form: Form,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<Response, Problem> {
    let bytes = encoded(form, schema, batches).map_err(|error| {
        let detail = format!("the rows cannot be written in this form ({error}); accept {ARROW}");
        Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail)
    })?;
    Ok(tagged(headers, form, bytes))
}

fn tagged(headers: &HeaderMap, form: Form, bytes: Vec<u8>) -> Response {
    let tag = format!("\"{:032x}\"", xxh3_128(&bytes));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let same = known.is_some_and(|known| {
        known
            .split(',')
            .map(|one| one.trim().trim_start_matches("W/"))
            .any(|one| one == tag || one == "*")
    });
    let mut response = match same {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => bytes.into_response(),
    };
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, form.media_type());
    answer.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding, authorization"));
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.insert(header::ETAG, tag);
    }
    response
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
    tracing::error!(error, "document could not be written");
    let detail = "the answer could not be written in this form";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
}
