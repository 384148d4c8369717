//! Properties: state may be split, carried as bytes and merged in any order; stage times are the fold's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use onramp_schemas::funnel::{Funnel, parse};
use proptest::prelude::*;

use super::tests::{arguments, batch, call};
use crate::fold::{Digest, Rules, fold};

const GROUPS: usize = 4;
const CONDITIONS: usize = 3;

/// (group, time, conditions, whether the filter lets it through)
type Row = (usize, i64, u64, bool);

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (0..GROUPS, 0_i64..9, 0_u64..1 << CONDITIONS, prop::bool::weighted(0.9));
    prop::collection::vec(row, 0..60)
}

fn any_call() -> impl Strategy<Value = (&'static str, Vec<ScalarValue>, Option<ScalarValue>)> {
    let modes = prop::sample::subsequence(
        vec!["strict_deduplication", "strict_order", "strict_increase", "strict_once"],
        0..4,
    );
    let pattern =
        prop::sample::select(vec!["(?1)(?2)", "(?1).*(?3)", "(?1)(?t>=2)(?2)", ".(?t<2)."]);
    let order = prop::sample::select(vec!["ordered", "strict", "unordered"]);
    let name = prop::sample::select(vec![
        "window_funnel",
        "sequence_match",
        "sequence_count",
        "retention",
        "funnel_steps",
    ]);
    (name, 0_i64..9, modes, pattern, order).prop_map(|(name, window, modes, pattern, order)| {
        let leading = match name {
            "window_funnel" => vec![window.into(), ScalarValue::from(modes.join(","))],
            "sequence_match" | "sequence_count" => vec![ScalarValue::from(pattern)],
            _ => vec![],
        };
        let options = ScalarValue::from(format!("mode={order}, window={window}"));
        (name, leading, (name == "funnel_steps").then_some(options))
    })
}

fn columns(rows: &[Row], with_time: bool) -> RecordBatch {
    let time: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>());
    let masks: Vec<u64> = rows.iter().map(|row| row.2).collect();
    batch(with_time.then_some(time), &masks, CONDITIONS)
}

fn groups(rows: &[Row]) -> Vec<usize> {
    rows.iter().map(|row| row.0).collect()
}

fn filter(rows: &[Row]) -> BooleanArray {
    rows.iter().map(|row| Some(row.3)).collect()
}

/// Through a file of Arrow's stream format and back.
fn carried(call: &AggregateFunctionExpr, state: Vec<ArrayRef>) -> Vec<ArrayRef> {
    let schema = Arc::new(Schema::new(call.state_fields().unwrap()));
    let batch = RecordBatch::try_new(Arc::clone(&schema), state).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let read = StreamReader::try_new(bytes.as_slice(), None).unwrap().next().unwrap().unwrap();
    read.columns().to_vec()
}

proptest! {
    #[test]
    fn splits_merge_in_any_order_to_the_single_pass(
        rows in any_rows(),
        (name, leading, trailing) in any_call(),
        splits in 1_usize..5,
        owners in prop::collection::vec((0_usize..5, any::<u32>()), 60),
        converted in any::<u8>(),
        first in 0..=GROUPS,
    ) {
        let with_time = name != "retention";
        let build = |rows: &[Row]| {
            let batch = columns(rows, with_time);
            let call = call(name, &leading, &batch, trailing.clone());
            (arguments(&call, &batch), call)
        };
        let (all, call) = build(&rows);
        let mut single = call.create_groups_accumulator().unwrap();
        single.update_batch(&all, &groups(&rows), Some(&filter(&rows)), GROUPS).unwrap();
        let expected = single.evaluate(EmitTo::All).unwrap();

        let mut keyed: Vec<(u32, usize, Row)> = rows.iter().zip(&owners)
            .map(|(&row, &(owner, key))| (key, owner % splits, row)).collect();
        keyed.sort_unstable_by_key(|(key, ..)| *key);
        let mut merged = call.create_groups_accumulator().unwrap();
        for split in 0..splits {
            let part: Vec<Row> =
                keyed.iter().filter(|(_, owner, _)| *owner == split).map(|(.., row)| *row).collect();
            let (values, _) = build(&part);
            let mut partial = call.create_groups_accumulator().unwrap();
            if converted >> split & 1 == 1 {
                let state = partial.convert_to_state(&values, Some(&filter(&part))).unwrap();
                merged.merge_batch(&carried(&call, state), &groups(&part), GROUPS).unwrap();
                continue;
            }
            partial.update_batch(&values, &groups(&part), Some(&filter(&part)), GROUPS).unwrap();
            // The first groups leave early, as from a stream that is ordered by them.
            let early = partial.state(EmitTo::First(first)).unwrap();
            let rest = partial.state(EmitTo::All).unwrap();
            let places: Vec<usize> = (0..GROUPS).collect();
            merged.merge_batch(&carried(&call, rest), &places[first..], GROUPS).unwrap();
            merged.merge_batch(&carried(&call, early), &places[..first], GROUPS).unwrap();
        }
        let early = merged.evaluate(EmitTo::First(first)).unwrap();
        let rest = merged.evaluate(EmitTo::All).unwrap();
        let found = arrow::compute::concat(&[&early, &rest]).unwrap();
        prop_assert_eq!(found.to_data(), expected.to_data());
    }

    #[test]
    fn one_group_answers_as_among_many(
        rows in any_rows(),
        (name, leading, trailing) in any_call(),
    ) {
        let batch = columns(&rows, name != "retention");
        let call = call(name, &leading, &batch, trailing);
        let values = arguments(&call, &batch);
        let mut many = call.create_groups_accumulator().unwrap();
        many.update_batch(&values, &vec![0; rows.len()], None, 1).unwrap();
        let expected = ScalarValue::try_from_array(&many.evaluate(EmitTo::All).unwrap(), 0).unwrap();
        let mut one = call.create_accumulator().unwrap();
        one.update_batch(&values).unwrap();
        prop_assert_eq!(one.evaluate().unwrap(), expected.clone());
        let state: Vec<ArrayRef> =
            one.state().unwrap().into_iter().map(|state| state.to_array().unwrap()).collect();
        let mut other = call.create_accumulator().unwrap();
        other.merge_batch(&state).unwrap();
        prop_assert_eq!(other.evaluate().unwrap(), expected);
    }

    #[test]
    fn stage_times_are_the_folds(
        rows in any_rows(),
        order in prop::sample::select(vec!["ordered", "strict", "unordered"]),
        window in prop::option::of(1_i64..9),
    ) {
        let batch = columns(&rows, true);
        let options = format!("mode={order}") + &window.map_or(String::new(), |w| format!(",window={w}"));
        let call = call("funnel_steps", &[], &batch, Some(ScalarValue::from(options)));
        let mut state = call.create_groups_accumulator().unwrap();
        state.update_batch(&arguments(&call, &batch), &groups(&rows), None, GROUPS).unwrap();
        let found = state.evaluate(EmitTo::All).unwrap();
        let funnel = funnel(order, window);
        for group in 0..GROUPS {
            let found = found.as_list::<i32>().value(group);
            let found: Vec<Option<i64>> = found.as_primitive::<Int64Type>().iter().collect();
            prop_assert_eq!(found, folded(&rows, group, &funnel), "group {}", group);
        }
    }
}

/// A funnel whose window is in the unit of the rows' times.
fn funnel(order: &str, window: Option<i64>) -> Funnel {
    let mut text = format!("name = \"f\"\norder = \"{order}\"\n");
    text += &window.map_or(String::new(), |seconds| format!("window_seconds = {seconds}\n"));
    for stage in 1..=CONDITIONS {
        text += &format!("[[stages]]\nname = \"S{stage}\"\ntype = \"t{stage}\"\n");
    }
    parse(&text, "test").unwrap()
}

/// The stage times of a group by the session fold, its seconds as rows have them.
fn folded(rows: &[Row], group: usize, funnel: &Funnel) -> Vec<Option<i64>> {
    let mut events: Vec<(i64, u64)> =
        rows.iter().filter(|row| row.0 == group).map(|row| (row.1, row.2)).collect();
    events.sort_unstable();
    let digests: Vec<Digest> = events
        .iter()
        .enumerate()
        .map(|(index, &(second, conditions))| Digest {
            id: index as u128,
            occurred_at: second * 1_000_000,
            stages: conditions as u32,
            exclusions: 0,
            abandonment: false,
            error: false,
            activity: true,
            reason: None,
            code: None,
        })
        .collect();
    match fold(&digests, &Rules::new(funnel), i64::MAX) {
        Some(folded) => {
            folded.stage_at.iter().map(|time| time.map(|time| time / 1_000_000)).collect()
        }
        None => vec![None; CONDITIONS],
    }
}
