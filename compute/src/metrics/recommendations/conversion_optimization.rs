//! Segments that show that a step can be passed more often.

use super::evidence::share;
use super::segment_gap::{Ahead, evidence, hypotheses};
use super::{Candidate, Draft, Frame, Gain, Kind};
use crate::statistics::proportion::Proportion;

/// One hypothesis a step and value of each attribute that was asked for, one for an attribute of
/// two values: its sessions pass the step as often as all others. A funnel of a single step has
/// none, as that step is the whole conversion.
pub(super) fn candidates<'a>(frame: &'a Frame<'a>) -> Vec<Candidate<'a>> {
    let steps: Vec<(usize, usize)> = frame.shape.steps().collect();
    let mut candidates = Vec::new();
    for (name, values) in frame.segments.iter().flat_map(|it| &it.attributes) {
        for &step in steps.iter().filter(|_| steps.len() > 1) {
            for (value, [own, rest]) in hypotheses(values, step, Ahead::Value) {
                let Some(difference) = frame.tested(own, rest) else { continue };
                let write = move || draft(frame, step, (name, value), [own, rest]);
                candidates.push(Candidate::of(difference, write));
            }
        }
    }
    candidates
}

fn draft(
    frame: &Frame,
    (stage, next): (usize, usize),
    (name, value): (&str, &str),
    sides: [Proportion; 2],
) -> Draft {
    let [own, rest] = sides;
    let mut figures: Vec<_> = evidence(frame, (stage, next), (name, value), sides).into();
    figures.extend(frame.later_evidence(next));
    Draft {
        kind: Kind::ConversionOptimization,
        stage: Some(stage + 1),
        title: format!(
            "After {} sessions with {name} = {value} go on more often than the rest",
            frame.name(stage)
        ),
        description: format!(
            "From {} to {} went on {} sessions with {name} = {value}, and {} of all others. The \
             estimate is of all others passing as often.",
            frame.name(stage),
            frame.name(next),
            share(own),
            share(rest)
        ),
        evidence: figures,
        suggested_actions: &[
            "Find what this segment sees, or brings along, at this stage that the others do not.",
            "Offer the same to the others, as an experiment with a control group.",
        ],
        gain: Gain::Completions(frame.impact(rest, own, next)),
    }
}
