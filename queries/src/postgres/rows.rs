//! An answer's rows, computed and encoded on the workers, sent as the client takes them.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use datafusion_postgres::arrow_pg::datatypes::arrow_schema_to_pg_fields;
use datafusion_postgres::arrow_pg::encoder::{Encoder, encode_value};
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::{
    DataRowEncoder, FieldFormat, FieldInfo, QueryResponse,
};
use datafusion_postgres::pgwire::error::PgWireResult;
use datafusion_postgres::pgwire::messages::data::DataRow;
use futures::future::Either;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::errors::{self, PROTOCOL};
use crate::sql::{self, SqlError};

/// Bytes of rows that travel together from the workers to the connection,
const CHUNK: usize = 128 << 10;
/// of which so many wait.
const CHUNKS: usize = 4;

/// Rows, or `None` after the last; a channel that ends without it was cut off.
type Told = PgWireResult<Option<Vec<DataRow>>>;

/// An answer under way, with its turn among the statements that run.
pub struct Answer {
    /// The rows.
    pub rows: sql::Rows,
    /// The command's name in the closing message.
    pub tag: &'static str,
    /// When it must be done, and the time that it was given.
    pub deadline: (Instant, Duration),
}

/// The columns as clients get them: no dictionaries.
pub fn columns(schema: &Schema) -> SchemaRef {
    let plain = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Dictionary(_, value) => {
            Arc::new(Field::clone(field).with_data_type(DataType::clone(value)))
        }
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new(plain.collect::<Vec<_>>()))
}

/// The columns' description in a format that the client chose.
///
/// # Errors
/// A format for each column, but not as many as there are; a type without a counterpart.
pub fn fields(columns: &Schema, format: &Format) -> PgWireResult<Vec<FieldInfo>> {
    let count = columns.fields().len();
    if let Format::Individual(formats) = format
        && formats.len() != count
    {
        let message = format!("{} formats were given for {count} columns", formats.len());
        return Err(errors::error(PROTOCOL, message));
    }
    arrow_schema_to_pg_fields(columns, format, None)
}

/// Starts sending: `columns` are as they were described, `fields` their description.
pub fn send(
    answer: Answer,
    columns: SchemaRef,
    fields: Vec<FieldInfo>,
    workers: &tokio::runtime::Handle,
) -> QueryResponse {
    let fields = Arc::new(fields);
    let described = Arc::clone(&fields);
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let Answer { rows, tag, deadline: (until, given) } = answer;
    // Dropped with the rows, it ends its task.
    let mut task = JoinSet::new();
    let work = async move {
        // Others may run while this client takes what is left.
        let produced = timeout_at(until, produce(rows, &columns, &described, &sender)).await;
        let last = match produced {
            Ok(Ok(())) => Ok(None),
            Ok(Err(failed)) => Err(failed),
            Err(_) => Err(errors::failed(SqlError::Deadline { given })),
        };
        // A client that is gone need not be told.
        let _ = sender.send(last).await;
    };
    task.spawn_on(work, workers);
    let chunks = stream::unfold(Some((receiver, task)), next);
    let rows = chunks.flat_map(|chunk| match chunk {
        Ok(rows) => Either::Left(stream::iter(rows.into_iter().map(Ok))),
        Err(failed) => Either::Right(stream::iter([Err(failed)])),
    });
    let mut response = QueryResponse::new(fields, rows);
    response.set_command_tag(tag);
    response
}

type Receiving = (mpsc::Receiver<Told>, JoinSet<()>);

async fn next(
    receiving: Option<Receiving>,
) -> Option<(PgWireResult<Vec<DataRow>>, Option<Receiving>)> {
    let (mut receiver, task) = receiving?;
    match receiver.recv().await {
        Some(Ok(Some(rows))) => Some((Ok(rows), Some((receiver, task)))),
        Some(Ok(None)) => None,
        Some(Err(failed)) => Some((Err(failed), None)),
        None => {
            let reason = SqlError::Worker("it ended before its last row".to_owned());
            Some((Err(errors::failed(reason)), None))
        }
    }
}

async fn produce(
    mut rows: sql::Rows,
    columns: &SchemaRef,
    fields: &Arc<Vec<FieldInfo>>,
    sender: &mpsc::Sender<Told>,
) -> PgWireResult<()> {
    let mut encoder = DataRowEncoder::new(Arc::clone(fields));
    let (mut chunk, mut size) = (Vec::new(), 0);
    while let Some(batch) = rows.try_next().await.map_err(|error| errors::failed(error.into()))? {
        let arrays = as_described(&batch, columns)?;
        for row in 0..batch.num_rows() {
            let encoded = encode(&mut encoder, &arrays, row, columns, fields)?;
            size += encoded.data.len();
            chunk.push(encoded);
            if size >= CHUNK {
                size = 0;
                if sender.send(Ok(Some(std::mem::take(&mut chunk)))).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    if !chunk.is_empty() {
        // A client that is gone needs no rows.
        let _ = sender.send(Ok(Some(chunk))).await;
    }
    Ok(())
}

/// The batch's columns in the types that the client was told.
fn as_described(batch: &RecordBatch, columns: &SchemaRef) -> PgWireResult<Vec<ArrayRef>> {
    let pairs = batch.columns().iter().zip(columns.fields());
    pairs
        .map(|(array, column)| {
            if array.data_type() == column.data_type() {
                return Ok(Arc::clone(array));
            }
            cast(array, column.data_type()).map_err(|error| errors::of_engine(&error.into()))
        })
        .collect()
}

fn encode(
    encoder: &mut DataRowEncoder,
    arrays: &[ArrayRef],
    row: usize,
    columns: &SchemaRef,
    fields: &[FieldInfo],
) -> PgWireResult<DataRow> {
    for ((array, column), field) in arrays.iter().zip(columns.fields()).zip(fields) {
        if array.is_null(row) {
            Encoder::encode_field(encoder, &None::<i8>, field)?;
        } else if let Some(times) = times(array, row, field)? {
            let (kind, options) = (Type::TEXT, field.format_options());
            encoder.encode_field_with_type_and_format(&times, &kind, FieldFormat::Text, options)?;
        } else {
            encode_value(encoder, array, row, column, field)?;
        }
    }
    Ok(encoder.take_row())
}

/// A list of times as text: quoted, as there is a blank in each.
fn times(array: &ArrayRef, row: usize, field: &FieldInfo) -> PgWireResult<Option<String>> {
    let zone = match *field.datatype() {
        Type::TIMESTAMPTZ_ARRAY => "+00",
        Type::TIMESTAMP_ARRAY => "",
        _ => return Ok(None),
    };
    let Some(list) = array.as_list_opt::<i32>().filter(|_| field.format() == FieldFormat::Text)
    else {
        return Ok(None);
    };
    let plain = DataType::Timestamp(TimeUnit::Microsecond, None);
    let times = cast(&list.value(row), &plain).map_err(|error| errors::of_engine(&error.into()))?;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let texts = (0..times.len()).map(|place| match times.value_as_datetime(place) {
        Some(time) if times.is_valid(place) => {
            format!("\"{}{zone}\"", time.format("%Y-%m-%d %H:%M:%S%.6f"))
        }
        _ => "NULL".to_owned(),
    });
    Ok(Some(format!("{{{}}}", texts.collect::<Vec<_>>().join(","))))
}
