//! Sessions with an error at a stage against those without it.

use super::evidence::{Evidence, share};
use super::sql::quoted;
use super::{Candidate, Draft, Frame, Gain, Kind};
use crate::metrics::parallel;
use crate::metrics::population::ByCode;
use crate::statistics::proportion::Proportion;

/// One hypothesis a step and error code: sessions with that error pass as often as the others.
pub(super) fn candidates<'a>(frame: &'a Frame<'a>) -> Vec<Candidate<'a>> {
    let mut candidates = Vec::new();
    let steps = frame.shape.steps();
    let counted =
        parallel::map(steps, |(stage, next)| (stage, next, passed_with(frame, stage, next)));
    for (stage, next, with) in counted {
        let all = frame.now.conversion(stage, next);
        for (code, with) in with {
            let without = Proportion::new(all.reached - with.reached, all.total - with.total);
            let Some(difference) = frame.tested(without, with) else { continue };
            let write = move || draft(frame, (stage, next), code, [with, without]);
            candidates.push(Candidate::of(difference, write));
        }
    }
    candidates
}

/// Of the sessions that had an error with a code before they passed on, or within the horizon,
/// those that passed on; by code.
fn passed_with<'a>(frame: &Frame<'a>, stage: usize, next: usize) -> Vec<(&'a str, Proportion)> {
    let population = frame.now.population;
    let (mut with, mut here) = (ByCode::<Proportion>::new(population), Vec::new());
    let watched = |&row: &usize| frame.mature.holds(population, row);
    for row in population.with_errors().filter(watched) {
        let Some(since) = frame.reached_at(&frame.now, row, stage) else { continue };
        let passed_at = frame.reached_at(&frame.now, row, next);
        let end = frame.end(population.started_at(row)).saturating_add(1);
        population.codes(row, since..passed_at.unwrap_or(end), &mut here);
        for &code in &here {
            let count = with.of(code);
            count.total += 1;
            count.reached += u64::from(passed_at.is_some());
        }
    }
    with.named().collect()
}

fn draft(
    frame: &Frame,
    (stage, next): (usize, usize),
    code: &str,
    [with, without]: [Proportion; 2],
) -> Draft {
    let statement = |exists: &str| statement(frame, (stage, next), code, exists);
    let mut evidence = vec![
        Evidence::rate(format!("with {code}"), with, statement("EXISTS")),
        Evidence::rate(format!("without {code}"), without, statement("NOT EXISTS")),
    ];
    evidence.extend(frame.later_evidence(next));
    Draft {
        kind: Kind::ErrorDrivenDropOff,
        stage: Some(stage + 1),
        title: format!("Sessions with the error {code} are lost after {}", frame.name(stage)),
        description: format!(
            "From {} to {} went on {} sessions with the error {code}, and {} without. The error \
             need not be the cause: who stays longer meets more errors.",
            frame.name(stage),
            frame.name(next),
            share(with),
            share(without)
        ),
        evidence,
        suggested_actions: &[
            "Mend what raises this error; the events of type error carry its message.",
            "Where it cannot be mended, offer another way on or try again for the person.",
            "Read the timelines of some sessions that met it (onramp session show).",
        ],
        gain: Gain::Completions(frame.impact(with, without, next)),
    }
}

fn statement(frame: &Frame, (stage, next): (usize, usize), code: &str, exists: &str) -> String {
    let (at, next_at) = (stage + 1, next + 1);
    format!(
        "{}, hit AS (\n  SELECT DISTINCT client_id, session_id FROM (\n    \
         SELECT client_id, session_id, started_at, stage_at, unnest(digests) AS digest \
         FROM watched\n  )\n  WHERE (digest['flags'] & 2) <> 0 AND digest['code'] = {}\n    \
         AND digest['occurred_at'] >= stage_at[{at}] AND digest['occurred_at'] <= {}\n    \
         AND (stage_at[{next_at}] IS NULL OR digest['occurred_at'] < stage_at[{next_at}])\n)\n\
         SELECT count(*) FILTER (WHERE {}) AS reached, count(*) AS total\nFROM watched w\n\
         WHERE {}\n  AND {exists} (SELECT 1 FROM hit \
         WHERE hit.client_id = w.client_id AND hit.session_id = w.session_id)",
        frame.watched_sql(&frame.now, None),
        quoted(code),
        frame.end_sql(),
        frame.reached_sql(next),
        frame.reached_sql(stage),
    )
}
