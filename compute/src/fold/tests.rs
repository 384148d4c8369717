//! Examples, one for each sentence of the definition that is easy to get wrong.

use onramp_schemas::funnel::{Funnel, parse};

use super::{Ambiguous, Digest, Fate, Folded, LostHow, Rules, fold, merge};

const SECOND: i64 = 1_000_000;

/// A funnel of `stages` stages; `extra` is TOML put at the top level, stage `k`'s own in `each`.
pub(super) fn funnel(stages: usize, extra: &str, each: &[(usize, &str)]) -> Funnel {
    let mut text = format!("name = \"f\"\n{extra}\n");
    for stage in 1..=stages {
        text += &format!("[[stages]]\nname = \"S{stage}\"\ntype = \"t{stage}\"\n");
        for (_, line) in each.iter().filter(|(number, _)| *number == stage) {
            text += &format!("{line}\n");
        }
    }
    parse(&text, "test").unwrap()
}

/// Digests of events `(second, stages)`, in the given order.
fn events(list: &[(i64, &[usize])]) -> Vec<Digest> {
    let digest = |(index, &(second, stages)): (usize, &(i64, &[usize]))| Digest {
        id: index as u128,
        occurred_at: second * SECOND,
        stages: stages.iter().fold(0, |mask, stage| mask | 1 << (stage - 1)),
        exclusions: 0,
        abandonment: false,
        error: false,
        activity: true,
        reason: None,
        code: None,
    };
    list.iter().enumerate().map(digest).collect()
}

fn abandonment(second: i64, reason: Option<&str>) -> Digest {
    let reason = reason.map(Into::into);
    Digest {
        abandonment: true,
        id: 1 << 64 | second as u128,
        reason,
        ..events(&[(second, &[])])[0].clone()
    }
}

fn error(second: i64, code: Option<&str>) -> Digest {
    let code = code.map(Into::into);
    Digest {
        error: true,
        id: 2 << 64 | second as u128,
        code,
        ..events(&[(second, &[])])[0].clone()
    }
}

fn at(digests: &[Digest], funnel: &Funnel, second: i64) -> Folded {
    fold(digests, &Rules::new(funnel), second * SECOND).unwrap()
}

fn seconds(folded: &Folded) -> Vec<Option<i64>> {
    folded.stage_at.iter().map(|at| at.map(|at| at / SECOND)).collect()
}

fn lost(folded: &Folded) -> Option<(i64, LostHow)> {
    folded.lost().map(|(at, how)| (at / SECOND, how))
}

#[test]
fn a_stage_before_its_predecessor_does_not_count() {
    let folded = at(&events(&[(1, &[2]), (5, &[1]), (9, &[2])]), &funnel(2, "", &[]), 10);
    assert_eq!(seconds(&folded), [Some(5), Some(9)]);
    assert_eq!(folded.opening, Some(1));
    assert_eq!(folded.fate, Fate::Completed);
}

#[test]
fn a_late_earlier_start_unreaches_a_stage_under_a_window() {
    let funnel = funnel(2, "window_seconds = 10", &[]);
    assert_eq!(seconds(&at(&events(&[(5, &[1]), (15, &[2])]), &funnel, 20)), [Some(5), Some(15)]);
    let earlier = events(&[(4, &[1]), (5, &[1]), (15, &[2])]);
    assert_eq!(seconds(&at(&earlier, &funnel, 20)), [Some(4), None]);
}

#[test]
fn an_event_is_used_for_one_stage_only() {
    let funnel = funnel(3, "", &[]);
    let folded = at(&events(&[(1, &[1, 2, 3])]), &funnel, 2);
    assert_eq!(seconds(&folded), [Some(1), None, None]);
    let folded = at(&events(&[(1, &[1, 2]), (1, &[1])]), &funnel, 2);
    assert_eq!(seconds(&folded), [Some(1), Some(1), None]);
    assert_eq!(folded.opening, Some(1), "the event that meets fewer later stages opens");
}

#[test]
fn windows_are_inclusive() {
    let window = funnel(2, "window_seconds = 10", &[]);
    assert_eq!(at(&events(&[(1, &[1]), (11, &[2])]), &window, 20).furthest, 2);
    assert_eq!(at(&events(&[(1, &[1]), (12, &[2])]), &window, 20).furthest, 1);
    let step = funnel(3, "", &[(3, "step_window_seconds = 5")]);
    assert_eq!(at(&events(&[(1, &[1]), (9, &[2]), (14, &[3])]), &step, 20).furthest, 3);
    assert_eq!(at(&events(&[(1, &[1]), (9, &[2]), (15, &[3])]), &step, 20).furthest, 2);
}

#[test]
fn only_events_up_to_the_as_of_instant_count() {
    let digests = events(&[(1, &[1]), (5, &[2])]);
    let funnel = funnel(2, "", &[]);
    assert_eq!(fold(&digests, &Rules::new(&funnel), 0), None);
    assert_eq!(at(&digests, &funnel, 4).fate, Fate::InFlight { active: true });
    assert_eq!(at(&digests, &funnel, 5).fate, Fate::Completed);
}

#[test]
fn strict_order_is_interrupted_by_a_stage_strictly_between() {
    let funnel = funnel(4, "order = \"strict\"", &[]);
    let interrupted = events(&[(1, &[1]), (2, &[2]), (3, &[4]), (4, &[3])]);
    let folded = at(&interrupted, &funnel, 10);
    assert_eq!(folded.furthest, 2);
    assert_eq!(lost(&folded), Some((3, LostHow::Order)));
    for harmless in [(2, [4].as_slice()), (4, &[4]), (3, &[2]), (3, &[])] {
        let mut list = vec![(1, [1].as_slice()), (2, &[2]), harmless, (4, &[3])];
        list.sort_by_key(|(second, _)| *second);
        let folded = at(&events(&list), &funnel, 10);
        assert_eq!(folded.stage_at[2], Some(4 * SECOND), "{harmless:?}");
    }
}

#[test]
fn strict_order_is_lost_by_an_interruption_though_the_next_stage_never_comes() {
    let funnel = funnel(3, "order = \"strict\"", &[]);
    let folded = at(&events(&[(1, &[1]), (3, &[3])]), &funnel, 10);
    assert_eq!(lost(&folded), Some((3, LostHow::Order)));
    assert_eq!(folded.reason_text(), Some("order"));
}

#[test]
fn an_optional_stage_lies_between_its_neighbours_and_never_blocks() {
    let funnel = funnel(3, "", &[(2, "optional = true")]);
    let stages = |list| seconds(&at(&events(list), &funnel, 20));
    assert_eq!(stages(&[(1, &[1]), (3, &[3])]), [Some(1), None, Some(3)]);
    assert_eq!(stages(&[(1, &[1]), (2, &[2]), (3, &[3])]), [Some(1), Some(2), Some(3)]);
    assert_eq!(stages(&[(1, &[1]), (3, &[3]), (4, &[2])]), [Some(1), None, Some(3)]);
    assert_eq!(stages(&[(1, &[1]), (4, &[2])]), [Some(1), Some(4), None]);
    assert_eq!(stages(&[(1, &[1]), (3, &[2, 3])]), [Some(1), None, Some(3)]);
    let folded = at(&events(&[(1, &[1]), (4, &[2])]), &funnel, 20);
    assert_eq!(folded.furthest, 1, "optional stages do not move the furthest stage");
}

#[test]
fn unordered_stages_count_from_their_first_match_after_the_start() {
    let funnel = funnel(4, "order = \"unordered\"\nwindow_seconds = 10", &[]);
    let list = events(&[(0, &[4]), (1, &[1]), (3, &[4]), (5, &[2]), (12, &[3])]);
    let folded = at(&list, &funnel, 12);
    assert_eq!(seconds(&folded), [Some(1), Some(3), Some(5), None]);
    assert_eq!((folded.reached, folded.furthest), (0b1011, 3));
    assert_eq!(lost(&folded), Some((11, LostHow::Window)));
}

#[test]
fn exclusions_take_a_session_out() {
    let exclusion = "[[exclusions]]\ntype = \"x\"\nfrom_stage = 1\nto_stage = 2";
    let text = format!(
        "name = \"f\"\nwindow_seconds = 10\n{exclusion}\n[[stages]]\nname = \"a\"\ntype = \"a\"\n\
         [[stages]]\nname = \"b\"\ntype = \"b\"\n"
    );
    let funnel = parse(&text, "test").unwrap();
    let with = |second: i64, rest: &[(i64, &[usize])]| {
        let mut digests = events(rest);
        digests.push(Digest { exclusions: 1, id: 99, ..events(&[(second, &[])])[0].clone() });
        digests.sort_by_key(|digest| digest.occurred_at);
        at(&digests, &funnel, 100).excluded
    };
    let reached: &[(i64, &[usize])] = &[(1, &[1]), (5, &[2])];
    assert_eq!(
        [1, 2, 4, 5, 6].map(|second| with(second, reached)),
        [false, true, true, false, false]
    );
    let unreached: &[(i64, &[usize])] = &[(1, &[1])];
    assert_eq!(
        [0, 1, 2, 11, 12].map(|second| with(second, unreached)),
        [false, false, true, true, false]
    );
}

#[test]
fn an_abandonment_stands_until_later_activity() {
    let funnel = funnel(2, "abandon_after_seconds = 100", &[]);
    let mut digests = events(&[(1, &[1])]);
    digests.push(abandonment(5, Some("bored")));
    let folded = at(&digests, &funnel, 50);
    assert_eq!(lost(&folded), Some((5, LostHow::Explicit)));
    assert_eq!(folded.reason_text(), Some("bored"));
    digests.extend(events(&[(5, &[])]));
    assert_eq!(lost(&at(&digests, &funnel, 50)), Some((5, LostHow::Explicit)), "same instant");
    digests.extend(events(&[(6, &[])]));
    assert_eq!(at(&digests, &funnel, 50).fate, Fate::InFlight { active: true });
    assert_eq!(lost(&at(&digests, &funnel, 106)), Some((106, LostHow::Idle)));
    assert_eq!(at(&digests, &funnel, 106).reason_text(), Some("idle"));
}

#[test]
fn activity_is_the_funnels_own_condition() {
    let funnel = funnel(2, "abandon_after_seconds = 10\nactive_within_seconds = 5", &[]);
    let mut digests = events(&[(1, &[1]), (8, &[])]);
    assert_eq!(at(&digests, &funnel, 11).last_event_at, 8 * SECOND);
    digests[1].activity = false;
    assert_eq!(at(&digests, &funnel, 6).fate, Fate::InFlight { active: false });
    assert_eq!(at(&digests, &funnel, 5).fate, Fate::InFlight { active: true });
    assert_eq!(lost(&at(&digests, &funnel, 11)), Some((11, LostHow::Idle)));
}

#[test]
fn the_window_loses_a_session_only_once_it_is_over() {
    let funnel = funnel(2, "window_seconds = 10", &[]);
    let digests = events(&[(1, &[1])]);
    assert_eq!(at(&digests, &funnel, 11).lost(), None);
    assert_eq!(lost(&at(&digests, &funnel, 12)), Some((11, LostHow::Window)));
}

#[test]
fn the_reason_falls_back_to_the_last_error_at_the_furthest_stage() {
    let funnel = funnel(3, "abandon_after_seconds = 10", &[]);
    let mut digests = events(&[(1, &[1]), (3, &[2])]);
    digests.extend([error(2, Some("EARLY")), error(3, Some("TIE")), error(4, Some("LAST"))]);
    digests.extend([error(5, None)]);
    digests.sort_by_key(|digest| digest.occurred_at);
    let folded = at(&digests, &funnel, 50);
    assert_eq!(folded.reason_text(), Some("LAST"));
    assert_eq!(folded.errors.len(), 3, "an error without a code does not count");
    digests.push(abandonment(6, None));
    assert_eq!(at(&digests, &funnel, 50).reason_text(), Some("LAST"));
    let mut plain = events(&[(1, &[1])]);
    plain.push(abandonment(6, None));
    assert_eq!(at(&plain, &funnel, 50).reason_text(), Some("unspecified"));
}

#[test]
fn a_session_without_the_first_stage_is_an_orphan() {
    let folded = at(&events(&[(2, &[2]), (3, &[])]), &funnel(2, "", &[]), 10);
    assert_eq!((folded.fate, folded.furthest, folded.opening), (Fate::Orphan, 0, None));
    assert_eq!(folded.first_event_at, 2 * SECOND);
}

#[test]
fn merging_refuses_to_guess_an_order() {
    let both = events(&[(1, &[1]), (1, &[2])]);
    let ambiguous = Err(Ambiguous { occurred_at: SECOND });
    assert_eq!(merge(&both[..1], &both[1..]), ambiguous);
    assert_eq!(merge(&both, &both[1..]), Ok(both.clone()));
    assert_eq!(merge(&both[..1], &both), Ok(both.clone()));
    let alike = events(&[(1, &[2]), (1, &[2])]);
    assert_eq!(merge(&alike[..1], &alike[1..]), Ok(alike));
    let earlier = Digest { occurred_at: 0, ..both[0].clone() };
    assert_eq!(merge(&both[..1], std::slice::from_ref(&earlier)), Ok(vec![earlier]));
}
