//! Sessions that stalled, and whether they went on after all, against the period before.

use super::evidence::{Evidence, share};
use super::sql::seconds;
use super::{Candidate, Draft, Frame, Gain, Kind, Side};
use crate::metrics::parallel;
use crate::statistics::proportion::Proportion;

/// One hypothesis a step: of the sessions that stalled there as many go on as in the period before.
pub(super) fn candidates<'a>(frame: &'a Frame<'a>) -> Vec<Candidate<'a>> {
    let rates = parallel::map(frame.shape.steps(), |(stage, next)| {
        frame.sides().map(|side| recovered(frame, side, stage, next))
    });
    let candidate = |((stage, next), rates): (_, [Proportion; 2])| {
        let difference = frame.tested(rates[1], rates[0])?;
        Some(Candidate::of(difference, move || draft(frame, (stage, next), rates)))
    };
    frame.shape.steps().zip(rates).filter_map(candidate).collect()
}

/// Of the sessions that had not passed on when they ceased to be active, those that did later.
fn recovered(frame: &Frame, side: &Side, stage: usize, next: usize) -> Proportion {
    let pause = i64::try_from(frame.request.funnel.active_within_seconds).unwrap_or(i64::MAX);
    let pause = pause.saturating_mul(1_000_000);
    let mut stalled = Proportion::default();
    // What a session did cannot be foreseen: it is added up without asking.
    for passage in side.population.passages(stage, next) {
        let still_active = passage.since.unwrap_or_default().saturating_add(pause);
        let end = frame.end(passage.started_at);
        let until = passage.until.unwrap_or(i64::MAX);
        let passed = passage.until.is_some() & (until <= end);
        let stalls = passage.is_watched
            & passage.since.is_some()
            & (still_active < end)
            & !(passed & (until <= still_active));
        stalled.total += u64::from(stalls);
        stalled.reached += u64::from(stalls & passed);
    }
    stalled
}

fn draft(frame: &Frame, (stage, next): (usize, usize), rates: [Proportion; 2]) -> Draft {
    let [now, before] = rates;
    let one = |(side, rate): (&Side, Proportion)| {
        Evidence::rate(side.name, rate, statement(frame, side, stage, next))
    };
    let mut evidence: Vec<Evidence> = frame.sides().into_iter().zip(rates).map(one).collect();
    evidence.extend(frame.later_evidence(next));
    Draft {
        kind: Kind::AbandonmentRecovery,
        stage: Some(stage + 1),
        title: format!("Fewer of those who stall after {} come back", frame.name(stage)),
        description: format!(
            "Of the sessions that had not gone on from {} after {} s, {} did so later; in the \
             equally long period before it was {}.",
            frame.name(stage),
            frame.request.funnel.active_within_seconds,
            share(now),
            share(before)
        ),
        evidence,
        suggested_actions: &[
            "Remind people who stall here, while the session can still be resumed.",
            "Check that resuming works: that links open, checkpoints load and nothing is asked \
             twice.",
            "Save what was entered, so that coming back costs nothing.",
        ],
        gain: Gain::Completions(frame.impact(now, before, next)),
    }
}

fn statement(frame: &Frame, side: &Side, stage: usize, next: usize) -> String {
    let pause = seconds(frame.request.funnel.active_within_seconds);
    let (at, next_at) = (stage + 1, next + 1);
    format!(
        "{}\nSELECT count(*) FILTER (WHERE {}) AS reached, count(*) AS total\nFROM watched\n\
         WHERE stage_at[{at}] + {pause} < {}\n  \
         AND (stage_at[{next_at}] IS NULL OR stage_at[{next_at}] > stage_at[{at}] + {pause})",
        frame.watched_sql(side, None),
        frame.reached_sql(next),
        frame.end_sql(),
    )
}
