//! Properties: the fold is a function of the set of events, and equals a slow plain reading of
//! the definition.

use onramp_schemas::funnel::{Funnel, Order};
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use super::tests::funnel;
use super::{Digest, Fate, Folded, LostHow, Rules, fold, merge};

const SECOND: i64 = 1_000_000;
const STAGES: usize = 5;

#[derive(Clone, Debug)]
pub(crate) struct Event {
    source: u8,
    digest: Digest,
}

fn digest(index: u8, source: u8, second: i64, stages: u32, flags: u8) -> Digest {
    let text = |prefix: &str| Some(format!("{prefix}{index}").into());
    let (abandonment, error) = (flags & 3 == 3, flags & 12 == 12);
    Digest {
        id: xxh3_128(format!("{source}\u{1f}{index}").as_bytes()),
        occurred_at: second * SECOND,
        stages,
        exclusions: u32::from(flags & 48 == 48),
        abandonment,
        error,
        activity: flags & 64 == 0,
        reason: if abandonment { text("r") } else { None },
        code: if error { text("c") } else { None },
    }
}

/// Up to 14 events within 12 seconds, so that ties are common.
pub(crate) fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let mask = prop_oneof![
        3 => (0..STAGES).prop_map(|stage| 1_u32 << stage),
        1 => Just(0),
        1 => 0..1_u32 << STAGES,
    ];
    let event = (0_u8..2, 0_i64..12, mask, any::<u8>());
    prop::collection::vec(event, 1..15).prop_map(|list| {
        let build = |(index, (source, second, stages, flags)): (usize, _)| {
            let digest = digest(index as u8, source, second, stages, flags);
            Event { source, digest }
        };
        list.into_iter().enumerate().map(build).collect()
    })
}

/// Funnels of every order mode, with and without windows, step windows, optional stages.
pub(crate) fn any_funnel() -> impl Strategy<Value = Funnel> {
    let order = prop::sample::select(vec!["ordered", "strict", "unordered"]);
    let window = prop::option::of(1_u64..12);
    let step = prop::option::of((2..=STAGES, 1_u64..6));
    let optional = prop::collection::btree_set(2..STAGES, 0..3);
    let exclusion =
        prop::option::of((1..STAGES).prop_flat_map(|from| (Just(from), from + 1..=STAGES)));
    (order, window, step, optional, exclusion, 1_u64..10).prop_map(
        |(order, window, step, optional, exclusion, idle)| {
            let mut extra = format!(
                "order = \"{order}\"\nabandon_after_seconds = {idle}\nhorizon_seconds = {}\n",
                2 * idle
            );
            extra += &window.map_or(String::new(), |w| format!("window_seconds = {w}\n"));
            if let Some((from, to)) = exclusion {
                extra += &format!(
                    "[[exclusions]]\ntype = \"x\"\nfrom_stage = {from}\nto_stage = {to}\n"
                );
            }
            let step = step.map(|(stage, w)| (stage, format!("step_window_seconds = {w}")));
            let mut each: Vec<(usize, &str)> = step.iter().map(|(k, s)| (*k, s.as_str())).collect();
            if order != "unordered" {
                each.extend(optional.iter().map(|&stage| (stage, "optional = true")));
            }
            funnel(STAGES, &extra, &each)
        },
    )
}

pub(crate) fn ordered(events: &[Event]) -> Vec<Digest> {
    let mut sorted = events.to_vec();
    sorted.sort_by_key(|e| (e.digest.occurred_at, e.source, e.digest.id));
    sorted.into_iter().map(|event| event.digest).collect()
}

proptest! {
    #[test]
    fn the_fold_depends_on_the_set_of_events_only(
        events in any_events(),
        owners in prop::collection::vec(1_u8..8, 15),
        order in prop::collection::vec(0_usize..3, 3..6),
        funnel in any_funnel(),
        as_of in 0_i64..20,
    ) {
        let whole = ordered(&events);
        let parts: Vec<Vec<Digest>> = (0..3).map(|part| {
            let mine = events.iter().zip(&owners).filter(|(_, owner)| *owner >> part & 1 == 1);
            ordered(&mine.map(|(event, _)| event.clone()).collect::<Vec<_>>())
        }).collect();
        let mut state = Ok(Vec::new());
        for part in order.into_iter().chain(0..3) {
            state = state.and_then(|state: Vec<Digest>| merge(&state, &parts[part]));
        }
        let rules = Rules::new(&funnel);
        match state {
            Ok(state) => {
                prop_assert_eq!(state.len(), whole.len());
                prop_assert_eq!(unplaced(fold(&state, &rules, as_of * SECOND)),
                    unplaced(fold(&whole, &rules, as_of * SECOND)));
            }
            Err(ambiguous) => {
                let tied = whole.iter().filter(|d| d.occurred_at == ambiguous.occurred_at);
                prop_assert!(tied.count() > 1, "no tie at {}", ambiguous);
            }
        }
    }

    #[test]
    fn the_fold_is_the_definition(
        events in any_events(),
        funnel in any_funnel(),
        as_of in 0_i64..20,
    ) {
        let digests = ordered(&events);
        let expected = reference(&digests, &funnel, as_of * SECOND);
        prop_assert_eq!(fold(&digests, &Rules::new(&funnel), as_of * SECOND), expected);
    }
}

/// Events that are alike may swap places, so the opening's index is compared by what it opens.
fn unplaced(folded: Option<Folded>) -> Option<Folded> {
    folded.map(|folded| Folded { opening: folded.opening.map(|_| 0), ..folded })
}

/// The definition, read sentence by sentence and without regard to speed.
fn reference(all: &[Digest], funnel: &Funnel, as_of: i64) -> Option<Folded> {
    let seen: Vec<Digest> = all.iter().filter(|d| d.occurred_at <= as_of).cloned().collect();
    let first = seen.first()?;
    let alive = |d: &&Digest| d.stages != 0 || d.abandonment || d.activity;
    let last_any = seen.iter().map(|d| d.occurred_at).max()?;
    let last = seen.iter().filter(alive).map(|d| d.occurred_at).max().unwrap_or(last_any);
    let count = funnel.stages.len();
    let (stage_at, reached, opening) = if funnel.order == Order::Unordered {
        reference_unordered(&seen, funnel)
    } else {
        reference_chain(&seen, funnel)
    };
    let required = funnel.required();
    let furthest = required.iter().filter(|&&k| stage_at[k].is_some()).map(|k| k + 1).max();
    let furthest = furthest.unwrap_or(0);
    let window_end = |start: i64| funnel.window_seconds.map(|w| start + w as i64 * SECOND);
    let mut ways = Vec::new();
    let mut reason = None;
    let mut fate = Fate::Orphan;
    if let Some(start) = stage_at[0] {
        let standing = |d: &&Digest| {
            d.abandonment && !seen.iter().any(|e| alive(&e) && e.occurred_at > d.occurred_at)
        };
        ways.extend(seen.iter().find(standing).map(|d| (d.occurred_at, LostHow::Explicit)));
        let idle = last + funnel.abandon_after_seconds as i64 * SECOND;
        ways.extend((idle <= as_of).then_some((idle, LostHow::Idle)));
        ways.extend(window_end(start).filter(|&w| w < as_of).map(|w| (w, LostHow::Window)));
        let next = required.iter().find(|&&k| k >= furthest);
        if let Some(&next) = next.filter(|_| funnel.order == Order::Strict) {
            let since = stage_at[furthest - 1].unwrap();
            let cut = seen.iter().find(|d| d.occurred_at > since && breaks(d, furthest - 1, next));
            ways.extend(cut.map(|d| (d.occurred_at, LostHow::Order)));
        }
        ways.sort();
        fate = match ways.first() {
            _ if furthest == count => Fate::Completed,
            Some(&(lost_at, how)) => Fate::Abandoned { lost_at, how },
            None => Fate::InFlight {
                active: as_of - last < funnel.active_within_seconds as i64 * SECOND,
            },
        };
        if matches!(fate, Fate::Abandoned { .. }) {
            let since = stage_at[furthest - 1].unwrap();
            let codes = seen.iter().filter(|d| d.error && d.occurred_at >= since);
            let code = codes.filter_map(|d| d.code.clone()).next_back();
            reason = seen.iter().filter(standing).find_map(|d| d.reason.clone()).or(code);
        }
    }
    let errors = seen
        .iter()
        .filter(|d| d.error)
        .map(|d| super::CodedError { occurred_at: d.occurred_at, code: d.code.clone().unwrap() });
    let horizon = funnel.horizon() as i64 * SECOND;
    let in_horizon =
        (0..count).filter(|&k| stage_at[k].is_some_and(|at| at - stage_at[0].unwrap() <= horizon));
    Some(Folded {
        reached,
        in_horizon: in_horizon.map(|k| 1 << k).sum(),
        opening,
        furthest,
        first_event_at: first.occurred_at,
        last_event_at: last,
        fate,
        reason,
        excluded: reference_excluded(&seen, funnel, &stage_at),
        errors: errors.collect(),
        stage_at,
    })
}

fn reference_excluded(seen: &[Digest], funnel: &Funnel, stage_at: &[Option<i64>]) -> bool {
    let Some(start) = stage_at[0] else { return false };
    let end = funnel.window_seconds.map(|w| start + w as i64 * SECOND);
    funnel.exclusions.iter().any(|exclusion| {
        let (from, to) = (stage_at[exclusion.from_stage - 1], stage_at[exclusion.to_stage - 1]);
        seen.iter().filter(|d| d.exclusions == 1).any(|d| match (from, to) {
            (None, _) => false,
            (Some(from), Some(to)) => d.occurred_at > from && d.occurred_at < to,
            (Some(from), None) => {
                d.occurred_at > from && end.is_none_or(|end| d.occurred_at <= end)
            }
        })
    })
}

type Matched = (Vec<Option<i64>>, u32, Option<usize>);

/// Whether an event of the funnel belongs to no stage from `from` to `to`.
fn breaks(digest: &Digest, from: usize, to: usize) -> bool {
    let met: Vec<usize> = (0..STAGES).filter(|k| digest.stages & 1 << k != 0).collect();
    !met.is_empty() && !met.iter().any(|k| (from..=to).contains(k))
}

fn pick(seen: &[Digest], k: usize, used: &[usize], fits: impl Fn(i64) -> bool) -> Option<usize> {
    let later = |d: &Digest| (k + 1..STAGES).filter(|j| d.stages & 1 << j != 0).count();
    (0..seen.len())
        .filter(|i| {
            seen[*i].stages & 1 << k != 0 && !used.contains(i) && fits(seen[*i].occurred_at)
        })
        .min_by_key(|&i| (seen[i].occurred_at, later(&seen[i]), i))
}

fn reference_chain(seen: &[Digest], funnel: &Funnel) -> Matched {
    let mut stage_at = vec![None; funnel.stages.len()];
    let Some(opening) = pick(seen, 0, &[], |_| true) else {
        return (stage_at, 0, None);
    };
    let start = seen[opening].occurred_at;
    stage_at[0] = Some(start);
    let mut used = vec![opening];
    let within = |t: i64| funnel.window_seconds.is_none_or(|w| t <= start + w as i64 * SECOND);
    let step = |k: usize, from: i64, t: i64| {
        funnel.stages[k].step_window_seconds.is_none_or(|w| t <= from + w as i64 * SECOND)
    };
    let strict = funnel.order == Order::Strict;
    let cut = |from: i64, t: i64, p: usize, k: usize| {
        strict && seen.iter().any(|d| d.occurred_at > from && d.occurred_at < t && breaks(d, p, k))
    };
    let required = funnel.required();
    for pair in required.windows(2) {
        let Some(from) = stage_at[pair[0]] else { break };
        let k = pair[1];
        let found = pick(seen, k, &used, |t| t >= from && within(t) && step(k, from, t));
        if let Some(i) = found.filter(|&i| !cut(from, seen[i].occurred_at, pair[0], k)) {
            stage_at[k] = Some(seen[i].occurred_at);
            used.push(i);
        }
    }
    for pair in required.windows(2) {
        let Some(previous) = stage_at[pair[0]] else {
            break;
        };
        let mut from = previous;
        for k in pair[0] + 1..pair[1] {
            let next = stage_at[pair[1]];
            let found = pick(seen, k, &used, |t| {
                let before_next = next.is_none_or(|next| t <= next);
                t >= from
                    && within(t)
                    && before_next
                    && step(k, previous, t)
                    && !cut(previous, t, pair[0], pair[1])
            });
            if let Some(i) = found {
                from = seen[i].occurred_at;
                stage_at[k] = Some(from);
                used.push(i);
            }
        }
    }
    let mask = (0..STAGES).filter(|&k| stage_at[k].is_some()).map(|k| 1 << k).sum();
    (stage_at, mask, Some(opening))
}

fn reference_unordered(seen: &[Digest], funnel: &Funnel) -> Matched {
    let mut stage_at = vec![None; funnel.stages.len()];
    let Some(opening) = pick(seen, 0, &[], |_| true) else {
        return (stage_at, 0, None);
    };
    let start = seen[opening].occurred_at;
    let mut used = vec![opening];
    let mut mask = 1;
    for k in 1..funnel.stages.len() {
        let end = funnel.window_seconds.map_or(i64::MAX, |w| start + w as i64 * SECOND);
        if let Some(i) = pick(seen, k, &used, |t| t >= start && t <= end) {
            used.push(i);
            mask |= 1 << k;
        }
    }
    let mut times: Vec<i64> = used.iter().map(|&i| seen[i].occurred_at).collect();
    times.sort();
    for (k, &at) in times.iter().enumerate() {
        let limit = funnel.stages[k].step_window_seconds.map_or(i64::MAX, |w| w as i64 * SECOND);
        let gap = if k == 0 { 0 } else { at - times[k - 1] };
        if gap > limit || (k > 0 && stage_at[k - 1].is_none()) {
            break;
        }
        stage_at[k] = Some(at);
    }
    (stage_at, mask, Some(opening))
}
