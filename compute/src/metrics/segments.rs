//! Sessions by an attribute, each value's conversion against the rest's.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::Thresholds;
use super::population::{Basis, Counts, Population, Shape};
use super::rates::{StageRates, overall, stage_rates};
use crate::statistics::multiplicity::benjamini_hochberg;
use crate::statistics::proportion::{Difference, Proportion};

/// Every asked-for attribute with its values.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Segments {
    /// Values by attribute, sorted by their bytes, `null` last.
    pub attributes: BTreeMap<String, Vec<Segment>>,
    /// Hypotheses tested together: the family that p-values are adjusted over.
    pub hypotheses: usize,
}

/// Sessions with one value of an attribute.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Segment {
    /// The value; `null`: the opening event has none.
    pub value: Option<String>,
    /// Sessions that have it.
    pub sessions: u64,
    /// Over all of them.
    pub raw: SegmentFigures,
    /// Over those watched for the horizon; only this is judged.
    pub mature: SegmentFigures,
}

/// One footing's figures of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SegmentFigures {
    /// The segment's own funnel.
    pub stages: Vec<StageRates>,
    /// Its conversion minus that of all other sessions.
    pub against_rest: AgainstRest,
}

/// A difference of conversion; `null` figures where either side is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct AgainstRest {
    /// The segment's rate minus the rest's.
    pub difference: Option<f64>,
    /// Lower limit of Newcombe's interval.
    pub low: Option<f64>,
    /// Upper limit.
    pub high: Option<f64>,
    /// Pooled z statistic.
    pub z: Option<f64>,
    /// Two-sided p-value.
    pub p: Option<f64>,
    /// Judgement, on the mature footing only.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
}

/// What remains of a difference after all tests of the call; `null` where it was not tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Judged {
    /// Benjamini–Hochberg adjusted p-value.
    pub p_adjusted: Option<f64>,
    /// Whether that is small enough.
    pub significant: Option<bool>,
}

impl From<Option<Difference>> for AgainstRest {
    fn from(difference: Option<Difference>) -> AgainstRest {
        AgainstRest {
            difference: difference.map(|d| d.difference),
            low: difference.map(|d| d.interval.low),
            high: difference.map(|d| d.interval.high),
            z: difference.map(|d| d.z),
            p: difference.map(|d| d.p),
            judged: None,
        }
    }
}

struct Value<'a> {
    value: Option<&'a str>,
    raw: Counts,
    mature: Counts,
}

pub(super) fn segments(
    population: &Population,
    shape: &Shape,
    segment_by: &[String],
    thresholds: &Thresholds,
) -> Segments {
    let mut attributes = BTreeMap::new();
    for name in segment_by {
        attributes.insert(name.clone(), listed(&values(population, name), shape));
    }
    let hypotheses = judge(&mut attributes, thresholds);
    Segments { attributes, hypotheses }
}

fn values<'a>(population: &'a Population, attribute: &str) -> Vec<Value<'a>> {
    let groups = population.groups(attribute);
    let stages = population.stages();
    let value = |value| Value { value, raw: Counts::none(stages), mature: Counts::none(stages) };
    let mut values: Vec<Value> = groups.values.into_iter().map(value).collect();
    for (row, group) in groups.of_row.into_iter().enumerate() {
        values[group].raw.add(population, row, Basis::Raw);
        values[group].mature.add(population, row, Basis::Mature);
    }
    values
}

fn listed(values: &[Value], shape: &Shape) -> Vec<Segment> {
    let raw = values.iter().map(|value| overall(shape, &value.raw)).sum();
    let mature = values.iter().map(|value| overall(shape, &value.mature)).sum();
    let figures = |counts: &Counts, all: Proportion| {
        let own = overall(shape, counts);
        let rest = Proportion::new(all.reached - own.reached, all.total - own.total);
        SegmentFigures { stages: stage_rates(shape, counts), against_rest: own.minus(rest).into() }
    };
    let segment = |value: &Value| Segment {
        value: value.value.map(str::to_owned),
        sessions: value.raw.sessions,
        raw: figures(&value.raw, raw),
        mature: figures(&value.mature, mature),
    };
    values.iter().map(segment).collect()
}

/// Adjusts the mature p-values over all hypotheses of the call; returns how many there are.
///
/// A value is tested where it and the rest are large enough; `null` never is. Of an attribute with
/// exactly two values either one says the same as the other, so that both share one hypothesis.
fn judge(attributes: &mut BTreeMap<String, Vec<Segment>>, thresholds: &Thresholds) -> usize {
    let mut family: Vec<f64> = Vec::new();
    let mut owners: Vec<(String, usize, usize)> = Vec::new();
    for (name, values) in attributes.iter_mut() {
        let all: u64 = values.iter().map(watched).sum();
        let tested = values.iter().enumerate().filter(|(_, value)| {
            let least = watched(value).min(all - watched(value));
            value.value.is_some() && least >= thresholds.segment_least_sessions
        });
        let two_values = values.len() == 2;
        let mut shared = None;
        for (index, value) in tested {
            let Some(p) = value.mature.against_rest.p else { continue };
            let hypothesis = shared.unwrap_or(family.len());
            if hypothesis == family.len() {
                family.push(p);
            }
            shared = Some(hypothesis).filter(|_| two_values);
            owners.push((name.clone(), index, hypothesis));
        }
        for value in values {
            value.mature.against_rest.judged = Some(Judged::default());
        }
    }
    let adjusted = benjamini_hochberg(&family);
    for (name, index, hypothesis) in owners {
        let p_adjusted = adjusted[hypothesis];
        let Some(values) = attributes.get_mut(&name) else { continue };
        values[index].mature.against_rest.judged = Some(Judged {
            p_adjusted: Some(p_adjusted),
            significant: Some(p_adjusted <= thresholds.significance),
        });
    }
    family.len()
}

/// Sessions of a segment that were watched for the horizon.
fn watched(segment: &Segment) -> u64 {
    segment.mature.stages.first().map_or(0, |stage| stage.from_start.total)
}
