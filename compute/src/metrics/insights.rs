//! What is significant of a report's segments and weeks, in a sentence each.

use serde::Serialize;
use utoipa::ToSchema;

use super::cohorts::{Direction, Trend};
use super::segments::{Segment, Segments};

/// One thing that is no accident.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Insight {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: InsightKind,
    /// The attribute, of a segment.
    pub attribute: Option<String>,
    /// Its value.
    pub value: Option<String>,
    /// The segment's mature conversion minus the rest's, or the change of mature conversion a week.
    pub difference: f64,
    /// Lower limit of the difference's interval.
    pub low: Option<f64>,
    /// Upper limit.
    pub high: Option<f64>,
    /// The p-value, of a segment adjusted over all that were tested.
    pub p: Option<f64>,
    /// The same for people.
    pub text: String,
}

/// What an insight is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InsightKind {
    /// A segment converts otherwise than the rest.
    Segment,
    /// Weekly conversion moves.
    Trend,
}

/// The significant differences of segments, the greatest first, and the trend.
pub(super) fn insights(segments: Option<&Segments>, trend: &Trend) -> Vec<Insight> {
    let attributes = segments.into_iter().flat_map(|segments| &segments.attributes);
    let mut insights: Vec<Insight> = attributes
        .flat_map(|(name, values)| values.iter().filter_map(move |value| segment(name, value)))
        .collect();
    insights.sort_by(|one, other| other.difference.abs().total_cmp(&one.difference.abs()));
    insights.extend(heading(trend));
    insights
}

fn segment(attribute: &str, segment: &Segment) -> Option<Insight> {
    let found = &segment.mature.against_rest;
    let judged = found.judged.filter(|judged| judged.significant == Some(true))?;
    let (difference, value) = (found.difference?, segment.value.as_ref()?);
    let more = if difference > 0.0 { "more" } else { "less" };
    let points = 100.0 * difference.abs();
    Some(Insight {
        kind: InsightKind::Segment,
        attribute: Some(attribute.to_owned()),
        value: Some(value.clone()),
        difference,
        low: found.low,
        high: found.high,
        p: judged.p_adjusted,
        text: format!(
            "Of sessions with {attribute} {value}, {points:.1} percentage points {more} complete \
             than of all others."
        ),
    })
}

fn heading(trend: &Trend) -> Option<Insight> {
    let more = match trend.direction {
        Direction::Improving => "more",
        Direction::Declining => "less",
        Direction::Stable => return None,
    };
    let slope = trend.slope_per_week?;
    let (points, weeks) = (100.0 * slope.abs(), trend.weeks);
    Some(Insight {
        kind: InsightKind::Trend,
        attribute: None,
        value: None,
        difference: slope,
        low: None,
        high: None,
        p: trend.p,
        text: format!(
            "Week by week {points:.1} percentage points {more} of the sessions complete, over \
             {weeks} weeks."
        ),
    })
}
