//! Rows of `events`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, RecordBatch,
    StringArray, StringBuilder, TimestampMicrosecondBuilder, UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use onramp_schemas::event::{Event, session_key};
use onramp_schemas::tables;

use super::super::partition::Record;
use super::duplicates::DAY_US;

/// Declares the builders of all columns, in the table's order, and how each is filled.
macro_rules! event_rows {
    ($($column:ident: $builder:ty = |$event:ident, $app_id:ident, $record:ident| $value:expr;)+) => {
        /// Collects accepted events, a builder a column.
        #[derive(Default)]
        pub struct EventRows {
            /// Sort keys of the rows: session key and time.
            keys: Vec<(i64, i64)>,
            $($column: $builder,)+
        }

        impl EventRows {
            fn append(&mut self, event: &Event<'_>, app_id: &str, record: &Record<'_>) {
                $({
                    let ($event, $app_id, $record) = (event, app_id, record);
                    let _ = ($event, $app_id, $record);
                    self.$column.append_option($value);
                })+
            }

            fn columns(&mut self) -> Vec<ArrayRef> {
                vec![$(Arc::new(self.$column.finish())),+]
            }
        }
    };
}

event_rows! {
    event_date: Date32Builder = |e, _a, _r| Some(e.occurred_at.div_euclid(DAY_US) as i32);
    client_id: StringBuilder = |e, _a, _r| Some(&*e.client_id);
    source: StringBuilder = |e, _a, _r| Some(&*e.source);
    id: StringBuilder = |e, _a, _r| Some(&*e.id);
    event_type: StringBuilder = |e, _a, _r| Some(&*e.event_type);
    session_id: StringBuilder = |e, _a, _r| Some(&*e.session_id);
    user_id: StringBuilder = |e, _a, _r| e.user_id.as_deref();
    occurred_at: TimestampMicrosecondBuilder = |e, _a, _r| Some(e.occurred_at);
    dataschema: StringBuilder = |e, _a, _r| e.dataschema.as_deref();
    correlation_id: StringBuilder = |e, _a, _r| Some(&*e.correlation_id);
    causation_id: StringBuilder = |e, _a, _r| e.causation_id.as_deref();
    extensions: StringBuilder = |e, _a, _r| e.extensions.as_deref();
    language: StringBuilder = |e, _a, _r| e.fields.language.as_deref();
    user_kind: StringBuilder = |e, _a, _r| e.fields.user_kind.as_deref();
    conversation_type: StringBuilder = |e, _a, _r| e.fields.conversation_type.as_deref();
    channel: StringBuilder = |e, _a, _r| e.fields.channel.as_deref();
    device: StringBuilder = |e, _a, _r| e.fields.device.as_deref();
    referrer: StringBuilder = |e, _a, _r| e.fields.referrer.as_deref();
    step: StringBuilder = |e, _a, _r| e.fields.step.as_deref();
    meaningful: BooleanBuilder = |e, _a, _r| e.fields.meaningful;
    characters: Int64Builder = |e, _a, _r| e.fields.characters;
    latency_ms: Int64Builder = |e, _a, _r| e.fields.latency_ms;
    count: Int64Builder = |e, _a, _r| e.fields.count;
    model: StringBuilder = |e, _a, _r| e.fields.model.as_deref();
    confidence: Float64Builder = |e, _a, _r| e.fields.confidence;
    consensus_confidence: Float64Builder = |e, _a, _r| e.fields.consensus_confidence;
    verdict: StringBuilder = |e, _a, _r| e.fields.verdict.as_deref();
    approver_role: StringBuilder = |e, _a, _r| e.fields.approver_role.as_deref();
    decision: StringBuilder = |e, _a, _r| e.fields.decision.as_deref();
    seconds_reviewing: Float64Builder = |e, _a, _r| e.fields.seconds_reviewing;
    applied: Int64Builder = |e, _a, _r| e.fields.applied;
    failed: Int64Builder = |e, _a, _r| e.fields.failed;
    outcome: StringBuilder = |e, _a, _r| e.fields.outcome.as_deref();
    reason: StringBuilder = |e, _a, _r| e.fields.reason.as_deref();
    checkpoint_id: StringBuilder = |e, _a, _r| e.fields.checkpoint_id.as_deref();
    kind: StringBuilder = |e, _a, _r| e.fields.kind.as_deref();
    code: StringBuilder = |e, _a, _r| e.fields.code.as_deref();
    message: StringBuilder = |e, _a, _r| e.fields.message.as_deref();
    stage: StringBuilder = |e, _a, _r| e.fields.stage.as_deref();
    retryable: BooleanBuilder = |e, _a, _r| e.fields.retryable;
    data: StringBuilder = |e, _a, _r| e.data.as_deref();
    session_key: Int64Builder = |e, _a, _r| Some(session_key(&e.client_id, &e.session_id));
    received_at: TimestampMicrosecondBuilder = |_e, _a, r| Some(r.timestamp);
    source_partition: StringBuilder = |_e, a, _r| Some(a);
    sequence: Int64Builder = |_e, _a, r| Some(r.sequence);
}

impl EventRows {
    /// Adds one accepted event.
    pub fn push(&mut self, event: &Event<'_>, app_id: &str, record: &Record<'_>) {
        self.keys.push((session_key(&event.client_id, &event.session_id), event.occurred_at));
        self.append(event, app_id, record);
    }

    /// The rows in the table's schema, sorted by session key, time and id; none if there were none.
    pub fn finish(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let keys = std::mem::take(&mut self.keys);
        let schema = tables::EVENTS.arrow_schema();
        let columns = self
            .columns()
            .into_iter()
            .zip(schema.fields())
            .map(|(column, field)| arrow::compute::cast(&column, field.data_type()))
            .collect::<Result<Vec<_>, _>>()?;
        let rows = RecordBatch::try_new(schema, columns)?;
        let ids = rows.column_by_name("id").and_then(|c| c.as_any().downcast_ref::<StringArray>());
        let id = |row: u32| ids.map(|ids| ids.value(row as usize));
        let mut order: Vec<u32> = (0..keys.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| {
            keys[a as usize].cmp(&keys[b as usize]).then_with(|| id(a).cmp(&id(b)))
        });
        take_record_batch(&rows, &UInt32Array::from(order)).map(Some)
    }
}
