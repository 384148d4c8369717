//! Segments and weeks held against each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use onramp_compute::metrics::analysis::Groupings;
use onramp_compute::metrics::cohorts::{Cohort, Trend};
use onramp_compute::metrics::insights::Insight;
use onramp_compute::metrics::segments::Segment;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::analytics::Provenance;
use super::problem::{Problem, Refusals, Unchanged};
use super::question::{Filters, Question};

/// The attribute of a request that names none.
const USER_KIND: &str = "user_kind";

/// Segments and weeks.
#[derive(Serialize, ToSchema)]
pub struct CohortComparison<'a> {
    #[serde(flatten)]
    provenance: &'a Provenance,
    /// The attribute.
    segment_by: &'a str,
    /// Its values by name: `first_time_users`, `returning_users` and so on for `user_kind`, else the value
    /// itself; sessions without one are `none`.
    segments: BTreeMap<String, &'a Segment>,
    /// Hypotheses tested together: the family that p-values are adjusted over.
    hypotheses: usize,
    /// What is significant of it.
    insights: &'a [Insight],
    /// By the week of the start.
    cohorts: &'a [Cohort],
    /// Where weekly conversion is heading.
    trend: &'a Trend,
}

/// What is held against each other.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the documentation of what the route takes by name")]
pub struct By {
    /// One attribute. Default: `user_kind`.
    segment_by: Option<String>,
}

/// Segments and weeks held against each other.
///
/// The values of an attribute and weekly cohorts, with what is significant of them. As CSV and Arrow: the
/// segments.
#[utoipa::path(
    get,
    path = "/api/v1/onboarding/analytics/cohort-comparison",
    tag = "analytics",
    params(Filters, By),
    responses(
        (status = OK, description = "As asked.", content(
            (CohortComparison = "application/json"), (String = "text/csv"),
            (String = "application/vnd.apache.arrow.stream"))),
        Unchanged,
        Refusals
    )
)]
pub async fn cohort_comparison(
    State(api): State<Arc<Api>>,
    mut question: Question,
) -> Result<Response, Problem> {
    let funnel = question.take_funnel(&api)?;
    let attribute = question.take("segment_by").unwrap_or_else(|| USER_KIND.to_owned());
    let mut request = question.request(&api)?;
    request.segment_by = vec![attribute.clone()];
    let write = |provenance: &Provenance, groupings: &Groupings, tag: &str| {
        let found = groupings.segments.as_ref();
        let found =
            found.and_then(|found| Some((found.attributes.get(&attribute)?, found.hypotheses)));
        let Some((values, hypotheses)) = found else {
            return Err(Problem::broken("a report lacks the segments that it was asked for"));
        };
        let document = CohortComparison {
            provenance,
            segment_by: &attribute,
            segments: named(&attribute, values),
            hypotheses,
            insights: &groupings.insights,
            cohorts: &groupings.cohorts,
            trend: &groupings.trend,
        };
        question.answer(tag, &document, values)
    };
    api.answered(&question, funnel, request, write).await
}

/// Segments by names that are unique, whatever their values are.
fn named<'a>(attribute: &str, values: &'a [Segment]) -> BTreeMap<String, &'a Segment> {
    let ending = if attribute == USER_KIND { "_users" } else { "" };
    let mut named = BTreeMap::new();
    // The value `null` comes last, and is the one that gives way.
    for segment in values {
        let mut name = match &segment.value {
            Some(value) => format!("{value}{ending}"),
            None => "none".to_owned(),
        };
        while named.contains_key(&name) {
            name.push('_');
        }
        named.insert(name, segment);
    }
    named
}
