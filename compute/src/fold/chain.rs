//! Ordered and strict funnels: the required chain first, then the optional stages beside it.

use super::Mark;
use super::rules::{Reached, Rules, bit, earliest};

/// Which stages a session reached, and when.
///
/// Each required stage takes the earliest unused event at or after the required stage before it;
/// nothing is tried again. Optional stages are placed afterwards, between what was reached.
pub(super) fn reach<M: Mark>(seen: &[M], rules: &Rules) -> Reached {
    let mut stage_at = vec![None; rules.count()];
    let mut used: Vec<usize> = Vec::with_capacity(rules.count());
    let mut furthest = 0;
    for (position, &stage) in rules.required.iter().enumerate() {
        let found = match position.checked_sub(1) {
            None => earliest(seen, stage, i64::MIN, i64::MAX, &[]),
            Some(before) => {
                let previous = rules.required[before];
                required_step(seen, rules, (previous, stage), &stage_at, &used)
            }
        };
        let Some(index) = found else { break };
        stage_at[stage] = Some(seen[index].occurred_at());
        used.push(index);
        furthest = stage + 1;
    }
    let opening = used.first().copied();
    if furthest > 0 {
        place_optional(seen, rules, &mut stage_at, &mut used);
    }
    let by_name = (0..stage_at.len()).filter(|&stage| stage_at[stage].is_some());
    let by_name = by_name.fold(0, |mask, stage| mask | bit(stage));
    Reached { stage_at, by_name, opening, furthest }
}

fn required_step<M: Mark>(
    seen: &[M],
    rules: &Rules,
    (previous, stage): (usize, usize),
    stage_at: &[Option<i64>],
    used: &[usize],
) -> Option<usize> {
    let started_at = stage_at[0]?;
    let previous_at = stage_at[previous]?;
    let until = rules.window_end(started_at).min(rules.step_end(stage, previous_at));
    let index = earliest(seen, stage, previous_at, until, used)?;
    match rules.interruption(seen, previous, stage, previous_at) {
        Some(interrupted_at) if interrupted_at < seen[index].occurred_at() => None,
        _ => Some(index),
    }
}

/// Optional stages between two required ones: each the earliest unused event between the stage
/// reached before it and the next required one (or, that one missing, the end of the window and
/// in strict order the interruption, after which the session is lost).
fn place_optional<M: Mark>(
    seen: &[M],
    rules: &Rules,
    stage_at: &mut [Option<i64>],
    used: &mut Vec<usize>,
) {
    let Some(started_at) = stage_at[0] else {
        return;
    };
    for pair in rules.required.windows(2) {
        let (previous, next) = (pair[0], pair[1]);
        let Some(previous_at) = stage_at[previous] else {
            return;
        };
        let until = stage_at[next].unwrap_or_else(|| {
            let interrupted_at = rules.interruption(seen, previous, next, previous_at);
            rules.window_end(started_at).min(interrupted_at.unwrap_or(i64::MAX))
        });
        let mut from = previous_at;
        for (stage, reached_at) in stage_at.iter_mut().enumerate().take(next).skip(previous + 1) {
            let until = until.min(rules.step_end(stage, previous_at));
            if let Some(index) = earliest(seen, stage, from, until, used) {
                from = seen[index].occurred_at();
                *reached_at = Some(from);
                used.push(index);
            }
        }
    }
}
