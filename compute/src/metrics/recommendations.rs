//! What to do: rules over the figures of a report, each with the evidence that it rests on.
//!
//! A rule proposes candidates, each a null hypothesis on mature figures with its p-value. All
//! candidates of a call are one family for Benjamini and Hochberg's procedure; those that remain
//! significant and speak of a loss become recommendations. `docs/recommendations.md` tells every
//! rule.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::population::{Basis, Counts, Population, Shape};
use super::segments::Segments;
use super::{Input, Request};
use crate::statistics::multiplicity::benjamini_hochberg;
use crate::statistics::proportion::{Difference, Proportion};

mod abandonment_recovery;
mod conversion_optimization;
mod data_quality;
mod error_driven_drop_off;
mod evidence;
mod impact;
mod regression;
mod segment_gap;
mod slow_stage;
mod sql;
mod stage_drop_off;

#[cfg(test)]
mod tests;

pub use evidence::{Evidence, Figure};
pub use impact::Impact;

/// The kinds, in the order in which equals are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A segment passes a step more often than the rest.
    ConversionOptimization,
    /// A step is passed less often than in the period before.
    StageDropOff,
    /// A step takes longer than in the period before.
    SlowStage,
    /// Sessions with an error pass a step less often than those without.
    ErrorDrivenDropOff,
    /// A segment converts less often than the rest.
    SegmentGap,
    /// Conversion as a whole is lower than in the period before.
    Regression,
    /// Fewer sessions that stalled go on after all than in the period before.
    AbandonmentRecovery,
    /// What is counted cannot be trusted.
    DataQuality,
}

/// How much there is to gain, measured against today's completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// At least a tenth by default.
    High,
    /// At least three in a hundred by default.
    Medium,
    /// Less.
    Low,
}

/// One thing to do, and why.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Recommendation {
    /// Which rule found it.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// How much there is to gain.
    pub priority: Priority,
    /// The stage that sessions are at, from 1, where it is about one step.
    pub stage: Option<usize>,
    /// One line.
    pub title: String,
    /// What was compared, with figures.
    pub description: String,
    /// The figures, with the SQL that gives them again.
    pub evidence: Vec<Evidence>,
    /// Why this is no accident.
    pub significance: Significance,
    /// What may help.
    pub suggested_actions: Vec<String>,
    /// What it may bring.
    pub estimated_impact: Impact,
}

/// The test that a recommendation passed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Significance {
    /// The test.
    pub test: &'static str,
    /// Its two-sided p-value; one-sided where the test says so.
    pub p: f64,
    /// Benjamini–Hochberg adjusted over all candidates of the call.
    pub p_adjusted: f64,
    /// How many candidates those are.
    pub candidates: usize,
}

/// What the rules look at.
pub(super) struct Frame<'a> {
    pub request: &'a Request,
    pub shape: &'a Shape,
    pub mature: Basis,
    /// Microseconds for which every session of a mature figure is watched.
    pub horizon: i64,
    pub now: Side<'a>,
    pub before: Side<'a>,
    pub segments: Option<&'a Segments>,
    pub input: &'a Input,
}

/// One of the two periods.
pub(super) struct Side<'a> {
    /// What evidence calls it.
    pub name: &'static str,
    pub from: i64,
    /// End of the starts that are mature, exclusive.
    pub to: i64,
    pub population: &'a Population,
    /// On the mature basis.
    pub counts: Counts,
    /// Sessions without a first stage whose first event lies in `[from, to)`.
    pub orphans: u64,
}

/// A hypothesis that a rule tests.
struct Candidate<'a> {
    test: &'static str,
    p: f64,
    /// Writes the recommendation; `None`: there is nothing to mend.
    write: Option<Box<dyn FnOnce() -> Draft + 'a>>,
}

/// What a rule writes of a recommendation.
struct Draft {
    kind: Kind,
    stage: Option<usize>,
    title: String,
    description: String,
    evidence: Vec<Evidence>,
    suggested_actions: &'static [&'static str],
    gain: Gain,
}

/// What there is to gain.
enum Gain {
    /// Completions.
    Completions(Impact),
    /// Figures that can be trusted; this share of what they count is in doubt.
    Trust(Proportion),
}

/// The pooled test of two proportions.
const TWO_PROPORTIONS: &str = "two-proportion z-test";

/// Successes and failures that either side must be expected to have under the hypothesis for the
/// normal approximation to hold (Cochran 1954, Biometrics 10:417–451).
const LEAST_EXPECTED: f64 = 5.0;

/// The period before: as long as the period, and up to its start.
pub fn previous_period(from: i64, to: i64) -> (i64, i64) {
    (from.saturating_sub(to.saturating_sub(from)), from)
}

/// What the figures recommend, by expected impact, then by kind, stage and title.
pub(super) fn recommend(frame: &Frame) -> Vec<Recommendation> {
    let rules = [
        conversion_optimization::candidates,
        stage_drop_off::candidates,
        slow_stage::candidates,
        error_driven_drop_off::candidates,
        segment_gap::candidates,
        regression::candidates,
        abandonment_recovery::candidates,
        data_quality::candidates,
    ];
    let candidates: Vec<Candidate> = rules.into_iter().flat_map(|rule| rule(frame)).collect();
    let p_values: Vec<f64> = candidates.iter().map(|candidate| candidate.p).collect();
    let adjusted = benjamini_hochberg(&p_values);
    let count = candidates.len();
    let mut found: Vec<Recommendation> = Vec::new();
    for (candidate, p_adjusted) in candidates.into_iter().zip(adjusted) {
        if p_adjusted > frame.request.thresholds.significance {
            continue;
        }
        let Candidate { test, p, write: Some(write) } = candidate else { continue };
        let significance = Significance { test, p, p_adjusted, candidates: count };
        found.push(finished(write(), significance, frame));
    }
    found.sort_by(|one, other| {
        let rank = |it: &Recommendation| (it.kind, it.stage);
        let gain = |it: &Recommendation| it.estimated_impact.expected;
        gain(other)
            .total_cmp(&gain(one))
            .then_with(|| rank(one).cmp(&rank(other)))
            .then_with(|| one.title.cmp(&other.title))
    });
    one_example_a_step(&mut found);
    found
}

fn finished(draft: Draft, significance: Significance, frame: &Frame) -> Recommendation {
    let thresholds = &frame.request.thresholds;
    let (impact, stake) = match draft.gain {
        Gain::Completions(impact) => (impact, frame.stake(&impact)),
        Gain::Trust(doubtful) => {
            (Impact::default(), doubtful.wilson().map_or(0.0, |interval| interval.low))
        }
    };
    let priority = match stake {
        stake if stake >= thresholds.priority_high => Priority::High,
        stake if stake >= thresholds.priority_medium => Priority::Medium,
        _ => Priority::Low,
    };
    Recommendation {
        kind: draft.kind,
        priority,
        stage: draft.stage,
        title: draft.title,
        description: draft.description,
        evidence: draft.evidence,
        significance,
        suggested_actions: draft.suggested_actions.iter().map(ToString::to_string).collect(),
        estimated_impact: impact,
    }
}

/// Several segments may pass a step better than the rest; the one that promises most is enough.
fn one_example_a_step(found: &mut Vec<Recommendation>) {
    let mut shown = Vec::new();
    found.retain(|it| {
        let repeated = it.kind == Kind::ConversionOptimization && shown.contains(&it.stage);
        shown.extend((it.kind == Kind::ConversionOptimization).then_some(it.stage));
        !repeated
    });
}

impl<'a> Candidate<'a> {
    /// The hypothesis that two proportions are equal; to be recommended where the reference is
    /// greater.
    fn of(difference: Difference, write: impl FnOnce() -> Draft + 'a) -> Candidate<'a> {
        Candidate {
            test: TWO_PROPORTIONS,
            p: difference.p,
            write: (difference.difference > 0.0).then(|| Box::new(write) as _),
        }
    }
}

impl<'a> Frame<'a> {
    /// Both sides, this period first.
    fn sides(&self) -> [&Side<'a>; 2] {
        [&self.now, &self.before]
    }

    /// The reference minus the rate, where both rest on enough sessions to be tested.
    fn tested(&self, reference: Proportion, rate: Proportion) -> Option<Difference> {
        let least = self.request.thresholds.segment_least_sessions;
        let pooled = [reference, rate].into_iter().sum::<Proportion>().rate()?;
        let smaller = reference.total.min(rate.total);
        let expected = smaller as f64 * pooled.min(1.0 - pooled);
        let enough = smaller >= least && expected >= LEAST_EXPECTED;
        reference.minus(rate).filter(|_| enough)
    }

    /// The last instant at which what a session does counts.
    fn end(&self, started_at: i64) -> i64 {
        started_at.saturating_add(self.horizon)
    }

    /// When a session reached a stage, within the horizon.
    fn reached_at(&self, side: &Side, row: usize, stage: usize) -> Option<i64> {
        let end = self.end(side.population.started_at(row));
        side.population.at(row, stage).filter(|&at| at <= end)
    }

    fn name(&self, stage: usize) -> &str {
        &self.shape.names[stage]
    }
}

impl Side<'_> {
    /// Of the sessions that reached one stage, those that reached another.
    fn conversion(&self, from: usize, to: usize) -> Proportion {
        Proportion::new(self.counts.reached[to], self.counts.reached[from])
    }
}
