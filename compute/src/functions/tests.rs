//! The functions as plans call them: against ClickHouse's answers, over every type of time, with few
//! bytes of memory.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int64Array, RecordBatch,
    TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Int32Type, Int64Type, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::prelude::SessionContext;
use serde_json::Value;

use super::*;
use crate::engine::{Engine, Options};

/// A call on columns: constants first, then the columns of a batch, then the last constant.
pub(super) fn call(
    name: &str,
    leading: &[ScalarValue],
    columns: &RecordBatch,
    trailing: Option<ScalarValue>,
) -> AggregateFunctionExpr {
    let function = aggregates().into_iter().find(|function| function.name() == name).unwrap();
    let literal =
        |value: &ScalarValue| -> Arc<dyn PhysicalExpr> { Arc::new(Literal::new(value.clone())) };
    let fields = columns.schema().fields().clone();
    let columns = fields.iter().enumerate().map(|(index, field)| -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new(field.name(), index))
    });
    let arguments = leading.iter().map(literal).chain(columns);
    let arguments = arguments.chain(trailing.as_ref().map(literal)).collect();
    let schema = Arc::new(Schema::new(fields));
    AggregateExprBuilder::new(Arc::new(function), arguments)
        .schema(schema)
        .alias("answer")
        .build()
        .unwrap()
}

/// The arguments of a call as arrays.
pub(super) fn arguments(call: &AggregateFunctionExpr, batch: &RecordBatch) -> Vec<ArrayRef> {
    let array = |expr: Arc<dyn PhysicalExpr>| {
        expr.evaluate(batch).unwrap().into_array(batch.num_rows()).unwrap()
    };
    call.expressions().into_iter().map(array).collect()
}

/// A batch of a time column, unless there is none, and one column per condition.
pub(super) fn batch(time: Option<ArrayRef>, masks: &[u64], conditions: usize) -> RecordBatch {
    let condition = |bit: usize| -> ArrayRef {
        Arc::new(masks.iter().map(|mask| Some(mask >> bit & 1 == 1)).collect::<BooleanArray>())
    };
    let mut columns: Vec<(String, ArrayRef)> =
        time.into_iter().map(|time| ("time".to_owned(), time)).collect();
    columns.extend((0..conditions).map(|bit| (format!("c{}", bit + 1), condition(bit))));
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

/// One answer per group.
fn answers(call: &AggregateFunctionExpr, batch: &RecordBatch, groups: &[usize]) -> ArrayRef {
    let mut state = call.create_groups_accumulator().unwrap();
    let total = groups.iter().max().map_or(0, |last| last + 1);
    state.update_batch(&arguments(call, batch), groups, None, total).unwrap();
    state.evaluate(EmitTo::All).unwrap()
}

fn as_json(answers: &ArrayRef, group: usize) -> Value {
    match answers.data_type() {
        DataType::Boolean => i32::from(answers.as_boolean().value(group)).into(),
        DataType::Int32 => answers.as_primitive::<Int32Type>().value(group).into(),
        DataType::Int64 => answers.as_primitive::<Int64Type>().value(group).into(),
        DataType::List(_) => {
            let list = answers.as_list::<i32>().value(group);
            list.as_primitive::<Int32Type>().values().to_vec().into()
        }
        other => panic!("no answer of type {other} is in the golden file"),
    }
}

/// Times, conditions as bits, and the answer.
type GoldenCase = (Vec<i64>, Vec<u64>, Value);
/// Function, parameters, number of conditions, cases.
type GoldenCall = (String, Vec<Value>, usize, Vec<GoldenCase>);

/// Its times count whole numbers, so each is tried as such and as seconds of a timestamp.
#[test]
fn golden_answers_of_clickhouse() {
    let calls: Vec<GoldenCall> = serde_json::from_str(include_str!("golden.json")).unwrap();
    let mut compared = 0;
    for (name, parameters, conditions, cases) in calls {
        let mut leading: Vec<ScalarValue> = Vec::new();
        match name.as_str() {
            "window_funnel" => {
                let modes: Vec<&str> =
                    parameters[1..].iter().map(|m| m.as_str().unwrap()).collect();
                leading.push(ScalarValue::from(parameters[0].as_i64().unwrap()));
                leading.push(ScalarValue::from(modes.join(",")));
            }
            "retention" => {}
            _ => leading.push(ScalarValue::from(parameters[0].as_str().unwrap())),
        }
        let groups: Vec<usize> =
            cases.iter().enumerate().flat_map(|(group, case)| vec![group; case.0.len()]).collect();
        let times: Vec<i64> = cases.iter().flat_map(|case| case.0.clone()).collect();
        let masks: Vec<u64> = cases.iter().flat_map(|case| case.1.clone()).collect();
        let micros = times.iter().map(|&second| second * 1_000_000).collect::<Vec<_>>();
        let axes: [Option<ArrayRef>; 2] = match name.as_str() {
            "retention" => [None, None],
            _ => [
                Some(Arc::new(Int64Array::from(times))),
                Some(Arc::new(arrow::array::TimestampMicrosecondArray::from(micros))),
            ],
        };
        for time in axes {
            let batch = batch(time, &masks, conditions);
            let found = answers(&call(&name, &leading, &batch, None), &batch, &groups);
            for (group, case) in cases.iter().enumerate() {
                assert_eq!(as_json(&found, group), case.2, "{name} {parameters:?} {case:?}");
                compared += 1;
            }
        }
    }
    assert!(compared > 7_000, "only {compared} answers were compared");
}

/// What a statement answers, as a table without its frame.
pub(super) async fn rows(context: &SessionContext, statement: &str) -> Vec<String> {
    let batches = context.sql(statement).await.unwrap().collect().await;
    let table = pretty_format_batches(&batches.unwrap()).unwrap().to_string();
    let lines = table.lines().filter(|line| line.starts_with('|')).skip(1);
    lines.map(|line| line.trim_matches(['|', ' ']).to_owned()).collect()
}

fn scratch() -> SessionContext {
    Engine::new(&Options::default()).unwrap().scratch()
}

#[test]
fn every_type_of_time_counts_windows_in_its_unit() {
    let masks = [1, 2, 4];
    let window = |value: ScalarValue, time: ArrayRef| {
        let batch = batch(Some(time), &masks, 3);
        let call = call("window_funnel", &[value, ScalarValue::from("")], &batch, None);
        as_json(&answers(&call, &batch, &[0, 0, 0]), 0)
    };
    let seconds = || Arc::new(TimestampSecondArray::from(vec![0, 60, 120])) as ArrayRef;
    let interval = |nanos| ScalarValue::new_interval_mdn(0, 0, nanos);
    assert_eq!(window(120_i64.into(), seconds()), 3);
    assert_eq!(window(119_i64.into(), seconds()), 2);
    assert_eq!(window(interval(120_000_000_000), seconds()), 3);
    assert_eq!(window(interval(119_999_999_999), seconds()), 2);
    let days = || Arc::new(Date32Array::from(vec![-1, 0, 6])) as ArrayRef;
    assert_eq!(window(7_i64.into(), days()), 3);
    assert_eq!(window(6_i64.into(), days()), 2);
    assert_eq!(window(ScalarValue::new_interval_dt(7, 0).cast_to(&mdn()).unwrap(), days()), 3);
    let ends = |from: u64, to: u64| Arc::new(UInt64Array::from(vec![from, to, to])) as ArrayRef;
    assert_eq!(window(1_i64.into(), ends(u64::MAX - 1, u64::MAX)), 3);
    assert_eq!(window(i64::MAX.into(), ends(0, u64::MAX)), 1);
    assert_eq!(window(1_i64.into(), ends((1 << 63) - 1, 1 << 63)), 3);
    let far = Arc::new(Int64Array::from(vec![i64::MIN, 0, i64::MAX])) as ArrayRef;
    assert_eq!(window(i64::MAX.into(), far), 1);
}

fn mdn() -> DataType {
    DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano)
}

#[tokio::test]
async fn nulls_do_not_match_and_rows_without_time_are_skipped() {
    let context = scratch();
    let from = "FROM (VALUES (1, true, NULL), (NULL, true, true), (2, NULL, true)) AS v(t, a, b)";
    for (call, answer) in [
        ("window_funnel(9, '', t, a, b)", "2"),
        ("window_funnel(9, '', t, a, b) FILTER (WHERE t > 1)", "0"),
        ("window_funnel(9, '', NULL, a, b)", "0"),
        ("window_funnel(9, 'strict_order', t, a, NULL, b)", "1"),
        ("sequence_match('(?1)(?2)', t, a, b)", "true"),
        ("sequence_count('(?1)', t, a, b)", "1"),
        ("retention(a, b, NULL)", "[1, 1, 0]"),
        ("retention(a, b) FILTER (WHERE b)", "[1, 1]"),
        ("retention(a, b) FILTER (WHERE t IS NOT NULL AND b)", "[0, 0]"),
        ("funnel_steps(t, a, b)", "[1, 2]"),
        ("time_to_convert(t, a, b)", "1.0"),
    ] {
        assert_eq!(rows(&context, &format!("SELECT {call} {from}")).await, [answer], "{call}");
    }
}

#[tokio::test]
async fn no_events_answer_nothing() {
    let context = scratch();
    let from = "FROM (VALUES (1, true, true)) AS v(t, a, b) WHERE t > 1";
    for (call, answer) in [
        ("window_funnel(9, '', t, a, b)", "0"),
        ("sequence_match('(?1)(?2)', t, a, b)", "false"),
        ("sequence_count('(?1)', t, a, b)", "0"),
        ("retention(a, b)", "[0, 0]"),
        ("funnel_steps(t, a, b)", "[, ]"),
        ("time_to_convert(t, a, b)", ""),
    ] {
        assert_eq!(rows(&context, &format!("SELECT {call} {from}")).await, [answer], "{call}");
        let grouped = format!("SELECT {call} {from} GROUP BY a");
        assert!(rows(&context, &grouped).await.is_empty(), "{call}");
    }
    let lateral = "SELECT n, (SELECT window_funnel(9, '', t, a) FROM (VALUES (1, true)) AS v(t, a) \
        WHERE t = n) AS level FROM (VALUES (1), (2)) AS w(n) ORDER BY n";
    assert_eq!(rows(&context, lateral).await, ["1 | 1", "2 | 0"]);
}

#[tokio::test]
async fn a_growing_frame_keeps_its_events() {
    let context = scratch();
    let over = "SELECT window_funnel(9, '', t, s = 1, s = 2, s = 3) OVER (ORDER BY t) AS level, \
        retention(s = 1, s = 3) OVER (ORDER BY t) AS came \
        FROM (VALUES (1, 1), (2, 2), (3, 3)) AS v(t, s)";
    assert_eq!(rows(&context, over).await, ["1     | [1, 0]", "2     | [1, 0]", "3     | [1, 1]"]);
}

#[tokio::test]
async fn stage_times_keep_the_type_of_time() {
    let context = scratch();
    let instants = "SELECT arrow_typeof(funnel_steps(t, a)) FROM (SELECT \
        to_timestamp_micros(1)::TIMESTAMP WITH TIME ZONE AS t, true AS a) AS v";
    let found = rows(&context, instants).await;
    assert!(found[0].starts_with("List(") && found[0].contains("Timestamp("), "{found:?}");
    let calls = "SELECT funnel_steps(t, a, b)[2] AS days, funnel_steps(u, a, b)[2] AS unsigned, \
        time_to_convert(t, a, b) AS seconds, funnel_steps(t, a, b, 'window=1d')[2] IS NULL AS late FROM (VALUES \
        (DATE '2026-03-01', arrow_cast(18446744073709551614, 'UInt64'), true, false), \
        (DATE '2026-03-03', arrow_cast(18446744073709551615, 'UInt64'), false, true)) AS v(t, u, a, b)";
    assert_eq!(
        rows(&context, calls).await,
        ["2026-03-03 | 18446744073709551615 | 172800.0 | true"]
    );
}

#[tokio::test]
async fn any_number_of_threads_and_any_memory_answer_alike() {
    let statement = "SELECT level, count(*) AS sessions, sum(steps) AS steps FROM (\
        SELECT session, window_funnel(40, 'strict_increase', t, s = 0, s = 1, s = 2, s = 3) AS level, \
        coalesce(funnel_steps(t, s = 0, s = 1, 'window=40')[2], 0) AS steps \
        FROM (SELECT value % 30000 AS session, value / 30000 * 10 AS t, \
            value / 30000 * (1 + value % 3) % 5 AS s \
            FROM generate_series(0, 239999)) AS v GROUP BY session) AS w GROUP BY level ORDER BY level";
    let answer = async |memory_limit_bytes, target_partitions| {
        let options = Options { memory_limit_bytes, target_partitions, spill_dir: None };
        let context = Engine::new(&options).unwrap().scratch();
        let frame = context.sql(statement).await.unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        let batches = datafusion::physical_plan::collect(plan.clone(), context.task_ctx());
        let table = pretty_format_batches(&batches.await.unwrap()).unwrap().to_string();
        (table, spills(&plan))
    };
    let (whole, spilled) = answer(1 << 30, 1).await;
    assert_eq!(spilled, 0);
    assert_eq!(whole.lines().count(), 7, "{whole}");
    assert_eq!(answer(1 << 30, 4).await.0, whole);
    let (little, spilled) = answer(6 << 20, 2).await;
    assert_eq!(little, whole);
    assert!(spilled > 0, "nothing was spilled");
}

fn spills(plan: &Arc<dyn datafusion::physical_plan::ExecutionPlan>) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.spill_count()).unwrap_or_default();
    own + plan.children().into_iter().map(spills).sum::<usize>()
}

#[test]
fn memory_is_told() {
    let rows = 10_000;
    let time = Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef;
    let batch = batch(Some(time), &vec![1; rows as usize], 2);
    let call = call("window_funnel", &[9_i64.into(), ScalarValue::from("")], &batch, None);
    let mut state = call.create_groups_accumulator().unwrap();
    state.update_batch(&arguments(&call, &batch), &vec![0; rows as usize], None, 1).unwrap();
    assert!(state.size() >= 20 * rows as usize, "{}", state.size());
    state.evaluate(EmitTo::All).unwrap();
    assert_eq!(state.size(), 0);
}
