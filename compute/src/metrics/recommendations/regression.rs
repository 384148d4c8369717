//! Conversion as a whole against the period before.

use super::evidence::share;
use super::{Candidate, Draft, Frame, Gain, Kind};

/// One hypothesis: conversion to the last stage is what it was in the period before.
pub(super) fn candidates<'a>(frame: &'a Frame<'a>) -> Vec<Candidate<'a>> {
    let last = frame.shape.last();
    let [now, before] = frame.sides().map(|side| side.conversion(0, last));
    let Some(difference) = frame.tested(before, now) else { return Vec::new() };
    let write = move || {
        let evidence = frame.sides().map(|side| frame.conversion_evidence(side, 0, last));
        Draft {
            kind: Kind::Regression,
            stage: None,
            title: "Conversion is lower than in the period before".to_owned(),
            description: format!(
                "Within the horizon {} sessions completed; in the equally long period before it \
                 was {}.",
                share(now),
                share(before)
            ),
            evidence: evidence.into(),
            suggested_actions: &[
                "See which step fell: the recommendations of type stage_drop_off name it.",
                "Compare both periods by an attribute (--compare-from, --mix-by) to tell a change \
                 of the audience from a change of its behaviour.",
                "List what was released, and what failed, since the earlier period.",
            ],
            gain: Gain::Completions(frame.impact(now, before, last)),
        }
    };
    vec![Candidate::of(difference, write)]
}
