//! Two periods side by side.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::Thresholds;
use super::calendar::Instant;
use super::cohorts::Direction;
use super::population::{Basis, Counts, Population, Shape};
use super::rates::{Rate, StageRates, stage_rates};
use crate::statistics::decomposition::{Part, kitagawa};
use crate::statistics::multiplicity::benjamini_hochberg;
use crate::statistics::order;
use crate::statistics::proportion::Proportion;
use crate::statistics::quantile::percentile;
use crate::statistics::rank::mann_whitney;

/// The later period compared with the earlier.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Comparison {
    /// The earlier period.
    pub period1: ComparedPeriod,
    /// The later period.
    pub period2: ComparedPeriod,
    /// Over all sessions; shown, not judged.
    pub raw: ComparedBasis,
    /// Over sessions watched for the horizon; this is judged.
    pub mature: ComparedBasis,
    /// Where the mature conversion to the last stage is heading.
    pub trend: Direction,
    /// Times, among those who reached a stage; shown, not judged.
    pub times: Vec<ComparedTimes>,
}

/// One of the periods.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct ComparedPeriod {
    /// First instant.
    pub from: Instant,
    /// End, exclusive.
    pub to: Instant,
    /// Sessions that started in it.
    pub sessions: u64,
}

/// The comparison on one footing.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ComparedBasis {
    /// Stage by stage.
    pub stages: Vec<ComparedStage>,
    /// The change of overall conversion by an attribute; `null` where none was asked for or a
    /// period is empty.
    pub decomposition: Option<Decomposition>,
}

/// One stage in both periods.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ComparedStage {
    /// Number, from 1.
    pub stage: usize,
    /// Name.
    pub name: String,
    /// In the earlier period.
    pub before: StageRates,
    /// In the later period.
    pub after: StageRates,
    /// Change of the rate from the start.
    pub from_start: Change,
    /// Change of the rate from the required stage before; absent for the first stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_previous: Option<Change>,
}

/// Later minus earlier rate; `null` where either is of nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Change {
    /// The difference.
    pub difference: Option<f64>,
    /// Lower limit of Newcombe's interval.
    pub low: Option<f64>,
    /// Upper limit.
    pub high: Option<f64>,
    /// Pooled z statistic.
    pub z: Option<f64>,
    /// Two-sided p-value.
    pub p: Option<f64>,
    /// Adjusted over all tested rates; absent where the rate is not tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_adjusted: Option<f64>,
    /// What that means; absent where the rate is not tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
}

/// Kitagawa's decomposition of the change of overall conversion.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Decomposition {
    /// The attribute that groups the sessions.
    pub attribute: String,
    /// Later minus earlier overall conversion: `mix + rate`.
    pub change: f64,
    /// What comes of other shares of the groups.
    pub mix: f64,
    /// What comes of other rates within them.
    pub rate: f64,
    /// The groups, sorted by their bytes, `null` last.
    pub groups: Vec<DecompositionGroup>,
}

/// One group's parts of the change.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DecompositionGroup {
    /// Value of the attribute.
    pub value: Option<String>,
    /// Part by its share.
    pub mix: f64,
    /// Part by its rate.
    pub rate: f64,
}

/// Times of one stage in both periods.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ComparedTimes {
    /// Number, from 2.
    pub stage: usize,
    /// Name.
    pub name: String,
    /// From the first stage.
    pub time_to_stage: ComparedTime,
    /// From the required stage before.
    pub step_time: ComparedTime,
}

/// A sample of durations in both periods.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct ComparedTime {
    /// Median of the earlier period.
    pub median_before_seconds: Option<f64>,
    /// Median of the later period.
    pub median_after_seconds: Option<f64>,
    /// Later minus earlier median.
    pub difference_seconds: Option<f64>,
    /// Mann–Whitney test of a shift; `null` where either sample is empty.
    pub mann_whitney: Option<ShiftTest>,
}

/// A Mann–Whitney test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct ShiftTest {
    /// U of the earlier sample.
    pub u: f64,
    /// Continuity-corrected distance from its mean, never negative.
    pub z: f64,
    /// Two-sided p-value.
    pub p: f64,
}

/// What a comparison needs to know beside the sessions.
pub(super) struct Frame<'a> {
    pub shape: &'a Shape,
    /// The attribute to decompose by.
    pub mix_by: Option<&'a str>,
    pub thresholds: &'a Thresholds,
}

/// Sessions of a period.
pub(super) struct Side<'a> {
    pub population: &'a Population,
}

/// Compares two periods, the earlier first.
pub(super) fn comparison(before: &Side, after: &Side, frame: &Frame) -> Comparison {
    let period = |side: &Side| ComparedPeriod {
        from: Instant(side.population.period.0),
        to: Instant(side.population.period.1),
        sessions: side.population.rows().len() as u64,
    };
    let raw = basis(before, after, frame, Basis::Raw);
    let mut mature = basis(before, after, frame, Basis::Mature);
    judge(&mut mature.stages, frame);
    let trend = mature.stages.last().and_then(|last| last.from_start.direction);
    Comparison {
        period1: period(before),
        period2: period(after),
        raw,
        mature,
        trend: trend.unwrap_or(Direction::Stable),
        times: (1..frame.shape.count()).map(|stage| times(before, after, frame, stage)).collect(),
    }
}

fn basis(before: &Side, after: &Side, frame: &Frame, basis: Basis) -> ComparedBasis {
    let rates = |side: &Side| stage_rates(frame.shape, &Counts::of(side.population, basis));
    let stage = |(before, after): (StageRates, StageRates)| ComparedStage {
        stage: before.stage,
        name: before.name.clone(),
        from_start: change(before.from_start, after.from_start),
        from_previous: before.from_previous.zip(after.from_previous).map(|(b, a)| change(b, a)),
        before,
        after,
    };
    ComparedBasis {
        stages: rates(before).into_iter().zip(rates(after)).map(stage).collect(),
        decomposition: frame
            .mix_by
            .and_then(|attribute| decompose(before, after, frame, basis, attribute)),
    }
}

fn change(before: Rate, after: Rate) -> Change {
    let Some(difference) = after.proportion().minus(before.proportion()) else {
        return Change::default();
    };
    Change {
        difference: Some(difference.difference),
        low: Some(difference.interval.low),
        high: Some(difference.interval.high),
        z: Some(difference.z),
        p: Some(difference.p),
        ..Change::default()
    }
}

/// Adjusts the p-values of one family: every rate from the start but the first stage's, and every
/// step rate, where a step from the first stage is the hypothesis of its rate from the start.
fn judge(stages: &mut [ComparedStage], frame: &Frame) {
    let is_twin = |stage: &ComparedStage| frame.shape.previous(stage.stage - 1) == Some(0);
    let mut family: Vec<f64> = Vec::new();
    for stage in stages.iter().skip(1) {
        family.extend(stage.from_start.p);
        family.extend(stage.from_previous.and_then(|step| step.p).filter(|_| !is_twin(stage)));
    }
    let mut adjusted = benjamini_hochberg(&family).into_iter();
    for stage in stages.iter_mut().skip(1) {
        let is_twin = is_twin(stage);
        settle(&mut stage.from_start, &mut adjusted, frame.thresholds);
        let from_start = stage.from_start;
        match &mut stage.from_previous {
            Some(step) if is_twin => *step = from_start,
            Some(step) => settle(step, &mut adjusted, frame.thresholds),
            None => {}
        }
    }
}

/// Gives a tested change the next adjusted p-value.
fn settle(change: &mut Change, adjusted: &mut impl Iterator<Item = f64>, thresholds: &Thresholds) {
    let (Some(difference), Some(_)) = (change.difference, change.p) else { return };
    change.p_adjusted = adjusted.next();
    let direction = Direction::judge(difference, change.p_adjusted, thresholds.significance);
    change.direction = Some(direction);
}

/// Shares and rates of the groups of one side.
fn grouped<'a>(
    side: &Side<'a>,
    frame: &Frame,
    attribute: &str,
    basis: Basis,
) -> Vec<(Option<&'a str>, Proportion)> {
    let population = side.population;
    let groups = population.groups(attribute);
    let mut parts: Vec<_> =
        groups.values.into_iter().map(|value| (value, Proportion::default())).collect();
    for row in population.rows().filter(|&row| basis.holds(population, row)) {
        let part = &mut parts[groups.of_row[row]].1;
        part.total += 1;
        part.reached += u64::from(basis.reached(population, row, frame.shape.last()));
    }
    parts.retain(|(_, part)| part.total > 0);
    parts
}

fn decompose(
    before: &Side,
    after: &Side,
    frame: &Frame,
    basis: Basis,
    attribute: &str,
) -> Option<Decomposition> {
    let mut groups: BTreeMap<_, (Proportion, Proportion)> = BTreeMap::new();
    let key = |value: Option<_>| (value.is_none(), value);
    for (value, part) in grouped(before, frame, attribute, basis) {
        groups.entry(key(value)).or_default().0 = part;
    }
    for (value, part) in grouped(after, frame, attribute, basis) {
        groups.entry(key(value)).or_default().1 = part;
    }
    let (values, proportions): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
    let parts = kitagawa(&proportions)?;
    let first: Proportion = proportions.iter().map(|group| group.0).sum();
    let second: Proportion = proportions.iter().map(|group| group.1).sum();
    let group = |((_, value), part): ((bool, Option<&str>), &Part)| DecompositionGroup {
        value: value.map(str::to_owned),
        mix: part.mix,
        rate: part.rate,
    };
    Some(Decomposition {
        attribute: attribute.to_owned(),
        change: second.rate()? - first.rate()?,
        mix: parts.iter().map(|part| part.mix).sum(),
        rate: parts.iter().map(|part| part.rate).sum(),
        groups: values.into_iter().zip(&parts).map(group).collect(),
    })
}

fn times(before: &Side, after: &Side, frame: &Frame, stage: usize) -> ComparedTimes {
    let previous = frame.shape.previous(stage).unwrap_or(0);
    ComparedTimes {
        stage: stage + 1,
        name: frame.shape.names[stage].clone(),
        time_to_stage: time(before, after, 0, stage),
        step_time: time(before, after, previous, stage),
    }
}

fn time(before: &Side, after: &Side, from: usize, to: usize) -> ComparedTime {
    let sorted = |side: &Side| {
        let mut micros = side.population.durations(from, to);
        order::sort(&mut micros);
        micros
    };
    let (before, after) = (sorted(before), sorted(after));
    let medians = (percentile(&before, 50), percentile(&after, 50));
    ComparedTime {
        median_before_seconds: medians.0,
        median_after_seconds: medians.1,
        difference_seconds: medians.0.zip(medians.1).map(|(before, after)| after - before),
        mann_whitney: mann_whitney(&before, &after).map(|test| ShiftTest {
            u: test.u,
            z: test.z,
            p: test.p,
        }),
    }
}
