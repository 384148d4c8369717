//! Rows of `events`.

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use onramp_schemas::event::{Event, session_key};
use onramp_schemas::tables;

use super::super::partition::Record;
use super::columns::{
    Column, Dates, Flags, Floats, Instants, Integers, Labels, Texts, finish, set,
};
use super::duplicates::DAY_US;

/// Declares the builders of all columns, in the table's order, and how each is filled.
macro_rules! event_rows {
    ($($column:ident: $builder:ty = |$event:ident, $app_id:ident, $record:ident| $value:expr;)+) => {
        /// Collects accepted events, a builder a column.
        #[derive(Default)]
        pub struct EventRows {
            rows: usize,
            $($column: $builder,)+
        }

        impl EventRows {
            /// Adds one accepted event.
            pub fn push(&mut self, event: &Event<'_>, app_id: &str, record: &Record<'_>) {
                let row = self.rows;
                self.rows += 1;
                $({
                    let ($event, $app_id, $record) = (event, app_id, record);
                    let _ = ($event, $app_id, $record);
                    set(&mut self.$column, row, $value);
                })+
            }

            /// Empty rows with room for as much as these hold.
            pub fn renewed(&self) -> Self {
                Self { rows: 0, $($column: self.$column.renewed(),)+ }
            }

            fn columns(&mut self) -> Vec<ArrayRef> {
                let rows = self.rows;
                vec![$(finish(&mut self.$column, rows)),+]
            }
        }
    };
}

event_rows! {
    event_date: Dates = |e, _a, _r| Some(e.occurred_at.div_euclid(DAY_US) as i32);
    client_id: Labels = |e, _a, _r| Some(&*e.client_id);
    source: Labels = |e, _a, _r| Some(&*e.source);
    id: Texts = |e, _a, _r| Some(&*e.id);
    event_type: Labels = |e, _a, _r| Some(&*e.event_type);
    session_id: Texts = |e, _a, _r| Some(&*e.session_id);
    user_id: Texts = |e, _a, _r| e.user_id.as_deref();
    occurred_at: Instants = |e, _a, _r| Some(e.occurred_at);
    dataschema: Labels = |e, _a, _r| e.dataschema.as_deref();
    correlation_id: Texts = |e, _a, _r| Some(&*e.correlation_id);
    causation_id: Texts = |e, _a, _r| e.causation_id.as_deref();
    extensions: Labels = |e, _a, _r| e.extensions.as_deref();
    language: Labels = |e, _a, _r| e.fields.language.as_deref();
    user_kind: Labels = |e, _a, _r| e.fields.user_kind.as_deref();
    conversation_type: Labels = |e, _a, _r| e.fields.conversation_type.as_deref();
    channel: Labels = |e, _a, _r| e.fields.channel.as_deref();
    device: Labels = |e, _a, _r| e.fields.device.as_deref();
    referrer: Labels = |e, _a, _r| e.fields.referrer.as_deref();
    step: Labels = |e, _a, _r| e.fields.step.as_deref();
    meaningful: Flags = |e, _a, _r| e.fields.meaningful;
    characters: Integers = |e, _a, _r| e.fields.characters;
    latency_ms: Integers = |e, _a, _r| e.fields.latency_ms;
    count: Integers = |e, _a, _r| e.fields.count;
    model: Labels = |e, _a, _r| e.fields.model.as_deref();
    confidence: Floats = |e, _a, _r| e.fields.confidence;
    consensus_confidence: Floats = |e, _a, _r| e.fields.consensus_confidence;
    verdict: Labels = |e, _a, _r| e.fields.verdict.as_deref();
    approver_role: Labels = |e, _a, _r| e.fields.approver_role.as_deref();
    decision: Labels = |e, _a, _r| e.fields.decision.as_deref();
    seconds_reviewing: Floats = |e, _a, _r| e.fields.seconds_reviewing;
    applied: Integers = |e, _a, _r| e.fields.applied;
    failed: Integers = |e, _a, _r| e.fields.failed;
    outcome: Labels = |e, _a, _r| e.fields.outcome.as_deref();
    reason: Labels = |e, _a, _r| e.fields.reason.as_deref();
    checkpoint_id: Texts = |e, _a, _r| e.fields.checkpoint_id.as_deref();
    kind: Labels = |e, _a, _r| e.fields.kind.as_deref();
    code: Labels = |e, _a, _r| e.fields.code.as_deref();
    message: Labels = |e, _a, _r| e.fields.message.as_deref();
    stage: Labels = |e, _a, _r| e.fields.stage.as_deref();
    retryable: Flags = |e, _a, _r| e.fields.retryable;
    data: Texts = |e, _a, _r| e.data.as_deref();
    session_key: Integers = |e, _a, _r| Some(session_key(&e.client_id, &e.session_id));
    received_at: Instants = |_e, _a, r| Some(r.timestamp);
    source_partition: Labels = |_e, a, _r| Some(a);
    sequence: Integers = |_e, _a, r| Some(r.sequence);
}

impl EventRows {
    /// The rows as they came, with the order in which they belong into files; none if there were
    /// none.
    ///
    /// # Errors
    /// Columns that do not fit the table, which only a defect can cause.
    pub fn finish(mut self) -> Result<Option<SortedRows>, ArrowError> {
        if self.rows == 0 {
            return Ok(None);
        }
        let columns = self.columns();
        let schema = tables::EVENTS.arrow_schema();
        let named = schema.fields().iter().map(|field| field.name()).zip(columns);
        let rows = RecordBatch::try_from_iter(named)?;
        let order = order(&rows).ok_or_else(|| {
            ArrowError::SchemaError("a column to sort by is missing or of another type".to_owned())
        })?;
        Ok(Some(SortedRows { rows, order }))
    }
}

/// The places of the rows by date, session key, time and id.
fn order(rows: &RecordBatch) -> Option<UInt32Array> {
    let dates = rows.column_by_name("event_date")?.as_primitive_opt::<Date32Type>()?.values();
    let keys = rows.column_by_name("session_key")?.as_primitive_opt::<Int64Type>()?.values();
    let times = rows.column_by_name("occurred_at")?;
    let times = times.as_primitive_opt::<TimestampMicrosecondType>()?.values();
    let ids = rows.column_by_name("id")?.as_string_opt::<i32>()?;
    let keys = dates.iter().zip(keys).zip(times);
    let mut order: Vec<((i32, i64, i64), u32)> =
        keys.map(|((date, key), time)| (*date, *key, *time)).zip(0..).collect();
    order.sort_unstable_by(|(a, row), (b, other)| {
        a.cmp(b).then_with(|| ids.value(*row as usize).cmp(ids.value(*other as usize)))
    });
    Some(order.into_iter().map(|(_, row)| row).collect())
}

/// Rows and the order in which they are written: by date, session key, time and id.
#[derive(Clone, Debug)]
pub struct SortedRows {
    /// The rows; texts that repeat are dictionaries.
    pub rows: RecordBatch,
    /// Their places in the order of writing.
    pub order: UInt32Array,
}
