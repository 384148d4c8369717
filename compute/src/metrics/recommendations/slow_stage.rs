//! How long each step takes, against the period before.

use super::evidence::{Evidence, Figure, share};
use super::{Candidate, Draft, Frame, Gain, Kind, Side};
use crate::metrics::population::Passage;
use crate::statistics::incidence::incidence;
use crate::statistics::proportion::Proportion;
use crate::statistics::risk::Watched;

/// Mood's test (1950): of both samples, the shares above the median of the two together.
const MEDIAN_TEST: &str = "Mood's median test";

/// One hypothesis a step: those who pass it take as long as in the period before.
pub(super) fn candidates<'a>(frame: &'a Frame<'a>) -> Vec<Candidate<'a>> {
    let candidate = |(stage, next)| {
        let least = frame.request.thresholds.segment_least_sessions;
        if frame.sides().iter().any(|side| side.counts.reached[next] < least) {
            return None;
        }
        let [now, before] = frame.sides().map(|side| times(frame, side, stage, next));
        // The share that is slow is what should be low, so that the period before is the rate.
        let [now, before] = above_their_median(&now, &before);
        let difference = frame.tested(now, before)?;
        let candidate = Candidate::of(difference, move || draft(frame, stage, next));
        Some(Candidate { test: MEDIAN_TEST, ..candidate })
    };
    frame.shape.steps().filter_map(candidate).collect()
}

/// Microseconds that the step took those who passed it within the horizon.
fn times(frame: &Frame, side: &Side, stage: usize, next: usize) -> Vec<i64> {
    let watched = side.population.passages(stage, next).filter(|passage| passage.is_watched);
    let took = |passage: Passage| {
        let until = passage.until.filter(|&at| at <= frame.end(passage.started_at))?;
        Some(until - passage.since?)
    };
    watched.filter_map(took).collect()
}

fn above_their_median(one: &[i64], other: &[i64]) -> [Proportion; 2] {
    let mut both = [one, other].concat();
    let middle = both.len().saturating_sub(1) / 2;
    if both.is_empty() {
        return [Proportion::default(); 2];
    }
    let (_, &mut median, _) = both.select_nth_unstable(middle);
    [one, other].map(|times| {
        let above = times.iter().filter(|&&time| time > median).count();
        Proportion::new(above as u64, times.len() as u64)
    })
}

fn draft(frame: &Frame, stage: usize, next: usize) -> Draft {
    let rates = frame.sides().map(|side| side.conversion(stage, next));
    let times = frame.sides().map(|side| median(frame, side, stage, next));
    let [now, before] = times.each_ref().map(|it| match it.figure {
        Figure::Median { median_seconds: Some(median), .. } => format!("{median:.1} s"),
        _ => "unknown".to_owned(),
    });
    let mut evidence: Vec<Evidence> = times.into();
    evidence.extend(frame.sides().map(|side| frame.conversion_evidence(side, stage, next)));
    evidence.extend(frame.later_evidence(next));
    Draft {
        kind: Kind::SlowStage,
        stage: Some(stage + 1),
        title: format!("{} takes longer than in the period before", frame.name(next)),
        description: format!(
            "From {} to {} half of those who pass take {now}; in the equally long period before it \
             was {before}. {} pass now, {} did then: the estimate is about these.",
            frame.name(stage),
            frame.name(next),
            share(rates[0]),
            share(rates[1]),
        ),
        evidence,
        suggested_actions: &[
            "Measure what people wait for at this stage: answers of services, queues, approvals.",
            "Look for what changed at this stage since the earlier period.",
            "Tell people how long it takes, and let them leave and come back.",
        ],
        gain: Gain::Completions(frame.impact(rates[0], rates[1], next)),
    }
}

/// The median step time of those who passed.
fn median(frame: &Frame, side: &Side, stage: usize, next: usize) -> Evidence {
    let mut times = times(frame, side, stage, next);
    times.sort_unstable();
    let median = incidence(Watched { events: &times, ..Watched::default() }, &[]).median;
    let seconds = |micros: Option<i64>| micros.map(|micros| micros as f64 / 1e6);
    let sql = format!(
        "{}\nSELECT sessions, times[(sessions + 1) / 2] AS median_seconds FROM (\n  \
         SELECT count(*) AS sessions, array_agg(seconds ORDER BY seconds) AS times FROM (\n    \
         SELECT (CAST(stage_at[{}] AS BIGINT) - CAST(stage_at[{}] AS BIGINT)) / 1e6 AS seconds\n    \
         FROM watched WHERE {}\n  )\n)",
        frame.watched_sql(side, None),
        next + 1,
        stage + 1,
        frame.reached_sql(next),
    );
    Evidence {
        name: side.name.to_owned(),
        figure: Figure::Median {
            sessions: times.len() as u64,
            median_seconds: seconds(median.median),
            low_seconds: seconds(median.low),
            high_seconds: seconds(median.high),
        },
        sql,
    }
}
