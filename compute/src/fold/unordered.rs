//! Unordered funnels: the first stage opens, the others count in any order.

use super::Mark;
use super::rules::{Reached, Rules, bit, earliest};

/// Which stages a session reached by name, and when the k-th distinct one had been reached.
///
/// A step window bounds the gap between two successive entries of `stage_at`: what comes after a
/// longer gap is not reached.
pub(super) fn reach<M: Mark>(seen: &[M], rules: &Rules) -> Reached {
    let count = rules.count();
    let mut stage_at = vec![None; count];
    let Some(opening) = earliest(seen, 0, i64::MIN, i64::MAX, &[]) else {
        return Reached { stage_at, by_name: 0, opening: None, furthest: 0 };
    };
    let started_at = seen[opening].occurred_at();
    let until = rules.window_end(started_at);
    let mut used = vec![opening];
    let mut times = vec![started_at];
    let mut by_name = bit(0);
    for stage in 1..count {
        if let Some(index) = earliest(seen, stage, started_at, until, &used) {
            used.push(index);
            times.push(seen[index].occurred_at());
            by_name |= bit(stage);
        }
    }
    times.sort_unstable();
    let mut furthest = 0;
    for (stage, &at) in times.iter().enumerate() {
        if stage > 0 && at > rules.step_end(stage, times[stage - 1]) {
            break;
        }
        stage_at[stage] = Some(at);
        furthest = stage + 1;
    }
    Reached { stage_at, by_name, opening: Some(opening), furthest }
}
