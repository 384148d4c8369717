//! Reports that were given: each kept as a row with all that it takes to give it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::logical_expr::{Expr, col, lit};
use onramp_lake::{Appender, Lake, Outcome};
use onramp_schemas::funnel::Funnel;
use onramp_schemas::tables::REPORTS;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::Engine;
use crate::error::ComputeError;
use crate::metrics::calendar::Unit;
use crate::metrics::{
    Analysis, Answer, Input, Needs, Report, Request, Thresholds, program_version, whole,
};
use crate::scan::LakeTable;
use crate::selection::Selection;
use crate::sessions::Positions;

const DAY_US: i64 = 86_400_000_000;
/// Hexadecimal digits of a report's id.
const ID_DIGITS: usize = 16;

/// The JSON document of a report, to the byte as it is printed and hashed.
pub fn document(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("a report is plain data");
    text.push('\n');
    text
}

/// What was asked, in instants: the same text for the same question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Parameters {
    as_of: i64,
    from: i64,
    to: i64,
    timezone: String,
    client_id: Option<String>,
    segment_by: Vec<String>,
    compare: Option<(i64, i64)>,
    mix_by: Option<String>,
    thresholds: Thresholds,
    curves: bool,
    convert: Option<(usize, usize)>,
    funnel_trend: Option<Unit>,
    #[serde(flatten)]
    selection: Selection,
}

impl Parameters {
    fn of(request: &Request) -> Self {
        Self {
            as_of: request.as_of,
            from: request.from,
            to: request.to,
            timezone: request.timezone.name().to_owned(),
            client_id: request.client_id.clone(),
            segment_by: request.segment_by.clone(),
            compare: request.compare,
            mix_by: request.mix_by.clone(),
            thresholds: request.thresholds,
            curves: request.curves,
            convert: request.convert,
            funnel_trend: request.funnel_trend,
            selection: request.selection.clone(),
        }
    }

    fn request(self, funnel: Funnel) -> Result<Request, ComputeError> {
        let timezone = self.timezone.parse().map_err(|_| {
            ComputeError::Request(format!("this program knows no time zone {}", self.timezone))
        })?;
        Ok(Request {
            funnel,
            as_of: self.as_of,
            from: self.from,
            to: self.to,
            timezone,
            client_id: self.client_id,
            segment_by: self.segment_by,
            compare: self.compare,
            mix_by: self.mix_by,
            thresholds: self.thresholds,
            curves: self.curves,
            convert: self.convert,
            funnel_trend: self.funnel_trend,
            selection: self.selection,
        })
    }
}

impl Answer for Report {
    const NEEDS: Needs = Needs { before: true, errors: true };

    fn of(analysis: &Analysis<'_>) -> Self {
        let positions = analysis.positions.clone();
        let report_id = report_id(analysis.request, &positions);
        Report { report_id, positions, ..whole(analysis) }
    }
}

/// By which a report can be asked for again: the same for the same answer to the same question.
fn report_id(request: &Request, positions: &Positions) -> String {
    let parts = (Parameters::of(request), request.funnel.canonical(), positions, program_version());
    let mut id = sha256(&json(&parts));
    id.truncate(ID_DIGITS);
    id
}

/// A report that was given.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub report_id: String,
    created_at: i64,
    funnel_definition: String,
    parameters: String,
    pub positions: Positions,
    /// What the events were like that it was computed from.
    pub data_quality: Input,
    pub program_version: String,
    pub document_sha256: String,
}

impl Kept {
    /// What was asked.
    ///
    /// # Errors
    /// When this program cannot read it.
    pub fn request(&self) -> Result<Request, ComputeError> {
        let funnel: Funnel = parsed(&self.funnel_definition)?;
        parsed::<Parameters>(&self.parameters)?.request(funnel)
    }

    /// Whether it is this report, to the byte.
    pub fn is(&self, report: &Report) -> bool {
        sha256(&document(report)) == self.document_sha256
    }
}

/// The newest report that answered this question about this funnel, by this version of the program.
pub(crate) async fn answer_before(
    lake: &Lake,
    engine: &Engine,
    request: &Request,
) -> Result<Option<Kept>, ComputeError> {
    let same = col("parameters")
        .eq(lit(json(&Parameters::of(request))))
        .and(col("funnel_hash").eq(lit(request.funnel.hash())))
        .and(col("program_version").eq(lit(program_version())));
    let found = rows(lake, engine, same).await?;
    Ok(found.into_iter().max_by_key(|kept| (kept.created_at, kept.report_id.clone())))
}

/// The report of this id.
pub(crate) async fn find(
    lake: &Lake,
    engine: &Engine,
    report_id: &str,
) -> Result<Option<Kept>, ComputeError> {
    Ok(rows(lake, engine, col("report_id").eq(lit(report_id))).await?.pop())
}

/// Keeps a report that was computed from this version of `events`, unless it is kept already.
///
/// # Errors
/// When the lake or the engine fails.
pub(crate) async fn keep(
    lake: &Lake,
    engine: &Engine,
    now: i64,
    request: &Request,
    events_version: i64,
    report: &Report,
) -> Result<(), ComputeError> {
    if find(lake, engine, &report.report_id).await?.is_some() {
        return Ok(());
    }
    let mut appender = Appender::open(lake.create(&REPORTS).await?).await?;
    let files = appender.write(row(now, request, events_version, report), &[]).await?;
    match appender.commit(files, Vec::new()).await? {
        Outcome::Committed { .. } => Ok(()),
        Outcome::Lost { .. } => Err(ComputeError::NotKept { report_id: report.report_id.clone() }),
    }
}

fn row(now: i64, request: &Request, events_version: i64, report: &Report) -> RecordBatch {
    let text = |value: String| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let instant = |at: i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(vec![at]).with_timezone("UTC"))
    };
    let schema = REPORTS.arrow_schema();
    let value = |name: &str| -> ArrayRef {
        match name {
            "report_date" => Arc::new(Date32Array::from(vec![now.div_euclid(DAY_US) as i32])),
            "created_at" => instant(now),
            "as_of" => instant(request.as_of),
            "events_version" => Arc::new(Int64Array::from(vec![events_version])),
            "report_id" => text(report.report_id.clone()),
            "funnel" => text(request.funnel.name.clone()),
            "funnel_hash" => text(request.funnel.hash()),
            "funnel_definition" => text(request.funnel.canonical()),
            "parameters" => text(json(&Parameters::of(request))),
            "positions" => text(json(&report.positions)),
            "data_quality" => text(json(&report.data_quality)),
            "program_version" => text(report.program_version.clone()),
            _ => text(sha256(&document(report))),
        }
    };
    let columns = schema.fields().iter().map(|field| value(field.name())).collect();
    RecordBatch::try_new(schema, columns).expect("each column is of its declared type")
}

/// The kept reports that fit.
async fn rows(lake: &Lake, engine: &Engine, filter: Expr) -> Result<Vec<Kept>, ComputeError> {
    let failed = |source| ComputeError::query("read kept reports", source);
    let Some(table) = lake.open_table(&REPORTS).await? else { return Ok(Vec::new()) };
    let files = table.snapshot().await?.files;
    let frame =
        engine.session(lake).read_table(Arc::new(LakeTable::of_files(lake, &REPORTS, files)));
    let frame = frame.and_then(|frame| frame.filter(filter)).map_err(failed)?;
    let mut kept = Vec::new();
    for batch in frame.collect().await.map_err(failed)? {
        for row in 0..batch.num_rows() {
            kept.push(read(&batch, row)?);
        }
    }
    Ok(kept)
}

fn read(batch: &RecordBatch, row: usize) -> Result<Kept, ComputeError> {
    let column = |name: &str| {
        let column = batch.column_by_name(name).filter(|column| column.is_valid(row));
        column.ok_or_else(|| ComputeError::KeptReport { reason: format!("it lacks {name}") })
    };
    let text =
        |name: &str| Ok::<_, ComputeError>(column(name)?.as_string::<i32>().value(row).to_owned());
    Ok(Kept {
        report_id: text("report_id")?,
        created_at: column("created_at")?.as_primitive::<TimestampMicrosecondType>().value(row),
        funnel_definition: text("funnel_definition")?,
        parameters: text("parameters")?,
        positions: parsed::<BTreeMap<String, i64>>(&text("positions")?)?,
        data_quality: parsed(&text("data_quality")?)?,
        program_version: text("program_version")?,
        document_sha256: text("document_sha256")?,
    })
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data with text keys")
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ComputeError> {
    serde_json::from_str(text)
        .map_err(|error| ComputeError::KeptReport { reason: error.to_string() })
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
