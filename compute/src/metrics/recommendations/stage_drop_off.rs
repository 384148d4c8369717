//! Each step against the period before.

use super::evidence::share;
use super::{Candidate, Draft, Frame, Gain, Kind};
use crate::statistics::proportion::Difference;

/// One hypothesis a step: it is passed as often as in the period before. A funnel of a single step
/// has none, as that step is the whole conversion.
pub(super) fn candidates<'a>(frame: &'a Frame<'a>) -> Vec<Candidate<'a>> {
    let steps: Vec<(usize, usize)> = frame.shape.steps().collect();
    if steps.len() < 2 {
        return Vec::new();
    }
    let candidate = |(stage, next)| {
        let [now, before] = frame.sides().map(|side| side.conversion(stage, next));
        let difference: Difference = frame.tested(before, now)?;
        Some(Candidate::of(difference, move || draft(frame, stage, next)))
    };
    steps.into_iter().filter_map(candidate).collect()
}

fn draft(frame: &Frame, stage: usize, next: usize) -> Draft {
    let [now, before] = frame.sides().map(|side| side.conversion(stage, next));
    let mut evidence: Vec<_> =
        frame.sides().map(|side| frame.conversion_evidence(side, stage, next)).into();
    evidence.extend(frame.later_evidence(next));
    Draft {
        kind: Kind::StageDropOff,
        stage: Some(stage + 1),
        title: format!("More sessions are lost after {}", frame.name(stage)),
        description: format!(
            "From {} to {} went on {} sessions; in the equally long period before it was {}.",
            frame.name(stage),
            frame.name(next),
            share(now),
            share(before)
        ),
        evidence,
        suggested_actions: &[
            "See why sessions leave here: reasons, error patterns and the heatmap of this stage.",
            "Read the timelines of some sessions that were lost here (onramp session list \
             --dropped-at).",
            "Look for what changed at this stage since the earlier period.",
        ],
        gain: Gain::Completions(frame.impact(now, before, next)),
    }
}
