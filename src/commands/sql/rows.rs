//! Rows of an answer in the forms that `--format` knows.

use std::io::{self, BufWriter, Write};

use arrow::array::RecordBatch;
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;

use crate::commands::service::Workers;
use crate::output::{self, Format, Sheet, count};

/// The most rows of a table for people: its columns' widths need all of them in memory.
const MOST: usize = 10_000;

/// Prints the rows of a statement that `begin` starts, on threads of its own: those of the program hear
/// Ctrl-C, whatever the statement does to its.
///
/// # Errors
/// The statement fails, or standard output is closed.
pub async fn answer<B>(format: Format, begin: B) -> anyhow::Result<()>
where
    B: Future<Output = anyhow::Result<SendableRecordBatchStream>> + Send + 'static,
{
    let workers = Workers::start(0)?;
    print(format, workers.handle().spawn(begin).await??).await
}

/// Prints every row; CSV and JSON as they come, a table once all are there.
async fn print(format: Format, rows: SendableRecordBatchStream) -> anyhow::Result<()> {
    match format {
        Format::Json => json(rows).await,
        Format::Csv => csv(rows).await,
        Format::Table | Format::Markdown => table(format, rows).await,
    }
}

async fn json(mut rows: SendableRecordBatchStream) -> anyhow::Result<()> {
    let out = BufWriter::new(io::stdout());
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(out);
    while let Some(batch) = rows.try_next().await? {
        writer.write(&batch)?;
    }
    writer.finish()?;
    let mut out = writer.into_inner();
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

async fn csv(mut rows: SendableRecordBatchStream) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(BufWriter::new(io::stdout()));
    writer.write_record(headers(&rows))?;
    while let Some(batch) = rows.try_next().await? {
        for row in cells(&batch)? {
            writer.write_record(row?)?;
        }
    }
    Ok(writer.flush()?)
}

async fn table(format: Format, mut rows: SendableRecordBatchStream) -> anyhow::Result<()> {
    let schema = rows.schema();
    let numbers = schema.fields().iter().enumerate().filter(|(_, f)| f.data_type().is_numeric());
    let numbers: Vec<usize> = numbers.map(|(index, _)| index).collect();
    let mut sheet = Sheet::with_headers(headers(&rows)).right(numbers);
    let mut printed = 0;
    'all: while let Some(batch) = rows.try_next().await? {
        for row in cells(&batch)? {
            if printed == MOST {
                let most = count(MOST as u64);
                eprintln!("only the first {most} rows; --format csv and json print all");
                break 'all;
            }
            sheet.row(row?);
            printed += 1;
        }
    }
    let text = if format == Format::Markdown { sheet.markdown() } else { sheet.table() };
    Ok(output::write(&text)?)
}

fn headers(rows: &SendableRecordBatchStream) -> Vec<String> {
    rows.schema().fields().iter().map(|field| field.name().clone()).collect()
}

/// The batch's rows as text; NULL is empty.
fn cells(batch: &RecordBatch) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Vec<String>>>> {
    let options = FormatOptions::default().with_display_error(false);
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<_, _>>()?;
    let row = move |row: usize| {
        columns.iter().map(|column| Ok(column.value(row).try_to_string()?)).collect()
    };
    Ok((0..batch.num_rows()).map(row))
}
