//! An answer's rows, computed and encoded on the workers, sent as the client takes them.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_postgres::arrow_pg::datatypes::arrow_schema_to_pg_fields;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::{FieldInfo, QueryResponse};
use datafusion_postgres::pgwire::error::PgWireResult;
use datafusion_postgres::pgwire::messages::data::DataRow;
use futures::future::Either;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::errors::{self, PROTOCOL};
use super::values::Values;
use crate::sql::{self, SqlError};

/// Bytes of rows that travel together from the workers to the connection,
const CHUNK: usize = 128 << 10;
/// of which so many wait.
const CHUNKS: usize = 4;
/// Bytes for which there must be room to begin a row; most rows are shorter.
const LEAST: usize = 1 << 10;

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
    fields: &[FieldInfo],
    sender: &mpsc::Sender<Told>,
) -> PgWireResult<()> {
    let mut buffer = BytesMut::new();
    let (mut chunk, mut size) = (Vec::new(), 0);
    while let Some(batch) = rows.try_next().await.map_err(|error| errors::failed(error.into()))? {
        let told = columns.fields().iter().zip(fields);
        let values = batch.columns().iter().zip(told);
        let mut values: Vec<Values> = values
            .map(|(array, (column, field))| Values::new(array, column, field))
            .collect::<PgWireResult<_>>()?;
        for row in 0..batch.num_rows() {
            for values in &mut values {
                values.write(row, &mut buffer)?;
            }
            let row = buffer.split();
            size += row.len();
            chunk.push(DataRow::new(row, fields.len() as i16));
            if size >= CHUNK {
                size = 0;
                if sender.send(Ok(Some(std::mem::take(&mut chunk)))).await.is_err() {
                    return Ok(());
                }
            }
            if buffer.capacity() < LEAST {
                buffer.reserve(CHUNK);
            }
        }
    }
    if !chunk.is_empty() {
        // A client that is gone needs no rows.
        let _ = sender.send(Ok(Some(chunk))).await;
    }
    Ok(())
}
