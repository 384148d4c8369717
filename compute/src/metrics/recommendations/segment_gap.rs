//! Segments that convert less often than the rest.

use super::evidence::{Evidence, share};
use super::sql::{attribute, quoted};
use super::{Candidate, Draft, Frame, Gain, Kind};
use crate::metrics::segments::Segment;
use crate::statistics::proportion::Proportion;

/// One hypothesis a value of each attribute that was asked for, one for an attribute of two values:
/// its sessions convert as often as all others.
pub(super) fn candidates<'a>(frame: &'a Frame<'a>) -> Vec<Candidate<'a>> {
    let last = frame.shape.last();
    let mut candidates = Vec::new();
    for (name, values) in frame.segments.iter().flat_map(|it| &it.attributes) {
        for (value, [own, rest]) in hypotheses(values, (0, last), Ahead::Rest) {
            let Some(difference) = frame.tested(rest, own) else { continue };
            let write = move || draft(frame, name, value, [own, rest]);
            candidates.push(Candidate::of(difference, write));
        }
    }
    candidates
}

/// Whom a hypothesis of two mirrored ones is told of.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Ahead {
    /// The value that is ahead.
    Value,
    /// The value that the rest is ahead of.
    Rest,
}

/// Each value with its own conversion between two stages and that of all other sessions. A value
/// that is missing is part of the rest only. Of exactly two values each says the same as the other,
/// so that one of them is taken.
pub(super) fn hypotheses(
    values: &[Segment],
    (from, to): (usize, usize),
    ahead: Ahead,
) -> Vec<(&str, [Proportion; 2])> {
    let conversion = |segment: &Segment| {
        let reached = |stage: usize| segment.mature.stages[stage].count;
        Proportion::new(reached(to), reached(from))
    };
    let all: Proportion = values.iter().map(conversion).sum();
    let sides = |segment| {
        let own = conversion(segment);
        [own, Proportion::new(all.reached - own.reached, all.total - own.total)]
    };
    let named = values.iter().filter_map(|it| Some((it.value.as_deref()?, sides(it))));
    let mut named: Vec<(&str, [Proportion; 2])> = named.collect();
    if values.len() == 2 {
        let lead = |[own, rest]: [Proportion; 2]| own.minus(rest).map_or(0.0, |it| it.difference);
        let sign = if ahead == Ahead::Value { 1.0 } else { -1.0 };
        let fits = |sides: &[Proportion; 2]| sign * lead(*sides);
        named.sort_by(|one, other| fits(&other.1).total_cmp(&fits(&one.1)));
        named.truncate(1);
    }
    named
}

/// How many sessions of a value, and of all others, went from one stage to another.
pub(super) fn evidence(
    frame: &Frame,
    (from, to): (usize, usize),
    (name, value): (&str, &str),
    [own, rest]: [Proportion; 2],
) -> [Evidence; 2] {
    let statement = |operator: &str| {
        let filter = format!("{} {operator} {}", attribute(name), quoted(value));
        frame.conversion_sql(&frame.now, (from, to), Some(&filter))
    };
    [
        Evidence::rate(format!("{name} = {value}"), own, statement("=")),
        Evidence::rate("the rest", rest, statement("IS DISTINCT FROM")),
    ]
}

fn draft(frame: &Frame, name: &str, value: &str, sides: [Proportion; 2]) -> Draft {
    let last = frame.shape.last();
    let [own, rest] = sides;
    Draft {
        kind: Kind::SegmentGap,
        stage: None,
        title: format!("Sessions with {name} = {value} convert less often than the rest"),
        description: format!(
            "Within the horizon {} sessions with {name} = {value} completed, and {} of all others.",
            share(own),
            share(rest)
        ),
        evidence: evidence(frame, (0, last), (name, value), sides).into(),
        suggested_actions: &[
            "Compare this segment's steps with the rest's to find where it falls behind.",
            "Go through the onboarding as somebody of this segment.",
            "Test a change for this segment alone before it is made for everybody.",
        ],
        gain: Gain::Completions(frame.impact(own, rest, last)),
    }
}
